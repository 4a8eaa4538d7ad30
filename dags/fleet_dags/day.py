"""The Python tasks of `<fleet>_rebuild`, and the day of a run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from airflow.sdk import task

from aimaas.settings import read_settings
from fleet_dags.assets import fleet_asset
from fleet_dags.gates import last_published, seen_by


def day_of(params: Mapping[str, Any], dag_run: Any, days: int = 0, hours: int = 0) -> str:
    """Return the run's day as YYYY-MM-DD; with `days` or `hours`, the time that long after the day's start. A macro of the DAG."""
    day = _day(params.get("day"), dag_run)
    if not days and not hours:
        return day.isoformat()
    return (datetime.combine(day, time(), UTC) + timedelta(days=days, hours=hours)).isoformat()


def _day(given: str | None, dag_run: Any) -> date:
    """Return the given day, else the day of the data interval, else for a manual run the day before."""
    if given:
        return date.fromisoformat(given)
    if dag_run.run_type == "manual" or dag_run.data_interval_start is None:
        found: date = (dag_run.run_after.astimezone(UTC) - timedelta(days=1)).date()
        return found
    begin: date = dag_run.data_interval_start.astimezone(UTC).date()
    return begin


def check_day(fleet: str) -> Any:
    """Return the task that judges the day's rows of silver."""

    @task(
        pool=read_settings().spark_pool,
        doc_md="Runs the gate of silver over the rows of the day. The day gets its own pages in Data Docs.",
    )
    def check_day(*, params: Any = None, dag_run: Any = None) -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowSkipException

        from aimaas.fleet import find_fleet
        from expectations.gate import GATE_MEMORY, check_day
        from spark_jobs.session import session_on_demand

        settings = read_settings()
        day = day_of(params, dag_run)
        spec, now = find_fleet(settings.fleets, fleet), datetime.now(UTC)
        with session_on_demand(settings, f"aimaas check {day} {fleet}", GATE_MEMORY) as spark:
            report = check_day(settings, spec, date.fromisoformat(day), now, spark)
        if report is None:
            raise AirflowSkipException(f"the lake has no record of {fleet} for {day}")
        return {"day": day, **seen_by(report)}

    return check_day()


def tell_prepare(fleet: str) -> Any:
    """Return the task that emits an asset event of silver if gold has not taken in a repaired day yet."""
    silver = fleet_asset(fleet, "silver")

    @task(inlets=[silver], outlets=[silver], doc_md="Starts the fleet's *prepare* DAG if gold must be built again.")
    def tell_prepare(
        *, params: Any = None, dag_run: Any = None, inlet_events: Any = None, outlet_events: Any = None
    ) -> None:
        from airflow.sdk.exceptions import AirflowSkipException

        from aimaas.fleet import find_fleet
        from spark_jobs.sources import gold_is_behind

        settings = read_settings()
        if not gold_is_behind(settings, find_fleet(settings.fleets, fleet)):
            raise AirflowSkipException(f"gold of {fleet} is up to date with silver")
        # the next gate compares with what was published
        going_on = {"published": last_published(inlet_events[silver]), "rebuilt": day_of(params, dag_run)}
        outlet_events[silver].extra.update(going_on)

    return tell_prepare()
