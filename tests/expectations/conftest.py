"""A suite that a tenth of the rows may fail."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from aimaas.settings import Settings
from tests.conftest import FLEETS


@pytest.fixture
def strict(offline_settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a hand-written suite that sends cold workpieces to quarantine."""
    folder = tmp_path / "fleets"
    (folder / "expectations").mkdir(parents=True)
    shutil.copy(FLEETS / "mill.yaml", folder)
    kwargs = {"column_A": "process_temperature", "column_B": "air_temperature"}
    entry = {"type": "expect_column_pair_values_a_to_be_greater_than_b", "kwargs": kwargs, "severity": "quarantine"}
    (folder / "expectations" / "mill_silver.yaml").write_text(yaml.safe_dump([entry]))
    return replace(offline_settings, fleets=folder)
