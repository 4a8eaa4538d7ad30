"""Evaluates a model on held-out devices: metrics with their intervals, errors and coverage by part of the rows, calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aimaas.kernel.fit import Fit, Regimes
from aimaas.kernel.plan import FeaturePlan
from aimaas.model.intervals import Bounds
from aimaas.training.report import CalibrationBin, Evaluation, Group
from aimaas.training.rows import Rows
from models.evaluation.coverage import Coverages
from models.evaluation.evaluate import metrics_of
from models.evaluation.resample import metric_intervals
from models.evaluation.wear import SPEEDS
from models.weights import Weights, at, mean

_BANDS = 5  # of the true remaining life, of equal width
_BINS = 10  # of the predicted probability, of about equally many rows

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """Rows of held-out devices, the predictions (n,) of a model that has not seen them, and its intervals.

    `speed` (n,) is the position of each row's life in `wear.SPEEDS`, -1 if unknown; None if it is not needed.
    """

    rows: Rows
    predicted: Float32
    bounds: Bounds | None = None
    speed: npt.NDArray[np.int64] | None = None


def evaluate(
    answers: Answers, classify: bool, plan: FeaturePlan, fit: Fit, target_range: tuple[float, float], seed: int
) -> Evaluation:
    """Return all results of a report about held-out rows; groups for a regression, calibration for a classification."""
    truth, predicted = answers.rows.label, answers.predicted
    weights = answers.rows.sample_weight
    metrics = metrics_of(truth, predicted, classify, weights)
    resampled = metric_intervals(truth, predicted, answers.rows.device_id, classify, seed, weights)
    if classify:
        return Evaluation(metrics, resampled, calibration=calibration_bins(truth, predicted, weights))
    held = _coverages(answers, seed)
    if held is not None:
        metrics["coverage"], metrics["width"], low, high = held.of(np.ones(len(truth), np.bool_))
        if low is not None and high is not None:
            resampled["coverage"] = low, high
    parts = _parts(answers, plan, fit, target_range)
    return Evaluation(metrics, resampled, [_group(answers, by, name, of, held) for by, name, of in parts])


def _coverages(answers: Answers, seed: int) -> Coverages | None:
    if answers.bounds is None:
        return None
    rows = answers.rows
    return Coverages(answers.bounds, answers.predicted, rows.label, rows.device_id, seed, rows.sample_weight)


def calibration_bins(truth: Float32, predicted: Float32, weights: Weights = None) -> list[CalibrationBin]:
    """Return rows by their predicted probability, in bins of about equally many rows; means and shares use `weights` (n,)."""
    edges = np.unique(np.quantile(predicted, np.arange(1, _BINS) / _BINS))
    bins = np.searchsorted(edges, predicted, "right")
    share = np.ones(len(truth)) if weights is None else weights.astype(np.float64)
    rows = np.bincount(bins, minlength=len(edges) + 1)
    n, p, y = (np.bincount(bins, share * of, len(edges) + 1) for of in (1.0, predicted, truth))
    return [CalibrationBin(int(rows[b]), float(p[b] / n[b]), float(y[b] / n[b])) for b in np.flatnonzero(rows).tolist()]


def _parts(
    answers: Answers, plan: FeaturePlan, fit: Fit, target_range: tuple[float, float]
) -> Iterator[tuple[str, str, npt.NDArray[np.bool_]]]:
    """Yield kind, name and rows of each part: bands of the true remaining life, several regimes, bands of the intervals, speeds."""
    edges = np.linspace(*target_range, _BANDS + 1)
    band = np.clip(np.searchsorted(edges, answers.rows.label, "right") - 1, 0, _BANDS - 1)
    for b in np.unique(band).tolist():
        yield "rul", f"{_plain(edges[b])}_{_plain(edges[b + 1])}", band == b
    if len(fit.centres) > 1:
        regime = regimes_of(plan, fit, answers.rows.features)
        for r in np.unique(regime).tolist():
            yield "regime", str(r), regime == r
    if answers.bounds is not None:
        of = answers.bounds.bands(answers.predicted)
        for b in np.unique(of).tolist():
            yield "band", str(b), of == b
    if answers.speed is not None:
        for place in np.unique(answers.speed[answers.speed >= 0]).tolist():
            yield "wear", SPEEDS[place], answers.speed == place


def _plain(number: float) -> str:
    """Return four digits, never as a power of ten: the registry takes no `+` in a name."""
    return np.format_float_positional(number, precision=4, fractional=False, trim="-")


def regimes_of(plan: FeaturePlan, fit: Fit, features: Float32) -> npt.NDArray[np.int64]:
    """Return the regime of each row (n,) by its operating settings, which the features (n, F) contain unchanged."""
    columns = [plan.feature_names.index(name) for name in plan.readings[: plan.settings]]
    regimes = Regimes(np.array(fit.centres, np.float32), np.array(fit.weights, np.float32))
    return regimes.assign(features[:, columns])


def _group(answers: Answers, by: str, name: str, of: npt.NDArray[np.bool_], held: Coverages | None) -> Group:
    error, weights = (
        answers.predicted[of].astype(np.float64) - answers.rows.label[of],
        at(answers.rows.sample_weight, of),
    )
    return Group(
        by, name, int(of.sum()), len(set(answers.rows.device_id[of])),
        float(np.sqrt(mean(error**2, weights))), mean(np.abs(error), weights), mean(error, weights),
        *(held.of(of) if held is not None else ()),
    )  # fmt: skip
