"""Admit: judge the new records of bronze, and write each to exactly one of silver, outcomes and quarantine.

The verdicts equal the scorer's: the code, the order of records and the device state per Kafka partition are the same, and each
offset is judged by the rules that the scorer applied to it (`aimaas/admission/rule_log.py`). The job commits the device state
last, and that state holds the offset that admission reached. After a kill, the next run starts from the same state and gets the
same verdicts. Each table then takes only the rows above its newest offset. So no row is lost or doubled, even if bronze has grown
meanwhile. The job judges a backlog in portions and commits the state after each, so its memory does not grow with the backlog.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING

from aimaas.fleet import FleetSpec
from aimaas.lake import Held, Offsets, Table, held, table_version
from aimaas.lake.declared_readings import declared
from aimaas.lake.quarantine import EXPECTATION, judged_note
from aimaas.settings import Settings
from spark_jobs.admission.evolution import check_changes
from spark_jobs.admission.rule_claims import JudgedBy, claim
from spark_jobs.admission.verdicts import judge_partitions
from spark_jobs.commits import commit, note_of
from spark_jobs.job import Job, Report, parser, run
from spark_jobs.landing.large_records import cut_columns
from spark_jobs.schemas import READING, SILVER, SOURCE, STATE, columns_of, ddl, wide_columns
from spark_jobs.session import read_version

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

APP_ID = "admit"
TAKING: tuple[Table, ...] = ("silver", "outcomes", "quarantine")
_MOST = 2_000_000  # offsets that one portion judges


@dataclass(frozen=True)
class Portion:
    """Offsets to judge: rows of bronze at `version` from `start` up to `end`. `state` is the admission state before them."""

    version: int
    start: Offsets
    end: Offsets
    state: Held


def find_portion(settings: Settings, fleet: FleetSpec) -> Portion | None:
    """The offsets of bronze that admission has not judged; None if there are none."""
    bronze = held(settings, fleet.fleet, "bronze", "land")
    state = held(settings, fleet.fleet, "admission_state", APP_ID)  # its rows have the offset that admission reached
    end = {at: end for at, end in bronze.offsets.items() if state.offsets.get(at, 0) < end}
    start = {at: state.offsets.get(at, 0) for at in end}
    return Portion(bronze.version, start, end, state) if start and bronze.version is not None else None


def bounded(portion: Portion, records: Callable[[], DataFrame], most: int) -> Portion:
    """The first part of a portion that has too many offsets; `records` reads its rows. The part of each partition has rows."""
    from pyspark.sql import functions as f

    if sum(portion.end.values()) - sum(portion.start.values()) <= most:
        return portion
    firsts = records().groupBy("topic", "partition").agg(f.min("offset").alias("first")).collect()
    first = portion.start | {(row["topic"], row["partition"]): row["first"] for row in firsts}  # retention leaves gaps
    share = max(most // len(first), 1)
    return replace(portion, end={at: min(end, first[at] + share) for at, end in portion.end.items()})


def beyond(offsets: Offsets) -> Column:
    """Condition: the row's offset is at or above the one given for its topic and partition."""
    from pyspark.sql import functions as f

    return reduce(
        or_,
        (
            (f.col("topic") == topic) & (f.col("partition") == partition) & (f.col("offset") >= offset)
            for (topic, partition), offset in sorted(offsets.items())
        ),
    )


def judge(by: JudgedBy, records: DataFrame, state: DataFrame | None, tasks: int) -> DataFrame:
    """Judge rows of bronze, given the rows of the last state. Returns rows of `wide_columns`."""
    from pyspark.sql import functions as f

    columns = ["topic", "partition", "offset", "broker_ts", "key", "value"]
    rows = records.select(*columns, *cut_columns(records)).withColumn("is_record", f.lit(True))
    if state is not None:
        kept = state.select("topic", "partition", "offset", "device_id", "state").withColumn("is_record", f.lit(False))
        rows = rows.unionByName(kept, allowMissingColumns=True)
    else:
        rows = rows.selectExpr("*", "CAST(NULL AS string) AS device_id", "CAST(NULL AS binary) AS state")
    return (
        rows.repartition(tasks, "topic", "partition")
        .sortWithinPartitions("topic", "partition", "is_record", "offset")
        .mapInArrow(judge_partitions(by), ddl(wide_columns(by.book.fleet)))
    )


