"""Declares the DAGs of each fleet file. You add a fleet with its file, not with code.

`<fleet>_ingest` lands and admits events, `<fleet>_prepare` builds gold, `<fleet>_train` trains, compares and promotes,
`<fleet>_rebuild` judges a day again, `<fleet>_maintenance` keeps the lake small. `fleet_file_errors.py` reports fleet files with
mistakes, so that these do not hide the DAGs of other fleets.
"""

from __future__ import annotations

# Airflow reads only files that have the words "airflow" and "dag" in them
from fleet_dags.declare import declare_dags

declare_dags()
