"""Training: reads a frozen training set, writes a checked ONNX file and its report.

Candidates are cross-validated by device on the training devices. The best one on the validation devices is chosen, and trained
again on training and validation devices together, because with few devices each one counts. The test devices, which no training has
seen, evaluate the result.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.fleet.candidate_families import SEQUENCE_FAMILIES
from aimaas.model.artefact import FILE_NAME, ModelMetadata, sha256
from aimaas.release import release
from aimaas.settings import Settings
from aimaas.stored_files import Place, made_at
from aimaas.training.folders import name_of
from aimaas.training.report import Normalisation, TrainReport, write_report
from aimaas.training.training_set import TrainingSet, read_training_set
from models.card.card import write_card
from models.card.learning_curves import with_curves
from models.compression.choose import compress
from models.evaluation.evaluate import error_name
from models.export.export import export, stamp
from models.export.measure import (
    check_cuts,
    checked_parity,
    classifies,
    evaluations,
    intervals_of,
    plain_error,
    report_metrics,
)
from models.families.candidates import candidates_of
from models.families.scikit import Estimator
from models.families.shards import place_of_shards
from models.families.vector_only import without_window
from models.samples import Samples
from models.search.before_training import searched
from models.selection.refusals import check_training_set
from models.selection.select import Progress, Tried, cross_validate, fit_chosen, grouped_folds
from models.selection.trial_data import TrialData
from models.task import target_range
from models.training.nested import Contest, nested


def train(
    settings: Settings,
    fleet: FleetSpec,
    training_set: Place,
    out: Place,
    progress: Progress = lambda what, done, steps: None,
) -> TrainReport:
    """Train the fleet's candidates on the folder `training_set`; write model, model card and report to the folder `out`.

    Both are paths or URIs.

    `progress` is called with a description, the steps done and the number of steps. Raises TrainingRefusedError if there is not
    enough data, GateFailedError if the export does not equal the model, LakeError if the training set is torn.
    """
    started = time.perf_counter()
    frozen = read_training_set(training_set)
    check_training_set(fleet, frozen)
    fleet, of_folds = searched(settings, fleet, training_set)
    candidates, *of_fold = (candidates_of(f, place_of_shards(settings)) for f in (fleet, *of_folds))
    classify = classifies(fleet)
    training, validation = Samples.of(frozen.all_rows.of("train")), Samples.of(frozen.rows.of("validation"))
    seed = fleet.training.seed
    folds = grouped_folds(training, fleet.training.folds, seed, classify)
    data = TrialData(training, validation, folds, target_range(fleet), seed)
    tried = with_curves(candidates, cross_validate(candidates, data, classify, progress), validation, classify)
    differ = not classify and any(f.training != fleet.training for f in of_folds)
    unsearched = cross_validate(candidates, data, classify, progress, of_fold) if differ else tried
    chosen = _best(tried).report
    learned = Samples.of(frozen.all_rows.of("train", "validation"))
    estimator = fit_chosen(candidates, chosen.name, learned, seed, chosen.weights)
    contest = Contest(tried, unsearched)
    with made_at(out) as folder:
        return _ship(settings, fleet, frozen, estimator, contest, data, folder, started)


def _ship(
    settings: Settings,
    fleet: FleetSpec,
    frozen: TrainingSet,
    estimator: Estimator,
    contest: Contest,
    trial_data: TrialData,
    out: Path,
    started: float,
) -> TrainReport:
    """Export, check, compress, calibrate, evaluate, stamp and write. A model that does not read the window gets none."""
    estimator, chosen, trial_data, frozen = _without_window(estimator, _best(contest.tried), trial_data, frozen)
    info, code, between = frozen.info, code_version(), target_range(fleet)
    plain = export(estimator, len(info.plan.feature_names), between)
    equal = checked_parity(fleet, frozen, between, plain, estimator)
    learned = Samples.of(frozen.rows.of("train", "validation"))
    shipped = compress(trial_data, chosen, estimator, learned, fleet.gates.accuracy_allowance)
    check_cuts(fleet, frozen, shipped.content)
    intervals = (
        None
        if classifies(fleet)
        else intervals_of(frozen, between, shipped.content, nested(contest, shipped, trial_data))
    )
    test, validation = evaluations(fleet, frozen, between, shipped.content, intervals, chosen)
    metrics = {**report_metrics(fleet, frozen, test, validation, chosen), **equal, **plain_error(fleet, frozen, plain)}
    metadata = ModelMetadata(
        fleet=fleet.fleet, fleet_version=fleet.version, task=fleet.task.kind, unit=fleet.prediction_unit,
        candidate=chosen.report.name,
        plan=info.plan, fit=info.fit, target_range=between, training_set="", digest=info.digest,
        seed=fleet.training.seed, code_version=code, metrics=metrics, intervals=intervals,
        typical=tuple(np.median(learned.features, axis=0).tolist()),
        form=shipped.form, forms=shipped.counted, horizon=_horizon(fleet),
    )  # fmt: skip
    content = stamp(shipped.content, metadata)
    report = TrainReport(
        fleet=fleet.fleet, fleet_version=fleet.version, chosen=chosen.report.name, error=error_name(classifies(fleet)),
        candidates=[t.report for t in contest.tried], metrics=metrics, splits=info.splits,
        settings=fleet.training.model_dump(mode="json"),
        seed=fleet.training.seed, training_set=name_of(settings, frozen.folder), digest=info.digest, gold_version=info.gold_version,
        plan=info.plan.hash, fit=info.fit.id, sha256=sha256(content), code_version=code,
        seconds=time.perf_counter() - started, test=test, validation=validation, form=shipped.form, forms=shipped.forms,
        censoring=info.censoring, resampled=_resampled(fleet, frozen), trained_at=datetime.now(UTC), period=info.period,
        normalisation=Normalisation.of(info.fit),
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE_NAME).write_bytes(content)
    write_card(out, fleet, frozen, estimator, content, report)
    write_report(out, report)
    return report


def _horizon(fleet: FleetSpec) -> tuple[float, str] | None:
    """Return the horizon of a failure prediction; None for a remaining life."""
    task = fleet.task
    return (task.horizon, task.unit) if isinstance(task, FailureWithin) else None


def _resampled(fleet: FleetSpec, frozen: TrainingSet) -> list[str]:
    """Return the candidates that cannot use the weights of rows, if rows have weights."""
    weighted = frozen.rows.sample_weight is not None
    return [name for name in fleet.training.candidates if weighted and name in SEQUENCE_FAMILIES]


def _best(tried: list[Tried]) -> Tried:
    return min(tried, key=lambda t: t.report.validation)


def _without_window(
    estimator: Estimator, chosen: Tried, trial_data: TrialData, frozen: TrainingSet
) -> tuple[Estimator, Tried, TrialData, TrainingSet]:
    """Return all four for the feature vector alone, if neither the estimator nor one of its fold models reads the window."""
    simpler = [without_window(one) for one in (estimator, *chosen.estimators)]
    if any(one is None for one in simpler):
        return estimator, chosen, trial_data, frozen
    narrow = frozen.vector_only
    width = len(narrow.info.plan.feature_names)
    trial_data = replace(
        trial_data, training=trial_data.training.first(width), validation=trial_data.validation.first(width)
    )
    return simpler[0], replace(chosen, estimators=tuple(simpler[1:])), trial_data, narrow


def code_version() -> str:
    """Return the package's version, with the git commit in a checkout (`+dirty` if it has changes)."""
    package = release()
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+dirty", "--exclude=*"], cwd=Path(__file__).parent,
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return package
    return f"{package} ({found.stdout.strip()})"
