"""What admissions note of the readings, and the ranges that gates take from it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from deltalake.transaction import CommitProperties

from aimaas.fleet import FleetSpec, find_fleet
from aimaas.lake import table_path
from aimaas.lake.declared_readings import as_admitted, declared, read_note
from aimaas.settings import Settings
from tests.conftest import FLEETS

MILL = find_fleet(FLEETS, "mill")
NAME = next(iter(MILL.sensors))
LOW, HIGH = MILL.sensors[NAME].range


def with_range(*ends: float) -> FleetSpec:
    return MILL.model_copy(
        update={"sensors": MILL.sensors | {NAME: MILL.sensors[NAME].model_copy(update={"range": ends})}}
    )


def range_of(note: str) -> Any:
    return read_note(note)[NAME].range


def test_a_note_has_the_widest_range_by_which_rows_were_admitted_so_far() -> None:
    first = declared(MILL)
    assert range_of(first) == (LOW, HIGH)
    wider = declared(MILL, first, [with_range(LOW - 1, HIGH), with_range(LOW, HIGH + 2)])
    assert range_of(wider) == range_of(declared(MILL, wider)) == (LOW - 1, HIGH + 2)


def test_a_reading_of_today_that_old_rules_lack_has_its_own_range_and_notes_of_older_releases_none() -> None:
    older = MILL.model_copy(update={"sensors": {n: r for n, r in MILL.sensors.items() if n != NAME}})
    assert range_of(declared(MILL, declared(older), [older])) == (LOW, HIGH)
    assert read_note('{"x":{"setting":false,"unit":"K","nullable":true}}')["x"].range is None


def test_gates_look_at_silver_with_ranges_as_wide_as_its_rows_were_admitted_by(offline_settings: Settings) -> None:
    narrow = with_range(LOW, HIGH - 1)
    assert as_admitted(offline_settings, narrow) == narrow
    rows = pa.table({"topic": ["t"], "partition": [0], "offset": [0]})
    noted = CommitProperties(custom_metadata={"userMetadata": f"mark {declared(MILL)}"})
    path = table_path(offline_settings, "mill", "admission_state")
    write_deltalake(path, rows, partition_by=["topic", "partition"], commit_properties=noted)

    assert as_admitted(offline_settings, narrow) == MILL
