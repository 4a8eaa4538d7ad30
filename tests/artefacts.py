"""Model files where scorers look for them: below the artefact store."""

from __future__ import annotations

from pathlib import Path

from aimaas.fleet import FleetSpec
from aimaas.model.artefact import sha256
from aimaas.settings import Settings
from stream.model.copies import Copies
from stream.model.trial import fingerprint


def stored(settings: Settings, name: str, content: bytes) -> Path:
    """The file with this content in the settings' artefact store."""
    path = Path(settings.mlflow_artifacts) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def note_as_tried(settings: Settings, fleet: FleetSpec, content: bytes) -> None:
    """Spare the trial of a model that is known to pass it: a process of seconds, in hundreds of tests about other things."""
    digest = sha256(content)
    Copies(settings, fleet).note_passed(digest, fingerprint(digest, fleet))
