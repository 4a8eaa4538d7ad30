"""The frozen training set as an MLflow data set: an input of the run, and the data set of the model's metrics."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from aimaas.stored_files import is_local, with_s3
from aimaas.training.folders import place_of
from aimaas.training.report import TrainReport
from aimaas.training.rows import ROWS

_MOST_DIGITS = 36  # MLflow keeps no longer digest


def dataset_of(settings: Settings, fleet: FleetSpec, report: TrainReport) -> Any:
    """The set as a `mlflow.entities.Dataset`: `mlflow.data.get_source(it).load()` is the folder of its Parquet files.

    The digest is the first 36 digits of the set's digest. The profile counts rows, devices and failures of each split.
    """
    from mlflow.entities import Dataset

    rows = with_s3(f"{place_of(settings, report.training_set)}/{ROWS}")
    return Dataset(
        name=f"{fleet.fleet} gold {report.gold_version}",
        digest=report.digest[:_MOST_DIGITS],
        source_type="local" if is_local(rows) else rows.partition("://")[0],
        source=json.dumps({"uri": rows}),
        schema=json.dumps({"mlflow_colspec": _schema()}),
        profile=msgspec.json.encode({name: c for name, c in report.splits.items() if c.rows}).decode(),
    )


def _schema() -> list[dict[str, Any]]:
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array

    columns: list[tuple[str, Any]] = [
        ("device_id", DataType.string),
        ("run", DataType.long),
        ("order", DataType.long),
        ("split", DataType.string),
        ("label", DataType.float),
        ("weight", DataType.float),
        ("features", Array(DataType.float)),
    ]
    found: list[dict[str, Any]] = Schema([ColSpec(kind, name) for name, kind in columns]).to_dict()
    return found
