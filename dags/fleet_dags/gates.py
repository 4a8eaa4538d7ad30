"""The Great Expectations gate as a task."""

from __future__ import annotations

from typing import Any, Literal

from airflow.sdk import Asset, TriggerRule, task

from aimaas.settings import read_settings
from fleet_dags.assets import fleet_asset, newest_extra


def gate_task(fleet: str, table: Literal["silver", "gold"]) -> Any:
    """Return the task `check_<table>`: where new rows meet the suite it publishes them and lets an asset event out, else it fails.

    Its verdict is a record in the lake. Where nothing was published since the asset's last event, by this task or by a person, the
    task is skipped, and so is what waits for the asset.
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
    """Judge what no gate has passed; returns rows, refused rows, versions, Data Docs and what is published."""
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
        raise AirflowSkipException(f"nothing of {table} of {fleet} was published since {before}")
    seen: dict[str, Any] = {"rows": 0} if report is None else seen_by(report)
    seen["published"] = published
    outlet_events[asset].extra.update(seen)
    return seen


def go_on_without(fleet: str) -> Any:
    """Return the task `pass_on_outcomes`: where the gate of silver has failed it lets an asset event out for outcomes that came.

    Outcomes pass no gate of their own, and tell labels of rows that were published before. So gold takes them up, and no event
    of the offsets that failed.
    """
    asset = fleet_asset(fleet, "silver")

    @task(
        task_id="pass_on_outcomes", inlets=[asset], outlets=[asset], trigger_rule=TriggerRule.ONE_FAILED,
        doc_md="Only after a failed gate of silver: outcomes go on to gold all the same.",
    )  # fmt: skip
    def go_on(*, inlet_events: Any = None, outlet_events: Any = None) -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowSkipException

        from aimaas.fleet import find_fleet
        from aimaas.settings import read_settings

        settings = read_settings()
        before = last_published(inlet_events[asset])
        published = published_now(settings, find_fleet(settings.fleets, fleet), "silver")
        if not before or published == before:
            raise AirflowSkipException(f"nothing of {fleet} is published yet, or no outcome came since {before}")
        seen = {"rows": 0, "published": published}
        outlet_events[asset].extra.update(seen)
        return seen

    return go_on()


def published_now(settings: Any, spec: Any, table: Literal["silver", "gold"]) -> dict[str, Any]:
    """Return what readers of the table may read: of silver its offsets and the version of outcomes, of gold its version."""
    from aimaas.audits import published_gold, published_offsets
    from aimaas.lake import offsets_json, table_version

    if table == "silver":
        outcomes = table_version(settings, spec.fleet, "outcomes")
        return {"offsets": offsets_json(published_offsets(settings, spec)), "outcomes": outcomes}
    newest = table_version(settings, spec.fleet, "gold")
    return {"version": None if newest is None else published_gold(settings, spec, newest)}


def is_behind(settings: Any, spec: Any, table: Literal["silver", "gold"]) -> bool:
    """Return whether gold must be made anew although no offset was published: rows of it were set aside, or a day rebuilt."""
    from spark_jobs.sources import gold_is_behind

    return table == "silver" and gold_is_behind(settings, spec)


def seen_by(report: Any) -> dict[str, Any]:
    """Return what an asset event says of a `GateReport`; its warnings go into the task's log."""
    for warning in report.warnings:
        print(f"warning: {warning}")  # noqa: T201  # the task's log
    seen = {"rows": report.rows, "versions": dict(report.versions), "data_docs": report.docs}
    if report.table == "silver":
        counts = {"refused": report.refused, "set_aside": report.set_aside}
        seen |= {**counts, "quarantine_share": round(report.quarantine_share, 6)}
    return seen


def last_published(events: Any) -> dict[str, Any]:
    """Return what the asset's newest event says is published; nothing before its first."""
    return dict(newest_extra(events).get("published") or {})


_DOC = {
    "silver": "Great Expectations over the rows that are new in silver: order, ranges, completeness, share refused.",
    "gold": "Great Expectations over gold: order, ranges, a split for each device.",
}
