"""What a fault is said to be is what admission says of it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from aimaas.admission.judge import Judge, Reason
from aimaas.errors import AimaasError
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kernel.state import DeviceState
from aimaas.records.refusal_reasons import REFUSALS
from stream.devices.faults import FAULTS, Faults, Judged
from stream.devices.producer import Encoder
from stream.devices.simulator import simulate
from tests.conftest import FLEETS

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000


def spoiled(fleet: FleetSpec, counts: dict[Reason, int], devices: int = 4, seed: int = 3) -> list[Judged]:
    histories = simulate(fleet, devices, 1)
    order = histories.in_time()
    records = Encoder(fleet, histories).events(order, histories.times_us(NOW_US)[order])
    faults = Faults(fleet, counts, len(records), seed, NOW)
    middle = len(records) // 2
    return [*faults.feed(records[:middle]), *faults.feed(records[middle:]), *faults.drain()]


def judged(fleet: FleetSpec, records: list[Judged], partitions: int) -> list[int]:
    """The reasons that admission gives, record by record, after partitioning by key."""
    judge, reasons = Judge(fleet), np.zeros(len(records), np.int64)
    of = np.array([sum(key) % partitions for key, _, _ in records])
    for partition in range(partitions):
        rows = np.flatnonzero(of == partition)
        batch = judge.decode([records[i][0] for i in rows], [records[i][1] for i in rows])
        judge.order(batch, np.full(len(rows), NOW_US // 1000, np.int64), DeviceState.of(fleet))
        reasons[rows] = batch.reason
    return reasons.tolist()


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("name", ["turbofan", "mill"])
def test_admission_gives_every_fault_the_reason_it_was_made_for(name: str, partitions: int) -> None:
    fleet = load_fleet(FLEETS / f"{name}.yaml")
    records = spoiled(fleet, dict.fromkeys(FAULTS, 12))

    assert judged(fleet, records, partitions) == [int(reason) for _, _, reason in records]
    assert Counter(reason for _, _, reason in records if reason) == Counter(dict.fromkeys(FAULTS, 12))


def test_faults_hold_for_a_fleet_ordered_by_time() -> None:
    plain = load_fleet(FLEETS / "turbofan.yaml").model_dump()
    task = {"kind": "remaining_useful_life", "unit": "hours", "cap": 100}
    fleet = FleetSpec.model_validate({**plain, "order": "ts", "task": task})
    records = spoiled(fleet, dict.fromkeys(FAULTS, 5))

    assert judged(fleet, records, 2) == [int(reason) for _, _, reason in records]


def test_there_is_a_fault_for_every_reason_of_the_judge_that_lies_in_a_record() -> None:
    assert set(FAULTS) == set(REFUSALS) - {Reason.WRONG_PARTITION}  # which lies in the producer


def test_good_records_pass_unchanged_and_in_order() -> None:
    fleet = load_fleet(FLEETS / "mill.yaml")
    without = [(key, value) for key, value, _ in spoiled(fleet, {})]

    kept = [(key, value) for key, value, reason in spoiled(fleet, {Reason.LATE: 3, Reason.SCHEMA: 40}) if not reason]

    assert kept == without


def test_no_more_faults_than_records() -> None:
    with pytest.raises(AimaasError, match="11 bad records requested among 10 good ones"):
        Faults(load_fleet(FLEETS / "mill.yaml"), {Reason.SKEW: 11}, 10, 1, NOW)
