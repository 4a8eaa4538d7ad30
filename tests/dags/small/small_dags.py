"""Small DAGs of the tests, in a folder that Airflow reads as its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.sdk import Asset, dag, task
from airflow.sdk.exceptions import AirflowException

from aimaas.settings import read_settings
from aimaas.training.last_refusal import Attempt, Refused, note_refused

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "dags"))

from fleet_dags.assets import newest_extra
from fleet_dags.defaults import TASK_DEFAULTS
from fleet_dags.spark import TrainingSetJob, job_file, spark_job

ASSET = Asset(name="small_silver", uri="aimaas://small/silver")


def found(**what: Any) -> None:
    """Say something to the test."""
    sys.stdout.write("FOUND " + json.dumps(what) + "\n")


@dag(dag_id="count", schedule=None)
def count() -> None:
    """One task that counts on from its asset's newest event."""

    @task(inlets=[ASSET], outlets=[ASSET])
    def count_on(*, inlet_events: Any = None, outlet_events: Any = None) -> None:
        events = inlet_events[ASSET]
        before = newest_extra(events).get("number", 0)
        found(before=before, sent=len(events))
        outlet_events[ASSET].extra.update({"number": before + 1})

    count_on()


def told(context: Mapping[str, Any]) -> None:
    """Say how a task failed."""
    error = context["exception"]
    found(error=type(error).__name__, why=str(error))


def submit(hook: SparkSubmitHook, _: str) -> None:
    """Stand in for spark-submit: one job remembers a refusal, as the features job does; both end with an exit code."""
    if hook._name.endswith("refuses"):
        refused = Refused(Attempt(3, 2, "digest", "1"), "gold has no row", datetime.now(UTC))
        note_refused(read_settings(), "small", refused)
    raise AirflowException("Cannot execute: spark-submit. Error code is: 3.")


SparkSubmitHook.submit = submit


@dag(
    dag_id="freeze",
    schedule=None,
    user_defined_macros={"job_file": job_file},
    default_args={**TASK_DEFAULTS, "retries": 0, "on_failure_callback": told},
)
def freeze() -> None:
    """A features job that fails, then one that refuses."""
    for task_id in ("fails", "refuses"):
        spark_job("small", task_id, "features", doc="Freeze.", operator=TrainingSetJob)


count()
freeze()
