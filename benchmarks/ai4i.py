"""Measures how well failures of the AI4I 2020 data are found, out of fold; the last line is JSON.

The rows are independent operations, so a stratified cross-validation over rows is fair. Reading, derived channels,
normalisation, candidates, choice and export are the product's own, with the settings of `fleets/mill.yaml`. Within each of the
five training parts the candidates are cross-validated, the best one is trained on the whole part, and its ONNX file predicts
the rows left out. The columns of the failure modes, which leak the label, are not read.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kernel.plan import plan_of
from model_bench.fitting import features_of, fit_of
from model_bench.shipping import exported
from models.export.export import run_onnx
from models.families.candidates import candidates_of
from models.samples import Samples
from models.selection.select import cross_validate, fit_chosen, grouped_folds
from models.selection.trial_data import TrialData
from models.task import target_range
from stream.devices.histories import Histories, truth
from stream.replay.replay import read_file
from stream_bench.figures import json_line, say

_FLEETS = Path(__file__).resolve().parents[1] / "fleets"
_FOLDS = 5


@dataclass(frozen=True)
class Figures:
    """`pr_auc` is the average precision. `recall_at_1pct_fpr` is the share of failures found at one false alarm in a hundred."""

    pr_auc: float
    recall_at_1pct_fpr: float


def main() -> None:
    """Cross-validate, print the figures."""
    given = _arguments()
    started = time.perf_counter()
    fleet = load_fleet(_FLEETS / "mill.yaml")
    histories = read_file(fleet, given.data, _FLEETS / "mappings" / "ai4i2020.yaml")
    labels = truth(histories, fleet)
    cuts = [
        out_of_fold(fleet, histories, labels.astype(np.float32), fleet.training.seed + i) for i in range(given.cuts)
    ]
    found = [figures_of(labels, predicted) for predicted in cuts]
    by_cut = {name: [round(getattr(f, name), 4) for f in found] for name in ("pr_auc", "recall_at_1pct_fpr")}
    means = {name: round(float(np.mean(values)), 4) for name, values in by_cut.items()}
    figures = {**means, **{f"{name}_by_cut": values for name, values in by_cut.items()}}
    seconds = round(time.perf_counter() - started, 1)
    json_line("ai4i", {**figures, "rows": len(labels), "failures": int(labels.sum()), "seconds": seconds})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="ai4i2020.csv")
    parser.add_argument(
        "--cuts", type=int, default=1, help="cross-validate so often, each time cut otherwise; the means are told"
    )
    return parser.parse_args()


def out_of_fold(
    fleet: FleetSpec, histories: Histories, labels: npt.NDArray[np.float32], seed: int
) -> npt.NDArray[np.float32]:
    """Return each row's probability (n,) by the exported model of the four parts without the row; `seed` decides the parts."""
    from sklearn.model_selection import StratifiedKFold

    predicted = np.full(len(labels), np.nan, np.float32)
    cuts = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(labels[:, None], labels)
    for i, (learned, held_out) in enumerate(cuts, 1):
        fit = fit_of(plan_of(fleet), histories.values[learned], fleet.training.seed)
        features = features_of(fleet, fit, histories)
        names = np.array(histories.devices)[histories.device]
        samples = Samples(features, labels, names)
        content, chosen = _trained(fleet, samples.at(learned))
        predicted[held_out] = run_onnx(content, features[held_out])
        part = figures_of(labels[held_out], predicted[held_out])
        say(f"  cut {seed}, part {i}: {chosen}, PR-AUC {part.pr_auc:.3f}, recall at 1 % {part.recall_at_1pct_fpr:.3f}")
    return predicted


def _trained(fleet: FleetSpec, samples: Samples) -> tuple[bytes, str]:
    """Return the exported model of the best candidate, and its name."""
    candidates, seed = candidates_of(fleet), fleet.training.seed
    folds = grouped_folds(samples, fleet.training.folds, seed, True)
    tried = cross_validate(candidates, TrialData(samples, samples, folds, target_range(fleet), seed), True)
    chosen = min((t.report for t in tried), key=lambda r: r.cross_validated).name
    estimator = fit_chosen(candidates, chosen, samples, seed)
    return exported(fleet, estimator, samples), chosen


def figures_of(labels: npt.NDArray[np.floating], predicted: npt.NDArray[np.float32]) -> Figures:
    """Return the figures of probabilities (n,) against labels (n,) of 0 and 1."""
    from sklearn.metrics import average_precision_score, roc_curve

    false_alarms, found, _ = roc_curve(labels, predicted, drop_intermediate=False)
    recall = float(found[false_alarms <= 0.01].max())
    return Figures(float(average_precision_score(labels, predicted)), recall)


if __name__ == "__main__":
    main()
