from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow as pa

from aimaas.fleet import FleetSpec
from spark_jobs.corrected_view.late import decode_events
from tests.spark_jobs.arrivals import Arrivals, Received

SCHEMA = pa.schema(
    [
        ("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()),
        ("broker_ts", pa.timestamp("us", "UTC")), ("key", pa.binary()), ("value", pa.binary()),
    ]
)  # fmt: skip


def decoded(fleet: Any, records: list[Received]) -> list[dict[str, Any]]:
    columns = [list(column) for column in zip(*records, strict=True)] or [[] for _ in SCHEMA]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(c, k) for c, k in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA
    )
    return [row for out in decode_events(fleet, fleet.limits.lateness_s)(iter([batch])) for row in out.to_pylist()]


def test_late_events_are_read_back_as_they_were_sent_up_to_the_limit_of_lateness(
    make_fleet: Callable[..., FleetSpec],
) -> None:
    fleet = make_fleet(limits={"lateness_s": 60})
    arrivals = Arrivals(fleet, 1)
    records = [arrivals.event("d1", 2, 7, heat=301.5, age_s=age) for age in (59, 60)]  # it takes a second to the broker

    (row,) = decoded(fleet, records)

    first = records[0]
    place = {"topic": first.topic, "partition": 1, "offset": 0, "broker_ts": first.broker_ts}
    readings = {"mode": 1.0, "heat": 301.5, "load": 0.0}
    keys = {"device_id": "d1", "run": 2, "seq": 7, "order": 7, "ts": first.broker_ts - timedelta(seconds=60)}
    assert row == {**place, **keys, **readings}


def test_what_the_fleet_file_no_longer_admits_stays_out(make_fleet: Callable[..., FleetSpec]) -> None:
    fleet = make_fleet()
    records = [Arrivals(fleet, 1).event("d1", 0, 1, heat=2_000.0)]
    assert decoded(fleet, records) == []
    assert decoded(fleet, []) == []
