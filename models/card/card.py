"""The model card: what a person should know about a version before it serves. HTML (one file), and Markdown with SVG files.

All figures come from the ONNX file that ships. Plots and importance use the test devices, which the model has never seen. The
shipped model learned from the validation devices too, so they would make it look better than it is.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.kernel.plan import channels_of
from aimaas.model.artefact import ModelMetadata
from aimaas.model.intervals import Bounds, Intervals
from aimaas.registry.card_version import UNREGISTERED
from aimaas.registry.mlflow_store import CARD_FOLDER, CARD_NAME
from aimaas.training.report import TrainReport
from aimaas.training.rows import Rows
from aimaas.training.training_set import TrainingSet
from models.card.channels import channel_table, mode_table
from models.card.histories import histories, shown_runs
from models.card.learning_curves import learning_curves
from models.card.plots import (
    Plot,
    calibration,
    curves,
    error_by_band,
    importances,
    interval_coverage,
    precision_recall,
    predicted_against_true,
)
from models.card.tables import Table, moment, named, period, shown, tables_of
from models.evaluation.evaluate import error_of
from models.evaluation.importance import permutation_importance
from models.export.plain_session import microseconds_per_row, open_session, run_session
from models.families.scikit import Estimator
from models.promotion.promote import metadata_of
from models.samples import Samples

BATCHES = (1, 1_000)
_TEMPLATES = Path(__file__).parent / "templates"
_MARKDOWN = "model_card.md"
_HEADLINES = {
    False: {"rmse": "RMSE", "mae": "MAE", "r2": "R²", "coverage": "coverage of the interval"},
    True: {"pr_auc": "PR-AUC", "recall": "recall at 0.5", "brier": "Brier score", "log_loss": "log loss"},
}


@dataclass(frozen=True)
class Card:
    """The content of the templates; `headline` are (label, value, remark)."""

    fleet: FleetSpec
    report: TrainReport
    headline: list[tuple[str, str, str]]
    tables: list[Table]
    plots: list[Plot]

    @property
    def trained(self) -> str:
        """The end of the training."""
        return moment(self.report.trained_at)

    @property
    def period(self) -> str:
        """From the first event of the data to the last one."""
        return period(self.report)

    @property
    def unregistered(self) -> str:
        """The text in place of the registry version until there is one."""
        return UNREGISTERED

    def is_wide(self, plot: Plot) -> bool:
        """Return whether a picture takes the whole width: the devices' does, and so does a last picture without a neighbour."""
        single = [p for p in self.plots if p.name != "histories"]
        return plot not in single or (len(single) % 2 == 1 and plot is single[-1])


def write_card(
    trained: Path, fleet: FleetSpec, frozen: TrainingSet, estimator: Estimator, content: bytes, report: TrainReport
) -> Path:
    """Write the card of the ONNX file `content` below the folder `trained`; return the path of its page.

    `estimator` is the exported model: it knows its learning curves.
    """
    card = make_card(fleet, frozen, estimator, content, report)
    folder = trained / CARD_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for plot in card.plots:
        (folder / f"{plot.name}.svg").write_bytes(plot.svg)
    for name in (CARD_NAME, _MARKDOWN):
        (folder / name).write_text(_rendered(f"{name}.jinja", card), encoding="utf-8")
    return folder / CARD_NAME


def make_card(fleet: FleetSpec, frozen: TrainingSet, estimator: Estimator, content: bytes, report: TrainReport) -> Card:
    """Measure, draw and collect the content of the card."""
    classify, test, session = isinstance(fleet.task, FailureWithin), frozen.rows.of("test"), open_session(content)
    speed = {batch: microseconds_per_row(session, test.features, batch) for batch in BATCHES}
    predicted, metadata = run_session(session, test.features), metadata_of(content)
    rises = permutation_importance(
        partial(run_session, session), partial(error_of, classify=classify), test.features, test.label,
        channels_of(frozen.info.plan.feature_names), report.seed, test.sample_weight,
    )  # fmt: skip
    plots = _classification(test, predicted) if classify else _regression(fleet, test, predicted)
    if metadata.intervals is not None:
        plots += _coverage(fleet, report, metadata.intervals)
    plots.append(Plot(
        "importance", "Importance of the channels",
        "All features of a channel are shuffled together among rows of the test devices. Each bar shows the rise of the error. "
        "A channel that other channels can replace has a small bar.",
        importances(rises, named(report.error)),
    ))  # fmt: skip
    plots += _histories(fleet, test, predicted, metadata)
    if found := learning_curves(report.chosen, estimator, Samples.of(test), classify):
        caption = "Each point is the model after one step. The dot marks the best step. A network keeps its best step."
        plots.append(Plot("learning_curves", "Learning curves", caption, curves(found)))
    of = fleet, frozen.info.plan, frozen.info.fit
    groups = report.test.groups if report.test else []
    read = [mode_table(*of, test, predicted, groups), channel_table(*of, rises, report.error)]
    edges = metadata.intervals.edges if metadata.intervals else ()
    tables = tables_of(fleet, report, len(content), speed, read, edges)
    return Card(fleet, report, _headline(report, classify), tables, plots)


