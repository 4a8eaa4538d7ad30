import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aimaas.errors import FleetFileError
from aimaas.fleet import find_fleet, load_fleet
from aimaas.fleet.yaml_reader import read_fleet_yaml
from tests.conftest import FLEETS

MISSING = object()
_KEYS = st.sampled_from(["sensors", "derived", "task", "settings", "features", "age", "range", "x"])
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner),
)


@pytest.fixture(scope="module")
def turbofan() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FLEETS / "turbofan.yaml").read_text())
    return found


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("fleet", "Big Name", "fleet: found 'Big Name', allowed: text that matches ^[a-z][a-z0-9_]{0,39}$"),
        ("fleet", MISSING, "fleet: missing, must be given"),
        ("version", "x", "version: found 'x', allowed: a whole number"),
        ("version", "1.0", "version: found '1.0', allowed: a whole number"),
        ("version", "1", "version: found '1', allowed: a whole number"),
        ("version", 1.0, "version: found 1.0, allowed: a whole number"),
        ("version", True, "version: found True, allowed: a whole number"),
        ("sensors.s1.range", ["0", 1], "sensors.s1.range.0: found '0', allowed: a number"),
        ("sensors.s1.range", [True, 2], "sensors.s1.range.0: found True, allowed: a number"),
        ("topics.partitions", "4", "topics.partitions: found '4', allowed: a whole number"),
        ("split.train", "0.7", "split.train: found '0.7', allowed: a number"),
        (
            "sensors.age",
            {"name": "x", "unit": "1", "range": [0, 1]},
            "sensors.age: the name is reserved for a feature of the kernel",
        ),
        ("settings.mean_5", {"name": "x", "unit": "1", "range": [0, 1]}, "settings.mean_5: the name is reserved"),
        ("derived.from_first_20", "s1 * 2", "derived.from_first_20: the name is reserved"),
        ("version", 0, "version: found 0, allowed: at least 1"),
        ("order", "time", "order: found 'time', allowed: 'seq' or 'ts'"),
        ("order", "ts", "task.unit: 'cycles' with order: ts; allowed: seconds, minutes, hours, days"),
        ("sensors", [1], "sensors: found [1], allowed: a mapping of keys to values"),
        (
            "gates",
            {"confidence": 0.8},
            "gates.confidence: replaced by gates.false_promotions, a share of the years; leave confidence out",
        ),
        (
            "training.refit_growth",
            0.2,
            "training.refit_growth: removed, since every training computes a new fit; leave it out",
        ),
        ("sensors.s1", None, "sensors.s1: found nothing, allowed: a mapping of keys to values"),
        ("sensors.s1.range", [1], "sensors.s1.range.1: missing, must be given"),
        ("sensors.s1.range", [5, 1], "sensors.s1.range: [5.0, 1.0] must increase"),
        ("sensors.s1.range", [0, float("inf")], "sensors.s1.range.1: found inf, allowed: a finite number"),
        ("sensors.s1.range", [0, 1e39], "sensors.s1.range.1: found 1e+39, allowed: at most 1e+30"),
        ("sensors.s1.fill", "next", "sensors.s1.fill: found 'next', allowed: 'previous' or a number"),
        ("sensors.s1.nullable", True, "sensors.s1: a nullable reading needs fill: previous, or a number"),
        ("sensors.s1.unitt", "K", "sensors.s1.unitt: unknown key, remove it or check its spelling"),
        ("sensors.s1.command", [400, 500], "sensors.s1.command: only a setting can be commanded"),
        ("sensors.S 1", {"name": "x", "unit": "K", "range": [0, 1]}, "sensors.S 1: found 'S 1', allowed: text that"),
        ("task.kind", "rul", "task.kind: found 'rul', allowed: 'remaining_useful_life', 'failure_within'"),
        ("task.kind", MISSING, "task.kind: missing, must be given"),
        ("task.cap", -1, "task.cap: found -1, allowed: more than 0"),
        ("features.windows", [15, 5], "features.windows: [15, 5] must increase"),
        ("features.windows", 5, "features.windows: found 5, allowed: a list"),
        ("features.regimes", 99, "features.regimes: found 99, allowed: at most 32"),
        ("settings", {}, "features.regimes: more than one regime needs settings"),
        ("derived.power", "s1 ** 2", "derived.power: 's1 ** 2' is not allowed; use readings, numbers, + - * /"),
        ("derived.s1", "s1 * 2", "s1: named twice among settings, sensors and derived"),
        ("training.candidates", {}, "training.candidates: found {}, allowed: at least 1 entries"),
        ("split.train", 0.9, "split: the shares add up to 1.2, not 1"),
        ("schedule.ingest", "hourly", "schedule.ingest: 'hourly' is not a cron expression of five fields"),
        ("topics.names", {"event": "x"}, "topics.names.event: found 'event', allowed: 'events', 'outcomes'"),
        ("limits.skew_s", 1e300, "limits.skew_s: found 1e+300, allowed: at most 1e+09"),
        ("rules", [{"when": "x"}], "rules: found [{'when': 'x'}], allowed: a mapping of keys to values"),
    ],
)
def test_a_mistake_is_one_line_with_file_key_found_and_allowed(
    turbofan: dict[str, Any], tmp_path: Path, key: str, value: Any, line: str
) -> None:
    with pytest.raises(FleetFileError) as caught:
        load_fleet(_written(turbofan, tmp_path, key, value))
    assert len(caught.value.mistakes) == 1
    assert caught.value.mistakes[0].startswith(f"{tmp_path / 'f.yaml'}: {line}")


