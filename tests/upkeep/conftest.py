"""The plant of the Spark jobs' tests, and the lines of the stream's, for upkeep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.spark_jobs.conftest import Plant, make_fleet, plant
from tests.stream.conftest import line, module_line, tolerant_line

__all__ = ["line", "make_fleet", "module_line", "plant", "tolerant_line"]


@pytest.fixture
def environment(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of `aimaas` find the plant: its home, its broker, and a folder with its fleet file."""
    fleets = tmp_path / "fleets"
    fleets.mkdir()
    (fleets / f"{plant.fleet.fleet}.yaml").write_text(yaml.safe_dump(json.loads(plant.fleet.model_dump_json())))
    for name, value in {"HOME": plant.settings.home, "FLEETS": fleets}.items():
        monkeypatch.setenv(f"AIMAAS_{name}", str(value))
    monkeypatch.setenv("AIMAAS_KAFKA_BOOTSTRAP_SERVERS", plant.settings.bootstrap_servers)
