"""`<fleet>_ingest`: Kafka to silver."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, TaskGroup, dag

from aimaas.fleet import FleetSpec
from fleet_dags.assets import outcomes_asset
from fleet_dags.defaults import dag_arguments
from fleet_dags.gates import gate_task, go_on_without
from fleet_dags.spark import job_file, spark_job

DOC = """\
### Ingest
Brings what devices sent into the lake, exactly once: **land** appends the topics to bronze, **admit** judges each record as
the stream scorer does and puts it into silver or quarantine, **check_silver** publishes new rows that meet the expectations and
fails for others (`aimaas gate show` says why): gold and training do without these, and **pass_on_outcomes** lets outcomes go on
to gold. A new version of silver, or new outcomes, start the fleet's *prepare* DAG.

Runs by schedule. A record on the topic of outcomes, which tells how a device's life went on, wakes it up soon: the same run, only
earlier, that takes what has come by then and does nothing twice. Events do not wake it up: they come all the time.
"""


def ingest_dag(fleet: FleetSpec) -> Any:
    """Declare the ingest DAG of one fleet; it runs as the fleet file's `schedule.ingest` says, and soon after an outcome."""
    every = CronTriggerTimetable(fleet.schedule.ingest, timezone="UTC")

    @dag(
        schedule=AssetOrTimeSchedule(timetable=every, assets=[outcomes_asset(fleet)]),
        user_defined_macros={"job_file": job_file},
        **dag_arguments(fleet.fleet, "ingest", DOC),
    )
    def ingest() -> None:
        with TaskGroup("lake", prefix_group_id=False, tooltip="Kafka to bronze, bronze to silver and quarantine"):
            land = spark_job(
                fleet.fleet, "land", "land", doc="Append new records of the topics to bronze, exactly once."
            )
            admit = spark_job(fleet.fleet, "admit", "admit", doc="Judge new rows of bronze: silver or quarantine.")
        checked = gate_task(fleet.fleet, "silver")
        land >> admit >> checked
        # the run fails by its leaf where the gate fails, whatever becomes of the outcomes; no worker runs an empty task
        published = EmptyOperator(task_id="published", doc_md="The gate of silver has passed what is new.")
        checked >> [published, go_on_without(fleet.fleet)]

    return ingest()
