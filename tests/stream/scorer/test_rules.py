"""Each offset is judged by the fleet file under which it was judged first, whatever changed since. On a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from aimaas.admission.journal import read_journal
from aimaas.admission.judge import Reason
from aimaas.admission.judges_by_offset import Judges, RuleBook
from aimaas.admission.rule_log import Timeline
from aimaas.admission.rules import digest_of, rules_of
from aimaas.fleet import FleetSpec
from aimaas.kafka import read_all
from aimaas.topics import scorer_group
from cli.app import app
from stream.model.load import load_model
from stream.records.exclusive_writer import ExclusiveWriter, Write
from stream.scorer.group.assignment import group_consumer
from stream.state.partition import PartitionState, Records
from stream.state.rules import rules_so_far
from stream.state.topic import restore
from tests.stream.conftest import LIMIT_S, PARTITIONS, Line
from tests.stream.state.test_state_topic import packed
from tests.upkeep.dead_letters.test_replay import READING, by_origin, narrowed, replay_all, under

pytestmark = pytest.mark.broker


def write_file(line: Line, fleet: FleetSpec) -> None:
    described = fleet.model_dump_json(exclude_defaults=True, exclude={"rules"})  # JSON is YAML
    (line.folder / f"{fleet.fleet}.yaml").write_text(described)


def timelines(line: Line) -> list[Timeline]:
    log = read_journal(line.settings, line.fleet).rules
    return [log.timeline(line.names.events, p) for p in range(PARTITIONS)]


def newest(line: Line) -> list[str | None]:
    return [t.newest for t in timelines(line)]


def digest(fleet: FleetSpec) -> str:
    return digest_of(rules_of(fleet))


def wait_until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.05)


def judged_anew(line: Line, announced: Any) -> tuple[dict[int, dict[str, bytes]], dict[str, str]]:
    """The state of each partition and the reason of each record, when all is judged from the beginning as the journal says."""
    model, log = load_model(announced, line.fleet, line.settings), read_journal(line.settings, line.fleet).rules
    book, states, reasons = RuleBook(line.fleet, log.versions), {}, {}
    records = read_all(line.settings, line.names.events)
    for p in range(PARTITIONS):
        mine = [r for r in records if r.partition == p]
        offsets = np.array([r.offset for r in mine], np.int64)
        whole = Records(
            [r.key for r in mine], [r.value for r in mine], offsets, np.array([r.timestamp_ms for r in mine])
        )
        state, judges = PartitionState.empty(line.fleet, p, 0), Judges(log.timeline(line.names.events, p).since, book)
        for judge, stretch in judges.parts(offsets):
            part = whole.only(range(len(mine))[stretch])
            batch, _ = state.advance(judge, model.kernel, part)
            for offset, reason in zip(part.offsets.tolist(), batch.reason.tolist(), strict=True):
                reasons[f"{line.names.events}/{p}/{offset}"] = Reason(reason).label
        states[p] = packed(state.devices)
    return states, reasons


def rules_command(line: Line) -> str:
    """What `aimaas fleets rules` prints."""
    environment = {
        "AIMAAS_HOME": str(line.settings.home),
        "AIMAAS_FLEETS": str(line.folder),
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": line.settings.bootstrap_servers,
        "COLUMNS": "250",
    }
    done = CliRunner().invoke(app, ["fleets", "rules", "--fleet", line.fleet.fleet], env=environment)
    assert done.exit_code == 0, done.output
    return done.stdout


def said(line: Line) -> dict[str, str]:
    """What the stream said of each record."""
    found: dict[str, str] = line.letters()
    return dict.fromkeys(line.scored(), Reason.ADMITTED.label) | found


def kept(line: Line, announced: Any) -> dict[int, dict[str, bytes]]:
    """The state of each partition as the next scorer would have it back."""
    model = load_model(announced, line.fleet, line.settings)
    rules = rules_so_far(line.settings, line.fleet, line.names.events)
    found = restore(line.settings, line.fleet, rules, model.kernel, line.group_offsets()).states
    return {p: packed(state.devices) for p, state in found.items()}


def test_a_range_widened_between_a_kill_and_the_restart_gives_the_state_that_the_stream_had(
    tolerant_line: Line,
) -> None:
    line = tolerant_line
    wide, events = line.fleet, line.events(devices=3)
    narrow = narrowed(wide, events)
    high = narrow.sensors[READING].range[1]
    refused = sum(json.loads(value)["readings"][READING] > high for _, value in events)
    champion = line.champion()
    write_file(line, narrow)
    line.send(events)
    killed = line.start_process(state_share=0.0)  # no snapshots: all is read again
    line.wait_for(len(events) - refused, refused)
    killed.kill()
    killed.wait(10)

    write_file(line, wide)
    with line.scorer():
        wait_until(lambda: newest(line) == [digest(wide)] * PARTITIONS)
    ends = line.group_offsets()

    assert [[s.digest for s in t.since] for t in timelines(line)] == [[digest(narrow), digest(wide)]] * PARTITIONS
    told = " ".join(rules_command(line).split())
    assert f"{digest(wide)} " in told
    assert f"sensors.{READING}.range: [" in told
    states, reasons = judged_anew(line, champion)
    assert said(line) == reasons
    assert list(reasons.values()).count(Reason.OUT_OF_RANGE.label) == refused
    assert kept(line, champion) == states
    assert line.group_offsets() == ends

    done = replay_all(line)
    line.score_all(len(events), refused)

    assert {d.action.name for d in done} == {"STREAM", "BACKFILL"}
    assert len(by_origin(line)) == len(events)  # and none has two
    assert len(line.dead_letters()) == refused


def test_partitions_that_move_between_scorers_with_two_fleet_files_are_judged_as_the_journal_says(
    tolerant_line: Line,
) -> None:
    line = tolerant_line
    new, events = line.fleet, line.events(devices=12)
    limits = new.limits.model_copy(update={"devices": 3 * PARTITIONS})  # devices are forgotten and come back
    old = narrowed(new, events[:600]).model_copy(update={"limits": limits})
    champion = line.champion()

    def scored(n: int) -> None:
        wait_until(lambda: len(line.predictions()) + len(line.dead_letters()) == n)

    line.send(events[:200])
    with under(line, old), line.scorer("old"):
        scored(200)
        with under(line, new), line.scorer("new"):
            wait_until(lambda: digest(new) in newest(line))
            line.send(events[200:400])
            scored(400)
        wait_until(lambda: newest(line) == [digest(old)] * PARTITIONS)
        line.send(events[400:600])
        scored(600)

    with line.scorer("new"):
        wait_until(lambda: newest(line) == [digest(new)] * PARTITIONS)
    states, reasons = judged_anew(line, champion)
    assert said(line) == reasons
    assert kept(line, champion) == states
    assert max(len(t.since) for t in timelines(line)) == 4


def is_assigned(wanted: Any, *members: Any) -> bool:
    """Let the members take part in the group's rebalances; what they read or meet does not count."""
    for member in members:
        member.poll(0.1)
    return bool(wanted.assignment())


def test_an_entry_is_taken_only_while_the_group_has_its_writer_as_the_owner(line: Line) -> None:
    names, group = line.names, scorer_group(line.fleet)
    first, second = (group_consumer(line.settings, group, name, 10_000)[0] for name in ("a", "b"))
    first.subscribe([names.events])
    wait_until(lambda: is_assigned(first, first))
    owner = first.consumer_group_metadata()
    write = [Write(names.journal, b"k", b"{}", (), 0)]

    with ExclusiveWriter(line.settings, line.fleet, "a-rules", "write") as writer:
        taken = writer.write_as_member(write, names.events, {0: 0, 1: 0}, owner)
        second.subscribe([names.events])
        wait_until(lambda: is_assigned(second, first, second))
        refused = writer.write_as_member(write, names.events, {0: 5, 1: 5}, owner)
    for consumer in (first, second):
        consumer.close()

    assert (taken, refused) == (True, False)
    assert [r.value for r in read_all(line.settings, names.journal) if r.key == b"k"] == [b"{}"]
    assert line.group_offsets() == {0: 0, 1: 0}
