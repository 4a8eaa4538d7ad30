"""Saves AIMAAS_HOME in one file, and restores it.

A backup has the whole home: the broker's log (topics, offsets, device state), the lake, MLflow's database and artefacts, Airflow's
database, training sets, pages, secrets. The stack must be stopped, so that broker and databases are from the same moment. A restore
unpacks into a folder of the home (which may be its own disk), compares each file with its noted digest, and only then moves the
files into place. Paths in the registry and on the topics are absolute, so a home must return to its old path.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tarfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

from aimaas.errors import AimaasError
from aimaas.release import release
from aimaas.settings import STACK_FILE, Settings
from local.private_files import create_private
from local.supervision.processes import RECORD, find_processes
from local.supervision.supervisor import NAME as SUPERVISOR

MANIFEST = "aimaas-backup.json"
_HOME = "home"
_RESTORING = ".restoring-"
_OF_THE_DISK = "lost+found"  # an ext4 file system has it at its root, and only root may read it
# paths in the home: records of running processes, and files that these write again when they start
_LEFT_OUT = frozenset({STACK_FILE, SUPERVISOR, "up.lock", "spark", "airflow/spark", _OF_THE_DISK})
_DEEPEST_RECORD = 2  # records of processes are in the home, or one folder below

Progress = Callable[[str, int], None]  # a file, and bytes so far


class BackupError(AimaasError):
    """A home cannot be saved or restored."""


class Manifest(msgspec.Struct, frozen=True):
    """The content of a backup: SHA-256 of each file by its path in the home, the home's path, and the release that saved it."""

    home: str
    release: str
    at: datetime
    files: dict[str, str]
    elsewhere: dict[str, str]  # stores that the settings keep outside of the home: not in the backup


@dataclass(frozen=True)
class Saved:
    """A backup's size, and what is not in it."""

    files: int
    bytes: int
    elsewhere: dict[str, str]


def backup(settings: Settings, target: Path, progress: Progress | None = None) -> Saved:
    """Save the home to the file `target`, which appears only once it is complete. Raises BackupError."""
    home = settings.home
    if not home.is_dir():
        raise BackupError(f"{home}: no such folder; set AIMAAS_HOME to the folder to save")
    _require_still(settings, "saved")
    if target.exists():
        raise BackupError(f"{target}: exists already; choose another name")
    if target.absolute().is_relative_to(home):
        raise BackupError(f"{target}: is inside AIMAAS_HOME; choose a file on another disk")
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with create_private(part) as file:  # it has the secrets of the home
            saved = _write(settings, file, progress)
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    except OSError as e:
        raise BackupError(f"{e.filename or target}: {e.strerror}; nothing was saved") from None
    finally:
        part.unlink(missing_ok=True)
    return saved


def restore(settings: Settings, source: Path) -> Manifest:
    """Restore the home from a backup. Raises BackupError if the home is not empty, or if a file differs from the saved one."""
    home = settings.home
    _require_still(settings, "restored")
    left = _contents(home) if home.exists() else []
    if any(not path.name.startswith(_RESTORING) for path in left):
        raise BackupError(f"{home} is not empty: move its contents away, then run this again")
    for path in left:  # an earlier restore was killed before it had moved anything
        shutil.rmtree(path)
    fresh = home / f"{_RESTORING}{uuid.uuid4().hex[:8]}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        fresh.mkdir(mode=0o700)  # tarfile sets the mode of a secret only after it has written it
        with tarfile.open(source, "r:") as archive:
            archive.extractall(fresh, filter="data")
        manifest = _checked(fresh, source, home)
        for path in _contents(fresh / _HOME):
            path.rename(home / path.name)
    except tarfile.TarError as e:
        raise BackupError(f"{source}: is not a backup, or is torn ({e}); nothing was restored") from None
    except OSError as e:
        raise BackupError(f"{e.filename or source}: {e.strerror}; nothing was restored") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return manifest


def _contents(folder: Path) -> list[Path]:
    """Return files and folders in `folder`, without the file system's own folder."""
    return [path for path in folder.iterdir() if path.name != _OF_THE_DISK]


