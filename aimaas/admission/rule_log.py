"""Which rules judge which offset: an agreement of scorers and the lake by entries in the fleet's journal, without a lock.

Stream and lake judge the same records at different times, each may be ahead of the other, and a fleet file may change at any time.
Two kinds of entries settle by which rules an offset is judged, on both sides:

- `RulesFrom`: from these offsets on these rules hold. A scorer appends it when it is assigned partitions whose newest rules are not
  those of its fleet file. It does so before it judges anything there, and fenced: the broker takes the entry only while
  the group still has this scorer as the partitions' owner, as it takes the scorer's commits.
- `Claim`: the lake judges all before these offsets. The lake appends it before it judges a portion.

`Timeline` folds the entries of a partition in the order of the log. An entry begins at its offset, but not before anything that a
claim or another entry in front of it in the log has settled. The first entry holds from the beginning of the partition. Entries of
the lake count until a scorer has written one: a fleet without a scorer follows its file, then the scorers decide.

Why both sides agree on every offset:
1. What an entry settles, later entries do not change: a later one begins at or above `floor`, the highest offset that was claimed,
   or at which an entry began.
2. The lake reads the log after it appended its claim. Entries in front of the claim it sees. An entry behind the claim begins at or
   above the claimed offsets, so it says nothing about them.
3. A scorer reads the log after it appended its entry at position P. It sees all entries in front of its own, and nothing behind it
   changes where it begins: claims and entries only act on what follows them, and another scorer's entry is taken only once that
   scorer owns the partition. So it knows by which rules each offset from P on is judged. What scorers committed before lies below
   P, where the entry does not begin.
4. An entry of the lake behind a scorer's is passed over, and one in front of it the scorer sees.
5. A scorer that lost its partitions without knowing it can neither append (the fence) nor commit what it judged.
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

KIND = "entry"  # the key of a journal's records that says what they are


class RulesFrom(msgspec.Struct, frozen=True, omit_defaults=True, tag_field=KIND, tag="rules_from"):
    """From these `offsets` (by partition) on the rules `digest` hold; `topic` is a label. The first with a digest has its rules."""

    topic: str
    offsets: dict[int, int]
    digest: str
    by: Writer
    at: datetime
    rules: RuleSet | None = None


class Claim(msgspec.Struct, frozen=True, tag_field=KIND, tag="claim"):
    """The lake judges all before the offsets `until` (by partition), by the entries that stand in the log before this one."""

    topic: str
    until: dict[int, int]
    at: datetime


class Rejudged(msgspec.Struct, frozen=True, omit_defaults=True, tag_field=KIND, tag="rejudged"):
    """A person had the lake judge offsets from `first` up to `end` (by partition) again, by the rules `digest`.

    That changes what the lake holds, nothing else: the stream has answered, and later offsets are judged as before.
    """

    topic: str
    first: dict[int, int]
    end: dict[int, int]
    digest: str
    at: datetime
    rules: RuleSet | None = None


class Since(NamedTuple):
    """From `offset` on the rules `digest` hold; `at` is when that was written."""

    offset: int
    digest: str
    at: datetime


class Stretch(NamedTuple):
    """Rules that begin to hold at these offsets, by (label, partition)."""

    at: datetime
    digest: str
    offsets: dict[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The rules of one partition. `since` rises; the first holds from the beginning. Nothing below `floor` changes any more.

    `locked`: a scorer has written, so the lake's entries do not count any more.
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
        """The digest of the rules that hold last; None where nothing was written."""
        return self.since[-1].digest if self.since else None

    def digests(self, begin: int, end: int) -> list[str]:
        """The digests of all rules that judge offsets from `begin` on and before `end`."""
        first = max(bisect_right(self.since, begin, key=lambda s: s.offset) - 1, 0)
        return [s.digest for i, s in enumerate(self.since) if i >= first and (i == first or s.offset < end)]

    def overlaid(self, begin: int, end: int, digest: str, at: datetime) -> Timeline:
        """The same, but with these rules from `begin` on and before `end`."""
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
    """The timelines by (label, partition), the rules by digest, and what was judged again in the lake, in the order of the log."""

    timelines: Mapping[tuple[str, int], Timeline] = field(default_factory=dict)
    versions: Mapping[str, RuleSet] = field(default_factory=dict)
    rejudged: tuple[Rejudged, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[RulesFrom | Claim | Rejudged]) -> RuleLog:
        """Fold the entries, in the order of the log. One without rules that none before it has is passed over."""
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
        """The timelines by which the lake's rows came out: those of the stream, but for what was judged again."""
        found = dict(self.timelines)
        for entry in self.rejudged:
            for p, begin in entry.first.items():
                at = entry.topic, p
                found[at] = found.get(at, Timeline()).overlaid(begin, entry.end[p], entry.digest, entry.at)
        return found

    def timeline(self, topic: str, partition: int) -> Timeline:
        """The timeline of a partition; an empty one where nothing was written."""
        return self.timelines.get((topic, partition), Timeline())

    def stretches(self) -> list[Stretch]:
        """What holds where, in the order in which it was written; partitions that switched together are one."""
        found: dict[tuple[datetime, str], Stretch] = {}
        for at, timeline in sorted(self.timelines.items()):
            for since in timeline.since:
                one = found.setdefault((since.at, since.digest), Stretch(since.at, since.digest, {}))
                one.offsets[at] = since.offset
        return sorted(found.values(), key=lambda s: s.at)

    def by_scorer(self, fleet: FleetSpec, topic: str, positions: Mapping[int, int], now: datetime) -> list[RulesFrom]:
        """What a scorer with this fleet file must append before it judges anything from its `positions` on."""
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
        """What the lake must append before it judges a portion of the topic, from `start` up to `end`."""
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
        """What says that the lake judges these offsets again by the fleet file as it is."""
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