def records_of(spark: SparkSession, settings: Settings, fleet: FleetSpec, portion: Portion) -> DataFrame:
    """The portion's rows of bronze."""
    bronze = read_version(spark, settings, fleet, "bronze", portion.version)
    return bronze.where(beyond(portion.start) & ~beyond(portion.end))


def judge_portion(
    spark: SparkSession, settings: Settings, fleet: FleetSpec, portion: Portion, by: JudgedBy
) -> DataFrame:
    """The verdicts of the portion, and the state after it."""
    records = records_of(spark, settings, fleet, portion)
    known = portion.state.version
    state = None if known is None else read_version(spark, settings, fleet, "admission_state", known)
    return judge(by, records, state, min(len(portion.start), spark.sparkContext.defaultParallelism))


def rows_of(judged: DataFrame, kind: str, fleet: FleetSpec) -> DataFrame:
    """The rows of one table, taken from the result of the judge's pass."""
    from pyspark.sql import functions as f

    mine = judged.where(f.col("verdict") == kind)
    if kind == STATE:
        return mine.select("topic", "partition", "offset", *columns_of(kind, fleet))
    readings = [f.col(f"`{READING}{name}`").alias(name) for name in fleet.readings] if kind == SILVER else []
    others = [name for name in columns_of(kind, fleet) if kind != SILVER or name not in fleet.readings]
    return mine.select(*SOURCE, *others, *readings, f.to_date("broker_ts").alias("day"))


def append(settings: Settings, fleet: FleetSpec, table: Table, judged: DataFrame, portion: Portion) -> None:
    """Append the rows that the table does not hold yet."""
    seen, rows = held(settings, fleet.fleet, table, APP_ID), rows_of(judged, table, fleet)
    ahead = {at: offset for at, offset in seen.offsets.items() if offset > portion.start.get(at, offset)}
    if ahead and table == "quarantine":
        ahead = _refused_ends(judged.sparkSession, settings, fleet, seen, {at: portion.start[at] for at in ahead})
    if ahead:  # an earlier run was killed after it wrote here
        rows = rows.where(beyond(portion.start | ahead))
    commit(settings, fleet, table, APP_ID, rows, seen, judged_note(portion.start | ahead, portion.end))


def _refused_ends(spark: SparkSession, settings: Settings, fleet: FleetSpec, seen: Held, start: Offsets) -> Offsets:
    """The ends of the rows from `start` on that admission wrote to quarantine. Gates write rows to quarantine too."""
    from pyspark.sql import functions as f

    rows = read_version(spark, settings, fleet, "quarantine", seen.version or 0)
    refused = rows.where(beyond(start) & (f.col("reason") != EXPECTATION)).groupBy("topic", "partition")
    newest = refused.agg(f.max("offset").alias("newest")).collect()
    return {(row["topic"], row["partition"]): row["newest"] + 1 for row in newest}


def admit(job: Job) -> Report:
    """Judge all new records; returns rows by table. Raises LakeError if the lake cannot follow a change of the fleet file."""
    rows: Counter[str] = Counter(dict.fromkeys(TAKING, 0))
    while (portion := find_portion(job.settings, job.fleet)) is not None:
        rows.update(_admit_portion(job, portion))
    return dict(rows)


def _admit_portion(job: Job, portion: Portion) -> dict[str, int]:
    """Judge the portion, or its first part; returns rows by table."""
    settings, fleet, spark = job.settings, job.fleet, job.spark
    check_changes(fleet, note_of(portion.state))
    portion = bounded(portion, partial(records_of, spark, settings, fleet, portion), _MOST)
    by = claim(job.rule_journal, fleet, portion.start, portion.end, datetime.now(UTC))
    note = declared(fleet, note_of(portion.state), by.files(portion.start, portion.end))
    judged = judge_portion(spark, settings, fleet, portion, by).persist()
    counts = {row["verdict"]: row["count"] for row in judged.groupBy("verdict").count().collect()}
    wanted = [t for t in TAKING if counts.get(t) or table_version(settings, fleet.fleet, t) is None]
    with ThreadPoolExecutor(len(TAKING)) as pool:  # three small commits at once, because a commit mostly waits
        list(pool.map(lambda table: append(settings, fleet, table, judged, portion), wanted))
    state = rows_of(judged, STATE, fleet)
    commit(settings, fleet, "admission_state", APP_ID, state, portion.state, note, "overwrite")
    judged.unpersist()
    return {table: counts.get(table, 0) for table in TAKING}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    return run("admit", parser("admit", __doc__).parse_args(argv), admit)


if __name__ == "__main__":
    sys.exit(main())
