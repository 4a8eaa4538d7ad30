"""A training set can be made again as it was, whatever came since."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable
from typer.testing import CliRunner

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import table_path, table_version
from aimaas.settings import Settings
from aimaas.training.folders import TRAINING_SET, training_folder
from aimaas.training.training_set import DESCRIPTION
from cli.app import app
from spark_jobs.features import features
from tests.spark_jobs.arrivals import DEVICES, Arrivals
from tests.spark_jobs.corrected_view.test_corrected import LIMITS, Lake

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600), pytest.mark.usefixtures("unrendered")]

TRAINING = {"candidates": {"ridge": {}}, "folds": 2, "minimum": {"devices": 2, "rows": 20, "failures": 1}}


@pytest.fixture
def lake(spark: Any, offline_settings: Settings, make_fleet: Callable[..., FleetSpec]) -> Lake:
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    fleet = make_fleet(limits=LIMITS, topics={"partitions": 2}, split=shares, training=TRAINING)
    return Lake(spark, offline_settings, fleet)


def compact_and_vacuum(lake: Lake) -> None:
    """What upkeep does to gold and outcomes: the files of older versions are gone."""
    for table in ("gold", "outcomes"):
        found = DeltaTable(table_path(lake.settings, lake.fleet.fleet, table))
        found.optimize.compact()
        assert found.vacuum(0, dry_run=False, enforce_retention_duration=False)


def train(lake: Lake, *arguments: str) -> str:
    """What `aimaas train` prints."""
    folder = lake.settings.home / "fleets"
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(lake.fleet.model_dump(mode="json", exclude_none=True))
    (folder / f"{lake.fleet.fleet}.yaml").write_text(text)
    environment = {"AIMAAS_HOME": str(lake.settings.home), "AIMAAS_FLEETS": str(folder)}
    done = CliRunner().invoke(app, ["train", "--fleet", lake.fleet.fleet, *arguments], env=environment)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_a_set_made_again_as_of_then_has_the_same_digest_after_all_that_came_since(lake: Lake, tmp_path: Path) -> None:
    arrivals = Arrivals(lake.fleet, 1)
    first = [arrivals.event(device, 0, seq) for seq in range(15) if seq != 7 for device in DEVICES]
    lake.receive([*first, *(arrivals.outcome(device, 0, 15) for device in DEVICES[:10])])
    lake.gold()
    version = table_version(lake.settings, lake.fleet.fleet, "gold")
    said, known_at = train(lake, "--register"), datetime.now(UTC)
    assert "no registered version was trained on these rows" in said and "registered as version 1" in said
    folder = next(Path(training_folder(lake.settings, lake.fleet.fleet)).iterdir())
    digest = json.loads((folder / TRAINING_SET / DESCRIPTION).read_text())["digest"]
    assert f"training set of gold {version}: " in said and digest in said

    late = [arrivals.event(device, 0, 7) for device in DEVICES]
    later = [arrivals.event(device, 1, seq) for seq in range(5) for device in DEVICES]
    lake.receive([*late, *later, *(arrivals.outcome(device, 0, 15) for device in DEVICES[10:])])
    lake.gold()

    def again(as_of: object, out: str) -> Any:
        return features(lake.job("features", out=str(tmp_path / out), as_of=str(as_of)))["digest"]

    assert lake.digest(tmp_path / "newest") != digest
    assert again(known_at.isoformat(), "at") == digest
    compact_and_vacuum(lake)
    said = train(lake, "--as-of", str(version), "--out", str(tmp_path / "vacuumed"))
    assert digest in said and "the same rows as for version 1" in said

    for as_of, says in (("99", "no version 99"), ("noon", "neither a version"), ("2001-01-01", "its log begins at")):
        with pytest.raises(LakeError, match=says):
            again(as_of, "none")
    lake.fleet = lake.fleet.model_copy(update={"limits": lake.fleet.limits.model_copy(update={"lateness_s": 10.0})})
    lake.gold()
    with pytest.raises(LakeError, match="written as a whole since"):
        again(version, "anew")
