"""An ONNX file opened as the scorer opens it: one thread, on the CPU."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.artefact import INPUT, OUTPUT

Float32 = npt.NDArray[np.float32]

_SPENT_S = 0.15  # on the measurement of one batch size
_MOST_RUNS = 500


def open_session(content: bytes) -> Any:
    """The onnxruntime session of a file's bytes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_session(session: Any, features: Float32) -> Float32:
    """Predictions (n,) float32 for features (n, F)."""
    answer: Float32 = session.run([OUTPUT], {INPUT: features})[0].reshape(len(features))
    return answer


def microseconds_per_row(session: Any, features: Float32, batch: int) -> float:
    """Median time of a call with `batch` rows, per row; the rows of `features` (n, F) are repeated where n is less."""
    rows = np.ascontiguousarray(np.resize(features, (batch, features.shape[1])))
    run_session(session, rows)
    began, times = time.perf_counter(), list[float]()
    while len(times) < _MOST_RUNS and (len(times) < 3 or time.perf_counter() - began < _SPENT_S):
        started = time.perf_counter()
        run_session(session, rows)
        times.append(time.perf_counter() - started)
    return float(np.median(times)) / batch * 1e6
