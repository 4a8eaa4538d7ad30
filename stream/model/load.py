"""Announced models: an artefact is fetched, held against its announcement and opened, or is refused with the reason.

What is checked, in this order: SHA-256 of the bytes, the file's metadata against the announcement, the plan against what the
device state holds; before, between and after these what `aimaas.model` checks of any file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlparse

from aimaas.artefact import ModelMetadata, sha256
from aimaas.errors import ModelRefusedError
from aimaas.events import Announcement
from aimaas.fleet import FleetSpec
from aimaas.model import OpenModel, open_model, read_metadata
from aimaas.plan import plan_of
from aimaas.settings import Settings
from aimaas.state import DeviceState
from aimaas.widening import lacks


@dataclass(frozen=True, kw_only=True)
class Model(OpenModel):
    """One announced model version that is ready to serve."""

    sequence: int
    promoted_at: datetime


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
    metadata = read_metadata(content, where)
    _check_metadata(metadata, announcement, fleet, where)
    opened = open_model(content, announcement.version, metadata, plan_of(fleet), settings.home / "models", where)
    return Model(**vars(opened), sequence=announcement.sequence, promoted_at=announcement.at)


def fetch_artefact(uri: str, where: str, tracking_uri: str) -> bytes:
    """Bytes of the file at a path, a `file:` URI or any URI that MLflow resolves. Raises ArtefactUnreachableError."""
    try:
        parts = urlparse(uri)
        if parts.scheme in ("", "file"):
            return Path(unquote(parts.path)).read_bytes()
        return _from_mlflow(uri, tracking_uri)
    except Exception as e:  # noqa: BLE001 - every store has its own errors, and a missing client is an ImportError
        raise ArtefactUnreachableError(
            f"{where}: cannot be read ({_what(e)}); it is tried again every few seconds: "
            "make it readable from here, or promote another version"
        ) from None


def _from_mlflow(uri: str, tracking_uri: str) -> bytes:
    import tempfile

    from mlflow import set_tracking_uri
    from mlflow.artifacts import download_artifacts

    # as an argument it does not reach `models:/`, which then asks a store in the working directory
    set_tracking_uri(tracking_uri)
    with tempfile.TemporaryDirectory() as folder:
        return Path(download_artifacts(artifact_uri=uri, dst_path=folder)).read_bytes()


def _what(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__


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
    missing = lacks(metadata.plan, plan_of(fleet)) or metadata.plan.needs(
        metadata.plan.readings, state.window, state.first_rows
    )
    if missing:
        raise ModelRefusedError(f"{where}: {missing}; train it anew, or start with the fleet file it was made with")
