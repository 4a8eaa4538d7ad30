"""`<fleet>_rebuild`: any day of the lake judged again, by schedule or by Airflow's own backfill."""

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
Each run stands for one day in UTC, by broker time. **day_is_over** waits, without a worker, until an hour after the day's end;
**rebuild** judges the day's records in bronze again, from the state that admission had before the day, and puts right what silver,
quarantine and outcomes miss or hold twice. A day that is as it should be is left alone, so any day may be rebuilt
again. **check_day** gives the day its own pages in Data Docs and holds a day that fails back from gold; **tell_prepare** has gold
made anew where a day was put right.

For a range of days:

    airflow backfill create --dag-id <fleet>_rebuild --from-date 2026-11-01 --to-date 2026-11-07 --max-active-runs 2

Add `--reprocess-behavior completed` for days that ran before. A run by hand takes the day before, or the day it is given. Each
record is judged by the fleet file that held for it. Where rows would come out otherwise all the same, **rebuild** stops;
`--dag-run-conf '{"rejudge": true}'` lets the present rules judge those days.
"""

_REJUDGE = Param(
    False, type="boolean", description="let the present fleet file judge the day, also where it did otherwise"
)
_DAY = Param(None, type=["null", "string"], format="date", description="a run by hand: the day in UTC (else yesterday)")


def rebuild_dag(fleet: FleetSpec) -> Any:
    """Declare the rebuild DAG of one fleet: daily, a data interval for each day."""
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
            doc_md="Waits in the triggerer, until the ingest has had an hour after the day's end.",
        )
        with TaskGroup("the_day", prefix_group_id=False, tooltip="bronze to silver and quarantine, once more"):
            again = spark_job(
                name, "rebuild", "rebuild", "--day", "{{ day_of(params, dag_run) }}",
                "{{ '--rejudge' if params.rejudge else '--no-rejudge' }}",
                doc="Judge the day again; put right what is missing or doubled.",
            )  # fmt: skip
            # a backfill's own --max-active-runs goes over that of the DAG; two days at once would take turns at the tables
            again.max_active_tis_per_dag = 1
            checked = check_day(name)
        chain(over, again, checked, tell_prepare(name))

    return rebuild()
