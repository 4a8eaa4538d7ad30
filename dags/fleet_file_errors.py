"""Makes a broken fleet file an import error that the Airflow UI shows, with the file's name and each mistake.

This file declares no DAG: it stands apart from `fleets.py` so that the readable fleets keep theirs.
"""

from __future__ import annotations

from aimaas.errors import FleetFileError
from fleet_dags.fleet_files import broken_fleets

if mistakes := broken_fleets():
    raise FleetFileError(mistakes)
