"""Registered versions as MLflow's users know them: both loaders, signature, example, data set, child runs, the version's page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pytest

from aimaas.model.artefact import FILE_NAME, sha256
from aimaas.registry.mlflow_store import CARD_FOLDER, CARD_NAME, client
from aimaas.registry.versions import (
    list_models,
    load_artefact,
    note_not_promoted,
    register,
    rollback,
    set_champion,
    show_model,
    unveto,
    veto,
)
from aimaas.settings import Settings, read_settings
from aimaas.training.report import TrainReport
from aimaas.training.training_set import read_training_set
from local.pages import mlflow_program
from local.ports import free_port
from local.supervision.processes import start_program
from models.training.train import train
from tests.local.test_pages import answer
from tests.models.conftest import freeze, histories, labelled, pump_fleet

FLEET = pump_fleet({"boosting": {"trees": 25}, "mlp": {"epochs": 4, "networks": 2}, "blend": {}})
AT = datetime(2026, 11, 30, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, empty_registry: Path) -> tuple[Settings, TrainReport]:
    """A home whose registry holds version 1, trained in `<home>/trained`."""
    settings = read_settings({"AIMAAS_HOME": str(tmp_path_factory.mktemp("home"))})
    (settings.home / "mlflow").mkdir()
    shutil.copy(empty_registry, settings.home / "mlflow")
    folder = freeze(
        FLEET, settings.home / "training" / "pump" / "1" / "training_set", labelled(FLEET, histories(40, 1))
    )
    report = train(settings, FLEET, folder, settings.home / "trained")
    assert register(settings, FLEET, settings.home / "trained") == "1"
    return settings, report


@pytest.fixture
def loaded(home: tuple[Settings, TrainReport]) -> Any:
    """MLflow itself, at the registry of `home`."""
    uri = home[0].mlflow_tracking_uri
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    yield mlflow
    mlflow.set_tracking_uri("")
    mlflow.set_registry_uri("")


def test_a_version_loads_with_pyfunc_and_with_onnx_and_answers_as_onnxruntime_does_with_the_shipped_file(
    home: tuple[Settings, TrainReport], loaded: Any
) -> None:
    settings, report = home
    features = read_training_set(settings.home / report.training_set).rows.features
    shipped = (settings.home / "trained" / FILE_NAME).read_bytes()
    truth = onnxruntime.InferenceSession(shipped).run(None, {"features": features})[0].reshape(-1)
    by_name = loaded.pyfunc.load_model("models:/pump/1")
    columns = by_name.metadata.get_input_schema().input_names()
    frame = pd.DataFrame(features, columns=columns)
    for given in (frame, frame.astype("float64"), frame[columns[::-1]]):  # names count, their order does not
        np.testing.assert_allclose(by_name.predict(given)["prediction"].to_numpy(), truth, rtol=1e-5, atol=1e-4)
    proto = loaded.onnx.load_model("models:/pump/1")
    again = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"features": features})[0].reshape(-1)
    np.testing.assert_array_equal(again, truth)


def test_a_version_has_a_signature_of_named_features_and_an_example_that_is_no_devices_row(
    home: tuple[Settings, TrainReport], loaded: Any
) -> None:
    settings, report = home
    frozen = read_training_set(settings.home / report.training_set)
    info = loaded.models.get_model_info("models:/pump/1")
    assert info.signature.inputs.input_names() == list(frozen.info.plan.feature_names)
    assert info.signature.outputs.input_names() == ["prediction"]
    model = loaded.pyfunc.load_model("models:/pump/1")
    example = model.input_example
    assert list(example.columns) == list(frozen.info.plan.feature_names) and len(example) == 1
    assert not (np.abs(frozen.rows.features - example.to_numpy()).max(axis=1) == 0).any()
    assert np.isfinite(model.predict(example)["prediction"]).all()


def test_a_version_holds_the_very_file_that_was_trained_and_the_announced_place_is_that_file(
    home: tuple[Settings, TrainReport],
) -> None:
    settings, report = home
    shown = show_model(settings, FLEET, "1")
    assert shown["uri"].endswith(f"/{FILE_NAME}")
    assert sha256(Path(shown["uri"]).read_bytes()) == report.sha256 == shown["sha256"]
    assert load_artefact(settings, FLEET, "1") == (settings.home / "trained" / FILE_NAME).read_bytes()
    assert len(list(Path(settings.mlflow_artifacts).rglob(FILE_NAME))) == 1


def test_a_version_of_an_older_release_whose_source_is_the_file_is_still_read(
    home: tuple[Settings, TrainReport],
) -> None:
    settings, report = home
    trained = settings.home / "trained"
    with client(settings) as store:
        experiment = store.get_experiment_by_name("pump").experiment_id
        run = store.create_run(experiment)
        store.log_artifact(run.info.run_id, str(trained / FILE_NAME))
        store.create_registered_model("old")
        old = FLEET.model_copy(update={"fleet": "old"})
        source = f"{run.info.artifact_uri}/{FILE_NAME}"
        store.create_model_version("old", source, run.info.run_id, tags={"sha256": report.sha256})
    assert load_artefact(settings, old, "1") == (trained / FILE_NAME).read_bytes()
    assert show_model(settings, old, "1")["uri"] == source
    set_champion(settings, old, "1")  # its page is written too
    shutil.rmtree(Path(source).parent)


def test_the_frozen_set_is_the_data_set_of_the_run_and_mlflow_finds_its_rows(
    home: tuple[Settings, TrainReport], loaded: Any
) -> None:
    settings, report = home
    run = loaded.get_run(show_model(settings, FLEET, "1")["run_id"])
    (given,) = run.inputs.dataset_inputs
    assert report.digest.startswith(given.dataset.digest)
    rows = pd.read_parquet(loaded.data.get_source(given).load())
    assert len(rows) == sum(c.rows for c in report.splits.values())
    model = loaded.get_logged_model(show_model(settings, FLEET, "1")["model_id"])
    of_model = {(m.key, m.dataset_digest): m.value for m in model.metrics}
    assert of_model[("rmse", given.dataset.digest)] == report.metrics["rmse"]


def test_candidates_are_child_runs_with_their_curves_by_step(home: tuple[Settings, TrainReport]) -> None:
    settings, report = home
    with client(settings) as store:
        parent = show_model(settings, FLEET, "1")["run_id"]
        experiment = store.get_experiment_by_name("pump")
        children = store.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
        assert {run.info.run_name for run in children} == {c.name for c in report.candidates}
        by_name = {run.info.run_name: run.info.run_id for run in children}

        def steps(name: str, metric: str) -> list[tuple[int, float]]:
            return sorted((m.step, m.value) for m in store.get_metric_history(by_name[name], metric))

        trees = steps("boosting", "rmse_on_validation_devices")
        assert [step for step, _ in trees] == list(range(1, 26)) and trees[-1][1] < trees[0][1]
        assert len(steps("mlp", "loss_on_held-out_devices.network_1")) >= 1
        for candidate in report.candidates:
            assert steps(candidate.name, "fold_rmse") == list(enumerate(candidate.folds, 1))
        assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_the_card_has_the_version_that_the_registry_gave_in_the_folder_and_in_mlflow(
    home: tuple[Settings, TrainReport], tmp_path: Path
) -> None:
    settings, _ = home
    with client(settings) as store:
        kept = Path(store.download_artifacts(show_model(settings, FLEET, "1")["run_id"], CARD_FOLDER))
    for folder in (settings.home / "trained" / CARD_FOLDER, kept):
        for name in (CARD_NAME, "model_card.md"):
            assert "version 1 of pump, registered 20" in (folder / name).read_text()
    same = shutil.copytree(settings.home / "trained", tmp_path / "same")
    page = same / CARD_FOLDER / CARD_NAME
    page.write_text(page.read_text().replace("version 1 of pump", "version 0 of pump"))
    assert register(settings, FLEET, same) == "1"  # the same bytes trained elsewhere: their card has the version too
    assert "version 1 of pump" in page.read_text() and len(list_models(settings, FLEET)) == 1


def test_a_registration_that_was_killed_before_the_card_was_kept_is_finished_by_the_next(
    home: tuple[Settings, TrainReport],
) -> None:
    settings, _ = home
    with client(settings) as store:
        shutil.rmtree(Path(store.get_run(show_model(settings, FLEET, "1")["run_id"]).info.artifact_uri) / CARD_FOLDER)
        store.delete_model_version_tag("pump", "1", "card")
    register(settings, FLEET, settings.home / "trained")
    assert Path(show_model(settings, FLEET, "1")["card"]).is_file()


def test_the_page_of_a_version_says_whether_it_was_promoted_and_why_and_leads_to_the_card(
    home: tuple[Settings, TrainReport], tmp_path: Path
) -> None:
    settings, report = home

    def page(version: str) -> tuple[str, dict[str, str]]:
        with client(settings) as store:
            found = store.get_model_version("pump", version)
        return found.description, found.tags

    text, _ = page("1")
    assert "Not compared with the champion yet" in text and "/artifacts/card/model_card.html" in text
    assert f"{report.metrics['rmse']:.4g}" in text
    note_not_promoted(settings, FLEET, "1", "rmse 9 is not below 8", AT)
    text, tags = page("1")
    assert text.startswith("**Not promoted** 2026-11-30 04:05 UTC: rmse 9 is not below 8")
    assert (tags["promotion"], tags["promotion_reason"]) == ("not promoted", "rmse 9 is not below 8")
    set_champion(settings, FLEET, "1", now=AT)
    assert page("1")[0].startswith("**Promoted** 2026-11-30 04:05 UTC: by hand")
    note_not_promoted(settings, FLEET, "1", "it is the champion already", AT)
    assert page("1")[0].startswith("**Promoted**")

    second = train(settings, pump_fleet({"ridge": {}}), settings.home / report.training_set, tmp_path / "second")
    assert register(settings, FLEET, tmp_path / "second") == "2" and second.sha256 != report.sha256
    set_champion(settings, FLEET, "2", why="better")
    assert rollback(settings, FLEET, AT) == "1"
    text, tags = page("2")
    assert text.startswith("**Rolled back**") and "**Vetoed** 2026-11-30 04:05 UTC" in text
    assert page("1")[0].startswith("**Promoted** 2026-11-30 04:05 UTC: again, after version 2 was rolled back")
    unveto(settings, FLEET, "2")
    assert "Vetoed" not in page("2")[0]
    veto(settings, FLEET, "2", "smells", AT)
    assert "**Vetoed** 2026-11-30 04:05 UTC: smells" in page("2")[0]


@pytest.fixture
def server(home: tuple[Settings, TrainReport]) -> Iterator[Settings]:
    """The home by MLflow's server over HTTP, as the local stack starts it."""
    port = free_port()
    started = start_program(mlflow_program(home[0], port, os.environ))
    try:
        assert answer(f"http://localhost:{port}/health", limit_s=180) == b"OK"
        yield replace(home[0], mlflow_tracking_uri=f"http://localhost:{port}")
    finally:
        started.kill()  # asked to end it would wait for the connections that this process keeps


