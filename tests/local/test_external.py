from __future__ import annotations

from dataclasses import replace

import pytest

from aimaas.settings import STACK_FILE, Settings, read_settings
from local.external import external_mlflow
from local.stack import tell_others


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


@pytest.mark.parametrize("uri", ["http://mlflow.plant:5000", None])
def test_other_commands_find_the_stack_and_the_mlflow_that_it_uses(offline_settings: Settings, uri: str | None) -> None:
    home = {"AIMAAS_HOME": str(offline_settings.home)}
    offline_settings.home.mkdir(parents=True)
    running = replace(offline_settings, kafka={"bootstrap.servers": "127.0.0.1:19092"}, replay_key="s3cret")
    tell_others(replace(running, mlflow_tracking_uri=uri) if uri else running)

    found = read_settings(home)

    assert (found.bootstrap_servers, found.replay_key) == ("127.0.0.1:19092", "s3cret")
    assert found.mlflow_tracking_uri == (uri or offline_settings.mlflow_tracking_uri)
    assert (offline_settings.home / STACK_FILE).stat().st_mode & 0o077 == 0
