"""Verified copies of the models that this machine served last, so that a scorer can restart without the registry.

`<home>/models/<fleet>/` holds three files of each: the model `<SHA-256>.onnx`, its announcement `.json`, and `.trial` with
the trial that it passed. Scorers of one home share the folder: files are written whole, and torn files are not used. A disk
that cannot be written costs only the copies.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from aimaas.fleet import FleetSpec
from aimaas.logs import logger
from aimaas.model.artefact import sha256
from aimaas.records.events import Announcement
from aimaas.settings import Settings

KEPT = 3
_OTHERS_S = 3_600.0

log = logger("scorer.models")


class Copies:
    """The copies of one fleet. Several threads and processes may have one each."""

    def __init__(self, settings: Settings, fleet: FleetSpec) -> None:
        self.sessions = settings.home / "models"  # optimised graphs of all fleets
        self._folder = self.sessions / fleet.fleet
        self._most = settings.model_bytes

    def content(self, digest: str) -> bytes | None:
        """Return the bytes with this SHA-256; None if the file is missing or torn."""
        with suppress(OSError):
            path = self._folder / f"{digest}.onnx"
            if path.stat().st_size <= self._most and sha256(content := path.read_bytes()) == digest:
                return content
        return None

    def announcements(self) -> list[bytes]:
        """Return the announcements of the models that this machine served, as unverified JSON."""
        found = []
        with suppress(OSError):
            for path in sorted(self._folder.glob("*.json")):
                with suppress(OSError):
                    found.append(path.read_bytes())
        return found

    def passed(self, digest: str, trial: str) -> bool:
        """Return whether the model with this digest has passed this trial."""
        with suppress(OSError):
            return (self._folder / f"{digest}.trial").read_text() == trial
        return False

    def note_passed(self, digest: str, trial: str) -> None:
        """Note that the model has passed the trial."""
        self._put({f"{digest}.trial": trial.encode()})

    def keep(self, announcement: Announcement, content: bytes) -> None:
        """Keep a copy of a model that serves now, and delete all but the newest few."""
        digest = announcement.sha256
        known = {} if self.content(digest) is not None else {f"{digest}.onnx": content}
        self._put({**known, f"{digest}.json": msgspec.json.encode(announcement)})
        self._prune()

    def _put(self, files: dict[str, bytes]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                number, partial = tempfile.mkstemp(prefix=f".{name}-", dir=self._folder)
                try:
                    with os.fdopen(number, "wb") as file:
                        file.write(content)
                    Path(partial).replace(self._folder / name)
                except BaseException:
                    Path(partial).unlink(missing_ok=True)
                    raise
        except OSError as e:
            log.warning("copy of the model not saved", folder=str(self._folder), error=e.strerror or str(e))

    def _prune(self) -> None:
        """Delete all files that belong to none of the newest announcements, and the optimised graphs of their models.

        Files without an announcement, or half-written files, may be another scorer's work: they stay for an hour.
        """
        with suppress(OSError):
            known = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
            kept, gone = {path.stem for path in known[:KEPT]}, {path.stem for path in known[KEPT:]}
            long_ago = time.time() - _OTHERS_S
            for path in self._folder.iterdir():
                if path.stem in gone or (path.stem not in kept and path.stat().st_mtime < long_ago):
                    path.unlink(missing_ok=True)
            for graph in (graph for digest in gone for graph in self.sessions.glob(f"{digest}-*")):
                graph.unlink(missing_ok=True)
