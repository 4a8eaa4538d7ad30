"""What came out against what had to: exactly one answer per record on the events topic, as the undisturbed run gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aimaas.kafka import Record, read_all
from aimaas.records.events import Announcement
from aimaas.records.refusal_reasons import Reason
from tests.chaos.load import Load
from tests.stream.conftest import Line, source_and_reason, without_time


@dataclass(frozen=True)
class Account:
    """Counts of events, predictions and dead letters together; all but the first three must be 0.

    `refused` became dead letters, `unanswered` are those of them that the model had no answer for.
    `lost`: records that the producer was told of and that are not on the topic; `missing`: without an answer; `doubled`: answers
    beyond the first; `uncalled`: answers to nothing, or of the wrong kind; `differing`: answers that say something else.
    """

    events: int
    refused: int
    unanswered: int
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

    def labelled(self, topic: str, label: str) -> Drained:
        """The same of a topic that was made anew: its records have the label in their coordinates."""
        scored, letters = (
            {source.replace(topic, label, 1): content for source, content in found.items()}
            for found in (self.scored, self.letters)
        )
        return Drained(self.events, self.lost, scored, letters)


def drained(line: Line, load: Load, champion: Announcement) -> Drained:
    """What the events topic holds now, of a load that is at its end."""
    scored, letters = line.undisturbed(champion)
    events: list[Record] = read_all(line.settings, line.names.events)
    return Drained(len(events), load.lost(events), scored, letters)


def reckon(line: Line, parts: Sequence[Drained]) -> Account:
    """The account of a line through all that its events topic was."""
    scored = {source: content for part in parts for source, content in part.scored.items()}
    letters = {source: reason for part in parts for source, reason in part.letters.items()}
    predictions = [(r.headers["ce_id"].decode(), without_time(r.value or b"")) for r in line.predictions()]
    refusals = [source_and_reason(r) for r in line.dead_letters()]
    both = [_compare(scored, predictions), _compare(letters, refusals)]
    missing, doubled, uncalled, differing = (sum(counts) for counts in zip(*both, strict=True))
    events, lost = sum(part.events for part in parts), sum(part.lost for part in parts)
    unanswered = sum(reason == Reason.NO_PREDICTION.label for reason in letters.values())
    return Account(events, len(letters), unanswered, lost, missing, doubled, uncalled, differing)


def _compare(wanted: Mapping[str, Any], found: list[tuple[str, Any]]) -> tuple[int, int, int, int]:
    """Missing, doubled, uncalled and differing ones."""
    times = Counter(source for source, _ in found)
    return (
        len(wanted.keys() - times.keys()),
        sum(count - 1 for count in times.values()),
        len(times.keys() - wanted.keys()),
        sum(source in wanted and wanted[source] != content for source, content in found),
    )
