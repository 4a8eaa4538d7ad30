"""Training: a frozen training set in, a checked ONNX file and its report out.

Candidates are cross-validated by device on the training devices, the best on the validation devices is chosen, and is fitted
again on training and validation devices together: with few devices each one counts, and the test devices, which nothing has seen,
say what came of it.
"""

from __future__ import annotations

import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from aimaas.artefact import FILE_NAME, ModelMetadata, sha256
from aimaas.errors import TrainingRefusedError
from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.intervals import Bounds, Intervals
from aimaas.plan import plan_of
from aimaas.settings import Settings
from aimaas.training_report import Evaluation, TrainReport, write_report
from aimaas.training_set import TrainingSet, read_training_set
from models.candidates import Estimator, candidates_of
from models.conformal import calibrate
from models.evaluate import error_name, metrics_of, rmse
from models.export import check_parity, export, parity, place_of, run_onnx, stamp
from models.holdout import Answers, evaluate
from models.probes import probes_of
from models.refusals import check_training_set
from models.samples import Samples
from models.select import Progress, Tried, cross_validate, fit_chosen, grouped_folds


def train(
    settings: Settings,
    fleet: FleetSpec,
    training_set: Path,
    out: Path,
    progress: Progress = lambda what, done, steps: None,
) -> TrainReport:
    """Train the fleet's candidates on the folder `training_set`; write `model.onnx` and `report.json` to the folder `out`.

    `progress` is called with what was done, the steps done and the steps in all. Raises TrainingRefusedError where the data is not
    enough, GateFailedError where the export is not equal to the model, LakeError where the training set is torn.
    """
    started = time.perf_counter()
    frozen = read_training_set(training_set)
    _check_same_plan(fleet, frozen)
    check_training_set(fleet, frozen)
    candidates, classify = candidates_of(fleet), _classify(fleet)
    training, validation = Samples.of(frozen.rows.of("train")), Samples.of(frozen.rows.of("validation"))
    seed = fleet.training.seed
    folds = grouped_folds(training, fleet.training.folds, seed, classify)
    tried = cross_validate(candidates, training, validation, folds, target_range(fleet), seed, classify, progress)
    chosen = min(tried, key=lambda t: t.report.validation)
    estimator = fit_chosen(candidates, chosen.report.name, Samples.of(frozen.rows.of("train", "validation")), seed)
    return _ship(settings, fleet, frozen, estimator, tried, chosen, out, started)


def target_range(fleet: FleetSpec) -> tuple[float, float]:
    """Lowest and highest value that the fleet's target can take."""
    return (0.0, 1.0) if isinstance(fleet.task, FailureWithin) else (0.0, fleet.task.cap)


def _classify(fleet: FleetSpec) -> bool:
    return isinstance(fleet.task, FailureWithin)


def _check_same_plan(fleet: FleetSpec, frozen: TrainingSet) -> None:
    found, wanted = frozen.info.plan.hash, plan_of(fleet).hash
    if frozen.info.fleet != fleet.fleet or found != wanted:
        raise TrainingRefusedError(
            f"{frozen.folder}: made for fleet {frozen.info.fleet!r} with plan {found}, the fleet file of {fleet.fleet!r} "
            f"gives plan {wanted}; run the fleet's prepare step again"
        )


def _ship(
    settings: Settings,
    fleet: FleetSpec,
    frozen: TrainingSet,
    estimator: Estimator,
    tried: list[Tried],
    chosen: Tried,
    out: Path,
    started: float,
) -> TrainReport:
    """Export, check, calibrate, evaluate, stamp and write."""
    info, code = frozen.info, code_version()
    plain = export(estimator, len(info.plan.feature_names), target_range(fleet))
    equal = _checked_parity(fleet, frozen, plain, estimator)
    intervals = None if _classify(fleet) else _intervals(fleet, frozen, plain, chosen)
    test, validation = _evaluations(fleet, frozen, plain, intervals, chosen)
    metrics = _metrics(fleet, frozen, test, validation, equal, chosen)
    where = _place(settings, frozen.folder)
    metadata = ModelMetadata(
        fleet=fleet.fleet, fleet_version=fleet.version, task=fleet.task.kind, unit=fleet.task.unit, candidate=chosen.report.name,
        plan=info.plan, fit=info.fit, target_range=target_range(fleet), training_set=where, digest=info.digest,
        seed=fleet.training.seed, code_version=code, metrics=metrics, intervals=intervals,
    )  # fmt: skip
    content = stamp(plain, metadata)
    report = TrainReport(
        fleet=fleet.fleet, fleet_version=fleet.version, chosen=chosen.report.name, error=error_name(_classify(fleet)),
        candidates=[t.report for t in tried], metrics=metrics, splits=info.splits, settings=fleet.training.model_dump(mode="json"),
        seed=fleet.training.seed, training_set=where, digest=info.digest, gold_version=info.gold_version,
        plan=info.plan.hash, fit=info.fit.id, sha256=sha256(content), code_version=code,
        seconds=time.perf_counter() - started, test=test, validation=validation,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE_NAME).write_bytes(content)
    write_report(out, report)
    return report


