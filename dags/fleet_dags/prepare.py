"""`<fleet>_prepare`: silver to gold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag

from aimaas.fleet import FleetSpec
from fleet_dags.assets import fleet_asset
from fleet_dags.defaults import dag_arguments
from fleet_dags.gates import gate_task
from fleet_dags.spark import job_file, spark_job

DOC = """\
### Prepare
Runs when silver has new published rows.

- **build_gold** appends new rows and late events, one row for each place in a device's life, with the split of the device.
- **check_gold** publishes the version if its new rows pass the gate. Training reads published versions only.

A new version of gold may start the fleet's *train* DAG. New outcomes make a new version too.
"""


def prepare_dag(fleet: FleetSpec) -> Any:
    """Declare the prepare DAG of one fleet."""

    @dag(
        schedule=[fleet_asset(fleet.fleet, "silver")],
        user_defined_macros={"job_file": job_file},
        **dag_arguments(fleet.fleet, "prepare", DOC),
    )
    def prepare() -> None:
        gold = spark_job(
            fleet.fleet, "build_gold", "gold", doc="Appends new rows and late events to gold, with their split."
        )
        gold.execution_timeout = timedelta(hours=12)  # after a change of the fleet file the job writes all of gold
        gold >> gate_task(fleet.fleet, "gold")

    return prepare()
