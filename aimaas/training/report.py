"""The report of a training: the errors of every candidate, and the sources of the model."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from aimaas.errors import RegistryError
from aimaas.kernel.fit import Fit
from aimaas.training.training_set import CensoringInfo, SplitCounts

FILE_NAME = "report.json"


class LearningCurve(msgspec.Struct, frozen=True):
    """Values of the model `name` after each step (1, 2, …); `step` and `value` name them."""

    name: str
    step: str
    value: str
    values: tuple[float, ...]


class CandidateReport(msgspec.Struct, frozen=True):
    """One candidate: its error in each fold, and the mean error of one of its fold models on the validation devices.

    `weights` are the learned weights of an ensemble's members. `curves` belong to the first fold's model; none for an ensemble, for
    a model that is trained in one step, and in reports from before there were curves.
    """

    name: str
    folds: list[float]
    validation: float
    seconds: float
    weights: dict[str, float] = {}
    curves: list[LearningCurve] = []

    @property
    def cross_validated(self) -> float:
        """Mean error over the folds."""
        return sum(self.folds) / len(self.folds)


class FormReport(msgspec.Struct, frozen=True):
    """One form of the chosen candidate: its error on devices that model and form have not seen, the file's size, the counted cost
    and the measured times per row at batch 1 and 1,024 (microseconds), and the verdict.
    """

    name: str
    error: float | None
    bytes: int
    cost_us: float | None
    us_1: float | None
    us_1024: float | None
    verdict: str


class Group(msgspec.Struct, frozen=True):
    """Errors of a part of the rows: a band of the true remaining life (`by` rul), of the prediction (`band`), a `regime`, or a
    speed of `wear`: the third of the lives with the shortest (`fast`), the middle or the longest (`slow`) lives.

    `bias` is the mean of predicted minus true. `coverage` is the share of true values inside the intervals and `width` the
    intervals' mean width, where each device of the part has the same weight. The coverage lies between `low` and `high` in 95 % of
    resamplings of the devices. All four are None if the model has no intervals, the last two also in older reports.
    """

    by: str
    name: str
    rows: int
    devices: int
    rmse: float
    mae: float
    bias: float
    coverage: float | None = None
    width: float | None = None
    low: float | None = None
    high: float | None = None


class CalibrationBin(msgspec.Struct, frozen=True):
    """Rows with similar predicted probabilities: the mean probability, and the share of them that failed."""

    rows: int
    predicted: float
    observed: float


class Evaluation(msgspec.Struct, frozen=True):
    """Results on held-out devices: metrics, the interval of each metric in 95 % of resamplings of the devices, and parts.

    `groups` are for a regression, `calibration` is for a classification.
    """

    metrics: dict[str, float]
    resampled: dict[str, tuple[float, float]]
    groups: list[Group] = []
    calibration: list[CalibrationBin] = []

    def flat(self) -> dict[str, float]:
        """All metrics by name: `rmse`, `rmse_low`, `rmse_high`, `rmse_rul_0_25`, `coverage_band_1_low` and so on."""
        ends = {
            f"{name}_{end}": v
            for name, pair in self.resampled.items()
            for end, v in zip(("low", "high"), pair, strict=True)
        }
        parts = {
            f"{what}_{g.by}_{g.name}": value
            for g in self.groups
            for what in ("rmse", "mae", "bias", "coverage", "width")
            if (value := getattr(g, what)) is not None
        }
        parts |= {
            f"coverage_{g.by}_{g.name}_{end}": value
            for g in self.groups
            for end, value in (("low", g.low), ("high", g.high))
            if value is not None
        }
        return {**self.metrics, **ends, **parts}


class Normalisation(msgspec.Struct, frozen=True):
    """How the effect of the operating settings is removed: by regimes, with or without `lines` on the settings within them.

    `explained` is the share of the channels' variance that was removed; None if nothing was removed.
    """

    regimes: int
    lines: bool
    explained: float | None

    @classmethod
    def of(cls, fit: Fit) -> Normalisation:
        """The normalisation of a fit."""
        return cls(len(fit.centres), bool(fit.slopes), fit.explained)


class TrainReport(msgspec.Struct, frozen=True):
    """A training: `error` names the metric by which candidates were compared; `metrics` are the shipped file's on the test devices.

    `test` holds the parts of these metrics. `validation` evaluates, on each validation device, one of the fold models, which have
    not seen it; its metrics are in `metrics` as `validation_…`. Both are None in older reports. `form` is the form of the shipped
    file, chosen among `forms`. `censoring` comes from the training set; candidates that take no weights were trained on rows
    `resampled` by weight. `trained_at` (UTC) is the end of the training, `period` is the period of the set's events; both are None
    in older reports. Neither is in the model's file: the same data, code and seed give the same bytes. `normalisation` is None in
    older reports.
    """

    fleet: str
    fleet_version: int
    chosen: str
    error: str
    candidates: list[CandidateReport]
    metrics: dict[str, float]
    splits: dict[str, SplitCounts]
    settings: dict[str, object]
    seed: int
    training_set: str
    digest: str
    gold_version: int
    plan: str
    fit: str
    sha256: str
    code_version: str
    seconds: float
    test: Evaluation | None = None
    validation: Evaluation | None = None
    form: str = "plain"
    forms: list[FormReport] = []
    censoring: CensoringInfo | None = None
    resampled: list[str] = []
    trained_at: datetime | None = None
    period: tuple[datetime, datetime] | None = None
    normalisation: Normalisation | None = None


def write_report(folder: Path, report: TrainReport) -> None:
    """Write the report; a folder with it is a finished training."""
    (folder / FILE_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))


def read_report(folder: Path) -> TrainReport:
    """Read the report back. Raises RegistryError if the folder holds no finished training."""
    try:
        return msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=TrainReport)
    except (OSError, msgspec.DecodeError) as e:
        raise RegistryError(
            f"{folder}: no finished training ({FILE_NAME}: {e}); run the fleet's training again"
        ) from None
