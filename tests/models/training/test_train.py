from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from aimaas.errors import GateFailedError, LakeError, TrainingRefusedError
from aimaas.model.artefact import INPUT, METADATA_KEY, OUTPUT, decode_metadata, sha256
from aimaas.settings import Settings
from aimaas.training.report import read_report
from aimaas.training.training_set import read_training_set
from models.export.export import run_onnx
from models.promotion.promote import metadata_of
from models.training.train import train
from tests.models.conftest import CAP, pump_fleet

ALL = {
    "ridge": {}, "boosting": {"trees": 30}, "mlp": {"epochs": 15}, "trees": {"trees": 20}, "forest": {"trees": 20}, "blend": {},
}  # fmt: skip
MakeSet = Callable[..., Path]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "trained"


@pytest.mark.parametrize("classify", [False, True])
def test_every_candidate_is_tried_and_the_best_on_validation_ships(
    offline_settings: Settings, training_set: MakeSet, out: Path, classify: bool
) -> None:
    fleet = pump_fleet(ALL, classify)
    steps: list[tuple[int, int]] = []
    report = train(offline_settings, fleet, training_set(fleet), out, lambda what, done, of: steps.append((done, of)))
    assert [c.name for c in report.candidates] == list(ALL)
    assert report.chosen == min(report.candidates, key=lambda c: c.validation).name
    assert all(len(c.folds) == 2 for c in report.candidates)
    assert steps == [(i, 10) for i in range(1, 11)]  # a blend needs no fit of its own
    assert report.metrics["rmse"] < report.metrics["baseline_rmse"] / 1.5
    assert report.metrics["parity_max_rel"] <= 1e-5
    assert report == read_report(out)


@pytest.mark.parametrize("classify", [False, True])
@pytest.mark.parametrize("name", list(ALL))
def test_each_candidate_exports_to_the_contract_and_equals_scikit_learn(
    offline_settings: Settings, training_set: MakeSet, out: Path, name: str, classify: bool
) -> None:
    wanted = {k: ALL[k] for k in ("boosting", "mlp")} | {"blend": {}} if name == "blend" else {name: ALL[name]}
    fleet = pump_fleet(wanted, classify)
    folder = training_set(fleet)
    report = train(offline_settings, fleet, folder, out)
    content = (out / "model.onnx").read_bytes()
    graph = onnx.load_model_from_string(content).graph
    width = len(read_training_set(folder).info.plan.feature_names)
    shapes = {
        v.name: [d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim][1:]
        for v in (*graph.input, *graph.output)
    }
    assert shapes == {INPUT: [width], OUTPUT: [1]}
    answers = run_onnx(content, np.random.default_rng(0).normal(0, 100, (1_000, width)).astype(np.float32))
    assert answers.min() >= 0 and answers.max() <= (1 if classify else CAP)
    assert report.metrics["parity_max_rel"] <= 1e-5


def test_the_file_itself_says_where_it_comes_from(offline_settings: Settings, training_set: MakeSet, out: Path) -> None:
    fleet = pump_fleet()
    folder = training_set(fleet)
    report = train(offline_settings, fleet, folder, out)
    content = (out / "model.onnx").read_bytes()
    metadata = decode_metadata(
        {p.key: p.value for p in onnx.load_model_from_string(content).metadata_props}[METADATA_KEY]
    )
    info = read_training_set(folder).info
    assert (metadata.plan, metadata.fit, metadata.digest) == (info.plan, info.fit, info.digest)
    assert offline_settings.home / read_report(out).training_set == folder
    assert (metadata.candidate, metadata.target_range, metadata.metrics) == (report.chosen, (0.0, CAP), report.metrics)
    assert report.sha256 == sha256(content)


