"""Errors of Spark and of the disk, explained in one line instead of Java's stack trace."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from aimaas.errors import AimaasError, KafkaError, LakeError
from aimaas.kafka.connection import Cause, why_unreachable
from aimaas.kafka.failures import PROBE_S, denied, unreachable
from aimaas.kafka.rights import Right, on_topic
from aimaas.kafka.roles import SPARK_GROUPS
from aimaas.lake.torn_files import named_file, torn_error
from aimaas.settings import Settings

_KAFKA = re.compile(
    r"org\.apache\.kafka\.common\.errors\."
    r"(?P<kind>TopicAuthorization|GroupAuthorization|SaslAuthentication|SslAuthentication|UnsupportedSaslMechanism|Timeout)"
    r"Exception(?:: (?P<said>[^\n]*))?"
)
_FULL = ("No space left on device", "Disk quota exceeded")
_TORN = (
    "FAILED_READ_FILE",
    "is not a Parquet file",
    "CANNOT_READ_FILE_FOOTER",
    "DELTA_FILE_NOT_FOUND",
    "FileNotFoundException",
)


def explained(error: Exception, places: Sequence[str], settings: Settings | None = None) -> AimaasError | None:
    """The error as one line for the user; None if the user cannot fix its cause. The job writes to `places`.

    Errors of Kafka's Java client are explained with the `settings` of the connection.
    """
    from py4j.protocol import Py4JError, Py4JJavaError

    message = str(error)
    if settings is not None and (found := _KAFKA.search(_with_causes(error))):
        return _of_kafka(settings, found["kind"], (found["said"] or "").strip())
    if any(sign in message for sign in _FULL) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return _full(places)
    if any(sign in message for sign in _TORN) and (path := named_file(message)):
        return torn_error(path)
    if isinstance(error, Py4JError | ConnectionError) and not isinstance(error, Py4JJavaError):
        return LakeError(
            "Spark's driver ended in the middle of the work: it was killed, or it ran out of memory; "
            "nothing is lost or doubled, run this job again"
        )
    return None


def _with_causes(error: BaseException) -> str:
    """The text of an error, with Java's stack trace if it has one, because the trace names the causes."""
    parts = [str(error), str(getattr(error, "_stackTrace", None) or "")]
    cause = getattr(error, "_cause", None) or error.__cause__
    return "\n".join(parts) + (_with_causes(cause) if cause is not None else "")


def _of_kafka(settings: Settings, kind: str, said: str) -> KafkaError:
    """An exception of Kafka's Java client, by the name of its class."""
    name, doing = said.rpartition(": ")[2].strip("[]. "), "read Kafka with Spark"
    match kind:
        case "TopicAuthorization":
            return denied(settings, doing, "topic", said, (on_topic("Read", name),))
        case "GroupAuthorization":
            return denied(settings, doing, "group", said, (Right("group", SPARK_GROUPS, "Read", prefixed=True),))
    cause = why_unreachable(settings.kafka, PROBE_S) or Cause(f"{kind}: {said}", lasts=not kind.startswith("Timeout"))
    return unreachable(settings, doing, cause)


def _full(places: Sequence[str]) -> LakeError:
    """The error does not say which disk is full, so the line lists the free space of each."""
    rooms = [f"{place} has {free >> 20} MB left" for place in places if (free := _free(place)) is not None]
    return LakeError(
        f"disk full: {', '.join(rooms) or ', '.join(places)}; nothing is lost or doubled, free some space and run this job again"
    )


def _free(place: str) -> int | None:
    """Free bytes on the disk of a folder; None if it is no folder of this machine."""
    try:
        return shutil.disk_usage(Path(place.removeprefix("file://"))).free
    except OSError:
        return None
