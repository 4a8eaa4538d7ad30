"""The plots of a model card, each an SVG. They are drawn without pyplot, so matplotlib's global state is not touched."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.weights import Weights, at, mean

if TYPE_CHECKING:
    from aimaas.training.report import Group, LearningCurve
    from models.evaluation.importance import Importance

Vector = npt.NDArray[np.floating]

BLUE, ORANGE, GREY = "#1f5fa8", "#d9601a", "#8a8f98"
_STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "axes.titlesize": 9,
    "axes.grid": True, "grid.color": "#e4e6ea", "axes.axisbelow": True, "legend.frameon": False, "svg.hashsalt": "aimaas",
}  # fmt: skip
_MOST_CHANNELS = 15
_BANDS = 5


@dataclass(frozen=True)
class Plot:
    """A picture of the card: its file is `<name>.svg`; the caption says how to read it."""

    name: str
    title: str
    caption: str
    svg: bytes


def draw(width: float, height: float, paint: Callable[[Any], None]) -> bytes:
    """Return the SVG of a figure of this size in inches that `paint` fills; the same content gives the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure)
        into = io.BytesIO()
        figure.savefig(into, format="svg", dpi=110, metadata={"Date": None})
    return into.getvalue()


def predicted_against_true(truth: Vector, predicted: Vector, unit: str, weights: Weights = None) -> bytes:
    """Plot the density of (weighted) rows over true (x) and predicted (y) values, with the diagonal of a perfect model."""

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        counted = {} if weights is None else {"C": weights, "reduce_C_function": np.sum}
        cells = ax.hexbin(truth, predicted, gridsize=42, bins="log", cmap="Blues", mincnt=1, linewidths=0, **counted)
        cells.set_rasterized(True)
        span = [float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))]
        ax.plot(span, span, color=ORANGE, linewidth=1.2, label="perfect")
        ax.set(xlabel=f"true, {unit}", ylabel=f"predicted, {unit}", aspect="equal")
        ax.legend(loc="upper left")
        figure.colorbar(cells, ax=ax, label="rows", shrink=0.8)

    return draw(5.2, 4.3, paint)


def bands(truth: Vector, cap: float) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Return names and rows of equal bands of the truth below the cap, and of the rows at the cap, without empty bands."""
    edges = np.linspace(0, cap, _BANDS + 1)
    found = [(f"{low:g}–{high:g}", (truth >= low) & (truth < high)) for low, high in pairwise(edges)]
    return [(name, rows) for name, rows in [*found, (f"{cap:g} or more", truth >= cap)] if rows.any()]


def error_by_band(truth: Vector, predicted: Vector, cap: float, unit: str, weights: Weights = None) -> bytes:
    """Plot boxes of predicted minus true by band of the truth; whiskers hold 90 % of the rows."""
    error = predicted.astype(np.float64) - truth
    found = bands(truth, cap)

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        ax.axhline(0, color=ORANGE, linewidth=1.2)
        drawn = {"showfliers": False, "patch_artist": True, "widths": 0.6}
        if weights is None:
            boxes = ax.boxplot([error[rows] for _, rows in found], whis=(5, 95), **drawn)
        else:
            boxes = ax.bxp([_box(error[rows], weights[rows]) for _, rows in found], **drawn)
        for box in boxes["boxes"]:
            box.set(facecolor="#cfe0f3", edgecolor=BLUE)
        for line in boxes["medians"]:
            line.set(color=BLUE, linewidth=1.6)
        rmses = [float(np.sqrt(mean(error[rows] ** 2, at(weights, rows)))) for _, rows in found]
        labels = [f"{name}\nRMSE {r:.3g}\n{rows.sum():,} rows" for (name, rows), r in zip(found, rmses, strict=True)]
        ax.set_xticks(range(1, len(found) + 1), labels, fontsize=8)
        ax.set(xlabel=f"true, {unit}", ylabel=f"predicted minus true, {unit}")
        ax.grid(visible=False, axis="x")

    return draw(6.4, 4.0, paint)


def _box(values: Vector, weights: Vector) -> dict[str, float]:
    """Return the numbers from which matplotlib draws a box, by weighted quantiles."""
    cuts = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95), weights=weights, method="inverted_cdf")
    return dict(zip(("whislo", "q1", "med", "q3", "whishi"), cuts.tolist(), strict=True))


def interval_coverage(groups: Sequence[Group], edges: Sequence[float], promised: float, unit: str) -> bytes:
    """Plot the share of true values inside the intervals beside the promised share.

    Bars are by band of the prediction (between the `edges` of the intervals) and by speed of wear. Error bars hold 95 % of
    resamplings of the devices; widths stand below the names.
    """
    shown = [g for g in groups if g.by in ("band", "wear")]
    share = np.array([g.coverage or 0 for g in shown])
    ends = np.array([[c if e is None else e for e in (g.low, g.high)] for g, c in zip(shown, share, strict=True)])
    names = [band_name(edges, int(g.name)) if g.by == "band" else f"{g.name} wear" for g in shown]
    colours = ["#9dbfe3" if g.by == "band" else "#c9cdd3" for g in shown]

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        off = np.abs(ends.T - share)
        ax.bar(range(len(shown)), share, color=colours, width=0.6, yerr=off, ecolor=BLUE, capsize=2)
        ax.axhline(promised, color=ORANGE, linewidth=1.2, label=f"promised by band, {promised:.0%}")
        below = [f"{name}\nwidth {g.width or 0:.3g}\n{g.devices:,}" for name, g in zip(names, shown, strict=True)]
        ax.set_xticks(range(len(shown)), below, fontsize=7)
        ax.set(
            xlabel=f"band of the prediction or speed of wear, width of the interval ({unit}), devices",
            ylabel="share within",
            ylim=(0, 1.02),
        )
        ax.legend(loc="lower left", frameon=True)
        ax.grid(visible=False, axis="x")

    return draw(7.6, 3.8, paint)


def band_name(edges: Sequence[float], band: int) -> str:
    """Return the name of a band of the intervals: its range of predictions."""
    if not edges:
        return "all"
    if band == 0:
        return f"below {edges[0]:.3g}"
    return f"from {edges[-1]:.3g}" if band == len(edges) else f"{edges[band - 1]:.3g} to {edges[band]:.3g}"


def precision_recall(truth: Vector, predicted: Vector, weights: Weights = None) -> bytes:
    """Plot precision over recall; the line is the share of failures, the precision of random alarms."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, _ = precision_recall_curve(truth > 0, predicted, sample_weight=weights)
    area = average_precision_score(truth > 0, predicted, sample_weight=weights)

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        ax.step(recall, precision, where="post", color=BLUE, linewidth=1.6, label=f"model, area {area:.3f}")
        ax.axhline(mean(truth > 0, weights), color=ORANGE, linestyle="--", label="random alarms")
        alarms = predicted >= 0.5
        if alarms.any():
            right = (truth > 0, alarms), (alarms, truth > 0)
            point = [mean(what[of], at(weights, of)) for of, what in right]
            ax.plot(*point, "o", color=BLUE, markersize=6, label="alarm at 0.5")
        ax.set(
            xlabel="recall: failures found", ylabel="precision: alarms that are right", xlim=(0, 1.02), ylim=(0, 1.04)
        )
        ax.legend(loc="best")

    return draw(5.2, 4.0, paint)


