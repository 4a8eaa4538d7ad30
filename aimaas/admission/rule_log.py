"""The rules of each offset: scorers and the lake agree on them by entries in the fleet's journal, without a lock.

Stream and lake judge the same records at different times, either may be ahead, and a fleet file may change at any time. Two
kinds of entries decide which rules judge an offset on both sides:

- `RulesFrom`: these rules apply from these offsets on. A scorer appends it if it is assigned partitions whose newest rules
  differ from its fleet file, before it judges any record of them. The append is fenced: like the scorer's commits, the broker
  accepts it only while this scorer owns the partitions.
- `Claim`: the lake judges all records before these offsets. The lake appends it before it judges a portion.

`Timeline` folds the entries of a partition in the order of the log. An entry begins at its offset, but never below an offset
that an earlier claim or entry has settled. The first entry applies from the beginning of the partition. Entries of the lake count
until a scorer has written one: without a scorer the lake follows the fleet file, afterwards the scorers decide.

Why both sides agree on every offset:
1. Later entries do not change settled offsets: a later entry begins at or above `floor`, the highest offset that was claimed or
   at which an entry began.
2. The lake reads the log after it appended its claim, so it sees all entries before the claim. An entry after the claim begins
   at or above the claimed offsets, so it does not affect them.
3. A scorer reads the log after it appended its entry at position P, so it sees all entries before its own. No later entry
   changes the offset at which its own begins: claims and entries only affect later entries, and the broker accepts another
   scorer's entry only once that scorer owns the partition. So the scorer knows the rules of each offset from P on. Offsets that
   scorers committed before are below P, and the entry does not begin there.
4. An entry of the lake after a scorer's entry is ignored, and the scorer sees one before it.
5. A scorer that lost its partitions without knowing it is fenced: it can neither append an entry nor commit its verdicts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from aimaas.admission.rules import RuleSet, digest_of, rules_of
from aimaas.fleet import FleetSpec

Writer = Literal["scorer", "admit"]

KIND = "entry"  # the key of a journal entry that names its kind


class RulesFrom(msgspec.Struct, frozen=True, omit_defaults=True, tag_field=KIND, tag="rules_from"):
    """The rules `digest` apply from these `offsets` (by partition) on.

    `topic` is a label. The first entry with a digest holds the rules.
    """

    topic: str
    offsets: dict[int, int]
    digest: str
    by: Writer
    at: datetime
    rules: RuleSet | None = None


class Claim(msgspec.Struct, frozen=True, tag_field=KIND, tag="claim"):
    """The lake judges all records before the offsets `until` (by partition), by the entries before this one in the log."""

    topic: str
    until: dict[int, int]
    at: datetime


class Rejudged(msgspec.Struct, frozen=True, omit_defaults=True, tag_field=KIND, tag="rejudged"):
    """A person made the lake judge the offsets in [first, end) (by partition) again, by the rules `digest`.

    This changes the lake only: the stream has already answered, and later offsets are judged as before.
    """

    topic: str
    first: dict[int, int]
    end: dict[int, int]
    digest: str
    at: datetime
    rules: RuleSet | None = None


class Since(NamedTuple):
    """The rules `digest` apply from `offset` on; `at` is the time of the entry."""

    offset: int
    digest: str
    at: datetime


class Stretch(NamedTuple):
    """Rules that apply from these offsets on, by (label, partition)."""

    at: datetime
    digest: str
    offsets: dict[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The rules of one partition.

    The offsets of `since` rise; its first rules apply from the beginning. The rules below `floor` are final. `locked`: a scorer
    has written an entry, so later entries of the lake do not count.
    """

    since: tuple[Since, ...] = ()
    floor: int = 0
    locked: bool = False

    def claimed(self, until: int) -> Timeline:
        """The timeline after the lake's claim."""
        return Timeline(self.since, max(self.floor, until), self.locked)

    def followed(self, offset: int, entry: RulesFrom) -> Timeline:
        """The timeline after an entry with this offset."""
        by_scorer = entry.by == "scorer"
        if self.locked and not by_scorer:
            return self
        begin = max(offset, self.floor) if self.since else 0
        kept = tuple(s for s in self.since if s.offset < begin)
        if not kept or kept[-1].digest != entry.digest:
            kept = (*kept, Since(begin, entry.digest, entry.at))
        return Timeline(kept, max(self.floor, begin), self.locked or by_scorer)

    @property
    def newest(self) -> str | None:
        """The digest of the newest rules; None if there is no entry."""
        return self.since[-1].digest if self.since else None

    def digests(self, begin: int, end: int) -> list[str]:
        """The digests of all rules that judge offsets in [begin, end)."""
        first = max(bisect_right(self.since, begin, key=lambda s: s.offset) - 1, 0)
        return [s.digest for i, s in enumerate(self.since) if i >= first and (i == first or s.offset < end)]

    def overlaid(self, begin: int, end: int, digest: str, at: datetime) -> Timeline:
        """The same timeline, but with these rules in [begin, end)."""
        before = tuple(s for s in self.since if s.offset < begin)
        after = self.digest_at(end)
        rest = () if after is None else (Since(end, after, at), *(s for s in self.since if s.offset > end))
        return Timeline((*before, Since(begin, digest, at), *rest), self.floor, self.locked)

    def digest_at(self, offset: int) -> str | None:
        """The digest of the rules that judge this offset."""
        found = bisect_right(self.since, offset, key=lambda s: s.offset)
        return self.since[max(found - 1, 0)].digest if self.since else None


