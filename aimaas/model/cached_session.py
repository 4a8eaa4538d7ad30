"""onnxruntime sessions, with their optimised graphs cached on disk: the next start on this machine loads instead of optimising."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from aimaas.model.artefact import sha256


def open_session(content: bytes, digest: str, cache: Path) -> Any:
    """Open a session on one thread that does not spin: more threads change bits, and spinning takes the core from the loop.

    `digest` names `content` in the folder `cache`. Only optimisations that are valid on any processor are cached, so machines
    may share the folder. Torn files are written again. Raises onnxruntime's errors for content that it cannot run.
    """
    import onnxruntime

    kept = cache / f"{digest}-{onnxruntime.__version__}.onnx"
    with suppress(OSError):
        optimised = kept.read_bytes()
        if _digest_file(kept).read_bytes() == sha256(optimised).encode():  # not torn, not changed
            return one_thread_session(optimised, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    return _optimised(content, kept)


def _digest_file(kept: Path) -> Path:
    return kept.with_suffix(".sha256")


def _optimised(content: bytes, kept: Path) -> Any:
    """Optimise the graph, and cache the result if the disk allows it. A model can also serve without the cache."""
    import onnxruntime

    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    partial = kept.with_suffix(f".{os.getpid()}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        session = one_thread_session(content, level, partial)
        _digest_file(kept).write_text(sha256(partial.read_bytes()))
        partial.replace(kept)
    except Exception:  # noqa: BLE001 - onnxruntime raises its own errors if it cannot write
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        session = one_thread_session(content, level)
    return session


def one_thread_session(content: bytes, level: Any, write_to: Path | None = None) -> Any:
    """Open a session as the scorer does, with optimisations of this `level`; `write_to` takes the optimised graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = level
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # failures are raised; warnings would not have the form of our logs
    if write_to:
        options.optimized_model_filepath = str(write_to)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
