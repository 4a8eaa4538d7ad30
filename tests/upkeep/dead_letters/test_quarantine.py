"""Quarantine and dead letters are two accounts of the same refusals: listed alike, and replayed by the same rules."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from deltalake import DeltaTable
from typer.testing import CliRunner, Result

from aimaas.errors import AimaasError, LakeError
from aimaas.kafka import admin, end_offsets
from aimaas.lake import table_path
from cli.app import app
from expectations.gate import check_table
from spark_jobs.admit import admit
from spark_jobs.job import Job
from spark_jobs.land import land
from stream.devices.faults import FAULTS, Faults
from tests.stream.conftest import Line
from tests.upkeep.dead_letters.test_replay import by_origin, check, narrowed, scored_with_a_narrow_range, under
from upkeep.dead_letters.letters import read_letters

pytestmark = [pytest.mark.broker, pytest.mark.spark, pytest.mark.timeout(600)]


def quarantine(line: Line, *arguments: str) -> Result:
    environment = {
        "AIMAAS_HOME": str(line.settings.home),
        "AIMAAS_FLEETS": str(line.folder),
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": line.settings.bootstrap_servers,
        "AIMAAS_REPLAY_KEY": line.settings.replay_key or "",
    }
    return CliRunner().invoke(app, ["quarantine", *arguments, "--fleet", line.fleet.fleet], env=environment)


def lines(done: Result) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output + repr(done.exception)
    return [json.loads(text) for text in done.stdout.splitlines()]


def admitted(line: Line, spark: Any) -> None:
    for job in (land, admit):
        job(Job(job.__name__, line.settings, line.fleet, argparse.Namespace(), start=lambda *_: spark))


def send_faults(line: Line, seed: int) -> None:
    """Some events, with two refusals of each kind among them."""
    events = line.events(devices=2, seed=seed, first_device=seed)
    counts = dict.fromkeys(FAULTS, 2)
    faults = Faults(line.fleet, counts, len(events), seed, datetime.now(UTC))
    line.send([(key, value) for key, value, _ in [*faults.feed(events), *faults.drain()]])


def test_the_list_says_of_every_record_what_its_letter_says_and_which_run_refused_it(
    tolerant_line: Line, spark: Any
) -> None:
    line = tolerant_line
    line.champion()
    for seed in (10, 20):
        send_faults(line, seed)
        admitted(line, spark)
    line.score_all(0, 2 * 2 * len(FAULTS))

    found = lines(quarantine(line, "list", "--json", "--limit", "1000"))

    letters = {str(letter.source): letter for letter in read_letters(line.settings, line.fleet)}
    assert {q["source"]: (q["reason"], q["observed"]) for q in found} == {
        source: (letter.reason, letter.message) for source, letter in letters.items()
    }
    assert Counter(q["run"] for q in found) == dict.fromkeys((0, 1), 2 * len(FAULTS))
    compacted = DeltaTable(table_path(line.settings, line.fleet.fleet, "quarantine"))
    assert compacted.optimize.compact()["numFilesRemoved"] > 0
    assert lines(quarantine(line, "list", "--json", "--limit", "1000")) == found
    table = quarantine(line, "list", "--reason", "late", "--limit", "1").stdout
    assert "these are the newest 1 of 4" in table
    assert " v1 " in table
    one = next(q for q in found if q["reason"] == "out_of_range")
    shown = quarantine(line, "show", one["source"]).stdout
    assert one["observed"] in shown
    assert '"readings": {' in shown
    assert isinstance(quarantine(line, "list", "--reason", "bad").exception, AimaasError)
    assert isinstance(quarantine(line, "show", "0/999999").exception, LakeError)


@pytest.mark.parametrize("dropped", [False, True])
def test_a_replay_scores_what_is_in_quarantine_also_where_retention_dropped_its_letter(
    line: Line, spark: Any, dropped: bool
) -> None:
    champion, events, sources, refused = scored_with_a_narrow_range(line)
    with under(line, narrowed(line.fleet, events)):
        admitted(line, spark)
    if dropped:
        client, ends = admin(line.settings), end_offsets(line.settings, line.names.dead_letters)
        deleted = client.delete_records([TopicPartition(line.names.dead_letters, p, end) for p, end in ends.items()])
        assert [f.result(30).low_watermark for f in deleted.values()] == list(ends.values())
        assert read_letters(line.settings, line.fleet) == []

    done = lines(quarantine(line, "replay", "--reason", "out_of_range", "--json"))
    again = lines(quarantine(line, "replay", "--all", "--json"))
    went = Counter(d["done"] for d in done)
    line.score_all(len(events), 0)

    assert went["sent into the stream"] + went["scored by batch"] == refused
    assert {d["done"] for d in again} == {"left"}
    assert set(by_origin(line)) == set(sources)
    check(line, champion, events, sources)


def test_outcomes_are_left_with_the_reason(line: Line, spark: Any) -> None:
    line.send([(b"d-1", b"{nope")], line.names.outcomes)
    admitted(line, spark)

    (done,) = lines(quarantine(line, "replay", "--all", "--json"))

    assert (done["done"], done["why"].split(":")[0]) == ("left", "an outcome")


def test_rows_that_a_gate_sets_aside_lie_in_quarantine_beside_what_later_runs_refuse(
    tolerant_line: Line, spark: Any
) -> None:
    line = tolerant_line
    settings = replace(line.settings, fleets=line.folder)
    suite = line.folder / "expectations" / f"{line.fleet.fleet}_silver.yaml"
    suite.parent.mkdir()
    kwargs = {"column": "s4", "max_value": 1_405}
    suite.write_text(
        json.dumps([{"type": "expect_column_values_to_be_between", "kwargs": kwargs, "severity": "quarantine"}])
    )
    events = line.events(devices=3)
    sources = line.send(events)
    hot = [f"{line.names.events}/{p}/{o}" for (p, o), (_, v) in zip(sources, events, strict=True) if heat(v) > 1_405]
    admitted(line, spark)

    report = check_table(settings, line.fleet, "silver", datetime.now(UTC))
    assert report is not None
    noted = report.set_aside
    send_faults(line, 10)
    admitted(line, spark)

    assert noted == len(hot) > 0
    aside = lines(quarantine(line, "list", "--json", "--reason", "expectation", "--limit", "1000"))
    assert {q["source"] for q in aside} == set(hot)
    assert all("s4 is 14" in q["observed"] for q in aside)
    assert len(lines(quarantine(line, "list", "--json", "--limit", "1000"))) == len(hot) + 2 * len(FAULTS)
    done = lines(quarantine(line, "replay", "--reason", "expectation", "--json"))
    assert {(d["done"], d["why"].split(";")[0]) for d in done} == {("left", "it was admitted and has its prediction")}


def heat(value: bytes) -> float:
    return float(json.loads(value)["readings"]["s4"])
