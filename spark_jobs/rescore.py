"""Rescore: compute what a registered model predicts for past events, bit for bit as the stream where that model served.

The job reads silver: the verdicts and the order of the stream, with a new kernel history where the stream began one. It writes one
row per event and model version to the table `rescored`; a repeat replaces earlier rows. If a prediction is not finite, the row has
null and the report counts it: on the stream such an event is a dead letter.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from aimaas.errors import ModelRefusedError
from aimaas.fleet import FleetSpec
from aimaas.lake import held, table_path
from aimaas.model.loaded import read_metadata
from aimaas.records.refusal_reasons import Reason
from aimaas.registry.versions import load_artefact
from aimaas.settings import Settings
from spark_jobs.admission.evolution import widened
from spark_jobs.commits import Replace, commit
from spark_jobs.job import Job, Report, parser, run
from spark_jobs.schemas import ddl
from spark_jobs.session import read_version
from spark_jobs.sources import landed_version
from spark_jobs.training_sets.served_view import COLUMNS, KEPT, Artefact, predict_served

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_TAKEN = "newest broker_ts so far"


def find_artefact(settings: Settings, fleet: FleetSpec, version: str) -> Artefact:
    """The registered version. It is opened once, to find errors early. Raises RegistryError, ModelRefusedError."""
    where = f"model {fleet.fleet} version {version}"
    content = load_artefact(settings, fleet, version)
    artefact = Artefact(content, version, read_metadata(content, where), settings.home / "models", where)
    artefact.open()
    return artefact


def days(first: date | None, last: date | None) -> str:
    """Condition, in SQL: the day lies in [first, last]; None is open."""
    ends = ((">=", first), ("<=", last))
    return " AND ".join(f"day {sign} DATE '{day}'" for sign, day in ends if day is not None) or "true"


def as_served(silver: DataFrame, artefact: Artefact, first: date | None) -> DataFrame:
    """Rows of silver that the rows from the `first` day on depend on: whole devices, in the order of the stream.

    Within a Kafka partition that is the order of offsets. A device that moved to another partition when the topic grew arrived
    there later, so the running maximum of the broker time sorts its rows first.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    readings = artefact.metadata.plan.readings
    lacking = [name for name in readings if name not in silver.columns]
    if lacking:
        raise ModelRefusedError(
            f"{artefact.where}: it reads {lacking[0]!r}, which silver has no column for; "
            "restore the reading in the fleet file"
        )
    wanted = days(first, None)
    if first is not None:
        silver = silver.join(silver.where(wanted).select("device_id").distinct(), "device_id", "left_semi")
    here = Window.partitionBy("device_id", "topic", "partition").orderBy("offset")
    return (
        silver.select(*KEPT, "day", "begins", *readings, f.expr(wanted).alias("wanted"))
        .repartition("device_id")
        .withColumn(_TAKEN, f.max("broker_ts").over(here))
        .sortWithinPartitions("device_id", _TAKEN, "topic", "partition", "offset")
        .drop(_TAKEN)
    )


def rescore(job: Job) -> Report:
    """Write the version's predictions of the requested days."""
    settings, fleet, asked = job.settings, job.fleet, job.arguments
    silver = landed_version(settings, fleet, "silver")
    artefact = find_artefact(settings, fleet, asked.version)
    served = widened(read_version(job.spark, settings, fleet, "silver", silver), fleet).where(days(None, asked.last))
    app_id = f"rescore {artefact.version}"  # runs of other versions may commit at the same time
    seen, between = held(settings, fleet.fleet, "rescored", app_id), days(asked.first, asked.last)
    rows = as_served(served, artefact, asked.first).mapInArrow(predict_served(artefact), ddl(COLUMNS)).persist()
    count, answered = rows.count(), rows.where("prediction IS NOT NULL").count()
    replaced = Replace(f"model_version = '{artefact.version}' AND {between}")
    commit(settings, fleet, "rescored", app_id, rows, seen, f"silver {silver}", replaced)
    rows.unpersist()
    return {
        "model_version": artefact.version,
        "rows": count,
        Reason.NO_PREDICTION.label: count - answered,
        "silver": silver,
        "table": table_path(settings, fleet.fleet, "rescored"),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    arguments = parser("rescore", __doc__)
    arguments.add_argument("--version", required=True, help="registered model version")
    arguments.add_argument(
        "--from", dest="first", type=date.fromisoformat, help="first day in UTC, by the broker's time"
    )
    arguments.add_argument("--to", dest="last", type=date.fromisoformat, help="last day, included")
    return run("rescore", arguments.parse_args(argv), rescore)


if __name__ == "__main__":
    sys.exit(main())
