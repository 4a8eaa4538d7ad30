"""Features: freezes a training set from gold, fit and feature rows made by the kernel that the scorer runs.

The folder is written once: Parquet rows, then `training_set.json`, which names what they were made of and their digest.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aimaas.errors import LakeError
from aimaas.features import Kernel, kernel_of
from aimaas.fit import Fit
from aimaas.fleet import FleetSpec
from aimaas.lake import table_path, table_version
from aimaas.plan import FeaturePlan, plan_of
from aimaas.settings import Settings
from aimaas.state import DeviceState
from aimaas.training_set import DESCRIPTION, ROWS, TrainingSetInfo, read_info, write_description
from spark_jobs.fitting import fit_of, matrix
from spark_jobs.job import Job, Report, parser, run
from spark_jobs.session import read_version

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

_COLUMNS = "device_id string, run bigint, `order` bigint, split string, label float, features array<float>"


def feature_rows(plan: FeaturePlan, fit: Fit, gold: DataFrame) -> DataFrame:
    """Labelled rows with their features (`_COLUMNS`); the kernel runs over all rows of a device, in order."""
    return (
        gold.select("device_id", "run", "order", "begins", "split", "label", *plan.readings)
        .repartition("device_id")
        .sortWithinPartitions("device_id", "run", "order")
        .mapInArrow(compute(plan, fit), _COLUMNS)
    )


def compute(plan: FeaturePlan, fit: Fit) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function for `mapInArrow`: ordered raw rows in, labelled feature rows out."""

    def computed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        task = _Task(plan, kernel_of(plan, fit))
        for batch in batches:
            if len(batch):
                yield task.advance(batch)

    return computed


class _Task:
    """One Spark task: state of the one device whose rows may go on in the next batch."""

    def __init__(self, plan: FeaturePlan, kernel: Kernel) -> None:
        self._plan, self._kernel = plan, kernel
        self._state = DeviceState(plan.readings, plan.window, plan.first)
        self._last: tuple[str, int] | None = None

    def advance(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        ids, run = batch["device_id"].to_pylist(), batch["run"].to_numpy()
        slots = self._state.slots(ids)
        before = [self._last, *zip(ids, run.tolist(), strict=True)]
        begins = batch["begins"].to_numpy(zero_copy_only=False).astype(np.bool_)
        resets = begins | np.array([a != b for a, b in itertools.pairwise(before)])
        rows = matrix(batch, self._plan).astype(np.float32)
        features = self._kernel.advance(self._state, slots, rows, resets)
        self._last = before[-1]
        for device in set(ids) - {ids[-1]}:  # its rows are done
            self._state.forget(device)
        return _labelled(batch, features)


def _labelled(batch: pa.RecordBatch, features: Any) -> pa.RecordBatch:
    import pyarrow as pa

    kept = batch["label"].is_valid().to_numpy(zero_copy_only=False)
    chosen = batch.select(["device_id", "run", "order", "split", "label"]).filter(pa.array(kept))
    flat = np.ascontiguousarray(features[kept]).reshape(-1)
    offsets = np.arange(len(chosen) + 1, dtype=np.int32) * features.shape[1]
    columns = [*(chosen[name] for name in ("device_id", "run", "order", "split")), chosen["label"].cast(pa.float32())]
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
    return pa.RecordBatch.from_arrays([*columns, lists], ["device_id", "run", "order", "split", "label", "features"])


def failures_by_split(gold: DataFrame) -> dict[str, int]:
    """Runs with labelled rows that ended in a failure, by split."""
    from pyspark.sql import functions as f

    failed = gold.where(f.col("failure_order").isNotNull() & f.col("label").isNotNull())
    counted = failed.select("split", "device_id", "run").distinct().groupBy("split").count().collect()
    return {row["split"]: row["count"] for row in counted}


def gold_version(settings: Settings, fleet: FleetSpec) -> int:
    """The newest version of gold. Raises LakeError where there is none."""
    version = table_version(settings, fleet.fleet, "gold")
    if version is None:
        raise LakeError(f"{table_path(settings, fleet.fleet, 'gold')}: no such table; run the gold job first")
    return version


def frozen(folder: Path, fleet: FleetSpec, plan: FeaturePlan, version: int) -> TrainingSetInfo | None:
    """The training set in `folder` if it is finished and of this gold and plan; raises LakeError if it is another one."""
    if not (folder / DESCRIPTION).is_file():
        return None
    info = read_info(folder)
    if (info.fleet, info.plan.hash, info.gold_version) != (fleet.fleet, plan.hash, version):
        raise LakeError(
            f"{folder}: holds a training set of fleet {info.fleet}, gold version {info.gold_version}, plan {info.plan.hash}, "
            f"not of {fleet.fleet}, {version}, {plan.hash}; training sets are never overwritten: give another --out"
        )
    return info


def freeze(job: Job, folder: Path, plan: FeaturePlan, version: int) -> TrainingSetInfo:
    """Write the training set; a folder without description, left by a killed run, is written anew."""
    fleet = job.fleet
    gold = read_version(job.spark, job.settings, fleet, "gold", version)
    fit = fit_of(fleet, plan, gold.where("split = 'train'"))
    feature_rows(plan, fit, gold).write.mode("overwrite").parquet((folder / ROWS).absolute().as_uri())
    return write_description(folder, (fleet.fleet, fleet.version), plan, fit, version, failures_by_split(gold))


def features(job: Job) -> Report:
    """Freeze the training set, or find it frozen already."""
    folder, plan = Path(job.arguments.out), plan_of(job.fleet)
    version = gold_version(job.settings, job.fleet)
    info = frozen(folder, job.fleet, plan, version) or freeze(job, folder, plan, version)
    rows = {name: counts.rows for name, counts in info.splits.items()}
    return {"out": str(folder), "gold": version, "rows": rows, "digest": info.digest}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; the exit code."""
    arguments = parser("features", __doc__)
    arguments.add_argument("--out", required=True, help="folder to write, on storage that all workers share")
    return run("features", arguments.parse_args(argv), features)


if __name__ == "__main__":
    sys.exit(main())
