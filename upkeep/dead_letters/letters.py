"""Dead letters for people: reads and filters the dead-letter topic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aimaas.errors import AimaasError
from aimaas.fleet import FleetSpec
from aimaas.kafka import end_offsets, kafka_errors
from aimaas.records.refusal_reasons import Reason
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_of
from stream.records.dead_letters import PREFIX, TRUNCATED, Header, Source, header_list, replay_of
from stream.state.log_reader import LogReader

_AGO = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True)
class Letter:
    """One dead letter.

    `source`: coordinates of the refused record; `place`: coordinates of the letter; `at_ms`: its time, ms since 1970.
    `truncated`: the cut parts (key, value, headers) -> "<bytes> sha256:<hex>"; `headers`: the record's own headers.
    `copy_of`: the original, if the refused record was a replay of another record.
    """

    source: Source
    place: Source
    at_ms: int
    reason: str
    message: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]
    truncated: Mapping[str, str]
    copy_of: Source | None

    @property
    def was_admitted(self) -> bool:
        """Return whether the stream took the event into its device's state, and only the model had no answer."""
        return self.reason == Reason.NO_PREDICTION.label

    @property
    def origin(self) -> Source:
        """The event that the device sent: this record, or its original if it is a copy."""
        return self.copy_of or self.source

    @property
    def at(self) -> datetime:
        """The time of the letter."""
        return datetime.fromtimestamp(self.at_ms / 1e3, UTC)


def letter_of(message: Any, replay_key: str | None = None) -> Letter | None:
    """Read a consumed message as a dead letter; None if it lacks the headers of one.

    The `replay_key` proves `copy_of`.
    """
    headers = header_list(message) or []
    errors = {n.removeprefix(PREFIX): (v or b"").decode("utf-8", "replace") for n, v in headers if n.startswith(PREFIX)}
    source = Source.parse("/".join(errors.get(name, "") for name in ("topic", "partition", "offset")))
    if source is None or "exception.class.name" not in errors:
        return None
    cut = {
        n.removeprefix(TRUNCATED): (v or b"").decode("utf-8", "replace") for n, v in headers if n.startswith(TRUNCATED)
    }
    return Letter(
        source,
        Source(message.topic(), message.partition(), message.offset()),
        message.timestamp()[1],
        errors["exception.class.name"],
        errors.get("exception.message", ""),
        message.key(),
        message.value(),
        tuple((n, v) for n, v in headers if not n.startswith((PREFIX, TRUNCATED))),
        cut,
        replay_of(headers, source.topic, message.key(), message.value(), replay_key),
    )


def read_letters(settings: Settings, fleet: FleetSpec, since_ms: int | None = None) -> list[Letter]:
    """Return all dead letters of the fleet (written at `since_ms` or later), oldest first. Raises KafkaError."""
    topic, found = topic_names(fleet).dead_letters, []
    ends = end_offsets(settings, topic)
    with kafka_errors(settings, f"read {topic}"), LogReader(settings) as reader:
        for _, messages in reader.read(topic, reader.spans(topic, ends, since_ms)):
            found += [letter for m in messages if (letter := letter_of(m, settings.replay_key)) is not None]
    kept = [letter for letter in found if since_ms is None or letter.at_ms >= since_ms]
    return sorted(kept, key=lambda letter: (letter.at_ms, letter.place))


def find_letters(letters: Iterable[Letter], fleet: FleetSpec, coordinates: Sequence[str]) -> list[Letter]:
    """Return the letters of these sources, `topic/partition/offset`, or `partition/offset` of the newest topic of the name.

    Raises AimaasError if one does not exist.
    """
    by_source = {str(letter.source): letter for letter in letters}
    labels = {letter.source.topic: letter.at_ms for letter in sorted(by_source.values(), key=lambda x: x.at_ms)}
    events, found = topic_names(fleet).events, []
    newest_first = sorted((t for t in labels if topic_of(t) == events), key=lambda t: -labels[t])
    for text in coordinates:
        named = next((f"{t}/{text}" for t in newest_first if f"{t}/{text}" in by_source), f"{events}/{text}")
        source = Source.parse(text) or Source.parse(named)
        if source is None:
            raise AimaasError(f"{text!r} is not a record: write topic/partition/offset, as `aimaas dlq list` shows it")
        if str(source) not in by_source:
            raise AimaasError(
                f"{source}: this record has no dead letter; `aimaas dlq list --fleet {fleet.fleet}` shows all dead letters"
            )
        found.append(by_source[str(source)])
    return found


def since_ms(text: str, now: datetime) -> int:
    """Parse a person's time, at least 0: RFC 3339 (UTC without a zone), or `30m`, `2h`, `7d` ago.

    Raises AimaasError.
    """
    try:
        if ago := _AGO.fullmatch(text):
            then = now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
        else:
            then = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise AimaasError(
            f"--since {text[:40]}: write a time such as 2026-11-23T10:00:00Z, or an age such as 30m, 2h, 7d, "
            "not before the year 1"
        ) from None
    return max(int((then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() * 1e3), 0)
