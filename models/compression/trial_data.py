"""The models from which forms are built, and the predictions by which they are judged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from models.compression.forms import Source
from models.export.export import Float32, run_onnx
from models.selection.select import Tried, run_beside_each_other
from models.selection.trial_data import TrialData


def source_of(data: TrialData, tried: Tried, fold: int) -> Source:
    """Return the candidate's model of one fold."""
    fitted, _ = data.folds[fold]
    return Source(tried.estimators[fold], data.training.at(fitted), data.target_range, data.seed)


def answers_of(data: TrialData, content: bytes, fold: int) -> tuple[Float32, Float32]:
    """Return a file's predictions for the rows that the fold held out and for the validation rows."""
    _, held_out = data.folds[fold]
    return run_onnx(content, data.training.features[held_out]), run_onnx(content, data.validation.features)


def beside_each_other(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Return results of the jobs, each on one OpenMP thread: sums over several threads differ in their bits."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    def limited(job: Callable[[], Any]) -> Any:
        with threadpool_limits(1, user_api="openmp"):
            return job()

    return list(run_beside_each_other([partial(limited, job) for job in jobs]))
