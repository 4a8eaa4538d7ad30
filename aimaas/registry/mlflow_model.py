"""A version in MLflow's own model format: the registered ONNX file, unchanged, with signature, input example and requirements.

`mlflow.pyfunc.load_model` and `mlflow.onnx.load_model` read the folder. Scorers and the project itself read only the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimaas.model.artefact import FILE_NAME, METADATA_KEY, OUTPUT, ModelMetadata, decode_metadata

if TYPE_CHECKING:
    import pandas as pd

_SESSION = {  # the scorer's own settings, so that predictions equal the scorer's bit for bit
    "intra_op_num_threads": 1,
    "inter_op_num_threads": 1,
    "execution_mode": "sequential",
    "graph_optimization_level": 2,  # ORT_ENABLE_EXTENDED
}


def write_mlflow_model(folder: Path, content: bytes, model_id: str, run_id: str) -> None:
    """Write the ONNX file `content` and MLflow's files for it into `folder`, which must not exist.

    A file without aimaas metadata, which only tests register, gets neither signature nor input example.
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
    (folder / FILE_NAME).write_bytes(content)  # MLflow would serialise the graph again, and change the registered bytes
    model.model_size_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    model.save(str(folder / "MLmodel"))


def signature_of(metadata: ModelMetadata) -> Any:
    """Signature: the inputs are one column for each feature, in the model's order; the output is the column `prediction`.

    Inputs are doubles, so that data frames of either width are accepted; MLflow passes them on as float32.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    features = [ColSpec(DataType.double, name) for name in metadata.plan.feature_names]
    return ModelSignature(Schema(features), Schema([ColSpec(DataType.float, OUTPUT)]))


def example_of(metadata: ModelMetadata) -> pd.DataFrame | None:
    """One row: the median of each feature over the training rows, so it holds no device's row."""
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
