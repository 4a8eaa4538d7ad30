"""`<fleet>_prepare`: silver to gold."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag

from aimaas.fleet import FleetSpec
from fleet_dags.assets import fleet_asset
from fleet_dags.defaults import dag_arguments
from fleet_dags.gates import gate_task
from fleet_dags.spark import job_file, spark_job

DOC = """\
### Prepare
Runs when silver has a new version that passed its gate. **build_gold** writes each device's rows in order with the labels
that its outcomes allow and the part of the split its id belongs to; **check_gold** stops the run when they do not meet the
expectations. A new version of gold may start the fleet's *train* DAG.
"""


def prepare_dag(fleet: FleetSpec) -> Any:
    """Declare the prepare DAG of one fleet."""

    @dag(
        schedule=[fleet_asset(fleet.fleet, "silver")],
        user_defined_macros={"job_file": job_file},
        **dag_arguments(fleet.fleet, "prepare", DOC),
    )
    def prepare() -> None:
        gold = spark_job(fleet.fleet, "build_gold", "gold", doc="Ordered raw rows, labels from outcomes, split.")
        gold >> gate_task(fleet.fleet, "gold")

    return prepare()
