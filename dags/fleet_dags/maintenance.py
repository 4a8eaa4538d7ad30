"""`<fleet>_maintenance`: compacts small files, deletes old files and unused training sets, reports sizes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.sdk import dag, task

from aimaas.fleet import FleetSpec
from fleet_dags.defaults import dag_arguments

DOC = """\
### Maintenance
Every night, **maintain**

- compacts the small files of the lake's tables,
- deletes files that no version of the last week needs,
- deletes pages of Data Docs older than 90 days,
- deletes frozen training sets that no registered version was trained on, after `training.retention_days`,
- reports rows, files and bytes of each table.

It changes no row, and it may run beside the other DAGs. If a job commits to a table first, the table waits for the next night.
"""
NIGHTLY = "30 2 * * *"  # after the hours with most events, and before the nightly training


def maintenance_dag(fleet: FleetSpec) -> Any:
    """Declare the maintenance DAG of one fleet."""
    name = fleet.fleet

    @dag(schedule=NIGHTLY, **dag_arguments(name, "maintenance", DOC))
    def maintenance() -> None:
        @task(
            doc_md="Compacts and vacuums tables, prunes Data Docs and training sets. Returns rows, files and bytes of each table."
        )
        def maintain() -> dict[str, Any]:
            """Maintain the fleet's tables."""
            from datetime import UTC, datetime

            from aimaas.fleet import find_fleet
            from aimaas.settings import read_settings
            from upkeep.maintenance.maintain import maintain as maintain_lake
            from upkeep.maintenance.training_sets import prune_sets

            settings, now = read_settings(), datetime.now(UTC)
            spec = find_fleet(settings.fleets, name)
            done, pages = maintain_lake(settings, spec, now)
            for d in done:
                print(f"{d.table}: {d.after.rows} rows, {d.after.files} files, {d.after.bytes} bytes")  # noqa: T201
            sets = prune_sets(settings, spec, now)
            for s in sets:
                print(f"{s.folder}: no version was trained on it, {s.bytes} bytes deleted")  # noqa: T201
            return {"pages": pages, "training_sets": len(sets), **{d.table: asdict(d) for d in done}}

        maintain()

    return maintenance()
