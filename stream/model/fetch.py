"""Fetches the bytes of an artefact, with limits on size and time that hold for any server."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from pathlib import Path

from aimaas.errors import ModelRefusedError
from aimaas.records.events import State
from aimaas.settings import Settings
from stream.model.child import bound, run_child, say
from stream.model.store import RESOLVED, local_path

_MEMORY = 4 * 1024**3  # address space of a client, most of it never touched


class ArtefactUnreachableError(ModelRefusedError):
    """The artefact is out of reach now; a later attempt may succeed. `state` is the status that scorers report."""

    state: State = "unreachable"


def fetch_artefact(
    uri: str, where: str, settings: Settings, limit_s: float, stop: threading.Event | None = None
) -> bytes:
    """Return the bytes of the file at a path, a `file:` URI or any URI that MLflow resolves.

    MLflow runs in a child process, because it may hang or fill memory or disk, and takes seconds to import. Raises
    ArtefactUnreachableError, and ModelRefusedError for more than `AIMAAS_MODEL_BYTES` bytes.
    """
    path = local_path(uri)
    try:
        content = _read(path.resolve(), settings.model_bytes) if path else _download(uri, settings, limit_s, stop)
    except OSError as e:
        raise ArtefactUnreachableError(
            f"{where}: cannot be read ({e.strerror or e}); it will be tried again: make it readable from this machine, "
            "or promote another version"
        ) from None
    if len(content) > settings.model_bytes:
        raise ModelRefusedError(
            f"{where}: more than the {settings.model_bytes} bytes that AIMAAS_MODEL_BYTES allows; promote a smaller model"
        )
    return content


def _read(path: Path, most: int) -> bytes:
    """Return a file's bytes, or one more than `most`. Raises OSError, also for a path that is no file."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is not a file")
        return file.read(most + 1)


def _download(uri: str, settings: Settings, limit_s: float, stop: threading.Event | None) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        arguments = [uri, folder, settings.mlflow_tracking_uri, str(settings.model_bytes), str(limit_s)]
        ended = run_child("stream.model.fetch", arguments, b"", limit_s, stop, secrets=True)
        if ended.code is None:
            raise OSError(f"not finished within {limit_s:g} s")
        if ended.code != 0:
            raise OSError(ended.last_line)
        return _read(Path(os.fsdecode(ended.out)), settings.model_bytes)


def main(arguments: list[str]) -> None:
    """Download as a child process. Arguments: URI, folder, tracking server, most bytes, seconds. Answers the file's path."""
    uri, folder, tracking_uri, most, limit_s = arguments
    bound(_MEMORY, int(most) + 1, float(limit_s))
    from aimaas.errors import RegistryError
    from aimaas.registry.mlflow_reach import check_reachable, with_time_outs

    try:
        if uri.partition(":")[0].lower() in RESOLVED:
            check_reachable(tracking_uri)  # before MLflow is imported, which takes seconds
    except RegistryError as e:
        raise SystemExit(str(e)) from None
    with_time_outs()
    from mlflow import set_tracking_uri
    from mlflow.artifacts import download_artifacts

    # as an argument it does not reach `models:/`, which then uses a store in the working directory
    set_tracking_uri(tracking_uri)
    try:
        path = download_artifacts(artifact_uri=uri, dst_path=folder)
    except Exception as e:  # noqa: BLE001 - every store has its own errors, and a missing client is an ImportError
        raise SystemExit((str(e).strip().splitlines() or [type(e).__name__])[0]) from None
    say(os.fsencode(path))