@pytest.mark.long
def test_over_http_versions_are_registered_loaded_by_both_loaders_and_answer_as_the_file_does(
    server: Settings, home: tuple[Settings, TrainReport], tmp_path: Path
) -> None:
    """Whether the version was registered at the database or at the server."""
    fleet, folder = pump_fleet({"ridge": {"l2": 5}}), server.home / home[1].training_set
    by_server = train(server, fleet, folder, tmp_path / "by_server")
    version = register(server, fleet, tmp_path / "by_server")
    assert show_model(server, fleet, version)["sha256"] == by_server.sha256
    features = read_training_set(folder).rows.features[:50]
    mlflow.set_tracking_uri(server.mlflow_tracking_uri)
    mlflow.set_registry_uri(server.mlflow_tracking_uri)
    try:
        for number, trained in (("1", server.home / "trained"), (version, tmp_path / "by_server")):
            shipped = (trained / FILE_NAME).read_bytes()
            assert load_artefact(server, fleet, number) == shipped
            truth = onnxruntime.InferenceSession(shipped).run(None, {"features": features})[0].reshape(-1)
            by_name = mlflow.pyfunc.load_model(f"models:/pump/{number}")
            frame = pd.DataFrame(features, columns=by_name.metadata.get_input_schema().input_names())
            np.testing.assert_allclose(by_name.predict(frame)["prediction"].to_numpy(), truth, rtol=1e-5, atol=1e-4)
            proto = mlflow.onnx.load_model(f"models:/pump/{number}")
            session = onnxruntime.InferenceSession(proto.SerializeToString())
            np.testing.assert_array_equal(session.run(None, {"features": features})[0].reshape(-1), truth)
    finally:
        mlflow.set_tracking_uri("")
        mlflow.set_registry_uri("")
