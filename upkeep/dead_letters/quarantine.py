"""Returns letters of quarantined records: the dead letter if the topic still has it, otherwise one rebuilt from the lake's bytes.

So a replay from quarantine follows the rules of a dead-letter replay, also after retention has deleted the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aimaas.fleet import FleetSpec
from aimaas.lake.quarantine import EXPECTATION, Quarantined, find_quarantined, read_headers
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_of
from stream.records.dead_letters import PREFIX, TRUNCATED, Header, Source, replay_of
from upkeep.dead_letters.letters import Letter

_KEY_BYTES = 1_000  # quarantine keeps this much of a key


def letters_of(
    settings: Settings, fleet: FleetSpec, letters: Sequence[Letter], wanted: Sequence[Quarantined]
) -> tuple[list[Letter], list[Letter]]:
    """Return all existing and rebuilt letters, and the letters of the `wanted`, in their order.

    Raises LakeError if quarantine or bronze lacks a record.
    """
    known = {str(letter.source): letter for letter in letters}
    lost = [q.place for q in wanted if q.source not in known]
    headers = read_headers(settings, fleet, lost)
    for q in find_quarantined(settings, fleet, lost):
        known[q.source] = rebuilt(q, headers.get(q.place, []), settings.replay_key)
    return list(known.values()), [known[q.source] for q in wanted]


def rebuilt(q: Quarantined, headers: Sequence[Header], replay_key: str | None = None) -> Letter:
    """Rebuild the letter of a quarantined record with its own `headers`. It is on no topic, so its place is its source.

    The `replay_key` proves `copy_of`.
    """
    source = Source(*q.place)
    cut = {}
    if q.key is not None and len(q.key) >= _KEY_BYTES:
        cut["key"] = f"{_KEY_BYTES} bytes or more"
    if q.value_bytes is not None and len(q.value or b"") < q.value_bytes:
        cut["value"] = f"{q.value_bytes} bytes sha256:{q.value_sha256}"
    own = tuple((n, v) for n, v in headers if not n.startswith((PREFIX, TRUNCATED)))
    original = replay_of(own, source.topic, q.key, q.value, replay_key)
    return Letter(source, source, q.broker_ms, q.reason, q.detail, q.key, q.value, own, cut, original)


def events_only(
    fleet: FleetSpec, found: Iterable[Quarantined]
) -> tuple[list[Quarantined], list[tuple[Quarantined, str]]]:
    """Split the records into those that can be replayed, and the others, each with the reason."""
    events, mine, others = topic_names(fleet).events, [], []
    for q in found:
        if topic_of(q.place[0]) != events:
            others.append((q, "an outcome: outcomes get no prediction; correct it and send it again"))
        elif q.reason == EXPECTATION:
            others.append(
                (q, "it was admitted and has its prediction; a failed expectation only excludes it from training")
            )
        else:
            mine.append(q)
    return mine, others
