"""What a fleet left in the lake, the registry and the home, to be deleted so that it begins anew: for development.

Airflow's own history of runs stays.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, get_args

from aimaas.fleet import FleetSpec
from aimaas.lake import Table, row_count, table_uri
from aimaas.mlflow_store import client as client_of
from aimaas.mlflow_store import locked
from aimaas.settings import Settings

_TABLES: tuple[Table, ...] = get_args(Table)


def lake_tables(settings: Settings, fleet: FleetSpec) -> dict[Table, int]:
    """The fleet's tables that exist, and the rows of each. Raises LakeError."""
    from deltalake import DeltaTable

    there = [table for table in _TABLES if DeltaTable.is_deltatable(table_uri(settings, fleet.fleet, table))]
    return {table: row_count(settings, fleet.fleet, table) for table in there}


def model_versions(settings: Settings, fleet: FleetSpec) -> list[str]:
    """The registered versions, newest first. Raises RegistryError."""
    with client_of(settings) as client:
        return [str(v.version) for v in client.search_model_versions(f"name='{fleet.fleet}'", max_results=10_000)]


def local_folders(settings: Settings, fleet: FleetSpec) -> list[Path]:
    """Folders of this home that hold what was made for the fleet: training sets, searches, scorers' copies of models, Data Docs."""
    parts = [settings.home / part for part in ("training", "search", "models")]
    return [folder for part in (*parts, settings.data_docs) if (folder := part / fleet.fleet).is_dir()]


def erase(settings: Settings, fleet: FleetSpec) -> None:
    """Delete models, tables and folders; what is gone already is passed over. Raises RegistryError, OSError."""
    _erase_models(settings, fleet)
    _erase_lake(settings, fleet)
    for folder in local_folders(settings, fleet):
        shutil.rmtree(folder)


def _erase_models(settings: Settings, fleet: FleetSpec) -> None:
    """The registered model with versions, aliases and vetoes; the runs that made them stay in MLflow."""
    with locked(settings, fleet.fleet), client_of(settings) as client:
        if client.search_registered_models(f"name='{fleet.fleet}'"):
            client.delete_registered_model(fleet.fleet)


def _erase_lake(settings: Settings, fleet: FleetSpec) -> None:
    place = table_uri(settings, fleet.fleet, "bronze").rpartition("/")[0]
    local = Path(place.removeprefix("file://"))
    if local.is_absolute():
        if local.exists():
            shutil.rmtree(local)
        return
    for table in lake_tables(settings, fleet):
        _erase_remote(table_uri(settings, fleet.fleet, table))


def _erase_remote(uri: str) -> None:
    """Every file below a table's URI, its log last: a table without a log is none."""
    from deltalake import DeltaTable
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import FileSelector, FileType, PyFileSystem

    store: Any = PyFileSystem(DeltaStorageHandler.from_table(DeltaTable(uri)._table))
    files = [f.path for f in store.get_file_info(FileSelector("", recursive=True)) if f.type == FileType.File]
    for path in sorted(files, key=lambda path: path.startswith("_delta_log/")):
        store.delete_file(path)
