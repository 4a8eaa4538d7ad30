"""Errors of Spark during a training, in one line instead of Java's stack trace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from aimaas.errors import TrainingRefusedError

_PYTHONS = re.compile(r"(?!org\.|java\.|py4j\.)[\w.]*(?:Error|Exception)\b.*")


@contextmanager
def spark_errors(what: str, advice: str) -> Iterator[None]:
    """Turn Spark's errors into a TrainingRefusedError: `what` failed, the cause that Spark names, and the `advice`."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JError, PySparkException, RuntimeError) as e:
        raise TrainingRefusedError(f"{what}: {_cause(str(e)) or type(e).__name__}; {advice}") from None


def _cause(message: str) -> str:
    """Return the last error line of a Python process on an executor, otherwise the first line of the message."""
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("\t")]
    from_python = [line for line in lines if _PYTHONS.fullmatch(line)]
    return (from_python[-1:] or lines[:1] or [""])[0]