def _require_still(settings: Settings, done: str) -> None:
    running = [process.name for pattern in ("*", "*/*") for process in find_processes(settings.home, pattern)]
    if running:
        raise BackupError(
            f"{settings.home}: still running: {', '.join(running)}; stop the stack before it is {done}: `aimaas down`"
        )


def _write(settings: Settings, file: IO[bytes], progress: Progress | None) -> Saved:
    home, digests, size = settings.home, dict[str, str](), 0
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _paths(home):
            name = path.relative_to(home).as_posix()
            entry = archive.gettarinfo(path, f"{_HOME}/{name}")
            if path.is_dir():
                archive.addfile(entry)
                continue
            with path.open("rb") as content:
                read = _Digested(content)
                archive.addfile(entry, read)
            digests[name], size = read.digest, size + entry.size
            if progress:
                progress(name, size)
        elsewhere = _elsewhere(settings)
        manifest = msgspec.json.encode(Manifest(str(home), release(), datetime.now(UTC), digests, elsewhere))
        entry = tarfile.TarInfo(MANIFEST)
        entry.size = len(manifest)
        archive.addfile(entry, io.BytesIO(manifest))
    return Saved(len(digests), size, elsewhere)


def _paths(home: Path) -> Iterator[Path]:
    """Yield the folders and files to save, each folder before its contents. Links are left out: aimaas makes none."""
    for path in sorted(home.iterdir()):
        if not path.name.startswith(_RESTORING):
            yield from _below(path, home)


def _below(path: Path, home: Path) -> Iterator[Path]:
    place = path.relative_to(home)
    is_record = path.name.endswith(RECORD) and len(place.parts) <= _DEEPEST_RECORD
    if place.as_posix() in _LEFT_OUT or is_record or path.is_symlink():
        return
    if path.is_dir():
        yield path
        for inner in sorted(path.iterdir()):
            yield from _below(inner, home)
    elif path.is_file():  # not a socket
        yield path


class _Digested:
    """A file that is read once, with the SHA-256 of the read bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read like the file."""
        found = self._file.read(size)
        self._hash.update(found)
        return found

    @property
    def digest(self) -> str:
        """Return the SHA-256 of all read bytes so far."""
        return self._hash.hexdigest()


def _elsewhere(settings: Settings) -> dict[str, str]:
    """Return the stores outside of the home, by the setting that names each."""
    places = {
        "AIMAAS_LAKE": settings.lake,
        "AIMAAS_MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri.removeprefix("sqlite:///"),
        "AIMAAS_MLFLOW_ARTIFACTS": settings.mlflow_artifacts,
        "AIMAAS_DATA_DOCS": str(settings.data_docs),
    }
    with_kafka = (
        {} if (settings.home / "kafka").is_dir() else {"AIMAAS_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers}
    )
    outside = {name: place for name, place in places.items() if not Path(place).is_relative_to(settings.home)}
    return {name: place.rpartition("@")[2] for name, place in outside.items()} | with_kafka  # without a password


def _checked(fresh: Path, source: Path, home: Path) -> Manifest:
    """Return the manifest of an unpacked backup. Raises BackupError unless each file is unchanged."""
    try:
        manifest = msgspec.json.decode((fresh / MANIFEST).read_bytes(), type=Manifest)
    except (FileNotFoundError, msgspec.MsgspecError):
        raise BackupError(
            f"{source}: is not a backup from `aimaas backup`, or its end is missing; nothing was restored"
        ) from None
    if manifest.home != str(home):
        raise BackupError(
            f"{source}: is a backup of {manifest.home}, not of {home}; registry and topics have absolute paths: restore with "
            f"AIMAAS_HOME={manifest.home}"
        )
    for name, digest in manifest.files.items():
        found = fresh / _HOME / name
        with contextlib.suppress(FileNotFoundError), found.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() == digest:
                continue
        raise BackupError(f"{source}: {name} is not as it was saved; nothing was restored: use another backup")
    return manifest
