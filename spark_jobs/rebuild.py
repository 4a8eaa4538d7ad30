"""Rebuild: judge one day of bronze again and repair the day in silver, quarantine and outcomes.

Bronze never changes, and the verdicts of a day follow from bronze and the admission state before the day. So the job judges the day
from that state and compares the result with the tables. If rows are missing or doubled, one commit per table replaces the rows of
the day. If nothing differs, the job writes nothing, so you may repeat it. Each offset is judged by the rules that applied to it, so
a changed fleet file makes no difference. `--rejudge` judges the day by the present fleet file and notes that in the journal, so
that later rebuilds do the same. Gold takes up a repaired day after its gate has passed (aimaas.lake.rebuilt_days). If rows would
come out *otherwise* without `--rejudge`, the code has changed. Then the job stops, because silver records what the stream served.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from aimaas.errors import LakeError
from aimaas.lake import Offsets, Table, held, table_version
from aimaas.lake.quarantine import EXPECTATION
from aimaas.lake.rebuilt_days import note_rebuilt
from spark_jobs.admission.day_start import find_start
from spark_jobs.admission.rule_claims import JudgedBy, rejudge
from spark_jobs.admit import APP_ID as ADMIT
from spark_jobs.admit import TAKING, judge, rows_of
from spark_jobs.commits import Replace, commit
from spark_jobs.corrected_view.frames import between
from spark_jobs.job import Job, Report, parser, run
from spark_jobs.session import read_version

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

APP_ID = "rebuild"
GATED_PARTS = {"silver", "quarantine"}  # outcomes pass no gate


@dataclass(frozen=True)
class Difference:
    """The difference between a table and the new verdicts of a day: rows `missing`, rows held more than once, rows that differ."""

    missing: int
    doubled: int
    other: int


def rebuild(job: Job) -> Report:
    """Compare a day with the verdicts from bronze, and repair it; returns missing, doubled and other rows by table."""
    day: date = job.arguments.day
    # read first: bronze and the tables hold all offsets below it; a running admission may work on the offsets above it
    admitted = held(job.settings, job.fleet.fleet, "admission_state", ADMIT).offsets
    judged = judge_day(job, day, admitted)
    if judged is None:
        return {"day": str(day), "rows": 0, "replaced": []}
    judged = judged.persist()
    fresh = {table: rows_of(judged, table, job.fleet) for table in TAKING}
    mine = {table: _mine(table, day, admitted) for table in TAKING}
    found = {table: compare(rows, _held(job, table, mine[table], rows)) for table, rows in fresh.items()}
    others = {table: d.other for table, d in found.items() if d.other}
    if others and not job.arguments.rejudge:
        raise LakeError(_told(job, day, others))
    wrong = [t for t, d in found.items() if d.missing or d.doubled or d.other]
    if set(wrong) & GATED_PARTS:
        note_rebuilt(job.settings, job.fleet, day, datetime.now(UTC))
    for table in wrong:
        _replace(job, table, day, mine[table], fresh[table])
    rows = judged.count()
    judged.unpersist()
    return {"day": str(day), "rows": rows, "replaced": wrong, **{t: vars(d) for t, d in found.items()}}


def judge_day(job: Job, day: date, admitted: Offsets) -> DataFrame | None:
    """Verdicts (`wide_columns`) of the records of the day that were `admitted`; None if there are none."""
    from pyspark.sql import functions as f

    settings, fleet = job.settings, job.fleet
    bronze = table_version(settings, fleet.fleet, "bronze")
    if bronze is None:
        return None
    records = read_version(job.spark, settings, fleet, "bronze", bronze)
    first, end = _stretch(records, day, admitted)
    if not end:
        return None
    start = find_start(settings, fleet, first, end)
    if job.arguments.rejudge:
        rejudge(job.rule_journal, fleet, first, end, datetime.now(UTC))
    by = JudgedBy.of(fleet, job.rule_journal.read())
    by.files(start.offsets, end)  # raises here instead of in a worker, if rules cannot be applied any more
    known = (
        None if start.version is None else read_version(job.spark, settings, fleet, "admission_state", start.version)
    )
    tasks = min(len(end), job.spark.sparkContext.defaultParallelism)
    needed = records.where(between({at: start.offsets.get(at, 0) for at in end}, end))
    verdicts = judge(by, needed, known, tasks)
    return verdicts.where(f.col("verdict").isin(*TAKING) & _taken_on(day))


def _taken_on(day: date) -> Column:
    """Condition: the broker received the record on that day. Files whose statistics exclude it are not read."""
    from pyspark.sql import functions as f

    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return (f.col("broker_ts") >= f.lit(begin)) & (f.col("broker_ts") < f.lit(begin + timedelta(days=1)))


def _stretch(records: DataFrame, day: date, admitted: Offsets) -> tuple[Offsets, Offsets]:
    """The day's first offset by topic and partition, and its end (exclusive), which is not beyond the admitted offsets."""
    from pyspark.sql import functions as f

    mine = records.where(_taken_on(day)).groupBy("topic", "partition")
    found = mine.agg(f.min("offset").alias("low"), f.max("offset").alias("high")).collect()
    ends = {
        (r["topic"], r["partition"]): min(r["high"] + 1, admitted.get((r["topic"], r["partition"]), 0)) for r in found
    }
    first = {(r["topic"], r["partition"]): r["low"] for r in found}
    end = {at: offset for at, offset in ends.items() if offset > first[at]}
    return {at: first[at] for at in end}, end


