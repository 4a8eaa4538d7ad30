"""Coverage of a shipped model's 90 % intervals, by band, on devices that it has not seen; the last line is JSON.

On C-MAPSS, the product's code trains the fleet file's own candidates on `train_*`, and the exported file, which holds the
intervals, predicts all rows of the test engines. The true remaining life counts as 125 cycles at most. On a simulated fleet of
the same kind, 2,000 engines train and calibrate, and 2,000 others are judged: all run to failure, each tenth row.

Each engine has the same weight in each part of the rows: bands of the prediction, as the intervals have them, bands of the true
remaining life, and thirds of the engines by the length of their lives. 95 % of resamplings of the engines give a coverage from
`low` to `high`; `contains` says whether 0.90 lies between them.

    .venv/bin/python benchmarks/cmapss_intervals.py --data DIR          # --subsets FD001 FD002 FD003 FD004 --simulated 2000
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.model.artefact import FILE_NAME, ModelMetadata
from aimaas.model.intervals import Bounds, Intervals
from aimaas.settings import read_settings
from model_bench.cmapss_data import CAP, freeze, judged_rows, lives, training_engines
from model_bench.fitting import features_of
from models.evaluation.conformal import COVERAGE
from models.evaluation.coverage import Coverages
from models.evaluation.wear import SPEEDS
from models.export.export import run_onnx
from models.promotion.promote import metadata_of
from models.training.train import train
from stream.devices.histories import Histories, truth
from stream.devices.simulator import simulate

_FLEET = Path(__file__).resolve().parents[1] / "fleets" / "turbofan.yaml"
_SEED = 11  # of the simulated fleet and of the draws
_EVERY = 10  # one of this many rows of the simulated engines is kept
_AT_ONCE = 250  # judged engines whose features are in memory together
_EDGES = np.linspace(0, CAP, 6)  # of the bands of the true remaining life


@dataclass(frozen=True)
class Judged:
    """Rows of unseen engines (n,): prediction, truth, engine, whether the row is the engine's last, and the length of its life."""

    predicted: npt.NDArray[np.float32]
    truth: npt.NDArray[np.float64]
    engine: npt.NDArray[np.int64]
    last: npt.NDArray[np.bool_]
    life: npt.NDArray[np.int64]


