"""A version as MLflow's own model format: the registered ONNX file, unchanged, beside signature, input example and requirements.

`mlflow.pyfunc.load_model` and `mlflow.onnx.load_model` read the folder. Scorers and the project itself read the file alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimaas.artefact import FILE_NAME, METADATA_KEY, OUTPUT, ModelMetadata, decode_metadata

if TYPE_CHECKING:
    import pandas as pd

_SESSION = {  # the scorer's own settings, so that answers are the scorer's to the bit
    "intra_op_num_threads": 1,
    "inter_op_num_threads": 1,
    "execution_mode": "sequential",
    "graph_optimization_level": 2,  # ORT_ENABLE_EXTENDED
}


def write_mlflow_model(folder: Path, content: bytes, model_id: str, run_id: str) -> None:
    """Write the ONNX file `content` and what MLflow wants beside it into `folder`, which must not exist.

    A file without metadata of ours, which only tests register, gets neither signature nor input example.
    """
    import mlflow.onnx
    import onnx
    from mlflow.models import Model

    metadata = _metadata(content)
    model = Model(run_id=run_id, model_id=model_id)
    mlflow.onnx.save_model(
        onnx.ModelProto(), folder, mlflow_model=model, save_as_external_data=False,
        signature=None if metadata is None else signature_of(metadata),
        input_example=None if metadata is None else example_of(metadata),
        pip_requirements=mlflow.onnx.get_default_pip_requirements(),
        onnx_execution_providers=["CPUExecutionProvider"], onnx_session_options=_SESSION,
    )  # fmt: skip
    (folder / FILE_NAME).write_bytes(content)  # MLflow would write the graph anew, and not the registered bytes
    model.model_size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    model.save(str(folder / "MLmodel"))


def signature_of(metadata: ModelMetadata) -> Any:
    """Signature: a column of each feature, in the model's order, in; the column `prediction` out.

    Inputs are doubles, so that data frames of either width are taken; MLflow hands them on as float32.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    features = [ColSpec(DataType.double, name) for name in metadata.plan.feature_names]
    return ModelSignature(Schema(features), Schema([ColSpec(DataType.float, OUTPUT)]))


def example_of(metadata: ModelMetadata) -> pd.DataFrame | None:
    """One row: the median of each feature over the rows that were learned from, so no device's row is kept by it."""
    import pandas as pd

    if metadata.typical is None:
        return None
    return pd.DataFrame([metadata.typical], columns=list(metadata.plan.feature_names), dtype="float64")


def _metadata(content: bytes) -> ModelMetadata | None:
    import onnx

    try:
        props = onnx.load_model_from_string(content).metadata_props
    except Exception:  # noqa: BLE001 - protobuf's DecodeError, which has no stubs: no ONNX, so nothing of ours
        return None
    texts = {entry.key: entry.value for entry in props}
    return decode_metadata(texts[METADATA_KEY]) if METADATA_KEY in texts else None
