"""Models in memory: an announced artefact becomes a session that answers, or is refused with the reason.

A model is data, never code. What is checked, in this order: SHA-256 of the bytes, the ONNX checker, the metadata
against the announcement, the plan against what the device state holds, input and output, and a smoke run on rows of zeros and
noise, which also warms the session before it takes traffic.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.artefact import INPUT, METADATA_KEY, OUTPUT, ModelMetadata, decode_metadata, sha256
from aimaas.errors import ModelRefusedError
from aimaas.events import Announcement
from aimaas.features import Kernel, kernel_of
from aimaas.fleet import FleetSpec
from aimaas.intervals import Bounds
from aimaas.settings import Settings
from aimaas.state import DeviceState
from stream.model.session import open_session

Float32 = npt.NDArray[np.float32]

_WARM_ROWS = (1, 2, 3, 7, 64, 255, 2_000)  # sizes that the loop will meet: onnxruntime plans its memory for each
_LARGEST_ANSWER = 3.0e38  # just inside float32


@dataclass(frozen=True)
class Model:
    """One model version that is ready to serve."""

    version: str
    sequence: int
    promoted_at: datetime
    metadata: ModelMetadata
    kernel: Kernel
    session: Any
    bounds: Bounds | None = None

    def predict(self, features: Float32) -> npt.NDArray[np.float32]:
        """Predictions (n,) float32 of features (n, F) float32; the same bits however the rows are cut into calls.

        One row alone would be multiplied by another routine than many, with other bits for linear models: it gets company.
        """
        given = features if len(features) != 1 else np.repeat(features, 2, axis=0)
        answers: npt.NDArray[np.float32] = self.session.run([OUTPUT], {INPUT: given})[0].reshape(len(given))
        return answers[: len(features)]

    def interval(self, answers: Float32) -> tuple[list[float], list[float]] | tuple[list[None], list[None]]:
        """Lower and upper bounds of predictions (n,); None for each where the model has no intervals."""
        if self.bounds is None:
            nothing = [None] * len(answers)
            return nothing, nothing
        lower, upper = self.bounds.of(answers)
        return lower.tolist(), upper.tolist()


class ArtefactUnreachableError(ModelRefusedError):
    """The artefact could not be fetched; a later attempt may succeed."""


def load_model(announcement: Announcement, fleet: FleetSpec, settings: Settings) -> Model:
    """Fetch, check and warm the announced model. Raises ModelRefusedError that says what is wrong with which version."""
    where = f"model {fleet.fleet} version {announcement.version} at {announcement.uri}"
    content = fetch_artefact(announcement.uri, where, settings.mlflow_tracking_uri)
    if sha256(content) != announcement.sha256:
        raise ModelRefusedError(
            f"{where}: its SHA-256 is {sha256(content)[:16]}…, announced was {announcement.sha256[:16]}…: "
            "the file is torn or was replaced; promote another version"
        )
    metadata = _checked_metadata(content, where)
    _check_metadata(metadata, announcement, fleet, where)
    session = _session(content, announcement.sha256, settings.home / "models", where)
    _check_shapes(session, len(metadata.plan.feature_names), where)
    kernel = kernel_of(metadata.plan, metadata.fit)
    bounds = Bounds(metadata.intervals, metadata.target_range) if metadata.intervals else None
    model = Model(announcement.version, announcement.sequence, announcement.at, metadata, kernel, session, bounds)
    _smoke_run(model, where)
    return model


def fetch_artefact(uri: str, where: str, tracking_uri: str) -> bytes:
    """Bytes of the file at a path, a `file:` URI or any URI that MLflow resolves. Raises ArtefactUnreachableError."""
    parts = urlparse(uri)
    try:
        if parts.scheme in ("", "file"):
            return Path(unquote(parts.path)).read_bytes()
        return _from_mlflow(uri, tracking_uri)
    except OSError as e:
        raise ArtefactUnreachableError(
            f"{where}: cannot be read ({e.strerror or e}); it is tried again every few seconds"
        ) from None


def _from_mlflow(uri: str, tracking_uri: str) -> bytes:
    """What MLflow finds at `uri`; its many kinds of errors become OSError."""
    import tempfile

    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            return Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=tracking_uri)).read_bytes()
        except MlflowException as e:
            raise OSError(str(e).splitlines()[0]) from None


def _checked_metadata(content: bytes, where: str) -> ModelMetadata:
    """Run the ONNX checker and read the metadata that travels inside the file."""
    import onnx

    try:
        proto = onnx.load_model_from_string(content)
        onnx.checker.check_model(proto)
    except Exception as e:  # noqa: BLE001 - protobuf's DecodeError among others: a torn file must be refused, not end the scorer
        raise ModelRefusedError(f"{where}: no valid ONNX ({_first_line(e)}); export it again") from None
    texts = {entry.key: entry.value for entry in proto.metadata_props}
    try:
        return decode_metadata(texts[METADATA_KEY])
    except (KeyError, msgspec.MsgspecError) as e:
        raise ModelRefusedError(
            f"{where}: no usable metadata {METADATA_KEY!r} ({_first_line(e)}); export it again"
        ) from None


def _check_metadata(metadata: ModelMetadata, announcement: Announcement, fleet: FleetSpec, where: str) -> None:
    plan, fit, state = metadata.plan.hash, metadata.fit.id, DeviceState.of(fleet)
    if metadata.fleet != fleet.fleet:
        raise ModelRefusedError(
            f"{where}: made for fleet {metadata.fleet!r}, not {fleet.fleet!r}; promote one of this fleet"
        )
    if (plan, fit) != (announcement.plan, announcement.fit):
        raise ModelRefusedError(
            f"{where}: holds plan {plan} and fit {fit}, announced were {announcement.plan} and {announcement.fit}; "
            "register and announce it again"
        )
    missing = metadata.plan.needs(state.readings, state.window, state.first_rows)
    if missing:
        raise ModelRefusedError(f"{where}: {missing}; train it anew, or start with the fleet file it was made with")


def _session(content: bytes, digest: str, cache: Path, where: str) -> Any:
    try:
        return open_session(content, digest, cache)
    except Exception as e:  # noqa: BLE001 - onnxruntime's errors share no base class but this
        raise ModelRefusedError(f"{where}: onnxruntime cannot run it ({_first_line(e)}); export it again") from None


def _check_shapes(session: Any, width: int, where: str) -> None:
    given = [(i.name, i.type, i.shape[1:]) for i in session.get_inputs()]
    answers = [(o.name, o.type, o.shape[1:]) for o in session.get_outputs()]
    wanted = [(INPUT, "tensor(float)", [width])], [(OUTPUT, "tensor(float)", [1])]
    if (given, answers) != wanted:
        raise ModelRefusedError(
            f"{where}: inputs {given} and outputs {answers}, expected {wanted[0]} and {wanted[1]}; export it again"
        )


def _smoke_run(model: Model, where: str) -> None:
    """Score rows of zeros and noise in calls of several sizes: finite answers, and the same bits in each."""
    noise = np.random.default_rng(0).normal(size=(max(_WARM_ROWS), model.kernel.width)).astype(np.float32)
    noise[0] = 0
    try:
        answers = [model.predict(noise[:rows]) for rows in _WARM_ROWS]
    except Exception as e:  # noqa: BLE001 - onnxruntime's errors share no base class but this
        raise ModelRefusedError(f"{where}: the smoke run failed ({_first_line(e)}); export it again") from None
    if not all((np.abs(a) < _LARGEST_ANSWER).all() for a in answers):
        raise ModelRefusedError(f"{where}: the smoke run gave NaN or infinity; export it again")
    if not all((a == answers[-1][: len(a)]).all() for a in answers):
        raise ModelRefusedError(
            f"{where}: its answers depend on how many rows are scored at once, so a replay would not repeat them; "
            "export it with operators that treat each row alike"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