def test_a_regression_ships_with_intervals_and_a_classification_without(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet()
    report = train(offline_settings, fleet, training_set(fleet, devices=80), tmp_path / "life")
    found = metadata_of((tmp_path / "life" / "model.onnx").read_bytes()).intervals
    assert found is not None and found.source == "nested cross-validation"
    assert found.devices == report.splits["train"].devices + report.splits["validation"].devices
    assert 0.7 < report.metrics["coverage"] <= 1
    assert 0 < report.metrics["width"] < CAP
    chance = pump_fleet(classify=True)
    report = train(offline_settings, chance, training_set(chance), tmp_path / "chance")
    assert metadata_of((tmp_path / "chance" / "model.onnx").read_bytes()).intervals is None
    assert "coverage" not in report.metrics


def test_calibration_devices_calibrate_where_the_fleet_file_keeps_some(
    offline_settings: Settings, training_set: MakeSet, out: Path
) -> None:
    fleet = pump_fleet(split={"train": 0.5, "validation": 0.15, "calibration": 0.2, "test": 0.15})
    report = train(offline_settings, fleet, training_set(fleet, devices=80), out)
    found = metadata_of((out / "model.onnx").read_bytes()).intervals
    assert found is not None
    assert (found.source, found.devices) == ("calibration", report.splits["calibration"].devices)


@pytest.mark.parametrize("classify", [False, True])
def test_the_report_tells_how_sure_each_figure_is_on_test_and_validation_devices(
    offline_settings: Settings, training_set: MakeSet, out: Path, classify: bool
) -> None:
    fleet = pump_fleet({"ridge": {}}, classify)
    report = train(offline_settings, fleet, training_set(fleet), out)
    names = {"pr_auc", "recall_at_1pct_fpr", "brier", "log_loss"} if classify else {"rmse", "mae", "r2", "phm_score"}
    for name in names:
        assert report.metrics[f"{name}_low"] <= report.metrics[name] <= report.metrics[f"{name}_high"]
        assert f"validation_{name}" in report.metrics
    assert report.test is not None and report.validation is not None
    if classify:
        assert sum(b.rows for b in report.test.calibration) == report.splits["test"].rows
    else:
        assert {"rul", "band", "wear"} == {g.by for g in report.test.groups}
    assert report.metrics["parity_max_rel_probes"] <= 1e-5


def test_the_same_data_and_seed_give_the_same_bytes(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet({"boosting": {"trees": 30}, "mlp": {"epochs": 5}, "blend": {}})
    folder = training_set(fleet)
    first, second = (train(offline_settings, fleet, folder, tmp_path / name) for name in ("a", "b"))
    assert first.sha256 == second.sha256


def test_cutting_a_batch_differently_leaves_the_bits_alone(
    offline_settings: Settings, training_set: MakeSet, out: Path
) -> None:
    fleet = pump_fleet({"boosting": {"trees": 30}, "mlp": {"epochs": 5}, "blend": {}})
    folder = training_set(fleet)
    train(offline_settings, fleet, folder, out)
    content, rows = (out / "model.onnx").read_bytes(), read_training_set(folder).rows.features[:500]
    cut = [run_onnx(content, part) for part in np.split(rows, [1, 8, 100, 333])]
    assert np.array_equal(run_onnx(content, rows), np.concatenate(cut))


def test_a_model_that_differs_from_its_export_is_not_shipped(
    offline_settings: Settings, training_set: MakeSet, out: Path
) -> None:
    fleet = pump_fleet({"mlp": {"epochs": 3}}, gates={"parity": 1e-12})
    with pytest.raises(GateFailedError, match=r"worst at device pump-\d+, run 0, order \d+"):
        train(offline_settings, fleet, training_set(fleet), out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (
            {"oak": {}},
            "training.candidates.oak: no such candidate; allowed: ridge, boosting, mlp, trees, forest, aft, cnn, lstm, "
            "gru, transformer, blend, stack",
        ),
        ({"ridge": {"alpha": 1}}, "training.candidates.ridge.alpha: no such key; allowed: l2"),
        ({"ridge": {}, "blend": {}}, "training.candidates.blend.of: found .*at least two of ridge"),
        ({"boosting": {"trees": "many"}}, "training.candidates.boosting.trees: found 'many', allowed: "),
        ({"mlp": {"hidden": 5}}, "training.candidates.mlp.hidden: found 5"),
    ],
)
def test_a_wrong_candidate_is_one_clear_line(
    offline_settings: Settings, training_set: MakeSet, out: Path, candidates: dict[str, dict[str, object]], message: str
) -> None:
    fleet = pump_fleet(candidates)
    with pytest.raises(TrainingRefusedError, match=message):
        train(offline_settings, fleet, training_set(fleet), out)


@pytest.mark.parametrize(
    ("devices", "changes", "message"),
    [
        (8, {}, "8 labelled devices, at least 10 needed"),
        (1, {}, "1 labelled devices, at least 10 needed .* wait for more data"),
        (1, {}, r"[4-7]\d labelled rows, at least 200 needed \(training.minimum.rows\)"),
        (
            40,
            {"split": {"train": 0.7, "validation": 0.12, "calibration": 0.03, "test": 0.15}},
            r"\d calibration devices with labels, at least 10 needed",
        ),
        (40, {"split": {"train": 1, "validation": 0, "test": 0}}, "0 validation devices .* at least 1 needed"),
        (
            40,
            {"split": {"train": 0.15, "validation": 0.45, "test": 0.4}},
            "train devices .* at least 4 needed for training.folds",
        ),
    ],
)
def test_too_little_data_is_refused_with_what_is_missing(
    offline_settings: Settings, training_set: MakeSet, out: Path, devices: int, changes: dict[str, Any], message: str
) -> None:
    fleet = pump_fleet(**changes)
    with pytest.raises(TrainingRefusedError, match=message):
        train(offline_settings, fleet, training_set(fleet, devices), out)


@pytest.mark.parametrize(("events", "devices"), [(50, 1), (0, 0)])
def test_fifty_events_and_none_at_all_are_refused_with_what_is_missing_and_leave_nothing_to_promote(
    offline_settings: Settings, training_set: MakeSet, out: Path, events: int, devices: int
) -> None:
    fleet = pump_fleet()
    folder = training_set(fleet)
    rewrite(folder, first=events)
    with pytest.raises(TrainingRefusedError) as refused:
        train(offline_settings, fleet, folder, out)
    assert f"{devices} labelled devices, at least 10 needed (training.minimum.devices)" in str(refused.value)
    assert f"{events} labelled rows, at least 200 needed (training.minimum.rows)" in str(refused.value)
    assert not out.exists()


def test_labels_that_are_all_alike_are_refused(offline_settings: Settings, training_set: MakeSet, out: Path) -> None:
    fleet = pump_fleet()
    folder = training_set(fleet)
    rewrite(folder, label=np.float32(7))
    with pytest.raises(
        TrainingRefusedError, match=r"all \d+ labels of the training devices are 7; wait for more outcomes"
    ):
        train(offline_settings, fleet, folder, out)


def test_without_a_failure_nothing_is_trained(offline_settings: Settings, training_set: MakeSet, out: Path) -> None:
    fleet = pump_fleet()
    folder = training_set(fleet)
    rewrite(folder, failures=0)
    with pytest.raises(TrainingRefusedError, match=r"0 labelled failures, at least 5 needed .*wait for more data"):
        train(offline_settings, fleet, folder, out)
    assert not out.exists()


def test_a_classification_is_not_judged_by_devices_without_a_failure(
    offline_settings: Settings, training_set: MakeSet, out: Path
) -> None:
    fleet = pump_fleet(classify=True)
    folder = training_set(fleet)
    rewrite(folder, label=np.float32(0), split="test")
    with pytest.raises(
        TrainingRefusedError, match=r"0 of the \d+ rows of test devices lie before a failure, but at least one"
    ):
        train(offline_settings, fleet, folder, out)


def test_a_constant_sensor_beside_another_is_no_obstacle_and_all_constant_ones_are_refused(
    offline_settings: Settings, training_set: MakeSet, out: Path
) -> None:
    fleet = pump_fleet()
    one, both = training_set(fleet), training_set(fleet)
    rewrite(one, constant=("noise",))
    report = train(offline_settings, fleet, one, out)
    assert report.metrics["rmse"] < report.metrics["baseline_rmse"]
    rewrite(both, constant=("heat", "noise"))
    with pytest.raises(
        TrainingRefusedError, match=r"all 2 sensors and derived channels \(heat, noise\) are constant in the \d+ rows"
    ):
        train(offline_settings, fleet, both, out)


def test_a_reading_that_is_never_a_number_is_refused_by_name(
    offline_settings: Settings, training_set: MakeSet, out: Path
) -> None:
    fleet = pump_fleet()
    folder = training_set(fleet)
    rewrite(folder, constant=("noise",), value=np.nan)
    with pytest.raises(TrainingRefusedError, match=r"feature noise.mean_3 is not finite in (\d+) of \1 rows"):
        train(offline_settings, fleet, folder, out)


def test_features_that_are_not_finite_are_refused_by_name(
    offline_settings: Settings, training_set: MakeSet, out: Path
) -> None:
    fleet = pump_fleet()
    folder = training_set(fleet)
    rewrite(folder, nan_feature=1)
    with pytest.raises(TrainingRefusedError, match=r"feature noise.mean_3 is not finite in \d+ of \d+ rows"):
        train(offline_settings, fleet, folder, out)


def test_a_training_set_of_another_plan_is_refused(
    offline_settings: Settings, training_set: MakeSet, out: Path
) -> None:
    folder = training_set(pump_fleet())
    with pytest.raises(TrainingRefusedError, match="run the fleet's prepare step again"):
        train(offline_settings, pump_fleet(features={"windows": [4]}), folder, out)


def test_a_training_set_that_was_changed_is_refused(
    offline_settings: Settings, training_set: MakeSet, out: Path
) -> None:
    fleet = pump_fleet()
    folder = training_set(fleet)
    description = (folder / "training_set.json").read_bytes()
    rewrite(folder, label=np.float32(7))
    (folder / "training_set.json").write_bytes(description)
    with pytest.raises(LakeError, match="the files were changed"):
        train(offline_settings, fleet, folder, out)


def rewrite(
    folder: Path,
    label: np.float32 | None = None,
    nan_feature: int | None = None,
    split: str | None = None,
    constant: tuple[str, ...] = (),
    value: float = 0.0,
    failures: int | None = None,
    first: int | None = None,
) -> None:
    """Change the rows (labels of one split or all, one feature, or all of channels; keep the first) and describe them anew."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from aimaas.training.training_set import read_info, write_description

    info, path = read_info(folder), folder / "rows" / "part-0.parquet"
    table = pq.read_table(path)
    if label is not None:
        changed = np.array([split in (None, s) for s in table["split"].to_pylist()])
        table = table.set_column(4, "label", pa.array(np.where(changed, label, table["label"].to_numpy())))
    if nan_feature is not None:
        features = np.stack(table["features"].to_numpy())
        features[5, nan_feature] = np.nan
        table = table.set_column(5, "features", pa.array(list(features), pa.list_(pa.float32())))
    if constant:
        features = np.stack(table["features"].to_numpy())
        features[:, [name.split(".")[0] in constant for name in info.plan.feature_names]] = value
        table = table.set_column(5, "features", pa.array(list(features), pa.list_(pa.float32())))
    pq.write_table(table.slice(0, first), path)
    known = {name: c.failures if failures is None else failures for name, c in info.splits.items()}
    write_description(folder, (info.fleet, info.fleet_version), info.plan, info.fit, info.gold_version, known)


def test_equal_rows_in_two_folders_give_the_same_bytes_and_the_report_names_the_folder(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet({"ridge": {}})
    first, second = (train(offline_settings, fleet, training_set(fleet), tmp_path / n) for n in ("a", "b"))
    assert first.training_set != second.training_set
    assert first.sha256 == second.sha256
