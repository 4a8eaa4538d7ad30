"""MLflow as the registry uses it: a client, a lock that MLflow itself does not have, and a run for every training."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aimaas.artefact import FILE_NAME
from aimaas.errors import RegistryError
from aimaas.fleet import FleetSpec
from aimaas.mlflow_reach import check_reachable, shown, with_time_outs
from aimaas.settings import Settings
from aimaas.training_report import FILE_NAME as REPORT_NAME
from aimaas.training_report import TrainReport

CARD_FOLDER, CARD_NAME = "card", "model_card.html"  # beside the model: a page, the same as Markdown, and their pictures
_LOCK_LIMIT_S = 60.0


def log_run(
    client: Any, settings: Settings, fleet: FleetSpec, trained: Path, report: TrainReport, tags: dict[str, str]
) -> Any:
    """Write a run with the training's parameters, metrics (errors by fold under `fold_…`) and files; the finished run."""
    from mlflow.entities import Metric, Param

    experiment = client.get_experiment_by_name(fleet.fleet)
    place = f"{settings.mlflow_artifacts.rstrip('/')}/{fleet.fleet}"
    id_ = experiment.experiment_id if experiment else client.create_experiment(fleet.fleet, place)
    run = client.create_run(id_, run_name=f"{report.chosen}-{report.sha256[:8]}", tags=tags)
    stamp = run.info.start_time
    metrics = [Metric(name, value, stamp, 0) for name, value in report.metrics.items()]
    for c in report.candidates:
        metrics.append(Metric(f"validation_{report.error}.{c.name}", c.validation, stamp, 0))
        metrics += [Metric(f"fold_{report.error}.{c.name}", e, stamp, i) for i, e in enumerate(c.folds, 1)]
    for f in report.forms:
        kept = {"error": f.error, "bytes": float(f.bytes), "us_1": f.us_1, "us_1024": f.us_1024}
        metrics += [Metric(f"form_{k}.{f.name}", v, stamp, 0) for k, v in kept.items() if v is not None]
    params = [Param(f"candidates.{k}", str(v)) for k, v in fleet.training.candidates.items()]
    params += [
        Param(f"{split}.{k}", str(getattr(c, k))) for split, c in report.splits.items() for k in c.__struct_fields__
    ]
    params += [
        Param("seed", str(report.seed)),
        Param("folds", str(fleet.training.folds)),
        Param("chosen", report.chosen),
        Param("form", report.form),
    ]
    client.log_batch(run.info.run_id, metrics, params)
    for name in (FILE_NAME, REPORT_NAME):
        client.log_artifact(run.info.run_id, str(trained / name))
    if card_tag(run, trained):
        client.log_artifacts(run.info.run_id, str(trained / CARD_FOLDER), CARD_FOLDER)
    client.set_terminated(run.info.run_id)
    return run


def card_tag(run: Any, trained: Path) -> dict[str, str]:
    """The tag that says where the run's model card is; none where the training left no card."""
    if not (trained / CARD_FOLDER / CARD_NAME).is_file():
        return {}
    return {"card": f"{run.info.artifact_uri}/{CARD_FOLDER}/{CARD_NAME}"}


@contextmanager
def client(settings: Settings) -> Iterator[Any]:
    """MLflow's client on the settings' store, once that answers; what it raises becomes RegistryError.

    Every request has a time-out of seconds.
    """
    uri = settings.mlflow_tracking_uri
    check_reachable(uri)
    with_time_outs()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
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
            f"the registry at {shown(uri)} answers: {reason}; look at AIMAAS_MLFLOW_TRACKING_URI"
        ) from None


@contextmanager
def locked(settings: Settings, what: str) -> Iterator[None]:
    """Keep the other processes of this home out. Raises RegistryError after a minute, and at once where the registry is gone."""
    from filelock import FileLock, Timeout

    check_reachable(settings.mlflow_tracking_uri)  # whoever waits for a server that is gone must not hold the others up
    path = settings.home / "locks" / f"registry-{what}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=_LOCK_LIMIT_S):
            yield
    except Timeout:
        raise RegistryError(f"{path}: held by another process for {_LOCK_LIMIT_S:g} s; is one hanging?") from None
