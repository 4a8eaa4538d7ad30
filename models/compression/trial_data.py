"""The models and rows from which forms are built, and by which they are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from models.compression.forms import Source
from models.export.export import Float32, run_onnx
from models.samples import Samples
from models.selection.select import Folds, Tried, run_beside_each_other


@dataclass(frozen=True)
class TrialData:
    """The samples, their folds, the target's range and the seed."""

    training: Samples
    validation: Samples
    folds: Folds
    target_range: tuple[float, float]
    seed: int

    def source(self, tried: Tried, fold: int) -> Source:
        """Return the candidate's model of one fold."""
        fitted, _ = self.folds[fold]
        return Source(tried.estimators[fold], self.training.at(fitted), self.target_range, self.seed)

    def answers(self, content: bytes, fold: int) -> tuple[Float32, Float32]:
        """Return a file's predictions for the rows that the fold held out and for the validation rows."""
        _, held_out = self.folds[fold]
        return run_onnx(content, self.training.features[held_out]), run_onnx(content, self.validation.features)


def beside_each_other(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Return results of the jobs, each on one OpenMP thread: sums over several threads differ in their bits."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    def limited(job: Callable[[], Any]) -> Any:
        with threadpool_limits(1, user_api="openmp"):
            return job()

    return list(run_beside_each_other([partial(limited, job) for job in jobs]))
