"""Tables of a model card about the model's inputs: all channels with their importance, and metrics by operating mode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan
from aimaas.training.report import Group
from aimaas.training.rows import Rows
from models.card.tables import Table, named, shown
from models.evaluation.evaluate import metrics_of
from models.evaluation.held_out import regimes_of
from models.evaluation.importance import Importance
from models.weights import at, mean

_FIGURES = {  # of a group of rows, by task: name of the metric and of the column
    False: {"rmse": "RMSE", "mae": "MAE"},
    True: {"log_loss": "log loss", "brier": "Brier score", "pr_auc": "PR-AUC", "recall": "recall at 0.5"},
}


def channel_table(fleet: FleetSpec, plan: FeaturePlan, fit: Fit, rises: Sequence[Importance], error: str) -> Table:
    """Return a table of every channel that the model reads, the most important one first."""
    steady = {
        name for name, scales in zip(plan.channels, zip(*fit.scales, strict=True), strict=True) if not any(scales)
    }
    rows = [
        (
            rise.channel, *_declared(fleet, rise.channel),
            "constant in the training data" if rise.channel in steady else f"{shown(rise.mean)}",
        )
        for rise in rises
    ]  # fmt: skip
    header = ("channel", "meaning", "unit", "range", f"rise of the {named(error)} when shuffled")
    caption = f"All {len(rows)} channels that the model reads. The plot shows the first ones."
    return Table("Channels", header, rows, caption, numbers=False)


def _declared(fleet: FleetSpec, channel: str) -> tuple[str, str, str]:
    """Return the fleet file's entries for a channel: meaning, unit, range."""
    if channel in fleet.derived:
        return f"derived: {fleet.derived[channel]}", "", ""
    reading = {**fleet.settings, **fleet.sensors}.get(channel)
    if reading is None:
        return "rows since the run began", "rows", ""
    kind = "setting: " if channel in fleet.settings else ""
    return f"{kind}{reading.name}", reading.unit, f"{reading.range[0]:g} to {reading.range[1]:g}"


def mode_table(
    fleet: FleetSpec,
    plan: FeaturePlan,
    fit: Fit,
    test: Rows,
    predicted: npt.NDArray[np.float32],
    groups: Sequence[Group],
) -> Table:
    """Return metrics on the test rows (n,) of each operating mode. Modes are the regimes of the normalisation.

    `groups` are the groups of the report, which hold the coverage of the intervals.
    """
    classify = isinstance(fleet.task, FailureWithin)
    mode = regimes_of(plan, fit, test.features) if len(fit.centres) > 1 else np.zeros(len(test), np.int64)
    coverage = {g.name: f"{g.coverage:.1%}" for g in groups if g.by == "regime" and g.coverage is not None}
    rows = []
    for m in np.unique(mode).tolist():
        of = mode == m
        cells = [str(m), _settings(plan, fit, m), shown(int(of.sum())), shown(len(set(test.device_id[of])))]
        rows.append(
            (*cells, *_figures(test, predicted, of, classify), *([] if classify else [coverage.get(str(m), "")]))
        )
    header = ("mode", "its settings", "rows", "devices", *_FIGURES[classify].values())
    header += ("rows that failed in time",) if classify else ("bias", "coverage")
    return Table("Operating modes", header, rows, _caption(plan, fit), numbers=True)


def _figures(test: Rows, predicted: npt.NDArray[np.float32], of: npt.NDArray[np.bool_], classify: bool) -> list[str]:
    truth, said, weights = test.label[of], predicted[of], at(test.sample_weight, of)
    found = metrics_of(truth, said, classify, weights)
    figures = [shown(found[name]) if name in found else "–" for name in _FIGURES[classify]]
    if classify:
        return [*figures, shown(int((truth > 0).sum()))]
    return [*figures, shown(mean(said.astype(np.float64) - truth, weights))]


def _settings(plan: FeaturePlan, fit: Fit, mode: int) -> str:
    names = plan.readings[: plan.settings]
    if not names:
        return "none"
    return (
        ", ".join(f"{name} {round(value, 3):g}" for name, value in zip(names, fit.centres[mode], strict=False)) or "all"
    )


def _caption(plan: FeaturePlan, fit: Fit) -> str:
    if not plan.settings:
        return "The fleet file declares no settings, so all rows are one mode."
    if len(fit.centres) == 1:
        return "The settings do not fall into several clusters, so all rows are one mode."
    return "Modes are clusters of the settings. Their centres name them. Each channel is normalised within its mode."
