"""What the errors of Spark and of the disk mean for a person: one line instead of Java's stack trace."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

from aimaas.errors import LakeError
from aimaas.torn import named_file, torn_error

_FULL = ("No space left on device", "Disk quota exceeded")
_TORN = (
    "FAILED_READ_FILE",
    "is not a Parquet file",
    "CANNOT_READ_FILE_FOOTER",
    "DELTA_FILE_NOT_FOUND",
    "FileNotFoundException",
)


def explained(error: Exception, places: Sequence[str]) -> LakeError | None:
    """The error of a job that writes to `places`, as a user is told it; None where it is none of those a user can mend."""
    from py4j.protocol import Py4JError, Py4JJavaError

    message = str(error)
    if any(sign in message for sign in _FULL) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return _full(places)
    if any(sign in message for sign in _TORN) and (path := named_file(message)):
        return torn_error(path)
    if isinstance(error, Py4JError | ConnectionError) and not isinstance(error, Py4JJavaError):
        return LakeError(
            "Spark's driver ended in the middle of the work: it was killed, or there was no memory left for it; "
            "nothing is lost or doubled, run this job again"
        )
    return None


def _full(places: Sequence[str]) -> LakeError:
    """Which disk it was nobody says: free room of each."""
    rooms = [f"{place} has {free >> 20} MB left" for place in places if (free := _free(place)) is not None]
    return LakeError(
        f"disk full: {', '.join(rooms) or ', '.join(places)}; nothing is lost or doubled, free some room and run this job again"
    )


def _free(place: str) -> int | None:
    """Bytes left for a folder; None for what is no folder of this machine."""
    try:
        return shutil.disk_usage(Path(place.removeprefix("file://"))).free
    except OSError:
        return None
