"""The lake's side of `rule_log`: claim the offsets to judge, and judge each offset by the rules that apply to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from aimaas.admission.journal import append_to_journal, read_journal
from aimaas.admission.judges_by_offset import Judges, RuleBook
from aimaas.admission.rule_log import Claim, Rejudged, RuleLog, RulesFrom, Timeline
from aimaas.fleet import FleetSpec
from aimaas.lake import Offsets
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_of

Entry = RulesFrom | Claim | Rejudged
Place = tuple[str, int]


class RuleJournal(Protocol):
    """The log of the entries, in one order for all readers."""

    def read(self) -> RuleLog:
        """All entries that were appended before this call."""
        ...

    def append(self, entries: Sequence[Entry]) -> None:
        """Append the entries in this order; returns when everybody can read them."""
        ...


@dataclass(frozen=True)
class KafkaJournal:
    """The fleet's journal. Methods raise KafkaError."""

    settings: Settings
    fleet: FleetSpec

    def read(self) -> RuleLog:
        """See `RuleJournal`."""
        return read_journal(self.settings, self.fleet).rules

    def append(self, entries: Sequence[Entry]) -> None:
        """See `RuleJournal`."""
        append_to_journal(self.settings, self.fleet, entries)


@dataclass(frozen=True)
class JudgedBy:
    """The rules of all partitions, as Spark's workers get them; without a timeline the present fleet file applies."""

    book: RuleBook
    timelines: Mapping[Place, Timeline] = field(default_factory=dict)

    @classmethod
    def of(cls, fleet: FleetSpec, log: RuleLog) -> JudgedBy:
        """The rules that apply to each offset in the lake."""
        return cls(RuleBook(fleet, log.versions), log.of_lake)

    def judges(self, topic: str, partition: int) -> Judges:
        """The judges of a partition."""
        return self.book.judges(self.timelines.get((topic, partition), Timeline()))

    def files(self, start: Offsets, end: Offsets) -> list[FleetSpec]:
        """The fleet files that apply to any offset in [start, end). Raises StateError if one cannot be applied any more."""
        known = ((self.timelines.get(at, Timeline()), start.get(at, 0), stop) for at, stop in end.items())
        digests = {digest for timeline, begin, stop in known for digest in timeline.digests(begin, stop)}
        return [self.book.judge(digest).fleet for digest in sorted(digests)]


def claim(journal: RuleJournal, fleet: FleetSpec, start: Offsets, end: Offsets, now: datetime) -> JudgedBy:
    """Claim the portion [start, end) and return the rules that judge its events. Offsets of other topics are ignored."""
    found, entries = journal.read(), list[Entry]()
    for topic in _events_topics(fleet, end):
        entries += found.by_lake(fleet, topic, _of_topic(topic, start), _of_topic(topic, end), now)
    if entries:
        journal.append(entries)
        found = journal.read()
    return JudgedBy.of(fleet, found)


def rejudge(journal: RuleJournal, fleet: FleetSpec, first: Offsets, end: Offsets, now: datetime) -> None:
    """Note that the offsets in [first, end) are judged again by the present fleet file."""
    log = journal.read()
    for topic in _events_topics(fleet, end):
        begins, ends = _of_topic(topic, first), _of_topic(topic, end)
        journal.append([log.again(fleet, topic, begins, ends, now)])


def _events_topics(fleet: FleetSpec, places: Iterable[Place]) -> list[str]:
    return sorted({topic for topic, _ in places if topic_of(topic) == topic_names(fleet).events})


def _of_topic(topic: str, offsets: Offsets) -> dict[int, int]:
    return {p: offset for (t, p), offset in offsets.items() if t == topic}
