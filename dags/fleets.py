"""Airflow reads here the DAGs of each fleet file, and nothing else: a fleet is added by its file, not by code.

`<fleet>_ingest` lands and admits events, `<fleet>_prepare` makes gold rows of them, `<fleet>_train` trains, compares
and promotes, `<fleet>_rebuild` judges a day again, `<fleet>_maintenance` keeps the lake small. Fleet files that cannot be read are
told by `fleet_file_errors.py`, so that they do not take the others along.
"""

from __future__ import annotations

from fleet_dags.declare import declare_dags

declare_dags()
