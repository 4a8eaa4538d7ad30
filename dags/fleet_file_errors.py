"""Turns a broken fleet file into an import error that the Airflow UI shows, with the file's name and each mistake.

This file declares no DAG. It is separate from `fleets.py`, so that fleets with valid files keep their DAGs.
"""

from __future__ import annotations

from aimaas.errors import FleetFileError
from fleet_dags.fleet_files import broken_fleets

if mistakes := broken_fleets():
    raise FleetFileError(mistakes)
