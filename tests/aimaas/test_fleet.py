import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from aimaas.errors import FleetFileError
from aimaas.fleet import find_fleet, load_fleet, load_fleets

FLEETS = Path(__file__).parents[2] / "fleets"
MISSING = object()


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
        ("version", 0, "version: found 0, allowed: at least 1"),
        ("order", "time", "order: found 'time', allowed: 'seq' or 'ts'"),
        ("order", "ts", "task.unit: 'cycles' with order: ts; allowed: seconds, minutes, hours, days"),
        ("sensors", [1], "sensors: found [1], allowed: a mapping of keys to values"),
        (
            "gates",
            {"confidence": 0.8},
            "gates: confidence is replaced by false_promotions, a share of the years: leave confidence out",
        ),
        ("sensors.s1", None, "sensors.s1: found nothing, allowed: a mapping of keys to values"),
        ("sensors.s1.range", [1], "sensors.s1.range.1: missing, must be given"),
        ("sensors.s1.range", [5, 1], "sensors.s1: range [5.0, 1.0] must rise"),
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
        ("features.windows", [15, 5], "features: windows [15, 5] must rise"),
        ("features.windows", 5, "features.windows: found 5, allowed: a list"),
        ("features.regimes", 99, "features.regimes: found 99, allowed: at most 32"),
        ("settings", {}, "features.regimes: more than one regime needs settings"),
        ("derived.power", "s1 ** 2", "derived.power: 's1 ** 2' is not allowed; use readings, numbers, + - * /"),
        ("derived.s1", "s1 * 2", "s1: named twice among settings, sensors and derived"),
        ("training.candidates", {}, "training.candidates: found {}, allowed: at least 1 entries"),
        ("split.train", 0.9, "split: the shares add up to 1.2, not 1"),
        ("schedule.ingest", "hourly", "schedule.ingest: 'hourly' is no cron expression of five fields"),
        ("topics.names", {"event": "x"}, "topics.names.event: found 'event', allowed: 'events', 'outcomes'"),
        ("limits.skew_s", 1e300, "limits.skew_s: found 1e+300, allowed: at most 1e+09"),
        ("rules", [{"when": "x"}], "rules: found [{'when': 'x'}], allowed: at most 0 entries"),
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
    [(b"a: [1", "no valid YAML"), (b"\xff\xfe\x00", "cannot be read"), (b"- 1", "holds list"), (b"", "holds NoneType")],
)
def test_a_file_that_is_no_mapping_in_yaml_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(content)
    with pytest.raises(FleetFileError, match=says) as caught:
        load_fleet(path)
    assert len(caught.value.mistakes) == 1


def test_a_fleet_is_found_by_its_files_name_and_an_unknown_one_lists_the_known() -> None:
    assert find_fleet(FLEETS, "mill").fleet == "mill"
    with pytest.raises(FleetFileError, match="fleets here: mill, turbofan"):
        find_fleet(FLEETS, "pump")


def test_two_files_cannot_declare_one_fleet(turbofan: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(turbofan, allow_unicode=True))
    with pytest.raises(FleetFileError, match="declares already"):
        load_fleets(tmp_path)
