"""Finds and deletes a fleet's data in the lake, the registry and AIMAAS_HOME. For development.

Airflow's history of runs stays, and so do MLflow's runs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from aimaas.fleet import FleetSpec
from aimaas.lake import Table, fleet_folder, row_count, table_uri
from aimaas.registry.mlflow_store import client as client_of
from aimaas.registry.mlflow_store import locked, versions_of
from aimaas.settings import Settings
from aimaas.stored_files import delete_folder, stored
from upkeep.maintenance.tables import TABLES

_IN_HOME = ("training", "search", "models")  # trainings of older releases, searches, scorers' copies of models


def lake_tables(settings: Settings, fleet: FleetSpec) -> dict[Table, int]:
    """Return the fleet's existing tables with their row counts. Raises LakeError."""
    from deltalake import DeltaTable

    there = [table for table in TABLES if DeltaTable.is_deltatable(table_uri(settings, fleet.fleet, table))]
    return {table: row_count(settings, fleet.fleet, table) for table in there}


def model_versions(settings: Settings, fleet: FleetSpec) -> list[str]:
    """Return the registered versions. Raises RegistryError."""
    with client_of(settings) as client:
        return [str(v.version) for v in versions_of(client, fleet.fleet)]


def folders(settings: Settings, fleet: FleetSpec) -> dict[str, int]:
    """Return the fleet's folders with their numbers of files: its lake with its trainings, then those in AIMAAS_HOME."""
    lake = fleet_folder(settings, fleet.fleet)
    in_lake = {lake: len(files)} if (files := stored(lake)) else {}
    return in_lake | {str(folder): len(stored(folder)) for folder in _local_folders(settings, fleet)}


def erase(settings: Settings, fleet: FleetSpec) -> None:
    """Delete models, lake and folders. What is gone already is skipped. Raises RegistryError, LakeError, OSError."""
    _erase_models(settings, fleet)
    lake = fleet_folder(settings, fleet.fleet)
    if stored(lake):
        delete_folder(lake)
    for folder in _local_folders(settings, fleet):
        shutil.rmtree(folder)


def _erase_models(settings: Settings, fleet: FleetSpec) -> None:
    """Delete the registered model with its versions, aliases and vetoes."""
    with locked(settings, fleet.fleet), client_of(settings) as client:
        if client.search_registered_models(f"name='{fleet.fleet}'"):
            client.delete_registered_model(fleet.fleet)


def _local_folders(settings: Settings, fleet: FleetSpec) -> list[Path]:
    roots = (*(settings.home / part for part in _IN_HOME), settings.data_docs)
    return [folder for root in roots if (folder := root / fleet.fleet).is_dir()]
