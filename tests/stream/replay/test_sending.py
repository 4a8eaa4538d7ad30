"""What is sent does not depend on how much of the file is in memory, and comes in the order of time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimaas.fleet import FleetSpec, load_fleet
from stream.devices.producer import Encoder
from stream.replay import external_sort
from stream.replay.cells.mistakes import Mistakes
from stream.replay.mapping.file import load_mapping
from stream.replay.recording import Recorder
from stream.replay.replay import read_file
from stream.replay.sending import chunks
from tests.stream.replay.conftest import PUMP

NOW_US = 1_795_000_000_000_000
SEQ_PUMP = PUMP.replace("order: ts", "order: seq").replace("unit: hours", "unit: cycles")
TIMED = (
    "fleet: pump\ndevice: id\nrun: life\nts: t\nreadings: {pressure: p, vibration: v}\noutcome: {last_row: failed}\n"
)
COUNTED = TIMED.replace("ts: t\n", "seq: n\n")
ROW_NAMED = "fleet: pump\ndevice: {row: 'd-{:04d}'}\nreadings: {pressure: p, vibration: v}\noutcome: {observed: true}\n"
WITHIN = SEQ_PUMP.replace(
    "{kind: remaining_useful_life, unit: cycles, cap: 500}", "{kind: failure_within, unit: cycles, horizon: 5}"
)
ROWS = 1_500


@pytest.fixture(
    params=[(PUMP, TIMED), (SEQ_PUMP, COUNTED), (SEQ_PUMP, TIMED), (WITHIN, ROW_NAMED)],
    ids=["ts", "seq", "both", "rows"],
)
def given(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FleetSpec, Path, Path]:
    """A fleet, a table in no order at all, and its mapping."""
    fleet, mapping = request.param
    for name, text in (("pump.yaml", fleet), ("map.yaml", mapping)):
        (tmp_path / name).write_text(text)
    order = np.random.default_rng(3).permutation(ROWS).tolist()
    times = [f"2026-11-29T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}Z" for i in range(ROWS)]
    lines = [f"e-{i % 7},{i // 500},{i // 7},{times[i]},{i % 900},{i / 7!r}\n" for i in order]
    (tmp_path / "t.csv").write_text("id,life,n,t,p,v\n" + "".join(lines))
    return load_fleet(tmp_path / "pump.yaml"), tmp_path / "t.csv", tmp_path / "map.yaml"


def sent(fleet: FleetSpec, table: Path, mapping: Path, folder: Path) -> tuple[list[Any], list[Any]]:
    """All events and outcomes as they are sent."""
    found = Recorder(fleet, load_mapping(mapping, fleet), table, folder, Mistakes(), None).by_time()
    parts = list(chunks(fleet, found, None, NOW_US))
    assert parts[-1][2] == found.total
    events, outcomes = [e for part in parts for e in part[0]], [o for part in parts for o in part[1]]
    assert (len(events), len(outcomes)) == (found.events, found.outcomes)
    return events, outcomes


def test_a_file_larger_than_memory_is_sent_as_one_that_fits(
    given: tuple[FleetSpec, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, table, mapping = given
    in_memory = sent(fleet, table, mapping, tmp_path)
    monkeypatch.setattr(external_sort, "MEMORY_BYTES", 3_000)
    assert sent(fleet, table, mapping, tmp_path) == in_memory
    assert not list(tmp_path.glob("*.rows"))


def test_what_is_sent_is_what_the_histories_say(given: tuple[FleetSpec, Path, Path], tmp_path: Path) -> None:
    fleet, table, mapping = given
    events, outcomes = sent(fleet, table, mapping, tmp_path)

    histories = read_file(fleet, table, mapping)

    order = histories.in_time()
    encoder, times = Encoder(fleet, histories), histories.times_us(NOW_US)
    assert sorted(events) == sorted(encoder.events(order, times[order]))
    assert sorted(outcomes) == sorted(encoder.outcome(e, int(times[e.row])) for e in histories.endings)
    stamps = [json.loads(value)["ts"] for _, value in events]
    assert stamps == sorted(stamps)


def test_each_device_and_run_counts_from_one_and_fails_once(
    given: tuple[FleetSpec, Path, Path], tmp_path: Path
) -> None:
    fleet, table, mapping = given
    events, outcomes = (
        list(map(json.loads, (v for _, v in records))) for records in sent(fleet, table, mapping, tmp_path)
    )
    runs: dict[tuple[str, int], list[int]] = {}
    for event in events:
        runs.setdefault((event["device_id"], event["run"]), []).append(event["seq"])
    assert all(seqs == list(range(seqs[0], seqs[0] + len(seqs))) for seqs in runs.values())
    assert sorted((o["device_id"], o["run"]) for o in outcomes) == sorted(runs)
