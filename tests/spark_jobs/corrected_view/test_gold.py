from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.kernel.plan import plan_of
from aimaas.lake import append_rows, read_table
from aimaas.settings import Settings
from aimaas.training.split import split_of
from aimaas.training.training_set import read_training_set
from spark_jobs.admit import admit
from spark_jobs.features import features, freeze
from spark_jobs.land import land
from tests.published import gold

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

pytestmark = pytest.mark.spark


def brought_to_gold(plant: Plant) -> dict[str, Any]:
    for name, work in (("land", land), ("admit", admit)):
        work(plant.job(name))
    return gold(plant.job("gold"))


def labels_of(folder: Path, device: str) -> list[float]:
    rows = read_training_set(folder).rows
    return list(rows.label[rows.device_id == device].tolist())


@pytest.mark.broker
def test_gold_is_silver_with_its_split_and_a_late_outcome_relabels_without_touching_a_row(
    plant: Plant, tmp_path: Path
) -> None:
    devices = [
        f"d{i}" for i in range(24)
    ]  # of so many, one that still runs is few enough for the others to keep their labels
    plant.send(*[(d, plant.event(d, seq)) for seq in range(30) for d in devices])
    plant.send(*[(d, plant.outcome(d, 29)) for d in devices if d != "d2"], topic="outcomes")
    first = brought_to_gold(plant)
    assert (first["rows"], first["added"]) == (720, 720)
    columns = ["device_id", "run", "order", "heat", "split", "late"]
    rows = read_table(plant.settings, plant.fleet.fleet, "gold", columns).to_pylist()
    for device in devices:
        mine = sorted((r["order"], r["heat"]) for r in rows if r["device_id"] == device)
        assert mine == [(seq, 300.0 + seq) for seq in range(30)]
    assert {(r["device_id"], r["split"]) for r in rows} == {(d, split_of(d, plant.fleet.split)) for d in devices}
    assert {(r["run"], r["late"]) for r in rows} == {(0, False)}
    assert gold(plant.job("gold")) == first | {"added": 0}
    frozen = features(plant.job("features", out=str(tmp_path / "first")))
    assert labels_of(tmp_path / "first", "d1") == [min(29.0 - seq, 20.0) for seq in range(30)]
    assert labels_of(tmp_path / "first", "d2") == [20.0] * 10

    plant.send(("d2", plant.outcome("d2", 35)), topic="outcomes")
    second = brought_to_gold(plant)
    assert (second["rows"], second["added"], second["version"]) == (720, 0, first["version"] + 1)
    features(plant.job("features", out=str(tmp_path / "second")))
    assert labels_of(tmp_path / "second", "d1") == labels_of(tmp_path / "first", "d1")
    assert labels_of(tmp_path / "second", "d2") == [min(35.0 - seq, 20.0) for seq in range(30)]

    again = freeze(plant.job("features"), str(tmp_path / "again"), plan_of(plant.fleet), first["version"])
    assert again.digest == frozen["digest"], "a version of gold goes on to say what it said"


def set_aside(plant: Plant, offset: int) -> None:
    """Note a row as a gate does."""
    noted = read_table(plant.settings, plant.fleet.fleet, "quarantine").slice(0, 1)  # a row as the judge writes it
    for name, value in {"offset": offset, "reason": "expectation"}.items():
        at = noted.schema.get_field_index(name)
        noted = noted.set_column(at, noted.schema.field(at), pa.array([value], noted.schema.field(at).type))
    append_rows(plant.settings, plant.fleet.fleet, "quarantine", noted)


def orders(plant: Plant) -> list[int]:
    return sorted(r["order"] for r in read_table(plant.settings, plant.fleet.fleet, "gold", ["order"]).to_pylist())


@pytest.mark.broker
def test_a_row_that_an_expectation_set_aside_is_not_in_gold(plant: Plant) -> None:
    from spark_jobs.sources import gold_is_behind, sources_of

    def behind() -> bool:
        return gold_is_behind(plant.settings, plant.fleet)

    plant.send(*[("d1", plant.event("d1", seq)) for seq in range(6)], ("d1", b"no event"))
    for name, work in (("land", land), ("admit", admit)):
        work(plant.job(name))
    set_aside(plant, 2)
    first = gold(plant.job("gold"))
    assert orders(plant) == [0, 1, 3, 4, 5]
    assert not behind()

    set_aside(plant, 4)  # a new expectation, or a day's own gate, long after gold took the row
    assert behind()
    second = gold(plant.job("gold"))
    assert orders(plant) == [0, 1, 3, 5]
    assert not behind()

    plant.send(*[("d1", plant.event("d1", seq)) for seq in range(6, 9)])
    for name, work in (("land", land), ("admit", admit)):
        work(plant.job(name))
    set_aside(plant, 8)
    third = gold(plant.job("gold"))
    assert orders(plant) == [0, 1, 3, 5, 6, 8], "the record that is no event has offset 6"
    made_of = [sources_of(plant.settings, plant.fleet, report["version"]) for report in (first, second, third)]
    assert not made_of[1].goes_on_from(made_of[0])
    assert made_of[2].goes_on_from(made_of[1]), "rows set aside before gold took them cost no more than an hour"


def test_without_silver_it_says_what_to_run(offline_settings: Settings, make_fleet: Callable[..., FleetSpec]) -> None:
    from spark_jobs.sources import find_sources

    with pytest.raises(LakeError, match="run the land and admit jobs first"):
        find_sources(offline_settings, make_fleet(), None)


def test_a_version_that_an_older_release_made_is_not_guessed_at(
    offline_settings: Settings, make_fleet: Callable[..., FleetSpec]
) -> None:
    from spark_jobs.sources import sources_of

    fleet = make_fleet()
    append_rows(offline_settings, fleet.fleet, "gold", pa.table({"label": [1.0]}))
    with pytest.raises(LakeError, match=r"version 0 does not say what it is made of: .* run the gold job"):
        sources_of(offline_settings, fleet, 0)
