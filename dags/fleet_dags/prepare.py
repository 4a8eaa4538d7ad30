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
Runs when silver has new rows that passed their gate. **build_gold** appends what is new, late events among it, once for each
place in a device's life, with the part of the split its id belongs to; **check_gold** publishes the version when its new rows
meet the expectations; training reads published versions only. A new version of gold, which outcomes make too, may start the
fleet's *train* DAG.
"""


def prepare_dag(fleet: FleetSpec) -> Any:
    """Declare the prepare DAG of one fleet."""

    @dag(
        schedule=[fleet_asset(fleet.fleet, "silver")],
        user_defined_macros={"job_file": job_file},
        **dag_arguments(fleet.fleet, "prepare", DOC),
    )
    def prepare() -> None:
        gold = spark_job(fleet.fleet, "build_gold", "gold", doc="Append new rows, late ones too, with their split.")
        gold.execution_timeout = timedelta(hours=12)  # a changed fleet file has it written whole
        gold >> gate_task(fleet.fleet, "gold")

    return prepare()
