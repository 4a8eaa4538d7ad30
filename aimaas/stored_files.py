"""Files that several machines share: a place is a path, or a URI of an object store, as for the lake.

Local paths are used in place. A URI is copied from or to a temporary folder (`at_hand`, `made_at`) by Arrow's file systems,
which read credentials from the same variables as delta-rs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from aimaas.errors import LakeError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

Place = str | Path


@dataclass(frozen=True)
class Stored:
    """A file: its place, its size, and the time of its last change (UTC)."""

    place: str
    bytes: int
    at: datetime


def is_local(place: Place) -> bool:
    """Whether the place is a path, not a URI."""
    return "://" not in str(place)


def uri_of(place: Place) -> str:
    """The place in the form that Spark takes."""
    return Path(place).absolute().as_uri() if is_local(place) else str(place)


def with_s3(place: Place) -> str:
    """The place in the form that Arrow, delta-rs and MLflow take: with `s3` instead of Hadoop's `s3a`."""
    return str(place).replace("s3a://", "s3://", 1)


def stored(place: Place) -> list[Stored]:
    """All files below a place, by name; none if the place does not exist. Raises LakeError if the store does not answer."""
    from pyarrow.fs import FileSelector, FileType

    with _reaching(place):
        system, root = _opened(place)
        found = system.get_file_info(FileSelector(root, allow_not_found=True, recursive=True))
    files = [
        Stored(f"{_text(place)}{info.path[len(root) :]}", info.size, datetime.fromtimestamp(info.mtime_ns / 1e9, UTC))
        for info in found
        if info.type == FileType.File
    ]
    return sorted(files, key=lambda file: file.place)


def exists(place: Place) -> bool:
    """Whether there is a file at the place. Raises LakeError if the store does not answer."""
    from pyarrow.fs import FileType

    with _reaching(place):
        system, path = _opened(place)
        return bool(system.get_file_info(path).type == FileType.File)


def read(place: Place) -> bytes:
    """The bytes of a file. Raises FileNotFoundError, or LakeError if the store does not answer."""
    with _reaching(place):
        system, path = _opened(place)
        with system.open_input_file(path) as file:
            return bytes(file.read())


def write(place: Place, content: bytes) -> None:
    """Write a file atomically. Raises LakeError if the store does not answer."""
    if is_local(place):
        path = Path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.new")
        part.write_bytes(content)
        part.replace(path)
        return
    with _reaching(place):
        system, path_there = _opened(place)
        system.create_dir(path_there.rpartition("/")[0], recursive=True)
        with system.open_output_stream(path_there) as file:
            file.write(content)


def delete(place: Place) -> None:
    """Delete a file, if it exists. Raises LakeError if the store does not answer."""
    with _reaching(place):
        system, path = _opened(place)
        if exists(place):
            system.delete_file(path)


def delete_folder(place: Place) -> None:
    """Delete a folder and its content. Raises LakeError if the store does not answer."""
    if is_local(place):
        shutil.rmtree(place)
        return
    with _reaching(place):
        system, path = _opened(place)
        system.delete_dir(path)


@contextmanager
def at_hand(place: Place) -> Iterator[Path]:
    """A folder of this machine with the content of the place. Raises LakeError if a URI has no content."""
    if is_local(place):
        yield Path(place)
        return
    if not stored(place):
        raise LakeError(f"{place}: does not exist")
    with TemporaryDirectory(prefix="aimaas-") as folder:
        with _reaching(place):
            _copy(place, folder)
        yield Path(folder)


@contextmanager
def made_at(place: Place) -> Iterator[Path]:
    """A folder of this machine whose files are copied to the place at the end of the block.

    If the block raises, a URI gets no file.
    """
    if is_local(place):
        yield Path(place)
        return
    with TemporaryDirectory(prefix="aimaas-") as folder:
        yield Path(folder)
        with _reaching(place):
            _copy(folder, place)


def _copy(source: Place, destination: Place) -> None:
    from pyarrow.fs import copy_files

    from_, at = _opened(source)
    to, there = _opened(destination)
    to.create_dir(there, recursive=True)
    copy_files(at, there, source_filesystem=from_, destination_filesystem=to)


def _opened(place: Place) -> tuple[FileSystem, str]:
    """Arrow's file system for the place, and the path in it."""
    from pyarrow.fs import FileSystem

    system, path = FileSystem.from_uri(with_s3(_text(place)))
    return system, str(path)


def _text(place: Place) -> str:
    return str(Path(place).absolute()) if is_local(place) else str(place).rstrip("/")


@contextmanager
def _reaching(place: Place) -> Iterator[None]:
    """Turn an error of an object store into a LakeError of one line."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as e:
        if is_local(place):
            raise
        raise LakeError(f"{place}: cannot be accessed: {(str(e).splitlines() or [type(e).__name__])[0]}") from None
