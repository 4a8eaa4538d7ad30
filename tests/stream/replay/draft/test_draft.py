"""`aimaas fleets draft`: whatever table it proposes files for, these are valid, and the table can be replayed by them."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from typer.testing import CliRunner

from aimaas.errors import AimaasError
from aimaas.fleet import FleetSpec, load_fleet
from cli.app import app
from cli.fleets.validation import mistakes_of
from stream.replay.check import Report
from stream.replay.draft.draft import draft, name_of
from stream.replay.draft.names import key_of, name_and_unit
from stream.replay.mapping.schema import ReplayError
from stream.replay.replay import check_file

HOURS = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=h) for h in range(40)]


def drafted(folder: Path, table: Path) -> tuple[FleetSpec, Report, str, str]:
    """The fleet, what its check says of the table, and both texts."""
    found = draft(table, "drafted")
    (folder / "drafted.yaml").write_text(found.fleet_file)
    (folder / "drafted.map").write_text(found.mapping_file)
    _, mistakes = mistakes_of(folder / "drafted.yaml", folder)
    assert mistakes == []
    fleet = load_fleet(folder / "drafted.yaml")
    return fleet, check_file(fleet, table, folder / "drafted.map"), found.fleet_file, found.mapping_file


def written(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


def machines(times: str = "%Y-%m-%dT%H:%M:%SZ", delimiter: str = ",", decimal: str = ".", header: str = "") -> str:
    """Two machines, an hour apart: a temperature, a speed with gaps, a constant, a category and a status."""
    rows = [header or delimiter.join(["Maschine", "Zeit", "Temp [°C]", "Drehzahl (rpm)", "Typ", "Serie", "Status"])]
    for machine in ("0012", "12"):
        for i, hour in enumerate(HOURS):
            speed = "" if i == 3 else f"{1000 + i}.5".replace(".", decimal)
            status = "defekt" if i == 39 else "läuft"
            cells = [
                machine,
                hour.strftime(times),
                f"{20 + i / 7:.3f}".replace(".", decimal),
                speed,
                "AB"[i % 2],
                "7",
                status,
            ]
            rows.append(delimiter.join(cells))
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (machines(), []),
        (machines("%d.%m.%Y %H:%M", ";", ","), ["delimiter: ;", 'decimal: ","', 'format: "%d.%m.%Y %H:%M"', "zone: UTC"]),
        (machines("%d.%m.%Y %H:%M", ";", ",").encode("cp1252"), ["encoding: windows-1252"]),
        (machines("%Y-%m-%d %H:%M:%S", "\t").encode("utf-16"), ["encoding: utf-16", "delimiter:"]),
        (gzip.compress(machines().encode()), []),
        ("sep=;\n" + machines("%d.%m.%Y %H:%M", ";", ","), ["skip_rows: 1"]),
        ("Export der Anlage\nvom 3.4.2026\n\n" + machines("%d.%m.%Y %H:%M", ";", ","), ["skip_rows: 3"]),
        (machines().replace("\n", "\r\n"), []),
    ],
    ids=["plain", "german", "windows-1252", "utf-16", "gzip", "sep", "preamble", "crlf"],
)  # fmt: skip
def test_a_table_as_people_have_it_becomes_a_fleet_and_a_mapping(
    tmp_path: Path, text: str | bytes, keys: list[str]
) -> None:
    fleet, report, fleet_file, mapping = drafted(tmp_path, written(tmp_path, text))
    assert (fleet.order, list(fleet.sensors)) == ("ts", ["temp", "drehzahl"])
    temp, speed = fleet.sensors["temp"], fleet.sensors["drehzahl"]
    assert (temp.name, temp.unit, temp.nullable) == ("Temp", "°C", False)
    assert (speed.unit, speed.nullable, speed.fill) == ("rpm", True, "previous")
    assert temp.range[0] < 20 and temp.range[1] > 20 + 39 / 7
    assert report.is_clean and (report.events, report.outcomes) == (80, 2)
    assert "Serie: constant, 7" in fleet_file and "Typ: a category, which is no reading yet" in fleet_file
    assert [key for key in keys if key not in mapping] == []
    assert "device: Maschine" in mapping and "failed: [defekt]" in mapping


def test_every_guess_has_a_comment(tmp_path: Path) -> None:
    _, _, fleet_file, mapping = drafted(tmp_path, written(tmp_path, machines("%d.%m.%Y %H:%M", ";", ",")))
    for key in ("order:", "temp:", "drehzahl:", "features:", "kind:", "unit:", "horizon:"):
        assert any(line.strip().startswith(key) and "# guess" in line for line in fleet_file.splitlines()), key
    for key in ("delimiter:", "decimal:", "device:", "ts:", "column:"):
        assert any(line.strip().startswith(key) and "# guess" in line for line in mapping.splitlines()), key


def test_parquet_gives_the_same_as_csv(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(machines())))
    table = pa.table({
        "machineID": pa.array([r["Maschine"] for r in rows]).dictionary_encode(),
        "when": pa.array(HOURS * 2, pa.timestamp("ms")),
        "temp": [float(r["Temp [°C]"]) for r in rows],
        "failure": [r["Status"] == "defekt" for r in rows],
        "tags": [["a"]] * 80,
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "t.parquet")
    fleet, report, _, mapping = drafted(tmp_path, tmp_path / "t.parquet")
    assert list(fleet.sensors) == ["temp"] and fleet.order == "ts" and report.is_clean
    assert (report.events, report.outcomes) == (80, 2) and "ts: {column: when, zone: UTC}" in mapping


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("temp [°C]", ("temp", "°C")), ("speed (rpm)", ("speed", "rpm")), ("Torque [Nm]", ("Torque", "Nm")),
        ("load (average)", ("load (average)", None)), ("pressure_bar", ("pressure", "bar")), ("Druck in mbar", ("Druck", "mbar")),
        ("flow / l/min", ("flow", "l/min")), ("count [-]", ("count", "1")), ("[K]", ("[K]", None)), ("x", ("x", None)),
    ],
)  # fmt: skip
def test_units_come_from_headers(header: str, found: tuple[str, str | None]) -> None:
    assert name_and_unit(header) == found


@given(st.text(), st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True), max_size=3))
def test_every_text_becomes_a_name_of_its_own(text: str, taken: list[str]) -> None:
    name = key_of(text, "column_1", taken)
    assert name not in taken and name != "age" and name.isascii() and name[0].isalpha() and len(name) <= 40


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a;b\nx;y\nz;w\n", "has no column of numbers"),
        ("1 2 3\n4 5 6\n", "separated by spaces"),
        ("a,b\n", "has no rows"),
        ("", "is empty"),
        (b"PK\x03\x04" + b"0" * 40, "save it as CSV"),
    ],
)
def test_a_table_without_readings_is_refused_in_one_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(ReplayError, match=says) as caught:
        draft(written(tmp_path, text), "x")
    assert "\n" not in str(caught.value)


def test_one_row_is_enough_for_a_draft(tmp_path: Path) -> None:
    fleet, report, _, mapping = drafted(tmp_path, written(tmp_path, "id,t,p\nS1,1764410400000,1.5\n"))
    assert (list(fleet.sensors), report.is_clean) == (["p"], True) and "unit: ms" in mapping and "device: id" in mapping


def test_the_column_that_holds_the_answer_is_no_reading(tmp_path: Path) -> None:
    rows = "\n".join(f"{e},{c},{c * 1.5},{50 - c}" for e in (1, 2) for c in range(1, 50))
    fleet, report, text, _ = drafted(tmp_path, written(tmp_path, f"engine,cycle,temp,RUL\n{rows}\n"))
    assert list(fleet.sensors) == ["temp"] and fleet.task.kind == "remaining_useful_life" and report.is_clean
    assert "RUL: a remaining life" in text


def test_a_file_that_is_there_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    table, folder = written(tmp_path, machines(), "presses 2.csv.gz"), tmp_path / "fleets"
    assert name_of(table) == "presses_2"
    command = ["fleets", "draft", str(table), "--into", str(folder)]
    assert CliRunner().invoke(app, command).exit_code == 0
    (folder / "mappings" / "presses_2.yaml").unlink()
    before = (folder / "presses_2.yaml").write_text("mine")
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, AimaasError) and "--overwrite" in str(refused.exception)
    assert (folder / "presses_2.yaml").read_text() == "mine" and before
    assert not (folder / "mappings" / "presses_2.yaml").exists()
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
    assert load_fleet(folder / "presses_2.yaml").fleet == "presses_2"


_HEADERS = st.one_of(
    st.sampled_from(["id", "machineID", "device", "time", "timestamp", "date", "seq", "cycle", "temp[°C]", "age", "failure"]),
    st.sampled_from(["status", "run", "RUL", "mean_5", "setpoint", "on", "no", "null", "1", "ä", "#x", "温度"]),
    st.sampled_from(["a: b", "- y", "x, y", "o'clock", '"q"', "temp [°C]"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12),
)  # fmt: skip
_CELLS: list[Any] = [
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1e3, 1e3).map(lambda v: f"{v:.3f}"),
    st.integers(-5, 5).map(str),
    st.integers(0, 2**62).map(str),
    st.sampled_from(["0", "1"]),
    st.sampled_from(["", "1.5", "2", "NaN"]),
    st.sampled_from(["-999", "3", "inf"]),
    st.sampled_from(["1,5", "2,25", "1.234,5"]),
    st.sampled_from(["1,234.5", "12", "1,234,567"]),
    st.sampled_from(["ok", "failed", "repaired", "no failure", "yes", "off", "~", "null"]),
    st.sampled_from(["m1", "m2", "0012", "12"]),
    st.sampled_from(HOURS).map(lambda t: t.isoformat()),
    st.sampled_from(HOURS).map(lambda t: t.strftime("%d.%m.%Y %H:%M")),
    st.sampled_from(HOURS).map(lambda t: str(int(t.timestamp()))),
    st.dates(date(1900, 1, 2), date(2199, 12, 30)).map(date.isoformat),
    st.sampled_from(["20260101", "20991231"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8),
]


@st.composite
def tables(draw: st.DrawFn) -> str:
    """Tables of random columns, one of numbers that vary among them, with any delimiter."""
    rows = draw(st.integers(2, 12))
    kinds = draw(st.lists(st.sampled_from(_CELLS), min_size=1, max_size=6))
    columns = [draw(st.lists(kind, min_size=rows, max_size=rows)) for kind in kinds]
    columns.append([f"{i * 1.5}" for i in range(rows)])
    headers = draw(st.lists(_HEADERS, min_size=len(columns), max_size=len(columns)))
    headers[-1] = "reading"
    out = io.StringIO()
    writer = csv.writer(out, delimiter=draw(st.sampled_from(",;\t|")), lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=tables())
def test_the_draft_of_any_table_is_valid_and_its_check_is_clean(tmp_path: Path, text: str) -> None:
    _is_valid_and_clean(tmp_path, text)


@pytest.mark.long
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=tables())
def test_the_drafts_of_many_tables_are_valid_and_their_checks_are_clean(tmp_path: Path, text: str) -> None:
    _is_valid_and_clean(tmp_path, text)


def _is_valid_and_clean(folder: Path, text: str) -> None:
    _, report, fleet_file, mapping = drafted(folder, written(folder, text))
    assert report.is_clean, (report, fleet_file, mapping)
    assert report.events == report.rows
