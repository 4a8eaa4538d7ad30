"""What a training leaves beside its model: how every candidate did, and where everything came from."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from aimaas.errors import RegistryError
from aimaas.fit import Fit
from aimaas.training_set import CensoringInfo, SplitCounts

FILE_NAME = "report.json"


class LearningCurve(msgspec.Struct, frozen=True):
    """Values of the model `name` after each step (1, 2, …); `step` and `value` say what they are."""

    name: str
    step: str
    value: str
    values: tuple[float, ...]


class CandidateReport(msgspec.Struct, frozen=True):
    """One candidate: its error in each fold, and what one of the fold models errs on the validation devices on average.

    `weights` are those of an ensemble's members where they were learned. `curves` are the first fold's model's; none for an
    ensemble, for a model that is fitted at once, and in reports made before there were any.
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
    """One form that the chosen candidate was tried in: its error on devices that model and form have not seen, the file's size,
    the counted cost and the measured times per row at batch 1 and 1,024 (microseconds), and what came of it.
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
    speed of `wear`: the third of the lives that were the shortest (`fast`), the middle one or the longest (`slow`).

    `bias` is the mean of predicted less true. `coverage` is the share of true values within the intervals and `width` the
    intervals' mean width, each device of the part weighing alike; 95 % of resamplings of the devices give a coverage between
    `low` and `high`. All four are None where the model has no intervals, the last two also in older reports.
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
    """Rows of about one predicted probability: its mean, and the share of them that failed."""

    rows: int
    predicted: float
    observed: float


class Evaluation(msgspec.Struct, frozen=True):
    """What held-out devices say of a model: metrics, for each the interval that 95 % of resampled devices give, and parts.

    `groups` are those of a regression, `calibration` is that of a classification.
    """

    metrics: dict[str, float]
    resampled: dict[str, tuple[float, float]]
    groups: list[Group] = []
    calibration: list[CalibrationBin] = []

    def flat(self) -> dict[str, float]:
        """All of it by name: `rmse`, `rmse_low`, `rmse_high`, `rmse_rul_0_25`, `coverage_band_1_low` and so on."""
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
    """How the operating settings are taken out: by regimes, with `lines` on the settings within them or without.

    `explained` is the share of the channels' variance that this took out; None where nothing was taken out.
    """

    regimes: int
    lines: bool
    explained: float | None

    @classmethod
    def of(cls, fit: Fit) -> Normalisation:
        """That of a fit."""
        return cls(len(fit.centres), bool(fit.slopes), fit.explained)


class TrainReport(msgspec.Struct, frozen=True):
    """A training: `error` names what candidates were compared by; `metrics` are the shipped file's on the test devices.

    `test` is what they are made of. `validation` is what one of the fold models, which did not see the validation devices, does
    there for each of them, with its metrics under `validation_…` in `metrics`. Both are None in reports made before there were
    any. `form` is that of the shipped file, chosen among `forms`. `censoring` is what the training set says of it; candidates
    without weights of rows were fitted to rows `resampled` by weight. `trained_at` (UTC) is when the training ended, `period`
    is that of the set's events; both are None in older reports. Neither is in the model's file: the same data, code and seed
    give the same bytes. `normalisation` is None in older reports.
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
    """Read it back. Raises RegistryError where the folder holds no finished training."""
    try:
        return msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=TrainReport)
    except (OSError, msgspec.DecodeError) as e:
        raise RegistryError(
            f"{folder}: no finished training ({FILE_NAME}: {e}); run the fleet's training again"
        ) from None
