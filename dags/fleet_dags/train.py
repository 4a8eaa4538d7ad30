"""`<fleet>_train`: gold to a model that serves."""

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
Runs on its own schedule, and when gold has a new version: **enough_outcomes** then goes on only if the fleet file's
`schedule.train_after_outcomes` came since the last training; a training that was refused runs again only after gold or the fleet
file changed, or by hand. **build_features** freezes a training set of published gold with the one feature
kernel, **train_candidates** picks on validation devices, reports on test devices and exports to ONNX,
**register_and_promote** puts the model into the registry and makes it champion when it beats the present one,
**announce** tells the scorers.
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
        with TaskGroup("model", prefix_group_id=False, tooltip="a frozen training set, and the best candidate on it"):
            features = spark_job(
                name, "build_features", "features", "--out", folder, "--outcomes", "{{ ti.xcom_pull('enough_outcomes') }}",
                doc="Freeze the training set.", operator=TrainingSetJob,
            )  # fmt: skip
            features.execution_timeout = timedelta(hours=6)
            trained = training.train_candidates(name, due)
        with TaskGroup("serve", prefix_group_id=False, tooltip="into the registry, and to the scorers"):
            registered = training.register_and_promote(name, due)
            announced = training.announce(name, registered)
        chain(due, features, trained, registered, announced)

    return train()
