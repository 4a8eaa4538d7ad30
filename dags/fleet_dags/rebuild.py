"""`<fleet>_rebuild`: judges any day of the lake again, by schedule or as an Airflow backfill."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import CronDataIntervalTimetable, Param, TaskGroup, chain, dag

from aimaas.fleet import FleetSpec
from fleet_dags.day import check_day, day_of, tell_prepare
from fleet_dags.defaults import dag_arguments
from fleet_dags.spark import job_file, spark_job

DOC = """\
### Rebuild
Each run judges one day in UTC, by broker time.

- **day_is_over** waits until an hour after the day's end. It needs no worker.
- **rebuild** judges the day's records in bronze again, from the admission state before the day. It adds rows that silver,
  quarantine and outcomes lack, and removes rows that they hold twice. It leaves a correct day unchanged, so you may rebuild any day
  again.
- **check_day** runs the gate of silver for the day, with its own pages in Data Docs. Gold does not take in a day that fails.
- **tell_prepare** starts the *prepare* DAG if a day was repaired.

For a range of days:

    airflow backfill create --dag-id <fleet>_rebuild --from-date 2026-11-01 --to-date 2026-11-07 --max-active-runs 2

Add `--reprocess-behavior completed` for days that ran before. A manual run takes yesterday, or the day that you give.

Each record is judged by the fleet file that applied to its offset. If a row would still be judged differently, **rebuild** stops.
`--dag-run-conf '{"rejudge": true}'` judges these days by the present rules.
"""

_REJUDGE = Param(
    False, type="boolean", description="judge the day by the present fleet file, even if rows are judged differently"
)
_DAY = Param(
    None, type=["null", "string"], format="date", description="day of a manual run, in UTC; default: yesterday"
)


def rebuild_dag(fleet: FleetSpec) -> Any:
    """Declare the rebuild DAG of one fleet. It runs daily, with one data interval for each day."""
    name = fleet.fleet
    arguments = dag_arguments(name, "rebuild", DOC) | {"max_active_runs": 2}

    @dag(
        schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
        params={"day": _DAY, "rejudge": _REJUDGE},
        user_defined_macros={"job_file": job_file, "day_of": day_of},
        **arguments,
    )
    def rebuild() -> None:
        over = DateTimeSensorAsync(
            task_id="day_is_over",
            target_time="{{ day_of(params, dag_run, 1, hours=1) }}",
            execution_timeout=timedelta(days=2),
            doc_md="Waits in the triggerer until an hour after the day's end, so that the ingest DAG can land the last records.",
        )
        with TaskGroup("the_day", prefix_group_id=False, tooltip="From bronze to silver and quarantine, once more"):
            again = spark_job(
                name, "rebuild", "rebuild", "--day", "{{ day_of(params, dag_run) }}",
                "{{ '--rejudge' if params.rejudge else '--no-rejudge' }}",
                doc="Judges the day again, adds missing rows and removes duplicates.",
            )  # fmt: skip
            # --max-active-runs of a backfill overrides the DAG's; two days at once would wait for each other at the tables
            again.max_active_tis_per_dag = 1
            checked = check_day(name)
        chain(over, again, checked, tell_prepare(name))

    return rebuild()
