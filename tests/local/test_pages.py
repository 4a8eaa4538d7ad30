from __future__ import annotations

import time
from dataclasses import replace
from urllib.error import URLError
from urllib.request import urlopen

from aimaas.settings import Settings, read_settings
from local.airflow.environment import settings_variables
from local.pages import DATA_DOCS, data_docs_program, kept_port, mlflow_program, running_pages
from local.supervision.processes import start_program


def answer(url: str, limit_s: float = 60) -> bytes:
    """The page once the server listens."""
    end = time.monotonic() + limit_s
    while True:
        try:
            with urlopen(url, timeout=5) as found:  # noqa: S310 - our own server
                content: bytes = found.read()
                return content
        except URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def test_data_docs_are_served_where_the_stack_says_and_end_with_it(offline_settings: Settings, free_port: int) -> None:
    index = offline_settings.data_docs / "mill" / "site" / "index.html"
    index.parent.mkdir(parents=True)
    index.write_text("found")
    assert kept_port(offline_settings, DATA_DOCS) is None
    server = start_program(data_docs_program(offline_settings, free_port))
    try:
        assert answer(f"http://localhost:{free_port}/mill/site/index.html") == b"found"
        assert [p.name for p in running_pages(offline_settings)] == ["data-docs"]
    finally:
        server.stop()
    assert list(running_pages(offline_settings)) == []
    assert kept_port(offline_settings, DATA_DOCS) == free_port


def test_a_password_of_mlflows_database_is_not_in_its_command_line(offline_settings: Settings, free_port: int) -> None:
    secret = "postgresql://mlflow:s3cret@db/mlflow"
    found = mlflow_program(replace(offline_settings, mlflow_tracking_uri=secret), free_port, {})

    assert "s3cret" not in " ".join(found.command) + repr(found)
    assert found.environ is not None
    assert found.environ["MLFLOW_BACKEND_STORE_URI"] == secret


def test_tasks_of_airflow_learn_where_data_docs_are_served(offline_settings: Settings) -> None:
    assert read_settings(settings_variables(offline_settings)).data_docs_url is None
    served = replace(offline_settings, data_docs_url="http://localhost:8090")
    assert read_settings(settings_variables(served)).data_docs_url == "http://localhost:8090"
