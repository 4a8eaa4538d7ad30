"""The training set: frozen feature rows in a folder, which the lake writes and training reads.

`rows/*.parquet` holds one row per labelled event: device_id string, run int64, order int64, split string, label float32, features
fixed_size_list<float32>[F]. `training_set.json` names what the rows were made of, counts them, and holds their digest, so that a
model can be rebuilt from exactly these rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.errors import LakeError
from aimaas.fit import Fit
from aimaas.plan import FeaturePlan
from aimaas.torn import reading

DESCRIPTION, ROWS, VOID = "training_set.json", "rows", "void.json"
SPLITS = ("train", "validation", "calibration", "test")


class SplitCounts(msgspec.Struct, frozen=True):
    """What one split holds; `failures` are the observed ones of its devices."""

    rows: int
    devices: int
    failures: int


class TrainingSetInfo(msgspec.Struct, frozen=True):
    """Where the rows come from; `digest` is that of `row_digest`, `gold_version` the table's version they were read at.

    `fit_gold_version` is the version of gold that the fit was taken at; None in sets of older releases: at `gold_version`.
    """

    fleet: str
    fleet_version: int
    plan: FeaturePlan
    fit: Fit
    gold_version: int
    splits: dict[str, SplitCounts]
    digest: str
    fit_gold_version: int | None = None


@dataclass(frozen=True)
class Rows:
    """The rows by (device_id, run, order): columns (n,), `features` (n, F) float32, `label` (n,) float32."""

    device_id: npt.NDArray[np.object_]
    run: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    split: npt.NDArray[np.object_]
    label: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]

    def of(self, *splits: str) -> Rows:
        """The rows of these splits, in the same order."""
        kept = np.isin(self.split.astype(str), splits)
        return Rows(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class TrainingSet:
    """A training set as read back and checked."""

    folder: Path
    info: TrainingSetInfo
    rows: Rows

    @property
    def vector_only(self) -> TrainingSet:
        """The same rows and description for a model that does not look at the window."""
        plan = self.info.plan.vector_only
        features = np.ascontiguousarray(self.rows.features[:, : len(plan.feature_names)])
        info = msgspec.structs.replace(self.info, plan=plan)
        return TrainingSet(self.folder, info, replace(self.rows, features=features))


def write_description(  # the writer of the rows calls this last: a folder without description is no training set
    folder: Path,
    fleet: tuple[str, int],
    plan: FeaturePlan,
    fit: Fit,
    gold_version: int,
    failures: Mapping[str, int],
    fit_gold_version: int | None = None,
) -> TrainingSetInfo:
    """Count and digest the rows in `folder` and write `training_set.json`. `fleet` is (name, version of the fleet file).

    `fit_gold_version` may be left out where the fit was taken at `gold_version`.
    """
    taken_at = gold_version if fit_gold_version is None else fit_gold_version
    rows = read_rows(folder, len(plan.feature_names))
    splits = {
        name: SplitCounts(len(part := rows.of(name)), len(set(part.device_id)), failures.get(name, 0))
        for name in SPLITS
    }
    info = TrainingSetInfo(*fleet, plan, fit, gold_version, splits, row_digest(rows), taken_at)
    new = folder / f".{DESCRIPTION}.new"
    new.write_bytes(msgspec.json.format(msgspec.json.encode(info), indent=2))
    new.replace(folder / DESCRIPTION)
    return info


def read_info(folder: Path) -> TrainingSetInfo:
    """Read the description alone. Raises LakeError."""
    try:
        return msgspec.json.decode((folder / DESCRIPTION).read_bytes(), type=TrainingSetInfo)
    except FileNotFoundError:
        raise LakeError(f"{folder}: no {DESCRIPTION}: no finished training set; run the fleet's prepare step") from None
    except msgspec.DecodeError as e:
        raise LakeError(f"{folder / DESCRIPTION}: cannot be read ({e}); run the fleet's prepare step again") from None


def newest_training_set(home: Path, fleet: str) -> Path:
    """The folder of the fleet's training set that was frozen last. Raises LakeError where there is none."""
    found = list((home / "training" / fleet).glob(f"*/training_set/{DESCRIPTION}"))
    if not found:
        raise LakeError(
            f"{home / 'training' / fleet}: no training set; let the DAG {fleet}_train run once, or write one with the job "
            f"`features` of spark_jobs and name it with --training-set"
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent


def read_training_set(folder: Path) -> TrainingSet:
    """Read description and rows and check the digest. Raises LakeError where the rows are not those described."""
    info = read_info(folder)
    if (folder / VOID).is_file():
        raise LakeError(
            f"{folder}: void: a device that it learned from was forgotten, and the rows are erased; "
            "run the fleet's training again"
        )
    rows = read_rows(folder, len(info.plan.feature_names))
    if (found := row_digest(rows)) != info.digest:
        raise LakeError(
            f"{folder}: rows have digest {found[:12]}, the description says {info.digest[:12]}: the files were changed; "
            "run the fleet's prepare step again"
        )
    return TrainingSet(folder, info, rows)


def read_rows(folder: Path, width: int) -> Rows:
    """Rows of `rows/*.parquet` by (device_id, run, order). Raises LakeError where a feature row is not `width` long."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((folder / ROWS).glob("*.parquet"))
    if not files:
        raise LakeError(f"{folder / ROWS}: no Parquet files; run the fleet's prepare step")
    tables = []
    for file in files:
        with reading(str(file)):
            tables.append(pq.read_table(file, schema=arrow_schema(width)))
    table = pa.concat_tables(tables)
    table = table.sort_by([(name, "ascending") for name in ("device_id", "run", "order")]).combine_chunks()
    values = table["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if len(values) != len(table) * width:
        raise LakeError(f"{folder / ROWS}: feature rows are not all {width} long; run the fleet's prepare step again")
    columns = {name: table[name].to_numpy() for name in ("device_id", "run", "order", "split", "label")}
    return Rows(**columns, features=values.reshape(-1, width))


def arrow_schema(width: int) -> Any:
    """Schema of the rows for `width` features. Spark writes the features as a plain list, which reads the same."""
    import pyarrow as pa

    return pa.schema(
        [
            ("device_id", pa.string()),
            ("run", pa.int64()),
            ("order", pa.int64()),
            ("split", pa.string()),
            ("label", pa.float32()),
            ("features", pa.list_(pa.float32())),
        ]
    )


def row_digest(rows: Rows) -> str:
    """SHA-256 (hex) of the rows in their order: the same however they are cut into files."""
    digest = hashlib.sha256(f"{rows.features.shape}".encode())
    for text in (rows.device_id, rows.split):
        digest.update("\0".join(text).encode())
    for values in (rows.run, rows.order, rows.label, rows.features):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
