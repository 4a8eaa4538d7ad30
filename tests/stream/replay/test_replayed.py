"""A replay on a real broker sends each row once, in order, however little of the file is in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimaas.kafka import read_all
from stream.devices.producer import Encoder
from stream.replay import external_sort
from stream.replay.replay import ReplayError, read_file, replay_file
from tests.stream.conftest import Line

MAPPING = """\
fleet: {fleet}
device: {{column: id}}
run: life
ts: t
readings: {{{readings}}}
outcome: {{last_row: failed}}
"""


@pytest.mark.broker
def test_a_file_larger_than_memory_is_sent_as_one_that_fits(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_sort, "MEMORY_BYTES", 20_000)
    path, mapping = written(line, tmp_path, 3_000)
    seen: dict[str, tuple[int, int]] = {}

    sent = replay_file(
        line.settings, line.fleet, path, mapping, progress=lambda stage, *done: seen.update({stage: done})
    )

    histories = read_file(line.fleet, path, mapping)
    order = histories.in_time()
    expected = Encoder(line.fleet, histories).events(order, histories.times_us(0)[order])
    assert (sent.events, sent.outcomes) == (3_000, len(histories.endings))
    assert by_device(line, "events") == grouped(expected)
    assert sum(map(len, by_device(line, "outcomes").values())) == sent.outcomes
    assert {stage: done == total for stage, (done, total) in seen.items()} == {
        f"reading {path.name}": True,
        "sending": True,
    }


@pytest.mark.broker
def test_nothing_is_sent_of_a_file_whose_last_row_is_wrong(line: Line, tmp_path: Path) -> None:
    path, mapping = written(line, tmp_path, 2_000, last="e-1,0,2026-11-29T10:00:00,1,1\n")
    with pytest.raises(ReplayError, match="row 2001"):
        replay_file(line.settings, line.fleet, path, mapping)
    assert by_device(line, "events") == {}


def written(line: Line, folder: Path, rows: int, last: str = "") -> tuple[Path, Path]:
    """A table of `rows` rows of seven devices, newest first, and its mapping."""
    times = [f"2026-11-29T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}Z" for i in range(rows)]
    lines = [f"e-{i % 7},{i // 1_000},{times[i]},{i % 900},{i / 7!r}\n" for i in reversed(range(rows))]
    path, mapping = folder / "table.csv", folder / "map.yaml"
    path.write_text("id,life,t,a,b\n" + "".join(lines) + last)
    names = ", ".join(f"{name}: {'ab'[i % 2]}" for i, name in enumerate(line.fleet.readings))
    mapping.write_text(MAPPING.format(fleet=line.fleet.fleet, readings=names))
    return path, mapping


def by_device(line: Line, topic: str) -> dict[bytes, list[bytes]]:
    """What a topic holds, by key, in the order of its partition."""
    return grouped([(r.key or b"", r.value or b"") for r in read_all(line.settings, getattr(line.names, topic))])


def grouped(records: list[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for key, value in records:
        found.setdefault(key, []).append(value)
    return found
