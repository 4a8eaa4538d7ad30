"""Arguments that all DAGs of all fleets share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from fleet_dags.alerts import NOTIFIERS

_FINAL = [f"aimaas.errors.{name}" for name in ("GateFailedError", "TrainingRefusedError", "FleetFileError")]

_DESCRIPTIONS = {
    "ingest": "From Kafka to silver: land, admit, check. Runs by schedule and soon after an outcome.",
    "prepare": "From silver to gold: order, label, split, check. Runs for each new version of silver.",
    "rebuild": "Judges one day of bronze again. Runs daily, or for a range of days as a backfill.",
    "maintenance": "Compacts small files, deletes old files, reports sizes. Runs every night.",
    "train": "From gold to a serving model. Runs by schedule, or when gold has enough new outcomes.",
}

TASK_DEFAULTS: dict[str, Any] = {
    "owner": "aimaas",
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 3.0,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": NOTIFIERS,
    # the same data fails the same gate again
    "retry_policy": ExceptionRetryPolicy(rules=[RetryRule(exception=_FINAL, action=RetryAction.FAIL)]),
}


def dag_arguments(fleet: str, stage: str, doc: str | None) -> dict[str, Any]:
    """Return the arguments of `@dag` for one stage of one fleet."""
    return {
        "dag_id": f"{fleet}_{stage}",
        "description": _DESCRIPTIONS[stage],
        "doc_md": doc,
        "catchup": False,
        "max_active_runs": 1,
        "tags": [fleet, stage],
        "default_args": TASK_DEFAULTS,
    }
