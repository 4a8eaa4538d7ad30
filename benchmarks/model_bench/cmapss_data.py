"""NASA's C-MAPSS files as training sets and test rows, by the product's own split, labels, fit and kernel, without Spark.

No training set uses `test_*` or `RUL_*`: `freeze` gets only the training engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from aimaas.fleet import FleetSpec
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import plan_of
from aimaas.training.rows import ROWS
from aimaas.training.split import split_of
from aimaas.training.training_set import SPLITS, write_description
from model_bench.fitting import features_of, fit_of
from stream.devices.histories import Histories, truth
from stream.replay.cmapss import read_cmapss, read_remaining

CAP = 125.0  # as in the published tables: the true remaining life of a test engine counts as this at most


@dataclass(frozen=True)
class JudgedRows:
    """All n rows of the test engines: features (n, F), truth (n,) capped, engine (n,), and whether the row is its engine's last."""

    features: npt.NDArray[np.float32]
    truth: npt.NDArray[np.float64]
    engine: npt.NDArray[np.int64]
    last: npt.NDArray[np.bool_]


def training_engines(fleet: FleetSpec, directory: Path, subset: str) -> Histories:
    """Return the engines of `train_<subset>.txt`, all run to failure."""
    return read_cmapss(fleet, directory, subset, "train")


def freeze(fleet: FleetSpec, histories: Histories, folder: Path, every: int = 1) -> Path:
    """Write the training set of these histories into `folder`, as the lake does; the fit is from the training devices.

    Each labelled row is kept, or each tenth with `every` 10.
    """
    names, plan = np.array(histories.devices, object), plan_of(fleet)
    by_device = np.array([split_of(device, fleet.split) for device in histories.devices], object)
    split, label = by_device[histories.device], truth(histories, fleet)
    known = np.isfinite(label) & (np.arange(len(label)) % every == 0)
    fit = fit_of(plan, histories.values[split == "train"], fleet.training.seed)
    features = features_of(fleet, fit, histories)[known]
    columns = {
        "device_id": pa.array(names[histories.device[known]], pa.string()),
        "run": histories.run[known],
        "order": histories.seq[known],
        "split": pa.array(split[known], pa.string()),
        "label": label[known].astype(np.float32),
        "features": pa.FixedSizeListArray.from_arrays(features.ravel(), features.shape[1]).cast(pa.list_(pa.float32())),
    }
    (folder / ROWS).mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / ROWS / "part-0.parquet")
    failed = histories.device[[e.row for e in histories.endings if e.kind == "failed"]]
    failures = {name: int((by_device[failed] == name).sum()) for name in SPLITS}
    write_description(folder, (fleet.fleet, fleet.version), plan, fit, 0, failures)
    return folder


def judged_rows(fleet: FleetSpec, fit: Fit, directory: Path, subset: str) -> JudgedRows:
    """Return the rows of `test_<subset>.txt` with features by this fit, and the truth from `RUL_<subset>.txt`."""
    histories, remaining = read_cmapss(fleet, directory, subset, "test"), read_remaining(directory, subset)
    last = np.append(np.diff(histories.device) != 0, True)
    left = remaining[histories.device] + histories.seq[last][histories.device] - histories.seq
    return JudgedRows(
        features_of(fleet, fit, histories), np.minimum(left, CAP).astype(np.float64), histories.device, last
    )


def lives(fleet: FleetSpec, directory: Path, subset: str) -> npt.NDArray[np.int64]:
    """Return the cycles of each test engine's whole life (engines,), with its remaining ones, in the order of their numbers."""
    return np.bincount(read_cmapss(fleet, directory, subset, "test").device) + read_remaining(directory, subset)