def _checked_parity(fleet: FleetSpec, frozen: TrainingSet, content: bytes, estimator: Estimator) -> dict[str, float]:
    """The largest differences on the test rows and on the probes. Raises GateFailedError that names the worst row."""
    test, limit, between = frozen.rows.of("test"), fleet.gates.parity, target_range(fleet)
    probes = probes_of(content, fleet, frozen.info.plan, frozen.info.fit, test.features, fleet.training.seed)
    on_rows = parity(content, estimator, test.features, between)
    check_parity(on_rows, limit, place_of(test, on_rows.row))
    on_probes = parity(content, estimator, probes.features, between)
    check_parity(on_probes, limit, probes.names[on_probes.row])
    return {"parity_max_rel": on_rows.max_rel, "parity_max_rel_probes": on_probes.max_rel}


def _intervals(fleet: FleetSpec, frozen: TrainingSet, content: bytes, chosen: Tried) -> Intervals:
    """Intervals from the calibration devices, or from cross-validation where the fleet file keeps none."""
    kept = frozen.rows.of("calibration")
    if len(kept):
        found = run_onnx(content, kept.features)
        return calibrate(found, kept.label, kept.device_id, target_range(fleet), "calibration")
    parts = [frozen.rows.of("train"), frozen.rows.of("validation")]
    return calibrate(
        np.concatenate([chosen.held_out, chosen.validation]),
        np.concatenate([rows.label for rows in parts]),
        np.concatenate([rows.device_id for rows in parts]),
        target_range(fleet),
        "cross-validation",
    )


def _evaluations(
    fleet: FleetSpec, frozen: TrainingSet, content: bytes, intervals: Intervals | None, chosen: Tried
) -> tuple[Evaluation, Evaluation]:
    """The exported file on the test devices, and the fold models, which did not see them, on the validation devices."""
    test, validation, between = frozen.rows.of("test"), frozen.rows.of("validation"), target_range(fleet)
    both = (
        Answers(test, run_onnx(content, test.features), Bounds(intervals, between) if intervals else None),
        Answers(validation, chosen.validation.astype(np.float32)),
    )
    info, seed = frozen.info, fleet.training.seed
    on_test, on_validation = (evaluate(a, _classify(fleet), info.plan, info.fit, between, seed) for a in both)
    return on_test, on_validation


def _metrics(
    fleet: FleetSpec,
    frozen: TrainingSet,
    on_test: Evaluation,
    on_validation: Evaluation,
    equal: dict[str, float],
    chosen: Tried,
) -> dict[str, float]:
    """What the registry shows: all of both evaluations, beside the errors of a model that always says the mean."""
    test, classify = frozen.rows.of("test"), _classify(fleet)
    mean = frozen.rows.of("train", "validation").label.mean(dtype=np.float64)
    baseline = np.full(len(test), mean)
    name = error_name(classify)
    return {
        **on_test.flat(),
        **{f"validation_{what}": value for what, value in on_validation.flat().items()},
        "baseline_rmse": rmse(test.label, baseline),
        f"baseline_{name}": metrics_of(test.label, baseline, classify)[name],
        f"validation_{name}": chosen.report.validation,
        f"cv_{name}": chosen.report.cross_validated,
        **equal,
    }


def _place(settings: Settings, folder: Path) -> str:
    """The folder below the home where it lies there, so that a home can be moved and two homes give the same bytes."""
    folder = folder.absolute()
    return str(folder.relative_to(settings.home)) if folder.is_relative_to(settings.home) else str(folder)


def code_version() -> str:
    """Version of the package, and the git commit where the code is a checkout (`+dirty` where it was changed)."""
    try:
        package = version("aimaas")
    except PackageNotFoundError:
        package = "0"
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+dirty", "--exclude=*"], cwd=Path(__file__).parent,
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return package
    return f"{package} ({found.stdout.strip()})"
