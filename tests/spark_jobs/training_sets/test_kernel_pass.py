"""The kernel goes on from a stored state with the bits of a pass that never stopped; and which devices may go on so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from aimaas.fleet import FleetSpec
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import plan_of
from spark_jobs.corrected_view.rows_to_recompute import late_devices
from spark_jobs.training_sets.kernel_pass import table_pass
from tests.spark_jobs.conftest import START

Row = dict[str, Any]
FIT = Fit(
    centres=((0.0,), (1.0,), (2.0,)),
    weights=(1.2,),
    means=((300.0, 0.1, 20.0), (340.0, 0.2, 30.0), (380.0, 0.3, 50.0)),
    scales=((0.9, 0.8, 0.01), (0.7, 1.1, 0.02), (1.3, 0.6, 0.03)),
)


def life(device: str, rng: np.random.Generator) -> list[Row]:
    """Rows of one device in order, some with nulls; runs end and silences come."""
    run, order, taken, rows = 0, 0, START, []
    for _ in range(int(rng.integers(1, 60))):
        if rng.random() < 0.08:
            run, order = run + 1, 0
        taken += timedelta(days=40) if rng.random() < 0.08 else timedelta(seconds=1)
        mode = float(rng.integers(0, 3))
        heat, load = 300 + 40 * mode + rng.normal(), None if rng.random() < 0.2 else float(rng.normal())
        rows.append({"device_id": device, "run": run, "order": order, "broker_ts": taken, "split": "train",
                     "mode": mode, "heat": float(heat), "load": load, "state": None, "since": None})  # fmt: skip
        order += 1
    return rows


SCHEMA = pa.schema([
    ("device_id", pa.string()), ("run", pa.int64()), ("order", pa.int64()), ("broker_ts", pa.timestamp("us", "UTC")),
    ("split", pa.string()), ("mode", pa.float64()), ("heat", pa.float64()), ("load", pa.float64()),
    ("state", pa.binary()), ("since", pa.int64()),
])  # fmt: skip


def put_through(fleet: FleetSpec, rows: list[Row], number: int, batch: int = 17) -> tuple[list[Row], list[Row]]:
    """Feature rows, and states laid out as input of the next pass."""
    ordered = sorted(rows, key=lambda r: (r["device_id"], r["run"], r["order"]))
    batches = [pa.RecordBatch.from_pylist(ordered[i : i + batch], SCHEMA) for i in range(0, len(ordered), batch)]
    made = pa.Table.from_batches(table_pass(fleet, plan_of(fleet), FIT, number)(iter(batches))).to_pylist()
    states = [{name: r.get(name) for name in SCHEMA.names} for r in made if r["kind"] == "state"]
    return [r for r in made if r["kind"] == "rows"], states


@pytest.mark.parametrize("seed", range(40))
def test_a_life_cut_anywhere_gives_the_bits_of_the_whole_one(make_fleet: Callable[..., FleetSpec], seed: int) -> None:
    rng, fleet = np.random.default_rng(seed), make_fleet()
    lives = [life(f"d{i}", rng) for i in range(6)]
    whole, whole_states = put_through(fleet, [row for rows in lives for row in rows], 1)

    parts: list[Row] = []
    states: list[Row] = []
    cuts = [sorted(rng.integers(0, len(rows) + 1, 3).tolist()) for rows in lives]
    for number in range(4):  # a device may have no row in a part: its state passes through
        bounds = [(([0, *c, None])[number], ([0, *c, None])[number + 1]) for c in cuts]
        new = [row for rows, (a, b) in zip(lives, bounds, strict=True) for row in rows[a:b]]
        found, states = put_through(fleet, [*states, *new], number)
        assert {r["number"] for r in found} <= {number}
        parts += found

    def bits(rows: list[Row]) -> dict[tuple[Any, ...], bytes]:
        return {
            (r["device_id"], r["run"], r["order"]): np.array(r["features"], np.float32).tobytes()
            for r in sorted(rows, key=lambda r: (r["device_id"], r["run"], r["order"]))
        }

    assert bits(parts) == bits(whole)
    assert len(parts) == len(whole)
    since = {r["device_id"]: r["since"] for r in states}
    first = {d: min(r["number"] for r in parts if r["device_id"] == d) for d in since}
    assert since == first
    assert [r | {"since": 1} for r in states] == whole_states


@pytest.mark.spark
def test_a_device_goes_on_only_if_its_new_rows_come_after_its_newest_in_order_and_in_time(spark: Any) -> None:
    def rows(*given: tuple[str, int, int, int]) -> Any:
        columns = "device_id string, run bigint, `order` bigint, broker_ts timestamp"
        return spark.createDataFrame([(d, r, o, START + timedelta(seconds=s)) for d, r, o, s in given], columns)

    states = rows(*((f"d{i}", 1, 5, 100) for i in range(7)))
    came = rows(
        ("d0", 1, 6, 100), ("d0", 2, 0, 101),  # goes on
        ("d1", 1, 4, 101), ("d1", 1, 7, 102),  # one of two is late
        ("d2", 0, 9, 101),  # of a run that is over
        ("d3", 1, 6, 99),  # by another broker's clock
        ("d4", 1, 8, 103), ("d4", 1, 6, 104),  # late among themselves alone
        ("d5", 1, 5, 101),  # the same place
        ("new", 0, 1, 50),
    )  # fmt: skip

    found = {row["device_id"] for row in late_devices(came, states).collect()}

    assert found == {"d1", "d2", "d3", "d5"}
