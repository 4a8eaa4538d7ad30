"""The Great Expectations gate as a task."""

from __future__ import annotations

from typing import Any, Literal

from airflow.sdk import Asset, task

from fleet_dags.assets import fleet_asset


def gate_task(fleet: str, table: Literal["silver", "gold"]) -> Any:
    """Return the task `check_<table>`: it lets an asset event out when new rows meet the suite, and fails otherwise.

    The event's `extra` holds the versions it judged, where the next gate starts. Where the table has not changed since,
    the task is skipped, and so is what waits for the asset.
    """
    asset = fleet_asset(fleet, table)

    @task(task_id=f"check_{table}", inlets=[asset], outlets=[asset], doc_md=_DOC[table])
    def check(*, inlet_events: Any = None, outlet_events: Any = None) -> dict[str, Any]:
        return judge(fleet, table, asset, inlet_events, outlet_events)

    return check()


def judge(
    fleet: str, table: Literal["silver", "gold"], asset: Asset, inlet_events: Any, outlet_events: Any
) -> dict[str, Any]:
    """Judge a table from where the asset's last event left off; returns rows, refused rows, versions and Data Docs."""
    from airflow.sdk.exceptions import AirflowSkipException

    from aimaas.fleet import find_fleet
    from aimaas.settings import read_settings
    from expectations.gate import check_table, nothing_new

    settings = read_settings()
    spec, since = find_fleet(settings.fleets, fleet), last_versions(inlet_events[asset])
    if nothing_new(settings, spec, table, since):
        raise AirflowSkipException(f"{table} of {fleet} has no new version since {since[table]}")
    report = check_table(settings, spec, table, since)
    for warning in report.warnings:
        print(f"warning: {warning}")  # noqa: T201  # the task's log
    seen = {
        "rows": report.rows, "refused": report.refused, "set_aside": report.set_aside,
        "versions": dict(report.versions), "data_docs": report.docs,
    }  # fmt: skip
    outlet_events[asset].extra.update(seen)
    return seen


def last_versions(events: Any) -> dict[str, int]:
    """Return the table versions that the asset's newest event names; none before its first."""
    if len(events) == 0:
        return {}
    return {name: int(version) for name, version in (events[-1].extra.get("versions") or {}).items()}


_DOC = {
    "silver": "Great Expectations over the rows that are new in silver: order, ranges, completeness, share refused.",
    "gold": "Great Expectations over gold: order, ranges, a split for each device.",
}