def main() -> None:
    """Train, predict, print the figures."""
    given, fleet, found = _arguments(), load_fleet(_FLEET), dict[str, Any]()
    began = time.monotonic()
    for subset in given.subsets:
        found[subset] = _of_subset(fleet, given.data, subset)
        _say(f"{subset}: {json.dumps(found[subset])}")
    simulated = _of_simulated(fleet, given.simulated) if given.simulated else {}
    bands = [band for of in found.values() for band in of["bands"]]
    figures: dict[str, Any] = {"every_band_contains": all(band["contains"] is not False for band in bands)}
    if simulated:
        shares = [b["coverage"] for b in simulated["bands"]]
        figures |= {"simulated_lowest": min(shares), "simulated_highest": max(shares)}
    figures |= {"seconds": round(time.monotonic() - began, 1), "subsets": found, "simulated": simulated}
    print(json.dumps({"benchmark": "cmapss_intervals", **figures}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train_*, test_* and RUL_*")
    parser.add_argument("--subsets", nargs="*", default=("FD001", "FD002"))
    parser.add_argument("--simulated", type=int, default=2_000, help="simulated engines that are judged; 0 for none")
    given = parser.parse_args()
    if given.subsets and given.data is None:
        parser.error("--data is missing: the folder with train_*, test_* and RUL_*")
    return given


def _of_subset(fleet: FleetSpec, data: Path, subset: str) -> dict[str, Any]:
    content, metadata = _trained(fleet, training_engines(fleet, data, subset))
    rows = judged_rows(fleet, metadata.fit, data, subset)
    judged = Judged(
        run_onnx(content, rows.features), rows.truth, rows.engine, rows.last, lives(fleet, data, subset)[rows.engine]
    )
    return figures_of(metadata.intervals, judged)


def _of_simulated(fleet: FleetSpec, devices: int) -> dict[str, Any]:
    content, metadata = _trained(fleet, simulate(fleet, devices, _SEED), _EVERY)
    parts = list(_asked(fleet, content, metadata, devices))
    return figures_of(metadata.intervals, Judged(*(np.concatenate(column) for column in zip(*parts, strict=True))))


def _asked(fleet: FleetSpec, content: bytes, metadata: ModelMetadata, devices: int) -> Iterator[tuple[Any, ...]]:
    """Return the columns of `Judged`, some engines at a time."""
    for first in range(devices, 2 * devices, _AT_ONCE):
        engines = simulate(fleet, min(_AT_ONCE, 2 * devices - first), _SEED, first)
        last = np.append(np.diff(engines.device) != 0, True)
        kept = last | (np.arange(len(last)) % _EVERY == 0)
        predicted = run_onnx(content, features_of(fleet, metadata.fit, engines)[kept])
        life = engines.seq[last][engines.device]
        yield predicted, truth(engines, fleet)[kept], engines.device[kept] + first, last[kept], life[kept]


def _trained(fleet: FleetSpec, engines: Histories, every: int = 1) -> tuple[bytes, ModelMetadata]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frozen = freeze(fleet, engines, folder / "training_set", every)
        settings = read_settings({"AIMAAS_HOME": str(folder)})
        train(settings, fleet, frozen, folder / "trained", lambda what, done, of: _say(f"{done} of {of}: {what}"))
        content = (folder / "trained" / FILE_NAME).read_bytes()
    return content, metadata_of(content)


def figures_of(intervals: Intervals | None, rows: Judged) -> dict[str, Any]:
    """Return coverage and width: of all rows, by band of prediction and truth, by thirds of the lives, at engines' last rows."""
    assert intervals is not None, "a regression ships with intervals"
    bounds, last = Bounds(intervals, (0.0, CAP)), rows.last
    held = Coverages(bounds, rows.predicted, rows.truth, rows.engine, _SEED)
    found, whole = partial(_figures, held, rows.engine), held.of(np.ones(len(last), np.bool_))
    band, names = bounds.bands(rows.predicted), _names([0.0, *intervals.edges, CAP])
    left = np.clip(np.searchsorted(_EDGES, rows.truth, "right") - 1, 0, len(_EDGES) - 2)
    speed = np.searchsorted(np.quantile(rows.life[last], (1 / 3, 2 / 3)), rows.life)
    return {
        "coverage": round(whole.share, 4),
        "width": round(whole.width, 2),
        "bands": [found(name, band == b) for b, name in enumerate(names) if (band == b).any()],
        "by_true_life": [found(name, left == b) for b, name in enumerate(_names(_EDGES)) if (left == b).any()],
        "by_wear": [found(name, speed == place) for place, name in enumerate(SPEEDS) if (speed == place).any()],
        "coverage_last_rows": round(held.of(last).share, 3),
        "rmse_last_rows": round(float(np.sqrt(np.mean((rows.predicted[last] - rows.truth[last]) ** 2))), 3),
        "devices": intervals.devices,
        "source": intervals.source,
    }


def _names(edges: Iterable[float]) -> list[str]:
    return [f"{low:.0f} to {high:.0f}" for low, high in pairwise(edges)]


def _figures(held: Coverages, engine: npt.NDArray[np.int64], name: str, part: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return the figures; `low`, `high` and `contains` are None if only one engine has rows."""
    found = held.of(part)
    return {
        "of": name,
        "engines": len(np.unique(engine[part])),
        "coverage": round(found.share, 4),
        "low": found.low and round(found.low, 4),
        "high": found.high and round(found.high, 4),
        "width": round(found.width, 2),
        "contains": None if found.low is None or found.high is None else found.low <= COVERAGE <= found.high,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