@dataclass(frozen=True, slots=True)
class RuleLog:
    """The timelines by (label, partition), the rules by digest, and the rejudged offsets of the lake in the order of the log."""

    timelines: Mapping[tuple[str, int], Timeline] = field(default_factory=dict)
    versions: Mapping[str, RuleSet] = field(default_factory=dict)
    rejudged: tuple[Rejudged, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[RulesFrom | Claim | Rejudged]) -> RuleLog:
        """Fold the entries, in the order of the log. An entry is skipped if neither it nor an earlier one holds its rules."""
        timelines: dict[tuple[str, int], Timeline] = {}
        versions: dict[str, RuleSet] = {}
        rejudged: list[Rejudged] = []
        for entry in entries:
            if not isinstance(entry, Claim):
                if entry.rules is not None:
                    versions.setdefault(entry.digest, entry.rules)
                if entry.digest not in versions:
                    continue
            if isinstance(entry, Rejudged):
                rejudged.append(entry)
            else:
                timelines.update(_changed(timelines, entry))
        return cls(timelines, versions, tuple(rejudged))

    @property
    def of_lake(self) -> Mapping[tuple[str, int], Timeline]:
        """The timelines of the lake's rows: the timelines of the stream, with the rejudged offsets on top."""
        found = dict(self.timelines)
        for entry in self.rejudged:
            for p, begin in entry.first.items():
                at = entry.topic, p
                found[at] = found.get(at, Timeline()).overlaid(begin, entry.end[p], entry.digest, entry.at)
        return found

    def timeline(self, topic: str, partition: int) -> Timeline:
        """The timeline of a partition; an empty one if there is no entry."""
        return self.timelines.get((topic, partition), Timeline())

    def stretches(self) -> list[Stretch]:
        """All stretches, in the order in which they were written; partitions that switched together form one stretch."""
        found: dict[tuple[datetime, str], Stretch] = {}
        for at, timeline in sorted(self.timelines.items()):
            for since in timeline.since:
                one = found.setdefault((since.at, since.digest), Stretch(since.at, since.digest, {}))
                one.offsets[at] = since.offset
        return sorted(found.values(), key=lambda s: s.at)

    def by_scorer(self, fleet: FleetSpec, topic: str, positions: Mapping[int, int], now: datetime) -> list[RulesFrom]:
        """The entries that a scorer with this fleet file must append before it judges records from its `positions` on."""
        digest = digest_of(rules_of(fleet))
        lacking = {}
        for p, position in positions.items():
            timeline = self.timeline(topic, p)
            if not timeline.locked or timeline.newest != digest:
                lacking[p] = position
        return [self._entry(fleet, topic, lacking, "scorer", now)] if lacking else []

    def by_lake(
        self, fleet: FleetSpec, topic: str, start: Mapping[int, int], end: Mapping[int, int], now: datetime
    ) -> list[RulesFrom | Claim]:
        """The entries that the lake must append before it judges a portion of the topic: the offsets in [start, end)."""
        digest = digest_of(rules_of(fleet))
        known = {p: self.timeline(topic, p) for p in end}
        lacking = {p: start[p] for p, t in known.items() if not t.locked and t.newest != digest}
        entries: list[RulesFrom | Claim] = []
        if lacking:
            entries.append(self._entry(fleet, topic, lacking, "admit", now))
        until = {p: stop for p, stop in end.items() if stop > known[p].floor}
        return [*entries, Claim(topic, until, now)] if until else entries

    def again(
        self, fleet: FleetSpec, topic: str, first: dict[int, int], end: dict[int, int], now: datetime
    ) -> Rejudged:
        """The entry that makes the lake judge these offsets again by the present fleet file."""
        rules = rules_of(fleet)
        digest = digest_of(rules)
        return Rejudged(topic, first, end, digest, now, None if digest in self.versions else rules)

    def _entry(self, fleet: FleetSpec, topic: str, offsets: dict[int, int], by: Writer, now: datetime) -> RulesFrom:
        rules = rules_of(fleet)
        digest = digest_of(rules)
        return RulesFrom(topic, offsets, digest, by, now, None if digest in self.versions else rules)


def _changed(
    timelines: Mapping[tuple[str, int], Timeline], entry: RulesFrom | Claim
) -> Iterator[tuple[tuple[str, int], Timeline]]:
    offsets = entry.until if isinstance(entry, Claim) else entry.offsets
    for p, offset in offsets.items():
        at = entry.topic, p
        before = timelines.get(at, Timeline())
        yield at, before.claimed(offset) if isinstance(entry, Claim) else before.followed(offset, entry)
