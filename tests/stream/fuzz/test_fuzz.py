"""10,000 fuzzed records: each ends in one prediction or one dead letter, and the good events around them are scored."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from aimaas.admission.judge import Judge, Reason
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kernel.state import DeviceState
from aimaas.records.refusal_reasons import REFUSALS
from aimaas.topics import topic_specs
from stream.devices.producer import Encoder
from stream.devices.simulator import simulate
from tests.conftest import FLEETS
from tests.stream.conftest import Line
from tests.stream.fuzz.fuzzed import Fuzzed, drawn
from tests.stream.fuzz.mutated import at_broker_limit, mutated

EACH = 5_000  # drawn ones, and mutated ones


def events_of(fleet: FleetSpec, devices: int, first_device: int) -> list[tuple[bytes, bytes]]:
    histories = simulate(fleet, devices, 1, first_device)
    order = histories.in_time()
    return Encoder(fleet, histories).events(order, histories.times_us(int(time.time() * 1e6))[order])


def fuzzed_records(fleet: FleetSpec) -> list[Fuzzed]:
    """10,000 and those at the broker's limit, mixed by a seed; the mutated ones stay in the order of their devices' time."""
    events = events_of(fleet, 26, 1_000)
    largest = max(int(s.config.get("max.message.bytes", 0)) for s in topic_specs(fleet) if s.name.endswith(".events"))
    groups = [
        drawn(events[0][1], EACH, seed=1),
        mutated(events, EACH, fleet.limits.record_bytes, seed=2),
        at_broker_limit(*events[-1], largest, count=4),
    ]
    return mixed(groups, seed=3)


def mixed(groups: list[list[Any]], seed: int) -> list[Any]:
    """All of the groups, each in its order, between each other."""
    turns = [i for i, group in enumerate(groups) for _ in group]
    random.Random(seed).shuffle(turns)
    sources = [iter(group) for group in groups]
    return [next(sources[i]) for i in turns]


@pytest.mark.long
def test_ten_thousand_fuzzed_records_get_the_same_verdicts_however_the_batches_are_cut() -> None:
    fleet = load_fleet(FLEETS / "mill.yaml")
    records = fuzzed_records(fleet)
    cuts = sorted(random.Random(5).sample(range(len(records)), 200))

    whole, parts = verdicts(fleet, records, [0, len(records)]), verdicts(fleet, records, [0, *cuts, len(records)])

    assert whole == parts
    assert len(whole) == len(records) >= 10_000
    assert {reason for reason, _ in whole} >= {Reason.ADMITTED, *REFUSALS} - {Reason.JUMP, Reason.WRONG_PARTITION}
    assert all((reason != Reason.ADMITTED) == bool(detail) for reason, detail in whole)


def verdicts(fleet: FleetSpec, records: list[Fuzzed], places: list[int]) -> list[tuple[Reason, str]]:
    """Reason and sentence of each record, judged in batches that are cut at `places`."""
    judge, state, found = Judge(fleet), DeviceState.of(fleet), []
    now_ms = int(time.time() * 1e3)
    for part in (records[begin:end] for begin, end in pairwise(places)):
        batch = judge.decode([r.key for r in part], [r.value for r in part])
        judge.order(batch, np.full(len(part), now_ms, np.int64), state)
        found += [(Reason(reason), batch.detail.get(i, "")) for i, reason in enumerate(batch.reason)]
    return found


@pytest.mark.broker
def test_each_of_ten_thousand_fuzzed_records_ends_in_one_answer_and_the_good_events_around_them_are_scored(
    tolerant_line: Line,
) -> None:
    line = tolerant_line
    champion = line.champion()
    fuzzed = fuzzed_records(line.fleet)
    good = line.events(devices=5)
    records: list[Any] = mixed([fuzzed, good], seed=4)
    places = line.send(records)
    scored, letters = line.undisturbed(champion)

    done = line.score_all(len(scored), len(letters))

    assert len(fuzzed) >= 10_000
    sent = [f"{line.names.events}/{p}/{offset}" for p, offset in places]
    assert sorted([*scored, *letters]) == sorted(sent)
    good_devices = {key for key, _ in good}
    assert {s for s, record in zip(sent, records, strict=True) if record[0] in good_devices} <= set(scored)
    assert line.scored() == scored
    assert line.letters() == letters
    assert done.aborts == 0
