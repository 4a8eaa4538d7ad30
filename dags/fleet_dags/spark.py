"""Spark jobs as tasks: `spark-submit` with the connection `spark_default`, in the pool AIMAAS_SPARK_POOL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

from aimaas.settings import read_settings


class TrainingSetJob(SparkSubmitOperator):  # type: ignore[misc]  # Airflow's modules are not followed
    """The features job. If it refuses the training, the task fails with the reason and is not retried."""

    def execute(self, context: Any) -> None:
        """Run the job. Raises TrainingRefusedError, else what Airflow's operator raises."""
        from aimaas.errors import TrainingRefusedError
        from aimaas.training.last_refusal import refused_since

        began, fleet = datetime.now(UTC), str(self.application_args[1])
        try:
            super().execute(context)
        except Exception:
            if refused := refused_since(read_settings(), fleet, began):
                raise TrainingRefusedError(refused.why) from None
            raise


def spark_job(
    fleet: str, task_id: str, job: str, *arguments: str, doc: str, operator: type[SparkSubmitOperator] = SparkSubmitOperator
) -> SparkSubmitOperator:  # fmt: skip
    """Return the task that runs `spark_jobs/<job>.py --fleet <fleet> <arguments>`. The worker finds the path of the file."""
    return operator(
        task_id=task_id,
        conn_id="spark_default",
        pool=read_settings().spark_pool,
        name=f"{fleet} {task_id}",
        application=f"{{{{ job_file('{job}') }}}}",
        application_args=["--fleet", fleet, *arguments],
        doc_md=doc,
    )


def job_file(job: str) -> str:
    """Return the path of a job in the installed package, found without importing it. A macro of the DAGs."""
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("spark_jobs")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise FileNotFoundError("the package spark_jobs is not installed on this worker: run `make setup`")
    return str(Path(next(iter(folders))) / f"{job}.py")
