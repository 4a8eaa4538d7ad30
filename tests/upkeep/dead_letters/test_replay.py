"""Replay on a real broker: whatever was refused, and however often it is replayed, an event has one prediction."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import TopicPartition

from aimaas.admission.judge import Judge, Reason
from aimaas.errors import SettingsError
from aimaas.fleet import FleetSpec
from aimaas.kafka import admin, end_offsets, read_all
from stream.devices.faults import FAULTS, Faults
from stream.model.load import load_model
from stream.records.dead_letters import Source, replay_headers
from stream.state.partition import PartitionState, Records
from tests.partitioners import anywhere
from tests.stream.conftest import Line
from upkeep.dead_letters.decisions import Action, Replayed
from upkeep.dead_letters.letters import read_letters
from upkeep.dead_letters.replay import replay_letters

pytestmark = pytest.mark.broker
READING = "s4"


def narrowed(fleet: FleetSpec, events: list[tuple[bytes, bytes]]) -> FleetSpec:
    """The fleet with so small a range of one reading that a tenth of the events are out of it."""
    values = [json.loads(value)["readings"][READING] for _, value in events]
    plain = fleet.model_dump(mode="json", exclude_none=True)
    plain["sensors"][READING]["range"] = [plain["sensors"][READING]["range"][0], float(np.quantile(values, 0.9))]
    return FleetSpec.model_validate(plain)


@contextmanager
def under(line: Line, fleet: FleetSpec) -> Iterator[None]:
    """The line with another fleet file."""
    line.fleet, before = fleet, line.fleet
    yield
    line.fleet = before


def replay_all(line: Line, **options: Any) -> list[Replayed]:
    letters = read_letters(line.settings, line.fleet)
    return replay_letters(line.settings, line.fleet, letters, letters, **options)


def counts(done: list[Replayed]) -> Counter[Action]:
    return Counter(d.action for d in done)


def by_origin(line: Line) -> dict[str, tuple[str, dict[str, Any]]]:
    """Type and content of each prediction by the event that the device sent; fails when one has two."""
    names = {
        f"{r.topic}/{r.partition}/{r.offset}": r.headers["aimaas.replay.of"].decode()
        for r in read_all(line.settings, line.names.events)
        if "aimaas.replay.of" in r.headers
    }
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for record in line.predictions():
        source = record.headers["ce_id"].decode()
        origin = names.get(source, source)
        assert origin not in found, f"two predictions of {origin}"
        said = {k: v for k, v in msgspec.json.decode(record.value or b"").items() if k != "scored_at"}
        found[origin] = record.headers["ce_type"].decode(), said
    return found


def in_order(line: Line, announced: Any, events: list[tuple[bytes, bytes]]) -> dict[tuple[str, int, int], float]:
    """What the model says of the events when none was refused and all came in order, by device, run and sequence number."""
    model, n = load_model(announced, line.fleet, line.settings), len(events)
    zeros = np.zeros(n, np.int64)
    now = zeros + int(datetime.now(UTC).timestamp() * 1e3)
    records = Records([k for k, _ in events], [v for _, v in events], np.arange(n), now)
    batch, features = PartitionState.empty(line.fleet, 0, 0).advance(Judge(anywhere(line.fleet)), model.kernel, records)
    assert not batch.reason.any()
    return {
        (e.device_id, e.run, e.seq): a
        for e, a in zip(batch.events, model.predict(features).astype(float).tolist(), strict=True)
    }


def places(line: Line, sent: list[tuple[int, int]]) -> list[str]:
    return [f"{line.names.events}/{p}/{o}" for p, o in sent]


def scored_with_a_narrow_range(line: Line, devices: int = 4) -> tuple[Any, list[tuple[bytes, bytes]], list[str], int]:
    """Events of which a tenth became letters: the champion, the events, their sources, and how many letters."""
    champion, events = line.champion(), line.events(devices=devices)
    narrow = narrowed(line.fleet, events)
    limit = narrow.sensors[READING].range[1]
    refused = sum(json.loads(value)["readings"][READING] > limit for _, value in events)
    sources = places(line, line.send(events))
    with under(line, narrow):
        line.score_all(len(events) - refused, refused)
    return champion, events, sources, refused


def check(line: Line, champion: Any, events: list[tuple[bytes, bytes]], sources: list[str]) -> Counter[str]:
    """One prediction for each event; those made by batch are what they had been had nothing been refused. Types counted."""
    found = by_origin(line)
    assert set(found) == set(sources)
    expected = in_order(line, champion, events)
    for kind, said in found.values():
        if kind == "aimaas.prediction.backfill":
            assert said["prediction"] == expected[said["device_id"], said["run"], said["seq"]]
            assert said["model_version"] == "1"
    return Counter(kind for kind, _ in found.values())


def test_letters_that_a_corrected_range_admits_get_one_prediction_each_in_the_stream_or_by_batch(line: Line) -> None:
    champion, events, sources, refused = scored_with_a_narrow_range(line)

    first = replay_all(line)
    again = replay_all(line)
    line.score_all(len(events), refused)
    last = replay_all(line)

    went = counts(first)
    assert went[Action.STREAM] > 0 < went[Action.BACKFILL]
    assert went[Action.STREAM] + went[Action.BACKFILL] == refused
    assert counts(again) == counts(last) == {Action.LEFT: refused}
    assert {"not scored yet" in d.why or "has a prediction" in d.why for d in again} == {True}
    assert {d.why for d in last} == {"replayed before: its event has a prediction"}
    kinds = check(line, champion, events, sources)
    assert kinds["aimaas.prediction.backfill"] == went[Action.BACKFILL]
    assert len(line.dead_letters()) == refused


def test_where_predictions_have_been_deleted_no_letter_gets_a_second_one(line: Line) -> None:
    _, events, _, refused = scored_with_a_narrow_range(line)
    went = counts(replay_all(line))
    line.score_all(len(events), refused)
    answered = {p: end for p, end in end_offsets(line.settings, line.names.predictions).items() if end}
    client = admin(line.settings)
    for before in (5, 0):  # up to the last records, and then all
        deleted = client.delete_records(
            [TopicPartition(line.names.predictions, p, end - before) for p, end in answered.items()]
        )
        assert all(future.result(30).low_watermark > 0 for future in deleted.values())
        held = len(line.predictions())

        done = replay_all(line)

        assert counts(done) == {Action.LEFT: refused}
        unknown = [d.why for d in done if not d.why.startswith("replayed before")]
        assert went[Action.BACKFILL] - held <= len(unknown) > 0  # the events topic still tells of the others
        assert all("cannot tell whether it has a prediction" in why for why in unknown)
        assert len(line.predictions()) == held


@pytest.mark.long
def test_sigkill_in_the_middle_of_a_replay_and_another_run_leave_one_prediction_per_event(line: Line) -> None:
    champion, events, sources, refused = scored_with_a_narrow_range(line)
    codes = [killed_at(line, call) for call in (2, 5, 6, 7)]  # in the first commit, after it, and between others

    done = replay_all(line)
    line.score_all(len(events), refused)

    assert codes == [-9, -9, -9, -9]
    assert 0 < counts(done)[Action.LEFT] < refused  # killed runs have done a part
    check(line, champion, events, sources)


def killed_at(line: Line, call: int) -> int:
    """`aimaas dlq replay --all` in small transactions, killed as it asks the broker for the `call`th time; the exit code."""
    program = f"""