def _written(turbofan: dict[str, Any], folder: Path, key: str, value: Any) -> Path:
    changed = copy.deepcopy(turbofan)
    *above, last = key.split(".")
    part = changed
    for name in above:
        part = part.setdefault(name, {})
    if value is MISSING:
        del part[last]
    else:
        part[last] = value
    path = folder / "f.yaml"
    path.write_text(yaml.safe_dump(changed, allow_unicode=True))
    return path


def test_several_mistakes_make_several_lines(turbofan: dict[str, Any], tmp_path: Path) -> None:
    path = _written({**turbofan, "version": 0, "bogus": 1}, tmp_path, "task.cap", -1)
    with pytest.raises(FleetFileError) as caught:
        load_fleet(path)
    assert len(caught.value.mistakes) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: [1", "not valid YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"- 1", "found list"),
        (b"", "found NoneType"),
    ],
)
def test_a_file_that_is_no_mapping_in_yaml_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    with pytest.raises(FleetFileError, match=says) as caught:
        load_fleet(path)
    assert len(caught.value.mistakes) == 1


def test_a_fleet_is_found_by_its_files_name_and_an_unknown_one_lists_the_known() -> None:
    assert find_fleet(FLEETS, "mill").fleet == "mill"
    with pytest.raises(FleetFileError, match="existing fleets: mill, turbofan"):
        find_fleet(FLEETS, "pump")


def test_all_mistakes_are_told_at_once_whatever_their_kind(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        """\
fleet: f
version: "1.0"
version: 2
sensors:
  age: {name: a, unit: "1", range: [0, 1]}
  speed: {name: s, unit: rpm, range: [5, 1], nullable: true, unitt: x}
  speed: {name: s, unit: rpm, range: ["0", 1], command: [0, 1]}
derived: {power: speed ** 2, heat: warmth * 2, mean_5: speed}
features: {regimes: 3}
task: {kind: failure_within, unit: cycles, horizon: -1}
training: {candidates: {lstm: {}}}
"""
    )
    with pytest.raises(FleetFileError) as caught:
        load_fleet(path)
    told = [line.removeprefix(f"{path}: ").split(": ")[0] for line in caught.value.mistakes]
    assert sorted(told) == sorted(
        [
            "version", "sensors.speed", "sensors.age", "sensors.speed.command", "sensors.speed.range.0", "derived.power",
            "derived.heat", "derived.mean_5", "features.regimes", "task.horizon", "training.candidates.lstm",
        ]
    )  # fmt: skip
    assert all(line.startswith(f"{path}: ") for line in caught.value.mistakes)


def test_a_key_given_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(
        (FLEETS / "mill.yaml").read_text() + "task: {kind: failure_within, unit: days, unit: days, horizon: 5}\n"
    )
    with pytest.raises(FleetFileError) as caught:
        load_fleet(path)
    last = len(path.read_text().splitlines())
    assert [line.split(": ", 1)[1] for line in caught.value.mistakes] == [
        f"task: given twice, in lines 22 and {last}; only one may stay",
        f"task.unit: given twice, in lines {last} and {last}; only one may stay",
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [("1e-5", 1e-5), ("1.5E+1", 15.0), ("0100", 100), (".5", 0.5), ("5.", 5.0), ("+3", 3), ("1_0", "1_0"), ("0x10", "0x10"),
     ("1:30", "1:30"), ("2026-01-01", "2026-01-01"), ("-.inf", float("-inf")), ("on", True), ("~", None)],
)  # fmt: skip
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, written: str, read: Any) -> None:
    (tmp_path / "f.yaml").write_text(f"on: {written}")
    found, twice = read_fleet_yaml(tmp_path / "f.yaml")
    assert found == {"on": read} and type(found["on"]) is type(read) and not twice


@given(_ANYTHING)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_yaml_holds_is_read_or_refused_by_lines(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "f.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True))
    with pytest.raises(FleetFileError) as caught:
        load_fleet(path)
    assert caught.value.mistakes and all(line.startswith(f"{path}: ") for line in caught.value.mistakes)


def test_aliases_are_looked_at_once_each(tmp_path: Path) -> None:
    levels = ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))]
    (tmp_path / "f.yaml").write_text("\n".join([*levels, "x: &x {y: *x}"]))
    with pytest.raises(FleetFileError, match="unknown key"):
        load_fleet(tmp_path / "f.yaml")
