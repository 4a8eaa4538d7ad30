"""Microseconds per row of the chosen candidate in scikit-learn and as ONNX (exported, optimised, shipped); the last line is JSON.

Candidates, cross-validation, choice, export and compression are the product's own, with the settings of `fleets/turbofan.yaml`.
With `--data` the engines are C-MAPSS's, and errors are on its test engines; without it, both are simulated. Times are medians
of rounds in which the forms take turns, on one thread, with the scorer's session settings.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from aimaas.fleet import FleetSpec, Split, load_fleet
from aimaas.training.training_set import TrainingSet, read_training_set
from model_bench.cmapss_data import JudgedRows, freeze, judged_rows, training_engines
from model_bench.fitting import features_of
from model_bench.shipping import train
from models.compression.graphs import optimised
from models.evaluation.evaluate import rmse
from models.export.plain_session import interleaved_times, open_session, run_session
from models.families.candidates import predict
from models.families.scikit import Estimator
from stream.devices.histories import truth
from stream.devices.simulator import simulate
from stream_bench.figures import json_line, say

_FLEET = Path(__file__).resolve().parents[1] / "fleets" / "turbofan.yaml"
_SPLIT = Split(train=0.85, validation=0.15, calibration=0, test=0)  # the judged engines are others
_BATCHES = (1, 64, 1_024)
_JUDGED_FROM = 900_000  # simulated devices that no training uses


def main() -> None:
    """Train, compress, time, print the figures."""
    given, began = _arguments(), time.monotonic()
    fleet = load_fleet(_FLEET).model_copy(update={"split": _SPLIT})
    with TemporaryDirectory() as folder:
        engines = training_engines(fleet, given.data, given.subset) if given.data else simulate(fleet, given.devices, 1)
        frozen = read_training_set(freeze(fleet, engines, Path(folder) / "training_set"))
    estimator, plain, shipped = train(fleet, frozen)
    for f in shipped.forms:
        numbers = [f"{value or 0:9.3f}" for value in (f.error, f.cost_us, f.us_1, f.us_1024)]
        say(f"  {f.name:20} error, counted cost, µs at 1 and 1,024:{''.join(numbers)}  {f.verdict}")
    rows = _judged(fleet, frozen, given.data, given.subset)
    files = {"exported": plain, "optimised": optimised(plain), "compressed": shipped.content}
    figures = {**_speed(estimator, files, rows), **_errors(files, rows)}
    figures |= {"candidate": shipped.tried.report.name, "form": shipped.form}
    figures |= {"kib": {name: round(len(content) / 1024) for name, content in files.items()}}
    json_line(
        "inference",
        {**figures, "data": given.subset if given.data else "simulated", "seconds": round(time.monotonic() - began, 1)},
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with C-MAPSS' files; without it engines are simulated")
    parser.add_argument("--subset", default="FD001")
    parser.add_argument("--devices", type=int, default=100, help="simulated engines to learn from")
    return parser.parse_args()


def _judged(fleet: FleetSpec, frozen: TrainingSet, data: Path | None, subset: str) -> JudgedRows:
    """Return rows of engines that no training used."""
    fit = frozen.info.fit
    if data:
        return judged_rows(fleet, fit, data, subset)
    others = simulate(fleet, 50, 2, _JUDGED_FROM)
    known = np.isfinite(label := truth(others, fleet))
    last = np.append(np.diff(others.device[known]) != 0, True)
    return JudgedRows(features_of(fleet, fit, others)[known], label[known], others.device[known], last)


def _speed(estimator: Estimator, files: Mapping[str, bytes], rows: JudgedRows) -> dict[str, Any]:
    """Return times by form and batch; `speedup` is exported over compressed, the smallest over the batches."""
    runs: dict[str, Any] = {"scikit-learn": partial(predict, estimator)}
    runs |= {name: partial(run_session, open_session(content)) for name, content in files.items()}
    by_batch = {batch: interleaved_times(runs, rows.features, batch) for batch in _BATCHES}
    gains = {str(batch): round(t["exported"] / t["compressed"], 2) for batch, t in by_batch.items()}
    us = {name: {str(batch): round(t[name], 3) for batch, t in by_batch.items()} for name in runs}
    return {"us_per_row": us, "speedup": min(gains.values()), "speedup_by_batch": gains}


def _errors(files: Mapping[str, bytes], rows: JudgedRows) -> dict[str, Any]:
    """Return RMSE over all rows; `rmse_change` is its relative growth from the plain export to the shipped form."""
    answers = {name: run_session(open_session(content), rows.features) for name, content in files.items()}
    whole = {name: rmse(rows.truth, a) for name, a in answers.items()}
    last = {name: rmse(rows.truth[rows.last], a[rows.last]) for name, a in answers.items()}
    return {
        "rmse": {name: round(value, 3) for name, value in whole.items()},
        "rmse_change": round(whole["compressed"] / whole["exported"] - 1, 4),
        "rmse_change_last_rows": round(last["compressed"] / last["exported"] - 1, 4),
    }


if __name__ == "__main__":
    main()