def calibration(truth: Vector, predicted: Vector, weights: Weights = None) -> bytes:
    """Plot the observed share of failures by predicted probability, with 90 % intervals (Wilson), over the counts of rows."""
    place = np.minimum((predicted * 10).astype(np.int64), 9)
    kept = [rows for b in range(10) if (rows := place == b).any()]
    said = np.array([mean(predicted[rows], at(weights, rows)) for rows in kept])
    seen = np.array([mean(truth[rows] > 0, at(weights, rows)) for rows in kept])
    low, high = _wilson(seen, np.array([_effective(rows, weights) for rows in kept]))

    def paint(figure: Any) -> None:
        ax, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        ax.plot([0, 1], [0, 1], color=ORANGE, linewidth=1.2, label="perfect")
        ax.errorbar(said, seen, (seen - low, high - seen), fmt="o", color=BLUE, markersize=4, capsize=2, label="model")
        ax.set(ylabel="share that failed", ylim=(-0.03, 1.03))
        ax.legend(loc="upper left")
        below.hist(predicted, bins=np.linspace(0, 1, 21), color="#9dbfe3", log=True)
        below.set(xlabel="predicted probability", ylabel="rows", xlim=(-0.02, 1.02))

    return draw(5.2, 4.6, paint)


def _effective(rows: npt.NDArray[np.bool_], weights: Weights) -> float:
    """Return the number of rows of weight 1 with the same information (Kish 1965)."""
    if weights is None:
        return float(rows.sum())
    return float(weights[rows].sum() ** 2 / (weights[rows] ** 2).sum())


def _wilson(share: Vector, n: Vector, z: float = 1.645) -> tuple[Vector, Vector]:
    """Return Wilson's interval of a share of n rows; it contains the share itself except for rounding."""
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.minimum(middle - half, share), np.maximum(middle + half, share)


def importances(found: Sequence[Importance], error: str) -> bytes:
    """Plot bars of the mean rise of the error by channel, with the smallest and largest rise of the shuffles."""
    shown = list(found[:_MOST_CHANNELS])[::-1]
    means = np.array([i.mean for i in shown])
    spread = np.abs([[i.mean - min(i.rises) for i in shown], [max(i.rises) - i.mean for i in shown]])

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        ax.barh([i.channel for i in shown], means, xerr=spread, color="#9dbfe3", ecolor=BLUE, error_kw={"linewidth": 1})
        ax.axvline(0, color=GREY, linewidth=0.8)
        ax.set_xlabel(f"rise of the {error} when the channel is shuffled")
        ax.grid(visible=False, axis="y")

    return draw(5.6, 1.0 + 0.22 * len(shown), paint)


def curves(found: Sequence[LearningCurve]) -> bytes:
    """Plot learning curves: a panel for each kind of step, with the best step marked."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    kinds = list(dict.fromkeys((c.step, c.value) for c in found))

    def paint(figure: Any) -> None:
        for ax, (step, value) in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
            for c in (c for c in found if (c.step, c.value) == (step, value)):
                steps, best = np.arange(1, len(c.values) + 1), int(np.argmin(c.values))
                (line,) = ax.plot(steps, c.values, linewidth=1.4, label=c.name)
                ax.plot(steps[best], c.values[best], "o", color=line.get_color(), markersize=4)
            ax.set(xlabel=step, ylabel=value, yscale="log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
            ax.legend()

    return draw(max(4.2, 3.0 * len(kinds)), 3.3, paint)
