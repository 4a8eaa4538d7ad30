"""Exports a trained estimator as one ONNX file, and checks that the file predicts the same as the estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.errors import GateFailedError
from aimaas.model.artefact import INPUT, METADATA_KEY, OUTPUT, ModelMetadata, encode_metadata
from aimaas.training.rows import Rows
from models.export.assemble import assemble, is_laid_by_hand
from models.export.plain_session import open_session, run_session
from models.families.candidates import predict
from models.families.scikit import Estimator

Float32 = npt.NDArray[np.float32]
OPSETS = {"": 17, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class Parity:
    """Largest difference between ONNX and scikit-learn, as a share of the target's range, and the row it was found at."""

    max_rel: float
    row: int


def export(estimator: Estimator, width: int, target_range: tuple[float, float], logits: bool = False) -> bytes:
    """Return ONNX of an estimator: `features` (n, width) float32 to `prediction` (n, 1) float32, clipped to the target's range.

    With `logits` the estimator is a regression of the log odds, and the file predicts the probability.
    """
    import onnx
    from onnx import helper

    low, high = target_range
    model, answer = (
        assemble(estimator, width, OPSETS, _converted) if is_laid_by_hand(estimator) else _converted(estimator, width)
    )
    graph = model.graph
    if logits:
        graph.node.append(helper.make_node("Sigmoid", [answer], ["chance"], name="chance"))
        answer = "chance"
    for name, value in (("lowest", low), ("highest", high)):
        graph.initializer.append(helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [value]))
    graph.node.append(helper.make_node("Clip", [answer, "lowest", "highest"], [OUTPUT], name="clip"))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, [None, 1]))
    model.producer_name, model.graph.name = "aimaas", "model"
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def stamp(content: bytes, metadata: ModelMetadata) -> bytes:
    """Return the same ONNX file with the metadata inside."""
    import onnx

    model = onnx.load_model_from_string(content)
    onnx.helper.set_model_props(model, {METADATA_KEY: encode_metadata(metadata)})
    return bytes(model.SerializeToString(deterministic=True))


def _converted(estimator: Estimator, width: int) -> tuple[Any, str]:
    """Return the graph as skl2onnx exports it, and the name of its (n, 1) answer before clipping."""
    import onnx
    from onnx import helper
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    classify = hasattr(estimator, "predict_proba")
    options = {"zipmap": False} if classify else None
    model = to_onnx(
        estimator, initial_types=[(INPUT, FloatTensorType([None, width]))], target_opset=OPSETS, options=options
    )
    if not classify:
        return model, model.graph.output[0].name
    graph = model.graph
    graph.initializer.append(helper.make_tensor("failure", onnx.TensorProto.INT64, [1], [1]))
    graph.node.append(helper.make_node("Gather", [graph.output[1].name, "failure"], ["chance"], name="chance", axis=1))
    return model, "chance"


def run_onnx(content: bytes, features: Float32) -> Float32:
    """Return predictions (n,) float32 of the file for features (n, F), on one thread as in the scorer."""
    return run_session(open_session(content), features)


def parity(
    content: bytes,
    estimator: Estimator,
    features: Float32,
    target_range: tuple[float, float],
    reach: Float32 | float = 1.0,
) -> Parity:
    """Compare the file with the estimator on every row of features (n, F); differences are divided by `reach` (n,)."""
    low, high = target_range
    expected = np.clip(predict(estimator, features), low, high)
    difference = np.abs(run_onnx(content, features) - expected) / reach
    row = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    return Parity(float(difference[row]) / (high - low), row)


def check_parity(found: Parity, limit: float, place: str) -> None:
    """Raise GateFailedError if the difference is above `limit`; `place` names the worst row."""
    if not found.max_rel <= limit:
        raise GateFailedError(
            f"the ONNX file differs from scikit-learn by {found.max_rel:.3g} of the target's range, but gates.parity allows "
            f"{limit:.3g}; worst at {place}; nothing was shipped"
        )


def place_of(rows: Rows, row: int) -> str:
    """Return the coordinates of a row as text."""
    return f"device {rows.device_id[row]}, run {rows.run[row]}, order {rows.order[row]}"
