"""Gold: the rows of the corrected view with their split. Each run appends the rows that silver's gate has passed since the last.

The corrected view has the rows of silver, the events in quarantine that were late by at most `limits.lateness_s`, and the
backfilled events (`aimaas/lake/history.py`). Of rows with the same device, run and order it has the first that was received. Run
beginnings and labels follow from neighbouring rows and from outcomes, and readers compute them (`aimaas.labels.lifetimes`). So
stored rows never change. The commit's note names the sources of a version. A late outcome makes a version without new rows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from aimaas.lake import Held, Offsets, Table, held, row_count, table_version
from aimaas.lake.audits import begin_audits
from aimaas.lake.history import PLACE
from aimaas.lake.quarantine import EXPECTATION
from aimaas.lake.rebuilt_days import check_taken_up
from spark_jobs.admission.evolution import widened
from spark_jobs.commits import commit, note_of
from spark_jobs.corrected_view.frames import KEY, between, not_there_yet, received
from spark_jobs.corrected_view.gold_state import keep_state, kept_at, newest_keys, newest_of
from spark_jobs.job import Job, Report, parser, run
from spark_jobs.session import read_version
from spark_jobs.sources import Sources, find_sources, read_sources

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

APP_ID = "gold"
_PARTS: tuple[Table, Table] = ("silver", "quarantine")
_SOURCE = ["topic", "partition", "offset"]


def all_rows(job: Job, start: Offsets, end: Offsets) -> DataFrame:
    """The rows of the corrected view that were received at offsets in [start, end), without rows that were set aside."""
    from pyspark.sql import functions as f

    settings, fleet = job.settings, job.fleet
    silver, quarantine = (
        read_version(job.spark, settings, fleet, table, table_version(settings, fleet.fleet, table) or 0)
        for table in _PARTS
    )
    here = between(start, end)
    silver, quarantine = silver.where(here), quarantine.where(here)
    aside = quarantine.where(f.col("reason") == EXPECTATION).select(*_SOURCE)
    return received(
        fleet, widened(silver, fleet).join(aside, _SOURCE, "left_anti"), quarantine, _history(job, start, end)
    )


def _history(job: Job, start: Offsets, end: Offsets) -> DataFrame | None:
    """The events that were backfilled at offsets in [start, end); None if there are none."""
    if start.get(PLACE, 0) >= end.get(PLACE, 0):
        return None
    version = table_version(job.settings, job.fleet.fleet, "history") or 0
    return read_version(job.spark, job.settings, job.fleet, "history", version).where(between(start, end))


def write_whole(job: Job, seen: Held, now: Sources) -> None:
    """Write gold from its beginning."""
    _commit(job, seen, now, all_rows(job, {}, now.offsets), "overwrite")
    keep_state(job, now, newest_of(_gold(job, table_version(job.settings, job.fleet.fleet, "gold") or 0)))


def go_on(job: Job, seen: Held, before: Sources, now: Sources) -> None:
    """Append the rows of `now` that gold, made of `before`, lacks. The commit is empty if only outcomes are new."""
    there = _gold(job, seen.version or 0)
    if before.rows_digest == now.rows_digest:
        _commit(job, seen, now, there.limit(0), "append")
        return
    newest = newest_keys(job, before, there)
    came = all_rows(job, before.offsets, now.offsets).persist()
    _commit(job, seen, now, not_there_yet(came, newest, there), "append")
    keep_state(job, now, newest_of(newest.unionByName(came.select(*KEY))))
    came.unpersist()


def _gold(job: Job, version: int) -> DataFrame:
    return read_version(job.spark, job.settings, job.fleet, "gold", version)


def _commit(job: Job, seen: Held, now: Sources, rows: DataFrame, mode: Literal["append", "overwrite"]) -> None:
    note = msgspec.json.encode(now).decode()
    commit(job.settings, job.fleet, "gold", APP_ID, rows, seen, note, mode)


def gold(job: Job) -> Report:
    """Bring gold up to the published rows of silver and to the outcomes.

    Gold is written as a whole if the fleet file's definition of it changed, a rebuilt day passed its gate, or rows in it were set
    aside. Raises LakeError if it must be written as a whole while a rebuilt day has not passed its gate.
    """
    settings, fleet = job.settings, job.fleet
    begin_audits(settings, fleet, datetime.now(UTC))
    seen, rows = held(settings, fleet.fleet, "gold", APP_ID), row_count(settings, fleet.fleet, "gold")
    before = read_sources(note_of(seen), fleet)
    now = find_sources(settings, fleet, before)
    if before is None or not now.goes_on_from(before):
        check_taken_up(settings, fleet)
        write_whole(job, seen, now)
    elif before != now:
        go_on(job, seen, before, now)
    elif kept_at(job, now) is None:  # the last run was killed, or found the disk full, between its two commits
        keep_state(job, now, newest_of(_gold(job, seen.version or 0)))
    after = row_count(settings, fleet.fleet, "gold")
    return {"version": table_version(settings, fleet.fleet, "gold"), "rows": after, "added": after - rows}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    return run("gold", parser("gold", __doc__).parse_args(argv), gold)


if __name__ == "__main__":
    sys.exit(main())
