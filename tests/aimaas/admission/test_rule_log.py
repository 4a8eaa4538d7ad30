"""Stream and lake judge each offset by the same rules, whatever the order of their steps. Plain data, no broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.admission.journal import decode_entry
from aimaas.admission.rule_log import Claim, Rejudged, RuleLog, RulesFrom, Timeline
from aimaas.admission.rules import digest_of, rules_of
from aimaas.fleet import FleetSpec, find_fleet
from tests.conftest import FLEETS

NOW = datetime(2026, 11, 29, 10, tzinfo=UTC)
TOPIC = "iot.turbofan.events"
BASE = find_fleet(FLEETS, "turbofan")


def file(devices: int) -> FleetSpec:
    return BASE.model_copy(update={"limits": BASE.limits.model_copy(update={"devices": devices})})


FILES = [file(n) for n in (1, 2, 3)]
A, B, C = (digest_of(rules_of(f)) for f in FILES)


def entry(offset: int, fleet: FleetSpec, by: Any = "scorer") -> RulesFrom:
    return RulesFrom(TOPIC, {0: offset}, digest_of(rules_of(fleet)), by, NOW, rules_of(fleet))


def claim(until: int) -> Claim:
    return Claim(TOPIC, {0: until}, NOW)


def spans(*entries: RulesFrom | Claim) -> list[tuple[int, str]]:
    return [(s.offset, s.digest) for s in RuleLog.of(entries).timeline(TOPIC, 0).since]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([entry(500, FILES[0])], [(0, A)]),  # the first holds from the beginning
        ([entry(0, FILES[0]), entry(50, FILES[1])], [(0, A), (50, B)]),
        ([entry(0, FILES[0]), claim(80), entry(50, FILES[1])], [(0, A), (80, B)]),  # the lake was further
        ([entry(0, FILES[0]), entry(50, FILES[1]), claim(80)], [(0, A), (50, B)]),  # the lake sees the entry
        (
            [entry(0, FILES[0]), entry(50, FILES[1]), entry(60, FILES[0])],
            [(0, A), (50, B), (60, A)],
        ),  # a rolling restart
        ([entry(0, FILES[0]), claim(80), entry(50, FILES[1]), entry(60, FILES[0])], [(0, A)]),  # gone before it began
        ([entry(0, FILES[0]), entry(50, FILES[0])], [(0, A)]),
        ([entry(0, FILES[0], "admit"), entry(9, FILES[1], "admit")], [(0, A), (9, B)]),  # no scorer yet
        ([entry(0, FILES[0]), entry(9, FILES[1], "admit")], [(0, A)]),  # the scorers decide
        ([entry(0, FILES[0], "admit"), entry(5, FILES[0]), entry(9, FILES[1], "admit")], [(0, A)]),
        ([RulesFrom(TOPIC, {0: 3}, "unknown", "scorer", NOW)], []),  # without rules nobody can follow it
    ],
)
def test_an_entry_begins_behind_all_that_was_settled_before_it(
    entries: list[RulesFrom | Claim], expected: list[tuple[int, str]]
) -> None:
    assert spans(*entries) == expected


def test_partitions_and_topics_made_anew_have_timelines_of_their_own() -> None:
    rules = rules_of(FILES[1])
    log = RuleLog.of([
        entry(0, FILES[0]), RulesFrom(TOPIC, {1: 4, 2: 0}, B, "scorer", NOW, rules),
        RulesFrom(f"{TOPIC}@x", {0: 0}, B, "scorer", NOW),
    ])  # fmt: skip
    assert [log.timeline(t, p).newest for t, p in ((TOPIC, 0), (TOPIC, 1), (TOPIC, 2), (f"{TOPIC}@x", 0), (TOPIC, 3))] == [
        A, B, B, B, None,
    ]  # fmt: skip
    assert set(log.versions) == {A, B}


def test_a_scorer_with_the_newest_rules_has_nothing_to_say_and_rules_are_written_once() -> None:
    log = RuleLog.of([entry(0, FILES[0])])
    assert log.by_scorer(FILES[0], TOPIC, {0: 70}, NOW) == []
    (said,) = log.by_scorer(FILES[0], TOPIC, {0: 70, 1: 5}, NOW)
    assert (said.offsets, said.rules) == ({1: 5}, None)
    (first,) = log.by_scorer(FILES[1], TOPIC, {0: 70}, NOW)
    assert first.rules == rules_of(FILES[1])


def test_a_scorer_says_its_rules_once_though_the_lake_said_the_same_before() -> None:
    log = RuleLog.of([entry(0, FILES[0], "admit")])
    assert len(log.by_scorer(FILES[0], TOPIC, {0: 0}, NOW)) == 1


def test_the_lake_claims_a_portion_once_and_says_rules_only_before_a_scorer_has() -> None:
    log = RuleLog.of([])
    said = log.by_lake(FILES[0], TOPIC, {0: 0}, {0: 9}, NOW)
    assert [type(s) for s in said] == [RulesFrom, Claim]
    log = RuleLog.of(said)
    assert log.by_lake(FILES[0], TOPIC, {0: 0}, {0: 9}, NOW) == []
    assert log.by_lake(FILES[0], TOPIC, {0: 9}, {0: 12}, NOW) == [claim(12)]
    locked = RuleLog.of([*said, entry(0, FILES[0])])
    assert locked.by_lake(FILES[1], TOPIC, {0: 9}, {0: 12}, NOW) == [claim(12)]


@pytest.mark.parametrize(
    "written",
    [entry(7, FILES[0]), claim(8), Rejudged(TOPIC, {0: 1}, {0: 5}, A, NOW), RulesFrom(TOPIC, {1: 2}, A, "admit", NOW)],
)
def test_entries_come_back_from_the_journal_as_they_were(written: Any) -> None:
    assert decode_entry(msgspec.json.encode(written)) == written


def test_what_the_lake_judged_again_lies_over_the_timelines_and_only_there() -> None:
    said = [entry(0, FILES[0]), entry(50, FILES[1])]
    log = RuleLog.of([*said, Rejudged(TOPIC, {0: 40}, {0: 60}, C, NOW, rules_of(FILES[2])), entry(90, FILES[0])])
    assert [(s.offset, s.digest) for s in log.timeline(TOPIC, 0).since] == [(0, A), (50, B), (90, A)]
    assert [(s.offset, s.digest) for s in log.of_lake[TOPIC, 0].since] == [(0, A), (40, C), (60, B), (90, A)]
    assert log.of_lake[TOPIC, 0].digests(45, 61) == [C, B]
    assert log.of_lake[TOPIC, 0].digests(45, 60) == [C]


def test_partitions_that_switch_together_are_listed_as_one() -> None:
    rules, later = rules_of(FILES[1]), NOW.replace(hour=11)
    first = RulesFrom(TOPIC, {0: 0, 1: 0}, A, "scorer", NOW, rules_of(FILES[0]))
    log = RuleLog.of([first, RulesFrom(TOPIC, {0: 7, 1: 9}, B, "scorer", later, rules)])
    assert [(s.digest, s.offsets) for s in log.stretches()] == [
        (A, {(TOPIC, 0): 0, (TOPIC, 1): 0}), (B, {(TOPIC, 0): 7, (TOPIC, 1): 9}),
    ]  # fmt: skip


def test_digests_by_offset() -> None:
    timeline = Timeline().followed(0, entry(0, FILES[0])).followed(50, entry(50, FILES[1]))
    assert [timeline.digest_at(o) for o in (0, 49, 50, 1_000)] == [A, A, B, B]
    assert Timeline().digest_at(7) is None


@dataclass
class Scorer:
    """A member of the group: the file it was started with, and the generation of the group in which it owns the partition."""

    fleet: FleetSpec
    generation: int
    position: int
    timeline: Timeline | None = None  # what it has read, once its entry is in
    judged: dict[int, str] = field(default_factory=dict)  # not committed yet


@dataclass
class Admission:
    """A run of the lake's job over one portion."""

    fleet: FleetSpec
    start: int
    end: int
    says: list[RulesFrom | Claim]
    upto: int | None = None  # entries of the log at its claim


