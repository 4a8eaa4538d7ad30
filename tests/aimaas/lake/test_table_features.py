"""Tables on which another engine turned a feature on that readers without a JVM lack."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, TableFeatures, write_deltalake

from aimaas.errors import LakeError
from aimaas.fleet import load_fleet
from aimaas.lake import held, read_table, table_path
from aimaas.settings import Settings, read_settings
from spark_jobs.job import Job, done
from tests.conftest import FLEETS

FLEET = load_fleet(FLEETS / "mill.yaml")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"AIMAAS_HOME": str(tmp_path)})


def make(settings: Settings, feature: Any, properties: dict[str, str]) -> None:
    path = table_path(settings, "mill", "silver")
    write_deltalake(path, pa.table({"topic": ["t"], "partition": [0], "offset": [7]}))
    DeltaTable(path).alter.add_feature(feature, allow_protocol_versions_increase=True)
    if properties:
        DeltaTable(path).alter.set_table_properties(properties)


def test_the_table_and_the_property_are_named(settings: Settings) -> None:
    make(settings, TableFeatures.DeletionVectors, {"delta.enableDeletionVectors": "true"})
    said = (
        r"silver/?: another engine has set the property delta.enableDeletionVectors=true.*DROP FEATURE deletionVectors"
    )
    for look in (lambda: read_table(settings, "mill", "silver"), lambda: held(settings, "mill", "silver", "admit")):
        with pytest.raises(LakeError, match=said):
            look()


def test_a_feature_without_its_property_is_named_by_itself(settings: Settings) -> None:
    make(settings, TableFeatures.V2Checkpoint, {})
    with pytest.raises(LakeError, match=r"has set the table feature v2Checkpoint, .*DROP FEATURE v2Checkpoint"):
        read_table(settings, "mill", "silver")


def test_features_that_can_be_read_are_no_reason_to_stop(settings: Settings) -> None:
    make(settings, TableFeatures.TimestampWithoutTimezone, {})
    assert read_table(settings, "mill", "silver").num_rows == 1


def test_a_job_stops_before_it_writes_to_any_table(settings: Settings) -> None:
    make(settings, TableFeatures.DeletionVectors, {"delta.enableDeletionVectors": "true"})
    worked = []

    def work(_: Job) -> dict[str, Any]:
        worked.append("landed")
        return {}

    with pytest.raises(LakeError, match=r"delta\.enableDeletionVectors"):
        done(Job("land", settings, FLEET, argparse.Namespace()), work)
    assert not worked
