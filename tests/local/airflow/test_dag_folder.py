"""The local stack has its DAGs from the clone; an installed wheel has no DAG folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimaas.errors import StackError
from aimaas.settings import read_settings
from local.airflow.services import airflow_programs


def test_airflow_is_not_prepared_without_a_dag_folder(tmp_path: Path) -> None:
    folder = tmp_path / "airflow"
    with pytest.raises(StackError, match="no such DAG folder; the local stack runs in a clone"):
        airflow_programs(read_settings({}), folder, 8080, {}, dags=tmp_path / "dags")
    assert not folder.exists()
