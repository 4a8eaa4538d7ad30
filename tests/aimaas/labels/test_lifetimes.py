"""Where the kernel begins anew, and labels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from aimaas.admission.judge import Judge
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.labels.lifetimes import NEVER, labels, lives_of
from aimaas.records.events import encode_event
from stream.records.dead_letters import Source
from tests.conftest import FLEETS
from upkeep.dead_letters.backfill import history_of
from upkeep.dead_letters.log import Sent

MILL = load_fleet(FLEETS / "mill.yaml")
BEGAN = datetime(2026, 11, 23, tzinfo=UTC)

RUL = {"kind": "remaining_useful_life", "unit": "cycles", "cap": 3}
WITHIN = {"kind": "failure_within", "unit": "cycles", "horizon": 2}
HOURS = {"kind": "remaining_useful_life", "unit": "hours", "cap": 2}
HOUR = 3_600_000_000  # microseconds

# rule, task, orders of the run's rows, its outcomes, labels
CASES: list[tuple[str, dict[str, Any], list[int], list[tuple[str, int]], list[float | None]]] = [
    ("life is capped, and 0 at the failure", RUL, [0, 1, 2, 3, 4], [("failed", 4)], [3, 3, 2, 1, 0]),
    ("alive: the cap where it was watched for so long", RUL, [0, 1, 2, 3, 4], [], [3, 3, None, None, None]),
    ("retired first: watched up to then", RUL, [0, 1, 2, 3], [("retired", 4)], [3, 3, None, None]),
    (
        "repaired before it failed: a later failure says nothing",
        RUL,
        [0, 1, 2],
        [("repaired", 2), ("failed", 3)],
        [None] * 3,
    ),
    (
        "rows between a repair and the failure have a life",
        RUL,
        [0, 1, 2],
        [("repaired", 1), ("failed", 3)],
        [None, None, 1],
    ),
    ("a repair after the failure changes nothing", RUL, [1, 2], [("failed", 2), ("repaired", 2)], [1, 0]),
    ("rows after the failure have no label", RUL, [1, 2, 5, 9], [("failed", 2)], [1, 0, None, None]),
    ("the first failure counts", RUL, [1, 2], [("failed", 3), ("failed", 2)], [1, 0]),
    ("gaps in the order count", RUL, [0, 7, 9], [("failed", 10)], [3, 3, 1]),
    ("within the horizon, both ends included", WITHIN, [0, 1, 2, 3, 4], [("failed", 4)], [0, 0, 1, 1, 1]),
    ("negative only where the horizon was watched", WITHIN, [0, 1, 2, 3], [], [0, 0, None, None]),
    ("an outcome shows that the horizon was watched", WITHIN, [0, 1], [("retired", 3)], [0, 0]),
    ("a repair ends the watch", WITHIN, [0, 1, 2], [("repaired", 2)], [0, None, None]),
    ("no label after the failure", WITHIN, [1, 2, 3, 8], [("failed", 2)], [1, 1, None, None]),
    ("time in hours", HOURS, [0, HOUR, 5 * HOUR // 2], [("failed", 3 * HOUR)], [2, 2, 0.5]),
    ("time in hours, alive", HOURS, [0, HOUR, 2 * HOUR], [], [2, None, None]),
]


def first_of(outcomes: list[tuple[str, int]], failed: bool) -> int:
    return min((order for kind, order in outcomes if (kind == "failed") == failed), default=NEVER)


@pytest.mark.parametrize(
    ("task", "orders", "outcomes", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_labels_follow_their_rules(
    task: dict[str, Any], orders: list[int], outcomes: list[tuple[str, int]], expected: list[float | None]
) -> None:
    fleet = MILL.model_validate(MILL.model_dump() | {"task": task, "order": "ts" if task is HOURS else "seq"})
    order = np.array([*orders, *orders], np.int64)  # two runs, of which the first goes on
    failure, end = (np.full(len(order), NEVER) for _ in range(2))
    failure[len(orders) :], end[len(orders) :] = (first_of(outcomes, failed) for failed in (True, False))

    found = labels(fleet, order, np.full(len(order), orders[-1]), failure, end)[len(orders) :]

    assert [None if np.isnan(label) else label for label in found] == expected


def life(fleet: FleetSpec, seed: int) -> list[Sent]:
    """One device's records as they came: silences, runs, and events that came late."""
    rng, at, run, seq = np.random.default_rng(seed), BEGAN, 0, 0
    held: list[bytes] = []
    sent: list[Sent] = []
    readings: dict[str, float | None] = {
        name: r.fill_value for name, r in zip(fleet.readings, fleet.reading_specs, strict=True)
    }
    for _ in range(60):
        seq, at = seq + 1, at + timedelta(seconds=1)
        if rng.random() < 0.05:
            at += timedelta(seconds=2 * fleet.limits.silence_s)
        if rng.random() < 0.05:
            run, seq = run + 1, 0
        value = encode_event(fleet.fleet, "m", run, seq, at, readings)
        if rng.random() < 0.2:
            held.append(value)
            continue
        late = [held.pop(int(rng.integers(len(held))))] if held and rng.random() < 0.3 else []
        for v in (value, *late):
            sent.append(Sent(Source("t", 0, len(sent)), int(at.timestamp() * 1e3), b"m", v))
    return sent


@pytest.mark.parametrize("seed", range(20))
def test_the_kernel_begins_anew_where_the_backfill_of_letters_lets_it(seed: int) -> None:
    history = history_of(Judge(MILL), life(MILL, seed), frozenset(), complete=True)
    batch, rows = history.batch, history.rows
    taken_ms = np.array([record.broker_ms for record in life(MILL, seed)])[batch.at[rows]]
    silent = np.diff(history.broker_ms) > MILL.limits.silence_s * 1e3
    expected = np.append(True, (np.diff(batch.run[rows]) != 0) | silent)

    twice = pa.RecordBatch.from_pydict(
        {
            "device_id": ["m"] * len(rows) + ["n"] * len(rows),
            "run": np.tile(batch.run[rows], 2),
            "broker_ts": pa.array(np.tile(taken_ms, 2), pa.timestamp("ms", "UTC")),
        }
    )
    lives = lives_of(MILL, twice)

    assert lives.begins.tolist() == [*expected, *expected]
    assert np.flatnonzero(lives.new_device).tolist() == [0, len(rows)]
    assert (np.diff(taken_ms) < 0).any(), "some came late"


def test_no_rows_have_no_lives() -> None:
    none = pa.RecordBatch.from_pydict(
        {
            "device_id": pa.array([], pa.string()),
            "run": pa.array([], pa.int64()),
            "broker_ts": pa.array([], pa.timestamp("ms")),
        }
    )
    assert len(lives_of(MILL, none).begins) == 0
