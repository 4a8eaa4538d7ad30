"""Gold: the rows of silver in the order of their devices, with label and split.

Written whole from one version of silver and of outcomes, which stand in the commit: a run that finds them there already has nothing
to do. A late outcome relabels at the next run.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec, Split
from aimaas.lake import Table, commit_notes, table_path, table_version
from aimaas.settings import Settings
from aimaas.split import HEX_DIGITS, split_bounds
from spark_jobs.job import Job, Report, parser, run
from spark_jobs.labels import with_labels
from spark_jobs.session import read_version

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_TABLES: tuple[Table, Table] = ("silver", "outcomes")
_MEANING = 1  # raise it when labels or columns mean something else: gold is then written anew


class Sources(msgspec.Struct, frozen=True):
    """What gold is made of: versions of the tables, and a digest of what the fleet file says about labels and split."""

    silver: int
    outcomes: int
    fleet: str
    meaning: int = _MEANING


def find_sources(settings: Settings, fleet: FleetSpec) -> Sources:
    """The newest versions there are. Raises LakeError before the first admission."""
    silver, outcomes = (_version(settings, fleet, table) for table in _TABLES)
    said = fleet.model_dump_json(include={"order", "settings", "sensors", "task", "split"})
    return Sources(silver, outcomes, hashlib.sha256(said.encode()).hexdigest()[:16])


def _version(settings: Settings, fleet: FleetSpec, table: Table) -> int:
    version = table_version(settings, fleet.fleet, table)
    if version is None:
        raise LakeError(f"{table_path(settings, fleet.fleet, table)}: no such table; run the land and admit jobs first")
    return version


def split(shares: Split) -> Column:
    """The device's split, as `aimaas.split.split_of` has it."""
    from pyspark.sql import functions as f

    digits = f.substring(f.sha2(f.col("device_id").cast("binary"), 256), 1, HEX_DIGITS)
    point = f.conv(digits, 16, 10).cast("double") / float(16**HEX_DIGITS)
    *others, (last, _) = split_bounds(shares)
    column = f.lit(last)
    for name, end in reversed(others):
        column = f.when(point < end, name).otherwise(column)
    return column


def build(fleet: FleetSpec, silver: DataFrame, outcomes: DataFrame) -> DataFrame:
    """Gold from silver and outcomes, each device's rows together and in order."""
    columns = ["device_id", "run", "seq", "order", "ts", "begins", *fleet.readings]
    return (
        with_labels(fleet, silver, outcomes)
        .withColumn("split", split(fleet.split))
        .select(*columns, "failure_order", "label", "split", "topic", "partition", "offset", "broker_ts")
        .repartition("device_id")
        .sortWithinPartitions("device_id", "run", "order")
    )


def gold(job: Job) -> Report:
    """Write gold anew where silver, outcomes or the fleet file have changed."""
    settings, fleet = job.settings, job.fleet
    sources = find_sources(settings, fleet)
    note = msgspec.json.encode(sources).decode()
    done = table_version(settings, fleet.fleet, "gold")
    if done is None or commit_notes(settings, fleet.fleet, "gold", done - 1) != [note]:
        tables = [
            read_version(job.spark, settings, fleet, "silver", sources.silver),
            read_version(job.spark, settings, fleet, "outcomes", sources.outcomes),
        ]
        write = build(fleet, *tables).write.format("delta").mode("overwrite")
        write.option("overwriteSchema", True).option("userMetadata", note).save(
            table_path(settings, fleet.fleet, "gold")
        )
    return {
        "version": table_version(settings, fleet.fleet, "gold"),
        "silver": sources.silver,
        "outcomes": sources.outcomes,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; the exit code."""
    return run("gold", parser("gold", __doc__).parse_args(argv), gold)


if __name__ == "__main__":
    sys.exit(main())
