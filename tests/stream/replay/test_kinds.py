"""Every kind of file that docs/reference/mapping.md names, tried: read as the page says, or refused with what to write."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from aimaas.fleet import FleetSpec
from stream.devices.producer import Encoder
from stream.replay.mapping.reference import KINDS
from stream.replay.replay import ReplayError, read_file
from tests.stream.replay import cells, files, ids_and_times, tables
from tests.stream.replay.cases import PLAIN, Case, Table

CASES: dict[str, list[Case]] = {**ids_and_times.CASES, **cells.CASES, **files.CASES, **tables.CASES}


def placed(folder: Path, table: Table) -> Path:
    """Write a table as people have it."""
    path = folder / "table"
    if isinstance(table, dict):
        path.mkdir()
        for name, text in table.items():
            (path / name).write_text(text)
    elif isinstance(table, pa.Table):
        parquet.write_table(table, path)
    else:
        path.write_bytes(table.encode() if isinstance(table, str) else table)
    return path


@pytest.mark.parametrize(
    ("kind", "case"), [pytest.param(k, c, id=f"{k} {i}") for k, cases in CASES.items() for i, c in enumerate(cases)]
)
def test_a_kind_of_file_is_read_or_refused_as_the_page_says(
    pump: FleetSpec, tmp_path: Path, kind: str, case: Case
) -> None:
    path = placed(tmp_path, case.table)
    mapping = tmp_path / "map.yaml"
    mapping.write_text(yaml.safe_dump({**PLAIN, **case.mapping}, allow_unicode=True))
    if case.refused is not None:
        with pytest.raises(ReplayError, match=f"(?s){case.refused}") as raised:
            read_file(pump, path, mapping)
        assert "\n" not in str(raised.value)
        return

    histories = read_file(pump, path, mapping)

    order = histories.in_time()
    encoded = Encoder(pump, histories).events(order, histories.times_us(0)[order])
    events = [json.loads(value) for _, value in encoded]
    if case.events is not None:
        found = [(e["device_id"], e["ts"], e["readings"]["pressure"]) for e in events]
        assert found == [(d, ts, None if p is None else pytest.approx(p)) for d, ts, p in case.events]
    if case.outcomes is not None:
        device = np.array(histories.devices)[histories.device]
        assert [(device[e.row], e.kind, e.mode) for e in histories.endings] == case.outcomes


def test_the_page_has_a_row_for_each_kind_that_is_tried_and_no_other() -> None:
    assert list(CASES) == [kind for kind, _ in KINDS]
    page = (Path(__file__).parents[3] / "docs" / "reference" / "mapping.md").read_text()
    assert all(re.search(rf"^\| {re.escape(kind)} \| {re.escape(done)} \|$", page, re.M) for kind, done in KINDS)
