"""Checks that MLflow's server or database answers within seconds, because its own client tries silently for minutes."""

from __future__ import annotations

import os
import socket
import ssl
from contextlib import suppress
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit
from urllib.request import urlopen

from aimaas.errors import RegistryError

ANSWER_S = 5.0
_PORTS = {"postgresql": 5_432, "mysql": 3_306, "mssql": 1_433}
# variables of MLflow, its retries and the database drivers; values that an operator has set take precedence
_TIME_OUTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "8",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
    "PGCONNECT_TIMEOUT": "5",
    "AWS_MAX_ATTEMPTS": "2",
}


def with_time_outs() -> None:
    """Set MLflow's time-outs in this process to seconds instead of minutes. Call it before MLflow is imported."""
    for name, value in _TIME_OUTS.items():
        os.environ.setdefault(name, value)


def check_reachable(uri: str) -> None:
    """Raise RegistryError unless the server of a tracking URI answers within some seconds. A local file is not checked."""
    parts = urlsplit(uri)
    try:
        if parts.scheme in ("http", "https"):
            _ask(uri)
        elif parts.hostname:
            port = parts.port or _PORTS.get(parts.scheme.split("+")[0], 0)
            with suppress(OverflowError), socket.create_connection((parts.hostname, port), ANSWER_S):
                pass
    except (OSError, HTTPException, ValueError) as e:
        reason = getattr(e, "reason", None) or getattr(e, "strerror", None) or e or type(e).__name__
        raise RegistryError(
            f"the registry at {shown(uri)} does not answer: {reason}; start it, or check AIMAAS_MLFLOW_TRACKING_URI"
        ) from None


def _ask(uri: str) -> None:
    """Ask for the server's health. Any answer is enough, because MLflow's own client checks the certificate."""
    try:
        urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_S).close()  # noqa: S310 - http or https
    except HTTPError:
        return
    except URLError as e:
        if not isinstance(e.reason, ssl.SSLError):
            raise


def shown(uri: str) -> str:
    """The URI without a password."""
    parts = urlsplit(uri)
    if not parts.password:
        return uri
    host = parts.netloc.rpartition("@")[2]
    return SplitResult(parts.scheme, f"{parts.username}:…@{host}", parts.path, "", "").geturl()
