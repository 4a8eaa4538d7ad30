"""A run of `aimaas forget` that ends anywhere is finished by the next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from aimaas.fleet import FleetSpec
from aimaas.lake import append_rows, read_table
from aimaas.lake.erased_records import forgotten
from aimaas.settings import Settings
from upkeep.erasing import forget as forgetting
from upkeep.erasing.device import Device
from upkeep.erasing.forget import forget, search

NOW = datetime(2026, 11, 25, tzinfo=UTC)
GONE, OTHER = b"e-7", b"e-70"


def records(keys: list[bytes], **more: Any) -> pa.Table:
    n = len(keys)
    return pa.table({
        "topic": ["events"] * n, "partition": pa.array([0] * n, pa.int32()), "offset": pa.array(range(n), pa.int64()),
        "broker_ts": pa.array([NOW] * n, pa.timestamp("us", "UTC")), **more,
    })  # fmt: skip


@pytest.fixture
def lake(offline_settings: Settings, make_fleet: Callable[..., FleetSpec]) -> tuple[Settings, Any]:
    """Two devices; the third record is the first one's, under the other's key."""
    fleet, keys = make_fleet(), [GONE, OTHER, OTHER, GONE]
    named = [b'{"device_id": "%s"}' % key for key in (GONE, OTHER, GONE, GONE)]
    bronze = records(keys, key=pa.array(keys), value=pa.array(named))
    append_rows(offline_settings, fleet.fleet, "bronze", bronze)
    append_rows(offline_settings, fleet.fleet, "quarantine", bronze.slice(2, 1))
    rows = records(keys, device_id=[key.decode() for key in keys])
    for table in ("silver", "gold"):
        append_rows(offline_settings, fleet.fleet, table, rows.take([0, 1, 3]))
    page = offline_settings.data_docs / fleet.fleet / "site" / "v0.html"
    page.parent.mkdir(parents=True)
    page.write_text("<td>e-7</td>")
    (page.parent / "v1.html").write_text("<td>e-70</td>")
    return offline_settings, fleet


@pytest.mark.parametrize("step", ["remember", "erase_records", "_old_files", "find_pages"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_what_a_killed_run_left_the_next_one_erases(
    lake: tuple[Settings, Any], monkeypatch: pytest.MonkeyPatch, step: str, call: int
) -> None:
    settings, fleet = lake
    real, calls = getattr(forgetting, step), []

    def killed(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*arguments)

    device, folder = Device(GONE.decode()), Path(settings.lake) / fleet.fleet
    with monkeypatch.context() as patched:
        patched.setattr(forgetting, step, killed)
        try:
            forget(settings, fleet, device, search(settings, fleet, device), {}, NOW, False)
        except KeyboardInterrupt:
            assert len(calls) == call

    forget(settings, fleet, device, search(settings, fleet, device), {}, NOW, False)

    assert not search(settings, fleet, device).anything
    assert read_table(settings, fleet.fleet, "bronze", ["offset"])["offset"].to_pylist() == [1]
    assert forgotten(settings, fleet.fleet)["events", 0].tolist() == [0, 2, 3]
    there = [path for path in folder.rglob("*.parquet") if "forgotten" not in path.parts]
    assert not [path for path in there if b'e-7"' in path.read_bytes()]
    assert [p.name for p in (settings.data_docs / fleet.fleet / "site").iterdir()] == ["v1.html"]
    last = forget(settings, fleet, device, search(settings, fleet, device), {}, NOW, False)
    assert (last.rows, last.old_files, last.noted, last.pages) == ({}, {}, 0, [])
