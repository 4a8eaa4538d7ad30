"""A check counts what would be refused, and why, and a replay sends nothing of a file with a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from aimaas.fleet import FleetSpec, load_fleet
from cli.app import app
from stream.replay.mapping.schema import ReplayError
from stream.replay.replay import check_file, read_file
from tests.stream.replay.conftest import PUMP

MAPPING = """\
fleet: pump
device: id
ts: t
readings: {pressure: p, vibration: v}
outcome: {column: s, failed: [broken]}
"""
TABLE = """\
id,t,p,v,s
m1,2026-11-29T10:00:00Z,1.5,2,ok
m1,2026-11-29T10:00:01Z,inf,2,ok
m1,2026-11-29T10:00:02Z,-inf,2,ok
m1,2026-11-29T10:00:03,1.5,2,ok
m1,2026-11-29
m1,2026-11-29T10:00:05Z,2e5,2,ok
m1,2026-11-29T10:00:06Z,,2,ok
m2,2026-11-29T10:00:06Z,7,,broken
m2,2026-11-29T10:00:06Z,7,,ok
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name, text in (("pump.yaml", PUMP), ("map.yaml", MAPPING), ("t.csv", TABLE)):
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def pump(home: Path) -> FleetSpec:
    return load_fleet(home / "pump.yaml")


def test_what_cannot_be_read_and_what_would_be_a_dead_letter_is_counted_by_reason(pump: FleetSpec, home: Path) -> None:
    report = check_file(pump, home / "t.csv", home / "map.yaml")

    assert (report.rows, report.events, report.outcomes, report.admitted) == (8, 5, 1, 2)
    assert sorted((r.column, r.row, r.found, r.rows) for r in report.unreadable) == [
        ("", 5, "2 cells", 1),
        ("p", 2, "'inf'", 2),
        ("t", 4, "'2026-11-29T10:00:03'", 1),
    ]
    assert {j.reason: j.events for j in report.judged} == {"out_of_range": 1, "missing_reading": 1, "duplicate": 1}
    assert not report.is_clean


def test_the_command_sends_nothing_and_exits_1_where_anything_would_be_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMAAS_FLEETS", str(home))
    monkeypatch.setenv("AIMAAS_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    asked = ["replay", str(home / "t.csv"), "-f", "pump", "-m", str(home / "map.yaml"), "--check"]

    done = CliRunner().invoke(app, asked)

    assert done.exit_code == 1
    assert "8 rows give 5 events and 1 outcomes; nothing was sent" in done.output
    assert "4 rows cannot be read" in done.output
    (home / "t.csv").write_text(
        "\n".join(line for line in TABLE.splitlines() if ",1.5,2," in line or "v,s" in line or "broken" in line)
    )
    (home / "t.csv").write_text((home / "t.csv").read_text().replace(":03,", ":03Z,"))
    done = CliRunner().invoke(app, asked)
    assert (done.exit_code, "3 events would be admitted, 0 would become dead letters" in done.output) == (0, True)


def test_a_quote_that_is_never_closed_is_a_torn_row(pump: FleetSpec, home: Path) -> None:
    (home / "t.csv").write_text('id,t,p,v,s\n"m1,2026-11-29T10:00:00Z,1,2,ok\nm2,2026-11-29T10:00:00Z,1,2,ok\n')
    report = check_file(pump, home / "t.csv", home / "map.yaml")
    assert [(r.row, r.found) for r in report.unreadable] == [(1, "1 cells")]


def test_a_column_of_which_every_cell_is_refused_is_counted_not_called_empty(pump: FleetSpec, home: Path) -> None:
    (home / "t.csv").write_text("id,t,p,v,s\n" + 'm1,2026-11-29T10:00:00Z,"1,5",2,broken\n' * 3)
    report = check_file(pump, home / "t.csv", home / "map.yaml")
    assert [(r.column, r.rows) for r in report.unreadable] == [("p", 3)]


def test_the_judgement_is_that_of_the_rows_in_the_order_of_time(pump: FleetSpec, home: Path) -> None:
    (home / "t.csv").write_text(
        "id,t,p,v,s\n" + "".join(f"m1,2026-11-29T10:00:{59 - i}Z,1,2,broken\n" for i in range(50))
    )
    assert check_file(pump, home / "t.csv", home / "map.yaml").is_clean


def test_the_last_row_ends_a_replay_before_it_began(pump: FleetSpec, home: Path) -> None:
    rows = "".join(f"m1,2026-11-29T10:{i // 60:02}:{i % 60:02}Z,1,2,broken\n" for i in range(3_000))
    (home / "t.csv").write_text(f"id,t,p,v,s\n{rows}m1,never,1,2,ok\n")
    with pytest.raises(ReplayError, match="column 't', row 3001: found 'never'"):
        read_file(pump, home / "t.csv", home / "map.yaml")
