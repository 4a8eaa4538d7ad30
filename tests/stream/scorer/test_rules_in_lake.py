"""Stream and lake switch to a changed fleet file at the same offset, whoever is ahead."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from aimaas.admission.judge import Reason
from aimaas.lake import read_table
from expectations.gate import check_table
from spark_jobs.admit import admit
from spark_jobs.land import land
from tests.published import gold
from tests.stream.conftest import PARTITIONS, Line
from tests.stream.scorer.test_dirty_day import reconciled, rows_by_source, run
from tests.stream.scorer.test_rules import digest, said, timelines, wait_until
from tests.upkeep.dead_letters.test_replay import READING, narrowed, under

pytestmark = [pytest.mark.broker, pytest.mark.spark, pytest.mark.timeout(1_200)]


def score_until(line: Line, records: int) -> None:
    """Run a scorer until so many records have a prediction or a dead letter."""
    with line.scorer():
        wait_until(lambda: len(line.predictions()) + len(line.dead_letters()) == records)


def verdicts_of_the_lake(line: Line) -> dict[str, str]:
    admitted = dict.fromkeys(rows_by_source(line, "silver"), Reason.ADMITTED.label)
    return admitted | {source: row["reason"] for source, row in rows_by_source(line, "quarantine").items()}


@pytest.mark.long
def test_the_lake_judges_as_the_stream_across_changes_of_the_fleet_file_ahead_of_it_and_behind(
    tolerant_line: Line, spark: Any
) -> None:
    line = tolerant_line
    wide, events = line.fleet, line.events(devices=12)[:800]
    limits = wide.limits.model_copy(update={"devices": 4 * PARTITIONS})  # devices are forgotten and come back
    narrow = narrowed(wide, events).model_copy(update={"limits": limits})
    line.champion()

    line.send(events[:200])
    with under(line, narrow):
        run(line, spark, land, admit)  # nobody has scored: the lake says the first rules
        score_until(line, 200)
    line.send(events[200:400])
    run(line, spark, land, admit)  # with the new file before a scorer has it: the lake follows the scorers
    assert [t.newest for t in timelines(line)] == [digest(narrow)] * PARTITIONS

    line.send(events[400:600])
    score_until(line, 600)  # from 200 on, but the lake has claimed up to 400 under the narrow file
    line.send(events[600:])
    score_until(line, 800)
    run(line, spark, land, admit, gold)

    ends = [sum(s.offset for s in t.since) for t in timelines(line)]
    assert [[s.digest for s in t.since] for t in timelines(line)] == [[digest(narrow), digest(wide)]] * PARTITIONS
    assert sum(ends) == 400
    assert verdicts_of_the_lake(line) == said(line)
    reasons = list(said(line).values())
    assert reasons.count(Reason.OUT_OF_RANGE.label) > 0
    code, found = reconciled(line)
    assert (code, found["gaps"]) == (0, [])
    assert found["events"]["sent"] == len(events)

    with under(line, narrow):  # narrowed again, and not served yet: rows that the wide range admitted pass the gate
        line.send(line.events(devices=12)[800:900])
        run(line, spark, land, admit)
        silver = read_table(line.settings, line.fleet.fleet, "silver")
        assert max(silver[READING].to_pylist()) > narrow.sensors[READING].range[1]
        check_table(line.settings, line.fleet, "silver", datetime.now(UTC))
