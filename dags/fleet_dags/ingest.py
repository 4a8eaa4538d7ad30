"""`<fleet>_ingest`: Kafka to silver."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag

from aimaas.fleet import FleetSpec
from fleet_dags.defaults import dag_arguments
from fleet_dags.gates import gate_task
from fleet_dags.spark import job_file, spark_job

DOC = """\
### Ingest
Brings what devices sent into the lake, exactly once: **land** appends the topics to bronze, **admit** judges each record as
the stream scorer does and puts it into silver or quarantine, **check_silver** stops the run when the new rows do not meet
the expectations. A new version of silver starts the fleet's *prepare* DAG.
"""


def ingest_dag(fleet: FleetSpec) -> Any:
    """Declare the ingest DAG of one fleet; it runs as the fleet file's `schedule.ingest` says."""

    @dag(
        schedule=fleet.schedule.ingest,
        user_defined_macros={"job_file": job_file},
        **dag_arguments(fleet.fleet, "ingest", DOC),
    )
    def ingest() -> None:
        land = spark_job(fleet.fleet, "land", "land", doc="Append new records of the topics to bronze, exactly once.")
        admit = spark_job(fleet.fleet, "admit", "admit", doc="Judge new rows of bronze: silver or quarantine.")
        land >> admit >> gate_task(fleet.fleet, "silver")

    return ingest()
