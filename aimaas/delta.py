"""A Delta table opened without a JVM, for readers that look at its files one by one; `aimaas.lake` reads rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.lake import Table, table_path
from aimaas.settings import Settings

if TYPE_CHECKING:
    from deltalake import DeltaTable


def find_table(settings: Settings, fleet: FleetSpec, table: Table) -> DeltaTable | None:
    """The newest version of a fleet's table; None where there is none yet."""
    from deltalake import DeltaTable

    uri = table_uri(settings, fleet, table)
    return DeltaTable(uri) if DeltaTable.is_deltatable(uri) else None


def table_uri(settings: Settings, fleet: FleetSpec, table: Table) -> str:
    """The table's place as delta-rs takes it, which says s3 where Hadoop says s3a."""
    return table_path(settings, fleet.fleet, table).replace("s3a://", "s3://", 1)
