from __future__ import annotations

from dataclasses import replace

import pytest

from aimaas.settings import Settings
from local.external import external_mlflow


def test_a_database_is_the_stacks_own_mlflow(offline_settings: Settings) -> None:
    assert external_mlflow(offline_settings) is None
    assert external_mlflow(replace(offline_settings, mlflow_tracking_uri="postgresql://me:s3cret@db/mlflow")) is None


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://mlflow.plant:5000", "http://mlflow.plant:5000"),
        ("https://me:s3cret@mlflow.plant/x", "https://mlflow.plant/x"),
        ("databricks://profile", "databricks://profile"),
    ],
)
def test_a_server_is_somebody_elses_and_is_named_without_its_password(
    offline_settings: Settings, uri: str, shown: str
) -> None:
    assert external_mlflow(replace(offline_settings, mlflow_tracking_uri=uri)) == shown
