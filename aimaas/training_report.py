"""What a training leaves beside its model: how every candidate did, and where everything came from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from aimaas.errors import RegistryError
from aimaas.training_set import SplitCounts

FILE_NAME = "report.json"


class CandidateReport(msgspec.Struct, frozen=True):
    """One candidate: its error in each fold, and on the validation devices by the mean of the fold models."""

    name: str
    folds: list[float]
    validation: float
    seconds: float

    @property
    def cross_validated(self) -> float:
        """Mean error over the folds."""
        return sum(self.folds) / len(self.folds)


class TrainReport(msgspec.Struct, frozen=True):
    """A training: `error` names what candidates were compared by; `metrics` are the shipped file's on the test devices."""

    fleet: str
    fleet_version: int
    chosen: str
    error: str
    candidates: list[CandidateReport]
    metrics: dict[str, float]
    splits: dict[str, SplitCounts]
    settings: dict[str, object]
    seed: int
    training_set: str
    digest: str
    gold_version: int
    plan: str
    fit: str
    sha256: str
    code_version: str
    seconds: float


def write_report(folder: Path, report: TrainReport) -> None:
    """Write the report; a folder with it is a finished training."""
    (folder / FILE_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))


def read_report(folder: Path) -> TrainReport:
    """Read it back. Raises RegistryError where the folder holds no finished training."""
    try:
        return msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=TrainReport)
    except (OSError, msgspec.DecodeError) as e:
        raise RegistryError(
            f"{folder}: no finished training ({FILE_NAME}: {e}); run the fleet's training again"
        ) from None
