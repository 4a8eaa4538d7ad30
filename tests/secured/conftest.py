"""One closed broker for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.secured.secured_broker import SecuredBroker, start_secured


@pytest.fixture(scope="session")
def secured(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    running = start_secured(tmp_path_factory.mktemp("secured"), jars)
    running.add_user("device")
    yield running
    running.broker.process.kill()
