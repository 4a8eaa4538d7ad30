from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aimaas.errors import RegistryError
from aimaas.fleet import FleetSpec, find_fleet
from aimaas.model.artefact import sha256
from aimaas.records.events import CHAMPION
from aimaas.registry.mlflow_store import client
from aimaas.registry.versions import (
    Champion,
    list_models,
    load_artefact,
    prepare_registry,
    register,
    rollback,
    set_champion,
    settled_champion,
    show_model,
    sync_champion,
    unveto,
    veto,
)
from aimaas.settings import Settings
from aimaas.training.report import CandidateReport, TrainReport, write_report
from aimaas.training.training_set import SplitCounts

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    level = logging.getLogger("alembic").level
    yield
    logging.getLogger("alembic").setLevel(level)


@pytest.fixture
def fleet(offline_settings: Settings) -> FleetSpec:
    return find_fleet(offline_settings.fleets, "turbofan")


@pytest.fixture
def registry(offline_settings: Settings, prepared_database: bytes) -> Settings:
    """Settings of a home whose registry is prepared; the empty database is made once."""
    path = offline_settings.home / "mlflow" / "mlflow.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(prepared_database)
    return offline_settings


@pytest.fixture(scope="module")
def prepared_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from aimaas.settings import read_settings

    home = tmp_path_factory.mktemp("registry")
    prepare_registry(read_settings({"AIMAAS_HOME": str(home)}))
    return (home / "mlflow" / "mlflow.db").read_bytes()


def trained(folder: Path, content: bytes = b"model", rmse: float = 12.5) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    write_report(
        folder,
        TrainReport(
            fleet="turbofan", fleet_version=1, chosen="boosting", error="rmse",
            candidates=[CandidateReport("ridge", [20.0, 21.0], 19.5, 0.1), CandidateReport("boosting", [13.0, 14.0], 12.0, 1)],
            metrics={"rmse": rmse, "baseline_rmse": 41.0, "parity_max_rel": 1e-7},
            splits={"train": SplitCounts(100, 10, 10)}, settings={}, seed=7, training_set="training/x", digest="d" * 64,
            gold_version=3, plan="p" * 16, fit="f" * 16, sha256=sha256(content), code_version="1 (abc)", seconds=2.0,
        ),
    )  # fmt: skip
    return folder


def three_versions(settings: Settings, fleet: FleetSpec) -> None:
    for i in range(3):
        assert register(settings, fleet, trained(settings.home / f"t{i}", b"model %d" % i)) == str(i + 1)


def test_a_version_says_all_that_is_needed_to_build_it_again(registry: Settings, fleet: FleetSpec) -> None:
    version = register(registry, fleet, trained(registry.home / "t"))
    shown = show_model(registry, fleet, version)
    assert shown["sha256"] == sha256(b"model")
    assert (shown["plan"], shown["fit"], shown["digest"], shown["gold_version"]) == ("p" * 16, "f" * 16, "d" * 64, "3")
    assert (shown["training_set"], shown["seed"], shown["code_version"]) == ("training/x", "7", "1 (abc)")
    assert shown["metrics"]["parity_max_rel"] == 1e-7
    assert shown["metrics"]["fold_rmse.boosting"] == 14.0
    assert load_artefact(registry, fleet, version) == b"model"


def test_the_same_bytes_are_registered_once(registry: Settings, fleet: FleetSpec) -> None:
    folder = trained(registry.home / "t")
    assert register(registry, fleet, folder) == register(registry, fleet, folder) == "1"
    assert len(list_models(registry, fleet)) == 1


def test_versions_are_listed_newest_first_with_their_aliases(registry: Settings, fleet: FleetSpec) -> None:
    assert list_models(registry, fleet) == []
    three_versions(registry, fleet)
    set_champion(registry, fleet, "2")
    rows = list_models(registry, fleet)
    assert [(r.version, r.aliases, r.candidate, r.metric) for r in rows] == [
        ("3", (), "boosting", "rmse 12.5"),
        ("2", (CHAMPION,), "boosting", "rmse 12.5"),
        ("1", (), "boosting", "rmse 12.5"),
    ]


