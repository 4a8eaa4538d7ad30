"""The plot of a few test devices over their lives: predictions beside the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.training.rows import Rows
from models.card.plots import BLUE, ORANGE, draw
from models.evaluation.evaluate import rmse
from models.weights import unless_alike

Vector = npt.NDArray[np.floating]

_SHOWN = 6
_LEAST_ROWS = 5  # of a run that is worth a plot


def shown_runs(test: Rows, predicted: Vector) -> list[tuple[str, npt.NDArray[np.int64], float]]:
    """Return name, rows and RMSE of up to six runs, evenly from the best predicted to the worst; [] if all runs are too short."""
    keys = [f"{d}, run {r}" if r else str(d) for d, r in zip(test.device_id, test.run, strict=True)]
    names, of = np.unique(np.array(keys, str), return_inverse=True)
    rows = np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of, minlength=len(names)))[:-1])
    runs = [
        (str(n), at, rmse(test.label[at], predicted[at], unless_alike(test.weight[at])))
        for n, at in zip(names, rows, strict=True)
    ]
    ranked = sorted((r for r in runs if len(r[1]) >= _LEAST_ROWS), key=lambda r: (r[2], r[0]))
    chosen = np.unique(np.linspace(0, len(ranked) - 1, min(_SHOWN, len(ranked))).astype(np.int64))
    return [ranked[i] for i in chosen]


def histories(
    runs: list[tuple[str, npt.NDArray[np.int64], float]],
    test: Rows,
    predicted: Vector,
    bounds: tuple[Vector, Vector] | None,
    label: str,
) -> bytes:
    """Plot true and predicted values of each run over its rows, between their `bounds`; `label` names the value."""
    columns = min(3, len(runs))
    lines = -(-len(runs) // columns)

    def paint(figure: Any) -> None:
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for ax in grid.flat[len(runs) :]:
            ax.set_visible(False)
        for ax, (name, at, error) in zip(grid.flat, runs, strict=False):
            x = np.arange(1, len(at) + 1)
            if bounds is not None:
                ax.fill_between(x, bounds[0][at], bounds[1][at], color=BLUE, alpha=0.16, linewidth=0, label="interval")
            ax.plot(x, test.label[at], color=ORANGE, linewidth=1.4, label="true")
            ax.plot(x, predicted[at], color=BLUE, linewidth=1.2, label="predicted")
            ax.set_title(f"{name} · RMSE {error:.3g}")
        grid[0][0].legend(loc="best")
        figure.supxlabel("labelled row of the run", fontsize=9)
        figure.supylabel(label, fontsize=9)

    return draw(3.0 * columns + 0.6, 2.3 * lines + 0.4, paint)
