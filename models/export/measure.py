"""The measurements of an exported file before it ships: parity, intervals, evaluation on held-out devices."""

from __future__ import annotations

import numpy as np

from aimaas.errors import GateFailedError
from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.model.intervals import Bounds, Intervals
from aimaas.training.report import Evaluation
from aimaas.training.training_set import TrainingSet
from models.evaluation.conformal import calibrate
from models.evaluation.evaluate import Float64, error_name, error_of, metrics_of, rmse
from models.evaluation.held_out import Answers, evaluate
from models.evaluation.wear import life_lengths, thirds
from models.export.export import check_parity, parity, place_of, run_onnx
from models.export.plain_session import cut_differently
from models.export.probes import probes_of
from models.families.scikit import Estimator
from models.selection.select import Tried
from models.weights import joined, mean

Range = tuple[float, float]  # of the target


def classifies(fleet: FleetSpec) -> bool:
    """Return whether the task is a classification."""
    return isinstance(fleet.task, FailureWithin)


def checked_parity(
    fleet: FleetSpec, frozen: TrainingSet, between: Range, content: bytes, estimator: Estimator
) -> dict[str, float]:
    """Return the largest differences on the test rows and on the probes. Raises GateFailedError that names the worst row."""
    test, limit = frozen.rows.of("test"), fleet.gates.parity
    probes = probes_of(content, fleet, frozen.info.plan, frozen.info.fit, test.features, fleet.training.seed)
    on_rows = parity(content, estimator, test.features, between)
    check_parity(on_rows, limit, place_of(test, on_rows.row))
    on_probes = parity(content, estimator, probes.features, between, probes.reach)
    check_parity(on_probes, limit, probes.names[on_probes.row])
    return {"parity_max_rel": on_rows.max_rel, "parity_max_rel_probes": on_probes.max_rel}


def check_cuts(fleet: FleetSpec, frozen: TrainingSet, content: bytes) -> None:
    """Raise GateFailedError that names a test row or probe whose prediction depends on its batch, or is not finite."""
    test = frozen.rows.of("test")
    probes = probes_of(content, fleet, frozen.info.plan, frozen.info.fit, test.features, fleet.training.seed)
    places = [place_of(test, int(row)) for row in cut_differently(content, test.features)[:1]]
    places += [probes.names[row] for row in cut_differently(content, probes.features)[:1]]
    if places:
        raise GateFailedError(
            f"the prediction of the ONNX file depends on how many rows are scored at once, or is not finite: at {places[0]}; "
            "nothing was shipped"
        )


def intervals_of(frozen: TrainingSet, between: Range, content: bytes, unseen: tuple[Float64, Float64]) -> Intervals:
    """Return intervals from the calibration devices.

    Without calibration devices they come from nested cross-validation on the training rows and on the validation rows `unseen`.
    """
    kept = frozen.rows.of("calibration")
    if len(kept):
        found = run_onnx(content, kept.features)
        return calibrate(found, kept.label, kept.device_id, between, "calibration", kept.sample_weight)
    parts = [frozen.rows.of("train"), frozen.rows.of("validation")]
    return calibrate(
        np.concatenate(unseen),
        np.concatenate([rows.label for rows in parts]),
        np.concatenate([rows.device_id for rows in parts]),
        between,
        "nested cross-validation",
        joined(*(rows.weight for rows in parts)),
    )


def evaluations(
    fleet: FleetSpec, frozen: TrainingSet, between: Range, content: bytes, intervals: Intervals | None, chosen: Tried
) -> tuple[Evaluation, Evaluation]:
    """Evaluate the exported file on the test devices, and the fold models on the validation devices, which they did not see."""
    test, validation = frozen.rows.of("test"), frozen.rows.of("validation")
    speed = None if classifies(fleet) else thirds(test, life_lengths(test, between[1], fleet.order_units_per_step))
    both = (
        Answers(test, run_onnx(content, test.features), Bounds(intervals, between) if intervals else None, speed),
        Answers(validation, chosen.validation.astype(np.float32)),
    )
    info, seed = frozen.info, fleet.training.seed
    on_test, on_validation = (evaluate(a, classifies(fleet), info.plan, info.fit, between, seed) for a in both)
    return on_test, on_validation


def plain_error(fleet: FleetSpec, frozen: TrainingSet, plain: bytes) -> dict[str, float]:
    """Return the error of the plain export on the test devices, to compare with the form that ships."""
    test, classify = frozen.rows.of("test"), classifies(fleet)
    answers = run_onnx(plain, test.features)
    return {f"plain_{error_name(classify)}": error_of(test.label, answers, classify, test.sample_weight)}


def report_metrics(
    fleet: FleetSpec, frozen: TrainingSet, on_test: Evaluation, on_validation: Evaluation, chosen: Tried
) -> dict[str, float]:
    """Return the metrics in the registry: both evaluations, and the errors of a model that always predicts the mean."""
    test, classify = frozen.rows.of("test"), classifies(fleet)
    learned, weights = frozen.rows.of("train", "validation"), test.sample_weight
    baseline = np.full(len(test), mean(learned.label, learned.sample_weight))
    name = error_name(classify)
    return {
        **on_test.flat(),
        **{f"validation_{what}": value for what, value in on_validation.flat().items()},
        "baseline_rmse": rmse(test.label, baseline, weights),
        f"baseline_{name}": metrics_of(test.label, baseline, classify, weights)[name],
        f"validation_{name}": chosen.report.validation,
        f"cv_{name}": chosen.report.cross_validated,
    }
