"""A model artefact in memory, ready to predict, for the stream and for the lake's rescoring.

A model is data, never code, and is checked before it is used. The checks are, in this order: the graph, by our rules and by the
ONNX checker; the metadata; input and output; a run on rows of zeros and noise, which also warms the session before its first
traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.errors import ModelRefusedError
from aimaas.kernel.features import Kernel
from aimaas.kernel.plan import FeaturePlan
from aimaas.kernel.widening import kernel_for
from aimaas.model.artefact import INPUT, METADATA_KEY, OUTPUT, ModelMetadata, decode_metadata, sha256
from aimaas.model.artefact_check import MOST_BYTES, MetadataError, check_metadata
from aimaas.model.cached_session import open_session
from aimaas.model.graph_check import GraphError, check_graph
from aimaas.model.intervals import Bounds

Float32 = npt.NDArray[np.float32]

_WARM_ROWS = (1, 2, 3, 7, 64, 255, 2_000)  # batch sizes of the loop: onnxruntime plans its memory for each
_LARGEST_ANSWER = 3.0e38  # just inside float32


@dataclass(frozen=True)
class OpenModel:
    """One model version that is ready to predict."""

    version: str
    metadata: ModelMetadata
    kernel: Kernel
    session: Any
    bounds: Bounds | None

    def predict(self, features: Float32) -> Float32:
        """Return predictions (n,) float32 of features (n, F) float32, with the same bits however the rows are cut into calls.

        A result that is not finite is no prediction, which callers must check. A row at which onnxruntime fails gets NaN, so
        that it does not cost the other rows their predictions.
        """
        try:
            return self.run(features)
        except Exception:  # noqa: BLE001 - onnxruntime's errors share no other base class
            return np.concatenate([self._row(features[i : i + 1]) for i in range(len(features))])

    def run(self, features: Float32) -> Float32:
        """As `predict`, but raises onnxruntime's errors.

        onnxruntime multiplies a single row by another routine than several rows, with other bits for linear models. So a single
        row is padded.
        """
        given = features if len(features) != 1 else np.repeat(features, 2, axis=0)
        answers: Float32 = self.session.run([OUTPUT], {INPUT: given})[0].reshape(len(given))
        return answers[: len(features)]

    def _row(self, row: Float32) -> Float32:
        try:
            return self.run(row)
        except Exception:  # noqa: BLE001 - as above
            return np.full(1, np.nan, np.float32)

    def interval(self, answers: Float32) -> tuple[list[float], list[float]] | tuple[list[None], list[None]]:
        """Return lower and upper bounds of predictions (n,); None for each if the model has no intervals."""
        if self.bounds is None:
            nothing = [None] * len(answers)
            return nothing, nothing
        lower, upper = self.bounds.of(answers)
        return lower.tolist(), upper.tolist()


def read_metadata(content: bytes, where: str) -> ModelMetadata:
    """Check the graph and the metadata inside the file, and return the metadata. Raises ModelRefusedError."""
    import onnx

    try:
        proto = onnx.load_model_from_string(content)
        check_graph(proto)
        onnx.checker.check_model(proto)
    except GraphError as e:
        raise ModelRefusedError(f"{where}: it contains {e}") from None
    except Exception as e:  # noqa: BLE001 - protobuf's DecodeError among others: a torn file must be refused, not end the scorer
        raise ModelRefusedError(f"{where}: not a valid ONNX file ({_first_line(e)}); export it again") from None
    return metadata_of({entry.key: entry.value for entry in proto.metadata_props}, where)


def metadata_of(texts: dict[str, str], where: str) -> ModelMetadata:
    """Return the checked metadata from a file's properties. Raises only ModelRefusedError, whatever they contain."""
    try:
        text = texts[METADATA_KEY]
        if len(text) > MOST_BYTES:
            raise MetadataError(f"{len(text)} characters, allowed are {MOST_BYTES}")
        metadata = decode_metadata(text)
        check_metadata(metadata)
    except Exception as e:  # noqa: BLE001 - anybody may have written the text: any error is the text's fault
        raise ModelRefusedError(
            f"{where}: no usable metadata {METADATA_KEY!r} ({_first_line(e)}); export it again"
        ) from None
    return metadata


def open_model(
    content: bytes, version: str, metadata: ModelMetadata, present: FeaturePlan, cache: Path, where: str
) -> OpenModel:
    """Open the file with this `metadata`, check it and warm it, for device state with the readings of the `present` plan.

    `cache` is a folder for optimised graphs. Raises ModelRefusedError.
    """
    session = _session(content, cache, where)
    _check_shapes(session, len(metadata.plan.feature_names), where)
    bounds = Bounds(metadata.intervals, metadata.target_range) if metadata.intervals else None
    model = OpenModel(version, metadata, kernel_for(metadata.plan, metadata.fit, present), session, bounds)
    _smoke_run(model, where)
    return model


def _session(content: bytes, cache: Path, where: str) -> Any:
    try:
        return open_session(content, sha256(content), cache)
    except Exception as e:  # noqa: BLE001 - onnxruntime's errors share no other base class
        raise ModelRefusedError(f"{where}: onnxruntime cannot run it ({_first_line(e)}); export it again") from None


def _check_shapes(session: Any, width: int, where: str) -> None:
    given = [(i.name, i.type, i.shape[1:]) for i in session.get_inputs()]
    answers = [(o.name, o.type, o.shape[1:]) for o in session.get_outputs()]
    wanted = [(INPUT, "tensor(float)", [width])], [(OUTPUT, "tensor(float)", [1])]
    if (given, answers) != wanted:
        raise ModelRefusedError(
            f"{where}: inputs {given} and outputs {answers}, expected {wanted[0]} and {wanted[1]}; export it again"
        )


def _smoke_run(model: OpenModel, where: str) -> None:
    """Check that rows of zeros and noise give finite predictions and bounds, and the same bits in calls of several sizes."""
    noise = np.random.default_rng(0).normal(size=(max(_WARM_ROWS), model.kernel.width)).astype(np.float32)
    noise[0] = 0
    try:
        answers = [model.run(noise[:rows]) for rows in _WARM_ROWS]
    except Exception as e:  # noqa: BLE001 - onnxruntime's errors share no other base class
        raise ModelRefusedError(f"{where}: the smoke run failed ({_first_line(e)}); export it again") from None
    if not all((np.abs(a) < _LARGEST_ANSWER).all() for a in answers):
        raise ModelRefusedError(f"{where}: the smoke run gave NaN or infinity; export it again")
    if model.bounds is not None and not model.bounds.are_finite:
        raise ModelRefusedError(f"{where}: its intervals have bounds that are not finite float32; train it again")
    if not all((a == answers[-1][: len(a)]).all() for a in answers):
        raise ModelRefusedError(
            f"{where}: its predictions depend on the number of rows per call, so a replay would not repeat them; "
            "export it with operators that treat each row alike"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
