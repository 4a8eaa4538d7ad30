"""MLflow for the registry: a client, and a lock, because MLflow has none."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aimaas.errors import RegistryError
from aimaas.registry.mlflow_reach import check_reachable, shown, with_time_outs
from aimaas.settings import Settings

CARD_FOLDER, CARD_NAME = "card", "model_card.html"  # beside the model: a page, its Markdown version, and pictures
_LOCK_LIMIT_S = 60.0


@contextmanager
def client(settings: Settings) -> Iterator[Any]:
    """MLflow's client for the store in the settings, if the store answers. The client's errors become RegistryError.

    Every request has a time-out of seconds.
    """
    uri = settings.mlflow_tracking_uri
    check_reachable(uri)
    with_time_outs()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # else a download writes between our lines
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)
    except (MlflowException, SQLAlchemyError, OSError) as e:
        reason = (str(e).strip().splitlines() or [type(e).__name__])[0]
        raise RegistryError(
            f"the registry at {shown(uri)} answers: {reason}; check AIMAAS_MLFLOW_TRACKING_URI"
        ) from None


def versions_of(client: Any, fleet: str) -> list[Any]:
    """The registered versions of a fleet's model as MLflow's objects, in any order."""
    return list(client.search_model_versions(f"name='{fleet}'", max_results=10_000))


@contextmanager
def locked(settings: Settings, what: str) -> Iterator[None]:
    """Lock the registry for the processes of this home. Raises RegistryError after a minute, or at once if it does not answer."""
    from filelock import FileLock, Timeout

    check_reachable(settings.mlflow_tracking_uri)  # a process that waits for a dead server must not hold the lock
    path = settings.home / "locks" / f"registry-{what}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=_LOCK_LIMIT_S):
            yield
    except Timeout:
        raise RegistryError(
            f"{path}: locked by another process for {_LOCK_LIMIT_S:g} s; check whether that process hangs"
        ) from None