import os, stream.records.exclusive_writer as w, upkeep.dead_letters.replay as r
r.replay_letters.__defaults__ = (7,)
real, calls = w.ExclusiveWriter._insist, []
def counted(self, call):
    calls.append(call)
    if len(calls) == {call}:
        self._producer.flush(5)
        os.kill(os.getpid(), 9)
    real(self, call)
w.ExclusiveWriter._insist = counted
from cli.app import main
main()
"""
    command = [sys.executable, "-c", program, "dlq", "replay", "--all", "--fleet", line.fleet.fleet]
    environment = {
        "AIMAAS_HOME": str(line.settings.home), "AIMAAS_FLEETS": str(line.folder), "PATH": "/usr/bin:/bin",
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": line.settings.bootstrap_servers, "AIMAAS_REPLAY_KEY": line.settings.replay_key or "",
    }  # fmt: skip
    return subprocess.run(command, env=environment, cwd=Path(__file__).parents[3], timeout=120, check=False).returncode


def test_bad_records_are_left_with_the_reason_and_late_ones_are_scored_at_their_place(line: Line) -> None:
    champion, events = line.champion(), line.events(devices=3)
    reasons = dict.fromkeys(FAULTS, 2)
    faults = Faults(line.fleet, reasons, len(events), 1, datetime.now(UTC))
    records = [*faults.feed(events), *faults.drain()]
    sources = places(line, line.send([(key, value) for key, value, _ in records]))
    good = sum(not reason for _, _, reason in records)
    line.score_all(good, len(records) - good)

    done = replay_all(line)

    whys: dict[str, set[str]] = {}
    for d in done:
        whys.setdefault(d.letter.reason, set()).add(" ".join(d.why.split(":")[:2]))
    assert {d.letter.reason for d in done if d.action == Action.BACKFILL} == {"late"}
    assert counts(done) == {Action.BACKFILL: 2, Action.LEFT: len(records) - good - 2}
    assert whys["oversized"] == {"its value is truncated here; the device must send it again"}
    assert all("a conflict" in why for why in whys["conflict"])
    assert all("a duplicate" in why for why in whys["duplicate"])
    still = (
        "unparsable",
        "schema",
        "missing_reading",
        "not_finite",
        "out_of_range",
        "wrong_fleet",
        "key_mismatch",
        "skew",
        "jump",
    )
    assert all(whys[reason] == {f"still refused  {reason}"} for reason in still)
    late = [(key, value) for key, value, reason in records if reason == Reason.LATE and value is not None]
    wanted = [s for s, (_, _, reason) in zip(sources, records, strict=True) if reason in (Reason.ADMITTED, Reason.LATE)]
    check(line, champion, [*late, *events], wanted)  # each late one belongs before all others of its device


def test_a_copy_that_the_device_overtook_is_scored_by_batch_as_the_original(line: Line) -> None:
    champion, events = line.champion(), line.events(devices=1)[:40]
    places_sent = line.send([*events[:20], *events[21:], events[20]])
    line.score_all(39, 1)
    original = places(line, places_sent)[-1]
    source = Source.parse(original)
    assert source is not None and line.settings.replay_key is not None
    lost = replay_headers(line.settings.replay_key, source, *events[20])  # by a replay that came too late
    line.send([(*events[20], lost)])
    line.score_all(39, 2)

    done = replay_all(line)

    assert {d.action: d.letter.reason for d in done} == {Action.LEFT: "late", Action.BACKFILL: "late"}
    assert next(d.why for d in done if d.action == Action.LEFT).endswith("and was refused again: replay that copy")
    assert check(line, champion, events, places(line, places_sent))["aimaas.prediction.backfill"] == 1
    assert counts(replay_all(line)) == {Action.LEFT: 2}


def test_a_header_that_no_replay_wrote_takes_nobody_elses_coordinates(line: Line) -> None:
    line.champion()
    events = line.events(devices=2)[:20]
    victim, *others = places(line, line.send(events[:10]))
    original = Source.parse(victim)
    assert original is not None and line.settings.replay_key is not None
    forged = [
        [("aimaas.replay.of", victim.encode())],
        [("aimaas.replay.of", victim.encode()), ("aimaas.replay.mac", b"0" * 64)],
        replay_headers("another key", original, *events[12]),
        replay_headers(line.settings.replay_key, original, *events[0]),  # a genuine proof, of another record
    ]
    own = places(line, line.send([(*event, headers) for event, headers in zip(events[10:14], forged, strict=True)]))
    line.score_all(14, 0)

    assert set(line.scored()) == {victim, *others, *own}


def test_a_replay_without_a_key_ends_before_it_reads_anything(line: Line) -> None:
    with pytest.raises(
        SettingsError, match=r"AIMAAS_REPLAY_KEY is not set.*give this command and every scorer the same"
    ):
        replay_letters(replace(line.settings, replay_key=None), line.fleet, [], [])


def test_without_the_log_the_snapshots_say_who_is_further_and_nothing_is_scored_from_half_a_history(line: Line) -> None:
    _, events, sources, refused = scored_with_a_narrow_range(line)
    client, ends = admin(line.settings), end_offsets(line.settings, line.names.events)
    deleted = client.delete_records([TopicPartition(line.names.events, p, end) for p, end in ends.items()])
    assert [future.result(30).low_watermark for future in deleted.values()] == list(ends.values())

    done = replay_all(line)
    line.score_all(len(events) - refused + counts(done)[Action.STREAM], refused)

    letters = {str(d.letter.source) for d in done}
    at = {s: msgspec.json.decode(value) for s, (_, value) in zip(sources, events, strict=True)}
    newest = {e["device_id"]: (e["run"], e["seq"]) for s, e in at.items() if s not in letters}
    further = {s for s in letters if (at[s]["run"], at[s]["seq"]) < newest[at[s]["device_id"]]}
    assert {str(d.letter.source) for d in done if d.action == Action.STREAM} == letters - further
    assert {d.why.split(",")[0] for d in done if d.action == Action.LEFT} == {
        "retention deleted the beginning of its run"
    }
    assert set(by_origin(line)) == set(sources) - further
    assert 0 < len(further) < refused
