"""What came out against what had to: exactly one answer per record on the events topic, as the undisturbed run gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aimaas.kafka import Record, read_all
from tests.chaos.load import Load
from tests.stream.conftest import Line, source_and_reason, without_time


@dataclass(frozen=True)
class Account:
    """Counts of events, predictions and dead letters together; all but the first two must be 0.

    `lost`: records that the producer was told of and that are not on the topic; `missing`: without an answer; `doubled`: answers
    beyond the first; `uncalled`: answers to nothing, or of the wrong kind; `differing`: answers that say something else.
    """

    events: int
    refused: int
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


def reckon(line: Line, load: Load, scored: Mapping[str, Any], letters: Mapping[str, str]) -> Account:
    """The account of a line whose undisturbed run gives `scored` and `letters` (see `Line.undisturbed`)."""
    predictions = [(r.headers["ce_id"].decode(), without_time(r.value or b"")) for r in line.predictions()]
    refusals = [source_and_reason(r) for r in line.dead_letters()]
    both = [_compare(scored, predictions), _compare(letters, refusals)]
    missing, doubled, uncalled, differing = (sum(counts) for counts in zip(*both, strict=True))
    events: list[Record] = read_all(line.settings, line.names.events)
    return Account(len(events), len(letters), load.lost(events), missing, doubled, uncalled, differing)


def _compare(wanted: Mapping[str, Any], found: list[tuple[str, Any]]) -> tuple[int, int, int, int]:
    """Missing, doubled, uncalled and differing ones."""
    times = Counter(source for source, _ in found)
    return (
        len(wanted.keys() - times.keys()),
        sum(count - 1 for count in times.values()),
        len(times.keys() - wanted.keys()),
        sum(source in wanted and wanted[source] != content for source, content in found),
    )