def test_a_torn_training_is_not_registered(registry: Settings, fleet: FleetSpec) -> None:
    folder = trained(registry.home / "t")
    (folder / "model.onnx").write_bytes(b"mod")
    with pytest.raises(RegistryError, match="not the file that the report names"):
        register(registry, fleet, folder)
    with pytest.raises(RegistryError, match="no finished training"):
        register(registry, fleet, registry.home / "nothing")


def promoted_in_turn(settings: Settings, fleet: FleetSpec, delete: list[str]) -> None:
    three_versions(settings, fleet)
    for version in ("1", "2", "3"):
        set_champion(settings, fleet, version)
    with client(settings) as mlflow:
        for version in delete:
            mlflow.delete_model_version(fleet.fleet, version)


@pytest.mark.parametrize(("delete", "back"), [(["2"], "1"), (["3"], "2"), (["3", "2"], "1")])
def test_a_rollback_passes_over_versions_that_were_deleted(
    registry: Settings, fleet: FleetSpec, delete: list[str], back: str
) -> None:
    promoted_in_turn(registry, fleet, delete)
    assert rollback(registry, fleet) == back
    found = sync_champion(registry, fleet)
    assert found is not None and (found.version, found.sequence) == (back, 4)


def test_a_rollback_without_a_former_champion_left_names_the_command(registry: Settings, fleet: FleetSpec) -> None:
    promoted_in_turn(registry, fleet, ["1", "2"])
    with pytest.raises(RegistryError, match="no other version may be promoted: train one"):
        rollback(registry, fleet)
    register(registry, fleet, trained(registry.home / "fourth", b"model 3"))
    with pytest.raises(RegistryError, match="promote one of 4: `aimaas models promote VERSION --fleet turbofan"):
        rollback(registry, fleet)
    with client(registry) as mlflow:
        for version in ("3", "4"):
            mlflow.delete_model_version(fleet.fleet, version)
    with pytest.raises(RegistryError, match="and no versions"):
        rollback(registry, fleet)


def vetoed(settings: Settings, fleet: FleetSpec) -> dict[str, str]:
    return {row.version: row.veto.why for row in list_models(settings, fleet) if row.veto is not None}


def test_what_was_rolled_back_is_promoted_by_nobody_until_a_person_lifts_that(
    registry: Settings, fleet: FleetSpec
) -> None:
    promoted_in_turn(registry, fleet, [])
    assert rollback(registry, fleet) == "2"
    assert vetoed(registry, fleet) == {"3": "it was rolled back"}
    with pytest.raises(RegistryError, match=r"version 3 of turbofan is vetoed at 20.*`aimaas models unveto 3 --fleet"):
        set_champion(registry, fleet, "3")
    assert unveto(registry, fleet, "3").version == "3"
    assert set_champion(registry, fleet, "3").version == "3"
    assert vetoed(registry, fleet) == {}
    with pytest.raises(RegistryError, match="version 3 of turbofan is not vetoed"):
        unveto(registry, fleet, "3")


def test_the_same_bytes_stay_vetoed_when_they_are_registered_anew(registry: Settings, fleet: FleetSpec) -> None:
    promoted_in_turn(registry, fleet, [])
    rollback(registry, fleet)
    with client(registry) as mlflow:
        mlflow.delete_model_version(fleet.fleet, "3")
    assert register(registry, fleet, trained(registry.home / "again", b"model 2")) == "4"
    with pytest.raises(RegistryError, match="version 4 of turbofan is vetoed"):
        set_champion(registry, fleet, "4")


def test_a_rollback_passes_over_versions_that_somebody_vetoed(registry: Settings, fleet: FleetSpec) -> None:
    promoted_in_turn(registry, fleet, [])
    veto(registry, fleet, "2", "x" * 9_000)
    assert rollback(registry, fleet) == "1"
    assert {version: len(why) for version, why in vetoed(registry, fleet).items()} == {"2": 1_000, "3": 18}
    with pytest.raises(RegistryError, match="no other version may be promoted"):
        rollback(registry, fleet)
    with pytest.raises(RegistryError, match=r"version 1 of turbofan serves: `aimaas models rollback"):
        veto(registry, fleet, "1", "noise")


