"""The Great Expectations gate as a task."""

from __future__ import annotations

from typing import Any, Literal

from airflow.sdk import Asset, task

from fleet_dags.assets import fleet_asset


def gate_task(fleet: str, table: Literal["silver", "gold"]) -> Any:
    """Return the task `check_<table>`: it lets an asset event out when new rows meet the suite, and fails otherwise.

    The event's `extra` holds the versions it judged, where the next gate starts. Where neither the table nor, for silver, the
    outcomes have changed since, the task is skipped, and so is what waits for the asset.
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
    from aimaas.lake import table_version
    from aimaas.settings import read_settings
    from expectations.gate import check_table, nothing_new

    settings = read_settings()
    spec, since = find_fleet(settings.fleets, fleet), last_versions(inlet_events[asset])
    outcomes = table_version(settings, fleet, "outcomes") if table == "silver" else None
    if not nothing_new(settings, spec, table, since):
        seen = seen_by(check_table(settings, spec, table, since))
    elif outcomes == since.get("outcomes"):
        raise AirflowSkipException(f"{table} of {fleet} has no new version since {since.get(table)}")
    else:  # labels change, rows do not
        seen = {"rows": 0, "versions": dict(since)}
    if outcomes is not None:
        seen["versions"]["outcomes"] = outcomes
    outlet_events[asset].extra.update(seen)
    return seen


def seen_by(report: Any) -> dict[str, Any]:
    """Return what an asset event says of a `GateReport`; its warnings go into the task's log."""
    for warning in report.warnings:
        print(f"warning: {warning}")  # noqa: T201  # the task's log
    seen = {"rows": report.rows, "versions": dict(report.versions), "data_docs": report.docs}
    if report.table == "silver":
        counts = {"refused": report.refused, "set_aside": report.set_aside}
        seen |= {**counts, "quarantine_share": round(report.quarantine_share, 6)}
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
