from __future__ import annotations

import time
from dataclasses import replace
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from aimaas.errors import StackError
from aimaas.settings import Settings, read_settings
from local.airflow_environment import settings_variables
from local.pages import running_pages, start_data_docs


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
    server = start_data_docs(offline_settings, free_port)
    try:
        assert answer(f"http://localhost:{free_port}/mill/site/index.html") == b"found"
        assert [(p.name, where) for p, where in running_pages(offline_settings)] == [
            ("data-docs", f"http://localhost:{free_port}")
        ]
        with pytest.raises(StackError, match=rf"port {free_port} is taken"):
            start_data_docs(offline_settings, free_port)
    finally:
        server.stop()
    assert list(running_pages(offline_settings)) == []


def test_tasks_of_airflow_learn_where_data_docs_are_served(offline_settings: Settings) -> None:
    assert read_settings(settings_variables(offline_settings)).data_docs_url is None
    served = replace(offline_settings, data_docs_url="http://localhost:8090")
    assert read_settings(settings_variables(served)).data_docs_url == "http://localhost:8090"
