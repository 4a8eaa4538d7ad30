"""`<fleet>_train`: from gold to a serving model."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, TaskGroup, chain, dag

from aimaas.fleet import FleetSpec
from fleet_dags import training
from fleet_dags.assets import fleet_asset
from fleet_dags.defaults import dag_arguments
from fleet_dags.spark import TrainingSetJob, job_file, spark_job

DOC = """\
### Train
Runs by its own schedule, and when gold has a new version.

- **enough_outcomes** skips a run for a new version of gold if fewer than `schedule.train_after_outcomes` outcomes are new since the
  last training. A refused training runs again after gold or the fleet file changed, or in a manual run.
- **build_features** freezes a training set of published gold. The kernel computes its features, as in the stream.
- **train_candidates** trains the candidates, chooses one on validation devices, reports on test devices and exports it to ONNX.
- **register_and_promote** registers the model, and makes it champion if it is better than the present champion.
- **announce** announces the champion to the scorers.
"""


def train_dag(fleet: FleetSpec) -> Any:
    """Declare the training DAG of one fleet."""
    name = fleet.fleet
    nightly = CronTriggerTimetable(fleet.schedule.train, timezone="UTC")

    @dag(
        schedule=AssetOrTimeSchedule(timetable=nightly, assets=[fleet_asset(name, "gold")]),
        user_defined_macros={"job_file": job_file, "training_set_folder": training.training_set_folder},
        **dag_arguments(name, "train", DOC),
    )
    def train() -> None:
        folder = f"{{{{ training_set_folder('{name}', run_id) }}}}"
        due = training.enough_outcomes(name)
        with TaskGroup("model", prefix_group_id=False, tooltip="Freezes a training set and trains the candidates"):
            features = spark_job(
                name, "build_features", "features", "--out", folder, "--outcomes", "{{ ti.xcom_pull('enough_outcomes') }}",
                doc="Freezes the training set.", operator=TrainingSetJob,
            )  # fmt: skip
            features.execution_timeout = timedelta(hours=6)
            trained = training.train_candidates(name, due)
        with TaskGroup("serve", prefix_group_id=False, tooltip="Registers, promotes and announces the model"):
            registered = training.register_and_promote(name, due)
            announced = training.announce(name, registered)
        chain(due, features, trained, registered, announced)

    return train()
