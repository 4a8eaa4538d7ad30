"""What came out against what had to: exactly one answer per record on the events topic, as the undisturbed run gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from aimaas.kafka import Record, read_all
from aimaas.records.alerts import TOPIC_CREATED_AGAIN
from aimaas.records.events import Announcement
from aimaas.records.refusal_reasons import Reason
from tests.chaos.load import Load
from tests.stream.conftest import Line, source_and_reason, without_time


@dataclass(frozen=True)
class Account:
    """Counts of events, predictions, dead letters and alerts together; all but the first four must be 0.

    `alerts` are those that had to be written; missing, doubled, uncalled and differing ones count as answers do.
    `refused` became dead letters, `unanswered` are those of them that the model had no answer for.
    `lost`: records that the producer was told of and that are not on the topic; `missing`: without an answer; `doubled`: answers
    beyond the first; `uncalled`: answers to nothing, or of the wrong kind; `differing`: answers that say something else.
    """

    events: int
    refused: int
    unanswered: int
    alerts: int
    lost: int
    missing: int
    doubled: int
    uncalled: int
    differing: int

    @property
    def is_square(self) -> bool:
        """Whether exactly what had to come has come."""
        return not any((self.lost, self.missing, self.doubled, self.uncalled, self.differing))

    def figures(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


@dataclass(frozen=True)
class Drained:
    """What an events topic held when all of it was answered, and what its undisturbed run gives (see `Line.undisturbed`)."""

    events: int
    lost: int
    scored: Mapping[str, Any]
    letters: Mapping[str, str]
    alerts: dict[str, Any]  # by id

    def labelled(self, topic: str, label: str) -> Drained:
        """The same of a topic that was made anew: its records have the label in their coordinates."""
        scored, letters = (
            {source.replace(topic, label, 1): content for source, content in found.items()}
            for found in (self.scored, self.letters)
        )
        return Drained(self.events, self.lost, scored, letters, self.alerts)


def drained(line: Line, load: Load, champion: Announcement, label: str | None = None) -> Drained:
    """What the events topic holds now, of a load that is at its end; `label` is its label, if it was made anew."""
    scored, letters = line.undisturbed(champion)
    alerts = said_by_id(line.undisturbed_alerts(champion, label, silent=True))
    events: list[Record] = read_all(line.settings, line.names.events)
    return Drained(len(events), load.lost(events), scored, letters, alerts)


def said_by_id(values: Iterable[bytes | None]) -> dict[str, Any]:
    """Alerts by their id. Fails if one is doubled."""
    found = alerts_of(values)
    assert len(dict(found)) == len(found)
    return dict(found)


def alerts_of(values: Iterable[bytes | None]) -> list[tuple[str, Any]]:
    """The ids of alerts with what they say; but for the time at which a scorer found that the topic was made anew."""
    said = [msgspec.json.decode(value or b"") for value in values]
    return [(s["id"], s | ({"ends_at": None} if s["reason"] == TOPIC_CREATED_AGAIN else {})) for s in said]


def _ended(alerts: Mapping[str, Any]) -> dict[str, Any]:
    """What resolves the alerts that fire when the topic is made anew."""
    firing = [a for a in alerts.values() if a["status"] == "firing" and f"{a['alert_id']}:resolved" not in alerts]
    ended = {"status": "resolved", "reason": TOPIC_CREATED_AGAIN}
    return {f"{a['alert_id']}:resolved": a | ended | {"id": f"{a['alert_id']}:resolved"} for a in firing}


def wanted_alerts(parts: Sequence[Drained]) -> dict[str, Any]:
    """The alerts of all that the events topic was."""
    wanted: dict[str, Any] = {}
    for part in parts:
        wanted |= _ended(wanted) | part.alerts
    return wanted


def reckon(line: Line, parts: Sequence[Drained]) -> Account:
    """The account of a line through all that its events topic was."""
    scored = {source: content for part in parts for source, content in part.scored.items()}
    letters = {source: reason for part in parts for source, reason in part.letters.items()}
    predictions = [(r.headers["ce_id"].decode(), without_time(r.value or b"")) for r in line.predictions()]
    refusals = [source_and_reason(r) for r in line.dead_letters()]
    wanted = wanted_alerts(parts)
    said = alerts_of(r.value for r in read_all(line.settings, line.names.alerts))
    both = [_compare(scored, predictions), _compare(letters, refusals), _compare(wanted, said)]
    missing, doubled, uncalled, differing = (sum(counts) for counts in zip(*both, strict=True))
    events, lost = sum(part.events for part in parts), sum(part.lost for part in parts)
    unanswered = sum(reason == Reason.NO_PREDICTION.label for reason in letters.values())
    return Account(events, len(letters), unanswered, len(wanted), lost, missing, doubled, uncalled, differing)


def _compare(wanted: Mapping[str, Any], found: list[tuple[str, Any]]) -> tuple[int, int, int, int]:
    """Missing, doubled, uncalled and differing ones."""
    times = Counter(source for source, _ in found)
    return (
        len(wanted.keys() - times.keys()),
        sum(count - 1 for count in times.values()),
        len(times.keys() - wanted.keys()),
        sum(source in wanted and wanted[source] != content for source, content in found),
    )
