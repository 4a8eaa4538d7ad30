"""An ONNX file opened as the scorer opens it: one thread, on the CPU."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.model.artefact import INPUT, OUTPUT
from aimaas.model.cached_session import one_thread_session

Float32 = npt.NDArray[np.float32]
Run = Callable[[Float32], Any]  # answers to features (n, F)

_SPENT_S = 0.15  # on the measurement of one batch size
_MOST_RUNS = 500
_ROUNDS, _ROUND_S = 5, 0.01


def open_session(content: bytes) -> Any:
    """Return the onnxruntime session of a file's bytes."""
    import onnxruntime

    return one_thread_session(content, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)


def run_session(session: Any, features: Float32) -> Float32:
    """Return predictions (n,) float32 for features (n, F)."""
    answer: Float32 = session.run([OUTPUT], {INPUT: features})[0].reshape(len(features))
    return answer


def microseconds_per_row(session: Any, features: Float32, batch: int) -> float:
    """Return the median time of a call with `batch` rows, per row; the rows of `features` (n, F) are repeated if n is smaller."""
    return _median_us(partial(run_session, session), _batch_of(features, batch), _SPENT_S)


def interleaved_times(runs: Mapping[str, Run], features: Float32, batch: int) -> dict[str, float]:
    """Return microseconds per row of each session: the median of rounds in turn, so that other load slows all alike."""
    rows = _batch_of(features, batch)
    rounds = [{name: _median_us(run, rows, _ROUND_S) for name, run in runs.items()} for _ in range(_ROUNDS)]
    return {name: float(np.median([r[name] for r in rounds])) for name in runs}


def _batch_of(features: Float32, batch: int) -> Float32:
    return np.ascontiguousarray(np.resize(features, (batch, features.shape[1])))


def _median_us(run: Run, rows: Float32, spent_s: float) -> float:
    """Return the median time of a call, per row."""
    run(rows)
    began, times = time.perf_counter(), list[float]()
    while len(times) < _MOST_RUNS and (len(times) < 3 or time.perf_counter() - began < spent_s):
        started = time.perf_counter()
        run(rows)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) / len(rows) * 1e6


def cut_differently(content: bytes, features: Float32) -> npt.NDArray[np.intp]:
    """Return positions (m,) of features (n, F) whose predictions depend on their batch, or are not finite; an empty result is good.

    A single row is padded, as in the scorer.
    """
    session = open_session(content)
    whole = run_session(session, features)
    cuts = [*(cut for cut in (0, 2, 9, 72, 327) if cut < len(features) - 1), len(features)]
    parts = [run_session(session, features[a:b]) for a, b in itertools.pairwise(cuts)]
    return np.flatnonzero(np.concatenate(parts) != whole)  # NaN differs from itself
