"""Spark jobs as tasks: `spark-submit` through the connection `spark_default`, in the pool that the settings name."""

from __future__ import annotations

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

from aimaas.settings import read_settings


def spark_job(fleet: str, task_id: str, job: str, *arguments: str, doc: str) -> SparkSubmitOperator:
    """Return the task that runs `spark_jobs/<job>.py --fleet <fleet> <arguments>`; the worker finds the file."""
    return SparkSubmitOperator(
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
