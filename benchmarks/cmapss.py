"""RMSE at the last row of each C-MAPSS test engine, by the protocol of the published tables; the last line is JSON.

Features, cross-validation, choice, training and export are the product's own, with the settings of `fleets/turbofan.yaml`.
Candidates are cross-validated by engine on `train_*`, the best one on the validation engines is trained again on all engines,
and its ONNX file predicts `test_*`. Nothing is chosen by `test_*` or `RUL_*`; the truth is capped at 125.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from aimaas.fleet import FleetSpec, Split, load_fleet
from aimaas.training.training_set import TrainingSet, read_training_set
from model_bench.cmapss_data import freeze, judged_rows, training_engines
from model_bench.shipping import exported
from models.evaluation.evaluate import phm_score, rmse
from models.export.export import run_onnx
from models.families.candidates import candidates_of, family_names
from models.samples import Samples
from models.selection.select import cross_validate, fit_chosen, grouped_folds
from models.selection.trial_data import TrialData
from models.task import target_range
from stream_bench.figures import json_line, say

_FLEET = Path(__file__).resolve().parents[1] / "fleets" / "turbofan.yaml"
_SPLIT = Split(train=0.85, validation=0.15, calibration=0, test=0)  # the test engines are in files of their own


def main() -> None:
    """Train with each seed, print the figures."""
    given = _arguments()
    started = time.perf_counter()
    fleet = _fleet(given.families)
    seeds = [fleet.training.seed + i for i in range(given.seeds)]
    found = [_measured(_seeded(fleet, seed), given.data, given.subset) for seed in seeds]
    mean = {key: float(np.mean([f[key] for f in found])) for key in ("rmse", "cv_rmse", "phm_score")}
    figures: dict[str, Any] = {key: round(value, 3) for key, value in mean.items()}
    figures["rmse_by_seed"] = [round(f["rmse"], 3) for f in found]
    figures |= {"seconds": round(time.perf_counter() - started, 1), "subset": given.subset, "families": given.families}
    json_line("cmapss", figures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train_*, test_* and RUL_*")
    parser.add_argument("--subset", default="FD001")
    parser.add_argument(
        "--families", choices=("default", "all"), default="default", help="those of the fleet file, or all"
    )
    parser.add_argument(
        "--seeds", type=int, default=1, help="trainings, each with a seed of its own; figures are their means"
    )
    return parser.parse_args()


def _fleet(families: str) -> FleetSpec:
    """Return the turbofan fleet with all engines of the training file for training, and its own or all candidates."""
    fleet = load_fleet(_FLEET)
    if families == "all":
        candidates = {**{name: fleet.training.candidates.get(name, {}) for name in family_names()}, "blend": {}}
        fleet = fleet.model_copy(update={"training": fleet.training.model_copy(update={"candidates": candidates})})
    return fleet.model_copy(update={"split": _SPLIT})


def _seeded(fleet: FleetSpec, seed: int) -> FleetSpec:
    return fleet.model_copy(update={"training": fleet.training.model_copy(update={"seed": seed})})


def _measured(fleet: FleetSpec, data: Path, subset: str) -> dict[str, float]:
    """Return the figures of one training."""
    with tempfile.TemporaryDirectory() as folder:
        frozen = read_training_set(freeze(fleet, training_engines(fleet, data, subset), Path(folder) / "training_set"))
    content, cv_rmse = _trained(fleet, frozen)
    judged = judged_rows(fleet, frozen.info.fit, data, subset)
    truth, predicted = judged.truth[judged.last], run_onnx(content, judged.features[judged.last])
    found = {"rmse": rmse(truth, predicted), "cv_rmse": cv_rmse, "phm_score": phm_score(truth, predicted)}
    say(f"  seed {fleet.training.seed}: " + ", ".join(f"{key} {value:.3f}" for key, value in found.items()))
    return found


def _trained(fleet: FleetSpec, frozen: TrainingSet) -> tuple[bytes, float]:
    """Return the exported model, and the error of its candidate in the grouped cross-validation."""
    training, validation = (Samples.of(frozen.rows.of(name)) for name in ("train", "validation"))
    whole = Samples.of(frozen.rows)
    candidates, seed = candidates_of(fleet), fleet.training.seed
    folds = grouped_folds(training, fleet.training.folds, seed, False)
    tried = cross_validate(candidates, TrialData(training, validation, folds, target_range(fleet), seed), False)
    reports = [t.report for t in tried]
    for r in reports:
        say(f"  {r.name}: cross-validated {r.cross_validated:.3f}, validation {r.validation:.3f}, {r.seconds:.0f} s")
    chosen = min(reports, key=lambda r: r.validation)
    estimator = fit_chosen(candidates, chosen.name, whole, seed, chosen.weights)
    return exported(fleet, estimator, whole), chosen.cross_validated


if __name__ == "__main__":
    main()
