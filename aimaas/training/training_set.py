"""The training set: frozen feature rows in a folder (a path or a URI), which the lake writes and training reads.

`rows/*.parquet` holds one row per labelled event (rows.py). `training_set.json` names the sources of the rows, counts
them, and holds their digest, so that a model can be rebuilt from exactly these rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.errors import LakeError
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan
from aimaas.settings import Settings
from aimaas.stored_files import Place, at_hand, exists, read, stored, write
from aimaas.training.folders import TRAINING_SET, training_folder, training_folders
from aimaas.training.rows import RowDigest, Rows, digest_of, pieces_of, read_rows

DESCRIPTION, VOID = "training_set.json", "void.json"
SPLITS = ("train", "validation", "calibration", "test")


class SplitCounts(msgspec.Struct, frozen=True):
    """The content of one split; `failures` are the observed failures of its devices."""

    rows: int
    devices: int
    failures: int


class CensoringInfo(msgspec.Struct, frozen=True):
    """The effect of censoring on the set (aimaas/labels/censoring.py): `lives`, of which `failures` ended in a failure; the rest is
    censored.

    Of the rows without a label, `unknown` have none yet, and `cut` were dropped whatever their outcome, or because they outlive the
    observation. `effective_rows` of weight 1 hold as much information as the weighted rows (Kish 1965). `by_readings` is true if
    the readings drive the censoring, so that the weights come from a model of it.
    """

    clock: str
    lives: int
    failures: int
    unknown: int = 0
    cut: int = 0
    largest_weight: float = 1.0
    effective_rows: float = 0.0
    by_readings: bool = False


class TrainingSetInfo(msgspec.Struct, frozen=True):
    """The sources of the rows; `digest` is a `RowDigest`, `gold_version` the version of gold from which they were read.

    `censoring` is None in sets without weights. `period` are the times (UTC) of gold's first and last event, by the devices'
    clocks; None in sets of older releases.
    """

    fleet: str
    fleet_version: int
    plan: FeaturePlan
    fit: Fit
    gold_version: int
    splits: dict[str, SplitCounts]
    digest: str
    censoring: CensoringInfo | None = None
    period: tuple[datetime, datetime] | None = None


@dataclass(frozen=True)
class TrainingSet:
    """A training set as read back and checked; `all_rows` include those without a label, if the set keeps them."""

    folder: str
    info: TrainingSetInfo
    all_rows: Rows

    @cached_property
    def rows(self) -> Rows:
        """The rows with a label."""
        return self.all_rows.labelled

    @property
    def vector_only(self) -> TrainingSet:
        """The same rows and description for a model that does not read the window."""
        plan = self.info.plan.vector_only
        features = np.ascontiguousarray(self.all_rows.features[:, : len(plan.feature_names)])
        info = msgspec.structs.replace(self.info, plan=plan)
        return TrainingSet(self.folder, info, replace(self.all_rows, features=features))


class WeightSums:
    """Sums over the weights of rows, which are added in pieces."""

    def __init__(self) -> None:
        self._sum, self._squares, self._largest = 0.0, 0.0, 1.0

    def add(self, weight: npt.NDArray[np.float32]) -> None:
        """Add weights (n,)."""
        exact = weight.astype(np.float64)
        self._sum, self._squares = self._sum + float(exact.sum()), self._squares + float(exact @ exact)
        self._largest = max(self._largest, float(exact.max(initial=1.0)))

    def told(self, censoring: CensoringInfo) -> CensoringInfo:
        """The counts with the sums of the weights."""
        effective = self._sum**2 / self._squares if self._squares else 0.0
        return msgspec.structs.replace(censoring, largest_weight=self._largest, effective_rows=effective)


# the writer of the rows calls this last: a folder without description is no training set
def write_description(
    folder: Place,
    fleet: tuple[str, int],
    plan: FeaturePlan,
    fit: Fit,
    gold_version: int,
    failures: Mapping[str, int],
    censoring: CensoringInfo | None = None,
    period: tuple[datetime, datetime] | None = None,
) -> TrainingSetInfo:
    """Count and digest the rows in `folder` and write `training_set.json`. `fleet` is (name, version of the fleet file)."""
    digest, rows, devices = RowDigest(), Counter[str](), defaultdict[str, set[str]](set)
    weight = WeightSums()
    with at_hand(folder) as here:
        for piece in pieces_of(here, len(plan.feature_names)):  # a set may be larger than memory
            digest.add(piece)
            known = piece.labelled
            weight.add(known.weight)
            rows.update(known.split)
            for split, device in set(zip(known.split, known.device_id, strict=True)):
                devices[split].add(device)
    splits = {name: SplitCounts(rows[name], len(devices[name]), failures.get(name, 0)) for name in SPLITS}
    weighted = None if censoring is None else weight.told(censoring)
    info = TrainingSetInfo(*fleet, plan, fit, gold_version, splits, digest.hex(), weighted, period)
    write(f"{folder}/{DESCRIPTION}", msgspec.json.format(msgspec.json.encode(info), indent=2))
    return info


def read_info(folder: Place) -> TrainingSetInfo:
    """Read the description alone. Raises LakeError."""
    try:
        return msgspec.json.decode(read(f"{folder}/{DESCRIPTION}"), type=TrainingSetInfo)
    except FileNotFoundError:
        raise LakeError(f"{folder}: no {DESCRIPTION}: no finished training set; run the fleet's prepare step") from None
    except msgspec.DecodeError as e:
        raise LakeError(f"{folder}/{DESCRIPTION}: cannot be read ({e}); run the fleet's prepare step again") from None


def newest_training_set(settings: Settings, fleet: str) -> str:
    """Path or URI of the fleet's newest frozen training set. Raises LakeError if there is none."""
    files = [file for folder in training_folders(settings, fleet) for file in stored(folder)]
    found = [file for file in files if file.place.endswith(f"/{TRAINING_SET}/{DESCRIPTION}")]
    if not found:
        raise LakeError(
            f"{training_folder(settings, fleet)}: no training set; let the DAG {fleet}_train run once, or write one with the job "
            f"`features` of spark_jobs and name it with --training-set"
        )
    return max(found, key=lambda file: file.at).place.rpartition("/")[0]


def read_training_set(folder: Place) -> TrainingSet:
    """Read description and rows and check the digest. Raises LakeError if the rows do not fit the description."""
    info = read_info(folder)
    if exists(f"{folder}/{VOID}"):
        raise LakeError(
            f"{folder}: void: a device that it learned from was forgotten, and the rows are erased; "
            "run the fleet's training again"
        )
    with at_hand(folder) as here:
        rows = read_rows(here, len(info.plan.feature_names))
    if (found := digest_of(rows)) != info.digest:
        raise LakeError(
            f"{folder}: rows have digest {found[:12]}, the description says {info.digest[:12]}: the files were changed; "
            "run the fleet's prepare step again"
        )
    return TrainingSet(str(folder), info, rows)