def _headline(report: TrainReport, classify: bool) -> list[tuple[str, str, str]]:
    found = []
    for name, label in _HEADLINES[classify].items():
        if name in report.metrics:
            baseline = report.metrics.get(f"baseline_{name}")
            remark = "" if baseline is None else f"always predicting the mean: {shown(baseline)}"
            found.append((label, shown(report.metrics[name]), remark))
    return found


def _regression(fleet: FleetSpec, test: Rows, predicted: npt.NDArray[np.float32]) -> list[Plot]:
    unit, cap = fleet.task.unit, float(getattr(fleet.task, "cap", test.label.max()))
    return [
        Plot(
            "predicted_against_true", "Predicted against true",
            f"Every labelled row of the test devices. Lives longer than {cap:g} {unit} count as {cap:g}.",
            predicted_against_true(test.label, predicted, unit, test.sample_weight),
        ),
        Plot(
            "error_by_band", "Error by true remaining life",
            "Boxes hold half of a band's rows, whiskers 90 %. Below zero the model predicts too little life, above zero too much.",
            error_by_band(test.label, predicted, cap, unit, test.sample_weight),
        ),
    ]  # fmt: skip


def _classification(test: Rows, predicted: npt.NDArray[np.float32]) -> list[Plot]:
    found = []
    if test.label.any():
        found.append(Plot(
            "precision_recall", "Precision and recall",
            "Each point is a threshold: the share of failures that raise an alarm, and the share of alarms that are right.",
            precision_recall(test.label, predicted, test.sample_weight),
        ))  # fmt: skip
    found.append(Plot(
        "calibration", "Calibration",
        "For each predicted probability, the share of the rows that failed, with 90 % intervals. The lower plot counts the rows.",
        calibration(test.label, predicted, test.sample_weight),
    ))  # fmt: skip
    return found


def _coverage(fleet: FleetSpec, report: TrainReport, intervals: Intervals) -> list[Plot]:
    groups = report.test.groups if report.test else []
    caption = (
        f"Each bar shows the share of the true values inside the intervals, on the test devices. Each device has the same weight "
        f"within a bar. The model promises {intervals.coverage:.0%} in every band of the prediction. It promises nothing by speed "
        f"of wear (thirds of the lives by their length), because the speed is unknown beforehand. Lines hold 95 % of resamplings "
        f"of the devices. The intervals were calibrated on {intervals.devices} devices ({intervals.source})."
    )
    drawn = partial(interval_coverage, groups, intervals.edges, intervals.coverage, fleet.task.unit)
    any_band = any(g.by == "band" for g in groups)
    return [Plot("interval_coverage", "Coverage of the intervals", caption, drawn())] if any_band else []


def _histories(fleet: FleetSpec, test: Rows, predicted: npt.NDArray[np.float32], metadata: ModelMetadata) -> list[Plot]:
    runs = shown_runs(test, predicted)
    label = "probability of failure" if isinstance(fleet.task, FailureWithin) else f"remaining life, {fleet.task.unit}"
    caption = "Runs of test devices, evenly from the best predicted to the worst."
    known = metadata.intervals
    bounds = None if known is None else Bounds(known, metadata.target_range).of(predicted)
    return [Plot("histories", "Some devices", caption, histories(runs, test, predicted, bounds, label))] if runs else []


def _rendered(template: str, card: Card) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=select_autoescape(["html.jinja"]), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["base64"] = lambda content: b64encode(content).decode()
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment.get_template(template).render(card=card)