class World:
    """One partition, its log of rules, scorers and admissions; every method is one step that nothing comes between."""

    def __init__(self) -> None:
        self.log: list[RulesFrom | Claim] = []
        self.end = self.committed = self.admitted = self.generation = 0
        self.scorers: list[Scorer] = []
        self.admissions: list[Admission] = []
        self.stream: dict[int, str] = {}
        self.lake: dict[int, str] = {}

    @property
    def timeline(self) -> Timeline:
        return RuleLog.of(self.log).timeline(TOPIC, 0)

    def produce(self, n: int) -> None:
        self.end += n

    def assign(self, n: int) -> None:
        """The group gives the partition to another scorer; the one before does not know yet."""
        self.generation += 1
        self.scorers.append(Scorer(FILES[n % 3], self.generation, self.committed))

    def take_up(self, n: int) -> None:
        """A scorer appends its entry, which the broker refuses where the group has moved on, and reads the log."""
        scorer = self._scorer(n)
        if scorer is None or scorer.timeline is not None:
            return
        says = RuleLog.of(self.log).by_scorer(scorer.fleet, TOPIC, {0: scorer.position}, NOW)
        if scorer.generation == self.generation:
            self.log += says
        scorer.timeline = self.timeline

    def judge(self, n: int) -> None:
        scorer = self._scorer(n)
        if scorer is None or scorer.timeline is None:
            return
        for offset in range(scorer.position, min(scorer.position + n, self.end)):
            scorer.judged[offset] = str(scorer.timeline.digest_at(offset))
            scorer.position = offset + 1

    def commit(self, n: int) -> None:
        scorer = self._scorer(n)
        if scorer is None:
            return
        if scorer.generation == self.generation:
            assert not self.stream.keys() & scorer.judged.keys()
            self.stream |= scorer.judged
            self.committed = scorer.position
        scorer.judged, scorer.position = {}, self.committed

    def abort(self, n: int) -> None:
        scorer = self._scorer(n)
        if scorer is not None:
            scorer.judged, scorer.position = {}, self.committed

    def look(self, n: int) -> None:
        """An admission begins: it finds its portion and reads the log."""
        end = min(self.admitted + n, self.end)
        if end > self.admitted:
            says = RuleLog.of(self.log).by_lake(FILES[n % 3], TOPIC, {0: self.admitted}, {0: end}, NOW)
            self.admissions.append(Admission(FILES[n % 3], self.admitted, end, says))

    def claim(self, n: int) -> None:
        run = self._admission(n)
        if run is not None and run.upto is None:
            self.log += run.says
            run.upto = len(self.log)

    def admit(self, n: int) -> None:
        """It reads the log, judges and commits, unless another has committed since."""
        run = self._admission(n)
        if run is None or run.upto is None:
            return
        timeline = self.timeline
        if run.start == self.admitted:
            self.lake |= {o: str(timeline.digest_at(o)) for o in range(run.start, run.end)}
            self.admitted = run.end
        self.admissions.remove(run)

    def kill(self, n: int) -> None:
        run = self._admission(n)
        if run is not None:
            self.admissions.remove(run)

    def _scorer(self, n: int) -> Scorer | None:
        """The owner most of the time, else one that has lost the partition."""
        before = 1 if n % 4 else 2
        return self.scorers[-before] if len(self.scorers) >= before else None

    def _admission(self, n: int) -> Admission | None:
        return self.admissions[n % len(self.admissions)] if self.admissions else None