def _held(job: Job, table: Table, mine: str, like: DataFrame) -> DataFrame:
    """The rows of a table that are `mine`, with the columns of `like`; a column that the table lacks is null."""
    from pyspark.sql import functions as f

    version = table_version(job.settings, job.fleet.fleet, table)
    if version is None:
        return like.limit(0)
    rows = read_version(job.spark, job.settings, job.fleet, table, version).where(mine)
    kinds = {field.name: field.dataType for field in like.schema}
    columns = [f.col(f"`{c}`") if c in rows.columns else f.lit(None).cast(kinds[c]).alias(c) for c in like.columns]
    return rows.select(*columns)


def compare(fresh: DataFrame, there: DataFrame) -> Difference:
    """Count the differences of whole rows; null equals null, and NaN equals NaN."""
    from pyspark.sql import functions as f

    both = fresh.withColumn("is_fresh", f.lit(1)).unionByName(there.withColumn("is_fresh", f.lit(0)))
    names = [f.col(f"`{c}`") for c in fresh.columns]
    same = both.groupBy(*names).agg(f.sum("is_fresh").alias("fresh"), f.sum(1 - f.col("is_fresh")).alias("there"))
    counts = same.agg(
        f.count_if(f.col("there") == 0).alias("missing"),
        f.coalesce(f.sum(f.when(f.col("there") > 1, f.col("there") - 1)), f.lit(0)).alias("doubled"),
        f.count_if(f.col("fresh") == 0).alias("other"),
    ).first()
    assert counts is not None  # noqa: S101  an aggregation without groups has one row
    return Difference(counts["missing"], counts["doubled"], counts["other"])


def _mine(table: Table, day: date, admitted: Offsets) -> str:
    """Condition: rows of the day that admission wrote up to `admitted`; rows that a gate set aside are not among them."""
    before = [f"(topic = '{topic}' AND partition = {p} AND offset < {end})" for (topic, p), end in admitted.items()]
    by_judge = f" AND reason <> '{EXPECTATION}'" if table == "quarantine" else ""
    return f"day = DATE'{day}' AND ({' OR '.join(before) or 'false'}){by_judge}"


def _replace(job: Job, table: Table, day: date, mine: str, rows: DataFrame) -> None:
    seen = held(job.settings, job.fleet.fleet, table, APP_ID)
    commit(job.settings, job.fleet, table, APP_ID, rows, seen, str(day), Replace(mine))


def _told(job: Job, day: date, others: dict[Table, int]) -> str:
    counts = ", ".join(f"{n} of {table}" for table, n in others.items())
    return (
        f"{job.fleet.fleet}, {day}: rows would come out otherwise than they did ({counts}): the release has changed since, or "
        "the fleet's journal was lost. Nothing was written. To judge that day by the present rules, run this job with --rejudge "
        '(the DAG with {"rejudge": true}); the predictions that the stream has sent stay as they are'
    )


def _day(text: str) -> date:
    """A day in UTC, by broker time; not in the future."""
    day = date.fromisoformat(text)
    if day > datetime.now(UTC).date():
        raise ValueError(text)
    return day


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    arguments = parser("rebuild", __doc__)
    arguments.add_argument("--day", required=True, type=_day, help="the day in UTC, by broker time: 2026-11-23")
    both = argparse.BooleanOptionalAction
    arguments.add_argument(
        "--rejudge", action=both, default=False, help="replace rows that the present rules judge otherwise"
    )
    return run("rebuild", arguments.parse_args(argv), rebuild)


if __name__ == "__main__":
    sys.exit(main())
