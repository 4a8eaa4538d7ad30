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
Brings the records of the devices into the lake, exactly once.

- **land** appends the records of the topics to bronze.
- **admit** judges each record as the scorer does, and writes it to silver or to quarantine.
- **check_silver** publishes new rows that pass the gate. It fails for other rows: `aimaas gate show` says why. Gold and training do
  not read rows that are not published.
- **pass_on_outcomes** passes new outcomes on to gold if the gate failed.

A new version of silver, or new outcomes, start the fleet's *prepare* DAG.

The DAG runs by schedule. A record on the outcomes topic starts it earlier. Events do not start it: they arrive all the time.
"""


def ingest_dag(fleet: FleetSpec) -> Any:
    """Declare the ingest DAG of one fleet. It runs by `schedule.ingest` of the fleet file, and soon after an outcome."""
    every = CronTriggerTimetable(fleet.schedule.ingest, timezone="UTC")

    @dag(
        schedule=AssetOrTimeSchedule(timetable=every, assets=[outcomes_asset(fleet)]),
        user_defined_macros={"job_file": job_file},
        **dag_arguments(fleet.fleet, "ingest", DOC),
    )
    def ingest() -> None:
        with TaskGroup(
            "lake", prefix_group_id=False, tooltip="From Kafka to bronze, from bronze to silver and quarantine"
        ):
            land = spark_job(
                fleet.fleet, "land", "land", doc="Appends new records of the topics to bronze, exactly once."
            )
            admit = spark_job(fleet.fleet, "admit", "admit", doc="Judges new rows of bronze: silver or quarantine.")
        checked = gate_task(fleet.fleet, "silver")
        land >> admit >> checked
        # the run fails by this leaf if the gate fails, also when outcomes are passed on; no worker runs an empty task
        published = EmptyOperator(task_id="published", doc_md="The new rows of silver have passed the gate.")
        checked >> [published, go_on_without(fleet.fleet)]

    return ingest()