STEPS = [
    "produce",
    "assign",
    "take_up",
    "take_up",
    "judge",
    "judge",
    "commit",
    "commit",
    "abort",
    "look",
    "claim",
    "admit",
    "kill",
]


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 12)), min_size=60, max_size=90))
def test_stream_and_lake_judge_every_offset_by_the_same_rules_and_so_does_who_reads_the_log_later(
    steps: list[tuple[str, int]],
) -> None:
    world = World()
    for step, n in steps:
        getattr(world, step)(n)
    later = world.timeline
    for judged in (world.stream, world.lake):
        assert judged == {offset: later.digest_at(offset) for offset in judged}


@given(st.lists(st.tuples(st.sampled_from(["scorer", "admit", "claim"]), st.integers(0, 30), st.sampled_from(FILES))))
def test_nothing_below_the_floor_changes_by_what_is_written_later(said: list[tuple[str, int, FleetSpec]]) -> None:
    entries = [claim(n) if who == "claim" else entry(n, fleet, who) for who, n, fleet in said]
    whole = RuleLog.of(entries).timeline(TOPIC, 0)
    for n in range(1, len(entries)):
        part = RuleLog.of(entries[:n]).timeline(TOPIC, 0)
        if part.since:
            assert [part.digest_at(o) for o in range(part.floor)] == [whole.digest_at(o) for o in range(part.floor)]