def test_an_artefact_that_was_replaced_is_not_handed_out(registry: Settings, fleet: FleetSpec) -> None:
    version = register(registry, fleet, trained(registry.home / "t"))
    stored = next(Path(registry.mlflow_artifacts).rglob("model.onnx"))
    stored.write_bytes(b"other")
    with pytest.raises(RegistryError, match="is not the registered file"):
        load_artefact(registry, fleet, version)


def test_an_unknown_version_is_named_with_those_there_are(registry: Settings, fleet: FleetSpec) -> None:
    three_versions(registry, fleet)
    with pytest.raises(RegistryError, match="no version '9'; versions: 3, 2, 1"):
        show_model(registry, fleet, "9")
    with pytest.raises(RegistryError, match="no version '9'"):
        set_champion(registry, fleet, "9")


def test_the_sequence_rises_with_every_change_also_back(registry: Settings, fleet: FleetSpec) -> None:
    three_versions(registry, fleet)
    found = [set_champion(registry, fleet, v) for v in ("1", "2", "3")]
    assert [c.sequence for c in found] == [1, 2, 3]
    assert [rollback(registry, fleet), rollback(registry, fleet)] == ["2", "1"]
    champion = sync_champion(registry, fleet)
    assert champion is not None and (champion.version, champion.sequence, champion.before) == ("1", 5, ())
    with pytest.raises(RegistryError, match="no former champion"):
        rollback(registry, fleet)


def test_an_alias_moved_by_hand_gets_a_new_sequence(registry: Settings, fleet: FleetSpec) -> None:
    three_versions(registry, fleet)
    set_champion(registry, fleet, "1")
    with client(registry) as mlflow:
        mlflow.set_registered_model_alias("turbofan", CHAMPION, "3")
    champion = sync_champion(registry, fleet)
    assert champion is not None and (champion.version, champion.sequence, champion.before) == ("3", 2, ("1",))
    assert sync_champion(registry, fleet) == champion


def test_of_promotions_that_saw_the_same_champion_one_wins(registry: Settings, fleet: FleetSpec) -> None:
    three_versions(registry, fleet)
    seen = set_champion(registry, fleet, "1")

    def compete(version: str) -> str | None:
        try:
            return set_champion(registry, fleet, version, seen, compare=True).version
        except RegistryError:
            return None

    with ThreadPoolExecutor(2) as pool:
        won = [v for v in pool.map(compete, ["2", "3"]) if v]
    champion = sync_champion(registry, fleet)
    assert champion is not None and [champion.version] == won
    assert champion.sequence == 2


def test_a_registry_that_does_not_answer_is_one_line(tmp_path: Path, fleet: FleetSpec) -> None:
    from dataclasses import replace

    from aimaas.settings import read_settings

    (tmp_path / "file").write_text("")
    settings = replace(
        read_settings({"AIMAAS_HOME": str(tmp_path)}), mlflow_tracking_uri=f"sqlite:///{tmp_path}/file/m.db"
    )
    with pytest.raises(RegistryError, match="AIMAAS_MLFLOW_TRACKING_URI"):
        list_models(settings, fleet)


@pytest.mark.parametrize(
    ("version", "known", "above", "expected"),
    [
        ("1", None, 0, Champion("1", 1, NOON)),
        ("1", None, 9, Champion("1", 10, NOON)),
        ("1", Champion("1", 4, NOON), 3, Champion("1", 4, NOON)),
        ("1", Champion("1", 4, NOON, ("0",)), 4, Champion("1", 5, NOON, ("0",))),
        ("2", Champion("1", 4, NOON, ("0",)), 0, Champion("2", 5, NOON, ("0", "1"))),
        ("2", Champion("1", 4, NOON), 8, Champion("2", 9, NOON, ("1",))),
    ],
)
def test_the_sequence_is_above_all_that_was_seen(
    version: str, known: Champion | None, above: int, expected: Champion
) -> None:
    assert settled_champion(version, known, above, NOON) == expected
