"""A dirty day through broker, scorer and lake: each fault is found where it belongs, and the clean rows are untouched."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from aimaas.admission.judge import Reason
from aimaas.lake import read_table
from cli.app import app
from expectations.gate import check_table
from spark_jobs.admit import admit
from spark_jobs.job import Job
from spark_jobs.land import land
from spark_jobs.landing.gaps import record_gaps
from stream.devices.faults import FAULTS
from tests.dirty_day import Blind, Rates, Sent, dirty_day
from tests.published import gold
from tests.stream.conftest import Line

pytestmark = [pytest.mark.broker, pytest.mark.spark, pytest.mark.timeout(600)]
BLIND = Blind(stuck="s11", mixed_up="s12", factor=0.45359237)  # pounds that are read as kilograms
CLEAN = Rates(refused={}, swapped=0, clock_back=0, stuck=0, mixed_up=0)


def run(line: Line, spark: Any, *jobs: Any) -> None:
    for job in jobs:
        job(Job(job.__name__, line.settings, line.fleet, argparse.Namespace(), start=lambda *_: spark))


def send(line: Line, day: list[Sent]) -> dict[str, Sent]:
    """The records by the coordinates that they got."""
    places = line.send([(record.key, record.value) for record in day])
    return {f"{line.names.events}/{p}/{o}": record for (p, o), record in zip(places, day, strict=True)}


def reconciled(line: Line, *more: str) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of `aimaas reconcile --json`."""
    done = reconcile(line, "--json", *more)
    return done.exit_code, json.loads(done.stdout)


def reconcile(line: Line, *more: str) -> Result:
    environment = {
        "AIMAAS_HOME": str(line.settings.home),
        "AIMAAS_FLEETS": str(line.folder),
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": line.settings.bootstrap_servers,
    }
    return CliRunner().invoke(app, ["reconcile", "--fleet", line.fleet.fleet, *more], env=environment)


def rows_by_source(line: Line, table: Any) -> dict[str, dict[str, Any]]:
    rows = read_table(line.settings, line.fleet.fleet, table).to_pylist()
    found = {f"{row['topic']}/{row['partition']}/{row['offset']}": row for row in rows}
    assert len(found) == len(rows), f"a record is twice in {table}"
    return found


@pytest.mark.long
def test_every_fault_of_a_dirty_day_is_found_where_it_belongs_and_clean_rows_are_untouched(
    tolerant_line: Line, spark: Any
) -> None:
    line, now = tolerant_line, datetime.now(UTC)
    line.champion()
    sent = send(line, dirty_day(line.fleet, range(16), 3, now, BLIND, CLEAN))
    run(line, spark, land, admit)
    before = check_table(line.settings, line.fleet, "silver", now)
    dirty = send(line, dirty_day(line.fleet, range(1_000, 1_030), 4, now, BLIND))
    sent |= dirty
    refused = {source: r.reason.label for source, r in sent.items() if r.reason}
    line.score_all(len(sent) - len(refused), len(refused))
    run(line, spark, land, admit)

    after = check_table(line.settings, line.fleet, "silver", now)

    assert line.letters() == refused
    assert {source: row["reason"] for source, row in rows_by_source(line, "quarantine").items()} == refused
    assert set(line.scored()) == set(sent) - set(refused)
    check_clean_rows(line, sent)
    assert before is not None
    assert after is not None
    assert before.warnings == ()
    assert {w.subject for w in after.warnings} == {
        "s11_stuck_share",
        "s12_shifted_share",
        "clock_back_share",
    }
    assert after.refused == len(refused)
    assert Counter(refused.values()).keys() == {r.label for r in FAULTS}
    check_account(line, spark, sent, refused)


def check_clean_rows(line: Line, sent: dict[str, Sent]) -> None:
    """Each good record is in silver as it was sent."""
    silver = rows_by_source(line, "silver")
    good = {source: json.loads(record.value or b"") for source, record in sent.items() if not record.reason}
    assert set(silver) == set(good)
    for source, event in good.items():
        row = silver[source]
        assert {name: row[name] for name in line.fleet.readings} == event["readings"]
        assert (row["device_id"], row["run"], row["seq"]) == (event["device_id"], event["run"], event["seq"])
        assert row["ts"] == datetime.fromisoformat(event["ts"])


def check_account(line: Line, spark: Any, sent: dict[str, Sent], refused: dict[str, str]) -> None:
    """`aimaas reconcile` counts the same, and names what is missing while it is."""
    code, found = reconciled(line)
    assert (code, [gap["what"] for gap in found["gaps"]]) == (1, ["admitted and not in gold"])
    run(line, spark, gold)
    good = len(sent) - len(refused)
    code, found = reconciled(line)
    assert (code, found["gaps"], found["notes"]) == (0, [], [])
    counts = found["events"]
    assert counts.pop("in_gold") >= good  # late records may have been put in their place
    assert counts == {
        "sent": len(sent), "landed": len(sent), "admitted": good, "quarantined": len(refused), "predicted": good,
        "dead_lettered": len(refused),
    }  # fmt: skip
    assert found["outcomes"] == dict.fromkeys(found["outcomes"], 0) | dict.fromkeys(
        ("in_gold", "predicted", "dead_lettered")
    )
    code, found = reconciled(line, "--day", "2020-01-01")
    assert (code, found["events"]["sent"], found["gaps"]) == (0, 0, [])


def test_records_that_nobody_scored_are_named(tolerant_line: Line, spark: Any) -> None:
    line = tolerant_line
    rates = replace(CLEAN, refused={Reason.SCHEMA: 0.05})
    sent = send(line, dirty_day(line.fleet, range(2), 3, datetime.now(UTC), BLIND, rates))
    code, found = reconciled(line)
    assert (code, [gap["what"] for gap in found["gaps"]]) == (1, ["sent and not landed"])

    run(line, spark, land, admit, gold)

    code, found = reconciled(line)
    bad = sum(1 for record in sent.values() if record.reason)
    assert (code, {gap["what"]: gap["records"] for gap in found["gaps"]}) == (
        1,
        {"admitted and not predicted": len(sent) - bad, "quarantined without a dead letter": bad},
    )
    told = reconcile(line).stdout
    assert f"gap: events: {len(sent) - bad} admitted and not predicted: partition" in told
    assert "dead-lettered" in told


def test_what_retention_deleted_before_it_was_landed_is_shown_as_lost_and_is_no_error(tolerant_line: Line) -> None:
    line, now = tolerant_line, datetime.now(UTC)
    at = (line.names.events, 0)
    record_gaps(line.settings, line.fleet, {at: 4}, {at: 7}, now)
    today = f"{now:%Y-%m-%d}"

    code, found = reconciled(line, "--day", today)

    assert (code, found["gaps"]) == (0, [])
    assert [{**lost, "line": ""} for lost in found["lost"]] == [
        {
            "of": "events", "topic": line.names.events, "partition": 0, "first": 4, "last": 6, "by": "land",
            "why": "retention had deleted them", "line": "",
        }
    ]  # fmt: skip
    told = reconcile(line, "--day", today).stdout
    assert f"lost: events: {line.names.events}, partition 0, offset 4 to 6 never landed: retention" in told
    assert "no gap, except for lost records" in told
