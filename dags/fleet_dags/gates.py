"""The Great Expectations gate as a task."""

from __future__ import annotations

from typing import Any, Literal

from airflow.sdk import Asset, TriggerRule, task

from aimaas.settings import read_settings
from fleet_dags.assets import fleet_asset, newest_extra
from fleet_dags.due import published_now


def gate_task(fleet: str, table: Literal["silver", "gold"]) -> Any:
    """Return the task `check_<table>`. It publishes new rows that pass the gate and emits an asset event; otherwise it fails.

    The verdict is stored in the lake. If nothing was published since the last asset event, by this task or by a person, the task is
    skipped, and DAGs that wait for the asset do not start.
    """
    asset = fleet_asset(fleet, table)

    @task(
        task_id=f"check_{table}", pool=read_settings().spark_pool, inlets=[asset], outlets=[asset], doc_md=_DOC[table]
    )
    def check(*, inlet_events: Any = None, outlet_events: Any = None) -> dict[str, Any]:
        return judge(fleet, table, asset, inlet_events, outlet_events)

    return check()


def judge(
    fleet: str, table: Literal["silver", "gold"], asset: Asset, inlet_events: Any, outlet_events: Any
) -> dict[str, Any]:
    """Judge the rows that no gate has passed. Returns rows, refused rows, versions, Data Docs and the published range."""
    from datetime import UTC, datetime

    from airflow.sdk.exceptions import AirflowSkipException

    from aimaas.errors import GateFailedError
    from aimaas.fleet import find_fleet
    from expectations.gate import GATE_MEMORY, check_table
    from spark_jobs.session import session_on_demand

    settings = read_settings()
    spec, before = find_fleet(settings.fleets, fleet), last_published(inlet_events[asset])
    try:
        with session_on_demand(settings, f"aimaas check {table} {fleet}", GATE_MEMORY) as spark:
            report = check_table(settings, spec, table, datetime.now(UTC), spark)
    except GateFailedError as failed:
        for line in str(failed).splitlines():
            print(line)  # noqa: T201  # the task's log, without the stack trace around it
        raise
    published = published_now(settings, spec, table)
    if published == before and not is_behind(settings, spec, table):
        raise AirflowSkipException(f"no rows of {table} of {fleet} were published since {before}")
    seen: dict[str, Any] = {"rows": 0} if report is None else seen_by(report)
    seen["published"] = published
    outlet_events[asset].extra.update(seen)
    return seen


def go_on_without(fleet: str) -> Any:
    """Return the task `pass_on_outcomes`: after a failed gate of silver it emits an asset event if there are new outcomes.

    Outcomes have no gate of their own, and they label rows that were published before. So gold takes in the outcomes, and no event
    of the failed offsets.
    """
    asset = fleet_asset(fleet, "silver")

    @task(
        task_id="pass_on_outcomes", inlets=[asset], outlets=[asset], trigger_rule=TriggerRule.ONE_FAILED,
        doc_md="Runs only after a failed gate of silver. Passes new outcomes on to gold.",
    )  # fmt: skip
    def go_on(*, inlet_events: Any = None, outlet_events: Any = None) -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowSkipException

        from aimaas.fleet import find_fleet
        from aimaas.settings import read_settings

        settings = read_settings()
        before = last_published(inlet_events[asset])
        published = published_now(settings, find_fleet(settings.fleets, fleet), "silver")
        if not before or published == before:
            raise AirflowSkipException(f"no rows of {fleet} are published yet, or no outcome arrived since {before}")
        seen = {"rows": 0, "published": published}
        outlet_events[asset].extra.update(seen)
        return seen

    return go_on()


def is_behind(settings: Any, spec: Any, table: Literal["silver", "gold"]) -> bool:
    """Return whether gold must be built again without new offsets: because rows were set aside, or a day was rebuilt."""
    from spark_jobs.sources import gold_is_behind

    return table == "silver" and gold_is_behind(settings, spec)


def seen_by(report: Any) -> dict[str, Any]:
    """Return the `extra` of an asset event for a `GateReport`, and print its warnings into the task's log."""
    for warning in report.warnings:
        print(f"warning: {warning}")  # noqa: T201  # the task's log
    seen = {"rows": report.rows, "versions": dict(report.versions), "data_docs": report.docs}
    if report.table == "silver":
        counts = {"refused": report.refused, "set_aside": report.set_aside}
        seen |= {**counts, "quarantine_share": round(report.quarantine_share, 6)}
    return seen


def last_published(events: Any) -> dict[str, Any]:
    """Return the published part as of the asset's newest event; empty before its first."""
    return dict(newest_extra(events).get("published") or {})


_DOC = {
    "silver": "Runs Great Expectations over new rows of silver: order, ranges, completeness, share of refused records.",
    "gold": "Runs Great Expectations over gold: order, ranges, one split for each device.",
}
