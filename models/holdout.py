"""What held-out devices say of a model: metrics with their intervals, errors by band and regime, calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.fit import Fit, Regimes
from aimaas.intervals import Bounds
from aimaas.plan import FeaturePlan
from aimaas.training_report import CalibrationBin, Evaluation, Group
from aimaas.training_rows import Rows
from models.evaluate import Float64, metrics_of
from models.resample import metric_intervals
from models.weights import Weights, at, mean

_BANDS = 5  # of the true remaining life, of equal width
_BINS = 10  # of the predicted probability, of about equally many rows

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """Rows of held-out devices, what a model that has not seen them predicts (n,), and its intervals."""

    rows: Rows
    predicted: Float32
    bounds: Bounds | None = None

    @cached_property
    def weights(self) -> Float64:
        """What each row (n,) counts where each device counts 1, shared by its rows by their weights."""
        _, device, rows = np.unique(self.rows.device_id.astype(str), return_inverse=True, return_counts=True)
        shares: Float64 = self.rows.weight.astype(np.float64) / rows[device]
        return shares


def evaluate(
    answers: Answers, classify: bool, plan: FeaturePlan, fit: Fit, target_range: tuple[float, float], seed: int
) -> Evaluation:
    """Everything that a report says of the answers; groups for a regression, calibration for a classification."""
    truth, predicted = answers.rows.label, answers.predicted
    weights = answers.rows.sample_weight
    metrics = metrics_of(truth, predicted, classify, weights)
    resampled = metric_intervals(truth, predicted, answers.rows.device_id, classify, seed, weights)
    if classify:
        return Evaluation(metrics, resampled, calibration=calibration_bins(truth, predicted, weights))
    groups = list(_groups(answers, plan, fit, target_range))
    return Evaluation({**metrics, **_coverage(answers, np.ones(len(truth), np.bool_))}, resampled, groups)


def calibration_bins(truth: Float32, predicted: Float32, weights: Weights = None) -> list[CalibrationBin]:
    """Rows by their predicted probability, in bins of about equally many; means and shares go by `weights` (n,)."""
    edges = np.unique(np.quantile(predicted, np.arange(1, _BINS) / _BINS))
    bins = np.searchsorted(edges, predicted, "right")
    share = np.ones(len(truth)) if weights is None else weights.astype(np.float64)
    rows = np.bincount(bins, minlength=len(edges) + 1)
    n, p, y = (np.bincount(bins, share * of, len(edges) + 1) for of in (1.0, predicted, truth))
    return [CalibrationBin(int(rows[b]), float(p[b] / n[b]), float(y[b] / n[b])) for b in np.flatnonzero(rows).tolist()]


def _groups(answers: Answers, plan: FeaturePlan, fit: Fit, target_range: tuple[float, float]) -> Iterator[Group]:
    """Bands of the true remaining life, regimes where there are several, and the bands of the intervals."""
    edges = np.linspace(*target_range, _BANDS + 1)
    band = np.clip(np.searchsorted(edges, answers.rows.label, "right") - 1, 0, _BANDS - 1)
    for b in np.unique(band).tolist():
        yield _group(answers, "rul", f"{_plain(edges[b])}_{_plain(edges[b + 1])}", band == b)
    if len(fit.centres) > 1:
        regime = regimes_of(plan, fit, answers.rows.features)
        for r in np.unique(regime).tolist():
            yield _group(answers, "regime", str(r), regime == r)
    if answers.bounds is not None:
        of = answers.bounds.bands(answers.predicted)
        for b in np.unique(of).tolist():
            yield _group(answers, "band", str(b), of == b)


def _plain(number: float) -> str:
    """Four digits, never as a power of ten: the registry takes no `+` in a name."""
    return np.format_float_positional(number, precision=4, fractional=False, trim="-")


def regimes_of(plan: FeaturePlan, fit: Fit, features: Float32) -> npt.NDArray[np.int64]:
    """The regime of each row (n,) by its operating settings, which are among the features (n, F) as they are."""
    columns = [plan.feature_names.index(name) for name in plan.readings[: plan.settings]]
    regimes = Regimes(np.array(fit.centres, np.float32), np.array(fit.weights, np.float32))
    return regimes.assign(features[:, columns])


def _group(answers: Answers, by: str, name: str, of: npt.NDArray[np.bool_]) -> Group:
    error, weights = (
        answers.predicted[of].astype(np.float64) - answers.rows.label[of],
        at(answers.rows.sample_weight, of),
    )
    return Group(
        by, name, int(of.sum()), len(set(answers.rows.device_id[of])),
        float(np.sqrt(mean(error**2, weights))), mean(np.abs(error), weights), mean(error, weights), **_coverage(answers, of),
    )  # fmt: skip


def _coverage(answers: Answers, of: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Share of true values within the intervals, and the intervals' mean width, of these rows."""
    if answers.bounds is None:
        return {}
    lower, upper = answers.bounds.of(answers.predicted[of])
    truth, weights = answers.rows.label[of], answers.weights[of]
    within = (lower <= truth) & (truth <= upper)
    return {
        "coverage": float(np.average(within, weights=weights)),
        "width": float(np.average(upper - lower, weights=weights)),
    }
