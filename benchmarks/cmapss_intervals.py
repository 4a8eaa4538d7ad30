"""Coverage and width of the 90 % intervals that a model ships with, on C-MAPSS' test engines; one JSON line last.

The fleet file's own candidates are trained on `train_*` by the product's code, and the exported file, which holds the intervals,
is asked about all rows of the test engines. Coverage and width are averaged over each engine's rows, then over the engines.
The true remaining life counts as 125 cycles at most.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from cmapss_data import JudgedRows, freeze, judged_rows, training_engines

from aimaas.artefact import FILE_NAME
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.intervals import Bounds
from aimaas.settings import read_settings
from models.export import run_onnx
from models.promote import metadata_of
from models.train import train

_FLEET = Path(__file__).resolve().parents[1] / "fleets" / "turbofan.yaml"


def main() -> None:
    """Train, ask, print the figures."""
    given, fleet = _arguments(), load_fleet(_FLEET)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        content = _trained(fleet, given.data, given.subset, Path(folder))
    metadata = metadata_of(content)
    assert metadata.intervals is not None, "a regression ships with intervals"
    rows = judged_rows(fleet, metadata.fit, given.data, given.subset)
    predicted, bounds = run_onnx(content, rows.features), Bounds(metadata.intervals, metadata.target_range)
    figures = {**figures_of(rows, predicted, bounds), "devices": metadata.intervals.devices}
    figures |= {"source": metadata.intervals.source, "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps({"benchmark": "cmapss_intervals", "subset": given.subset, **figures}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train_*, test_* and RUL_*")
    parser.add_argument("--subset", default="FD001")
    return parser.parse_args()


def _trained(fleet: FleetSpec, data: Path, subset: str, folder: Path) -> bytes:
    frozen = freeze(fleet, training_engines(fleet, data, subset), folder / "training_set")
    settings = read_settings({"AIMAAS_HOME": str(folder)})
    train(settings, fleet, frozen, folder / "trained", lambda what, done, of: _say(f"{done} of {of}: {what}"))
    return (folder / "trained" / FILE_NAME).read_bytes()


def figures_of(rows: JudgedRows, predicted: np.ndarray, bounds: Bounds) -> dict[str, object]:
    """Coverage and width by engine; coverage by band of the prediction and at the engines' last rows, by row."""
    lower, upper = bounds.of(predicted)
    within = (lower <= rows.truth) & (rows.truth <= upper)
    band = bounds.bands(predicted)
    by_band = [float(within[band == b].mean()) for b in np.unique(band)]
    last = rows.last
    return {
        "coverage": round(_by_engine(within, rows), 4),
        "width": round(_by_engine(upper - lower, rows), 2),
        "coverage_by_band": [round(c, 3) for c in by_band],
        "coverage_last_rows": round(float(within[last].mean()), 3),
        "rmse_last_rows": round(float(np.sqrt(np.mean((predicted[last] - rows.truth[last]) ** 2))), 3),
    }


def _by_engine(values: np.ndarray, rows: JudgedRows) -> float:
    """Mean over the engines of the means of their rows' values (n,)."""
    return float(np.mean(np.bincount(rows.engine, values) / np.bincount(rows.engine)))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
