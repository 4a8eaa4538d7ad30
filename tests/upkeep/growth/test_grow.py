"""More partitions on a real broker: every device goes on with its state, whatever happens in between."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer

from aimaas.admission.judge import Judge, Reason
from aimaas.admission.partitioner import partition_of
from aimaas.alerts.rules import AlertRules
from aimaas.errors import KafkaError
from aimaas.kafka import end_offsets, producer_config, read_all
from aimaas.settings import Settings
from stream.alerts.table import AlertTable
from stream.devices.faults import Faults
from stream.model.load import load_model
from stream.records.predictions import Part
from stream.state.partition import PartitionState, Records
from tests.partitioners import anywhere
from tests.stream.conftest import PARTITIONS, Line, open_line
from upkeep.growth.grow import grow, with_partitions
from upkeep.growth.topics import grow_topic

pytestmark = pytest.mark.broker
GROWN = 5
Answer = tuple[str, int, int, float]  # device, run, seq, prediction


def with_faults(line: Line, devices: int) -> list[tuple[bytes, bytes | None]]:
    """Events with duplicates, conflicts and late ones between them, which only the devices' order keys can tell."""
    events = line.events(devices=devices)
    order_faults = dict.fromkeys((Reason.DUPLICATE, Reason.CONFLICT, Reason.LATE), 20)
    faults = Faults(line.fleet, order_faults, len(events), 1, datetime.now(UTC))
    return [(key, value) for key, value, _ in [*faults.feed(events), *faults.drain()]]


def undisturbed(
    line: Line, announced: Any, sent: list[tuple[bytes, bytes | None]]
) -> tuple[Counter[Answer], Counter[str]]:
    """What a scorer says that has all devices in one partition: predictions, and reasons of dead letters."""
    model = load_model(announced, line.fleet, line.settings)
    now = np.full(len(sent), int(time.time() * 1e3), np.int64)
    records = Records([k for k, _ in sent], [v for _, v in sent], np.arange(len(sent)), now)
    batch, features = PartitionState.empty(line.fleet, 0, 0).advance(Judge(anywhere(line.fleet)), model.kernel, records)
    events = [batch.events[row] for row in batch.admitted]
    answers = model.predict(features).astype(float).tolist()
    predictions = Counter((e.device_id, e.run, e.seq, a) for e, a in zip(events, answers, strict=True))
    return predictions, Counter(Reason(r).label for r in batch.reason[batch.reason != 0])


def found(line: Line) -> tuple[Counter[Answer], Counter[str]]:
    """What came out: predictions, and reasons of dead letters."""
    said = [msgspec.json.decode(r.value or b"") for r in line.predictions()]
    predictions = Counter((s["device_id"], s["run"], s["seq"], s["prediction"]) for s in said)
    return predictions, Counter(line.letters().values())


def wait_for(line: Line, records: int) -> None:
    """Return when predictions and dead letters are so many, at the latest after a minute."""
    limit = time.monotonic() + 60
    while len(line.predictions()) + len(line.dead_letters()) < records:
        assert time.monotonic() < limit, f"{records} answers are not there after a minute"
        time.sleep(0.1)


def set_partitions(line: Line, partitions: int) -> None:
    """What the command asks for in the end."""
    line.fleet = with_partitions(line.fleet, partitions)


def send_anew(line: Line, records: Sequence[tuple[bytes, bytes | None]]) -> None:
    """Send as a device does that was started again, and so sees the new partitions."""
    line.producer = Producer(producer_config(line.settings))
    line.send(records)


def ran(line: Line, *arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """`aimaas topics grow` in a process of its own, which runs `before` first."""
    environment = {
        "AIMAAS_HOME": str(line.settings.home), "AIMAAS_FLEETS": str(line.folder), "PATH": "/usr/bin:/bin",
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": line.settings.bootstrap_servers,
    }  # fmt: skip
    program = f"{before}\nfrom cli.app import main\nmain()"
    command = [sys.executable, "-c", program, "topics", "grow", "--fleet", line.fleet.fleet, *arguments]
    place = Path(__file__).parents[3]
    return subprocess.run(command, env=environment, cwd=place, timeout=120, check=False, capture_output=True, text=True)


def test_predictions_after_a_growth_are_those_of_a_scorer_that_never_grew(line: Line) -> None:
    champion, sent = line.champion(), with_faults(line, devices=12)
    half = len(sent) // 2
    line.send(sent[:half])
    with line.scorer(state_share=0.02):
        wait_for(line, half)

    done = ran(line, "--partitions", str(GROWN))
    assert done.returncode == 0, done.stderr
    set_partitions(line, GROWN)
    send_anew(line, sent[half:])
    with line.scorer():
        wait_for(line, len(sent))

    assert found(line) == undisturbed(line, champion, sent)
    assert f"now set topics.partitions: {GROWN}" in done.stdout
    assert {len(end_offsets(line.settings, t)) for t in (line.names.events, line.names.outcomes)} == {GROWN}
    assert {r.partition for r in read_all(line.settings, line.names.events)} - set(range(PARTITIONS)), (
        "new ones are used"
    )


def test_alert_rules_go_on_where_they_stood_before_a_growth(
    settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rules = {
        "hot": {"when": "s2 > 642.5", "for": "5 events"},
        "odd": {"when": "s3 > 1590", "keep_firing_for": "9 events"},
    }
    with open_line(settings, tmp_path, request.node.nodeid, rules=rules) as line:
        champion, sent = line.champion(), line.events(devices=12)
        half = len(sent) // 2
        line.send(sent[:half])
        with line.scorer():
            wait_for(line, half)
        assert grow(settings, line.fleet, GROWN).moved > 0
        set_partitions(line, GROWN)
        send_anew(line, sent[half:])
        with line.scorer():
            wait_for(line, len(sent))

        assert episodes([r.value for r in read_all(settings, line.names.alerts)]) == episodes(
            in_one_partition(line, champion, sent)
        )


def episodes(values: Iterable[Any]) -> Counter[tuple[str, str, str, int]]:
    """Device, rule, status and seq of each alert: what does not depend on partitions."""
    alerts = [msgspec.json.decode(value) for value in values]
    return Counter((a["device_id"], a["rule"], a["status"], a["seq"]) for a in alerts)


def in_one_partition(line: Line, announced: Any, sent: list[tuple[bytes, bytes]]) -> list[Any]:
    """The alerts of a scorer that has all devices in one partition."""
    fleet, model = anywhere(line.fleet), load_model(announced, line.fleet, line.settings)
    now = np.full(len(sent), int(time.time() * 1e3), np.int64)
    records = Records([k for k, _ in sent], [v for _, v in sent], np.arange(len(sent)), now)
    state = PartitionState.empty(fleet, 0, 0)
    table = AlertTable(AlertRules(fleet), fleet, state.devices)
    batch, features = state.advance(Judge(fleet), model.kernel, records)
    part, sources = Part(0, [], records, batch, features, fleet.readings), [f"e/0/{i}" for i in range(len(sent))]
    return [value for _, value, _ in table.act(part, model.predict(features), sources, model).alerts]


@pytest.mark.long
def test_a_growth_killed_at_any_step_is_finished_by_the_next_run(line: Line) -> None:
    champion, sent = line.champion(), with_faults(line, devices=12)
    half = len(sent) // 2
    line.send(sent[:half])
    process = line.start_process(state_share=0.02)  # few snapshots, and none at the end: much is to be settled
    wait_for(line, half)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    wait_until_nobody_scores(line)

    codes = [ran(line, "--partitions", str(GROWN), before=killing(n)).returncode for n in (2, 4, 6, 8, 9, 10, 11)]
    last = ran(line, "--partitions", str(GROWN))
    set_partitions(line, GROWN)
    send_anew(line, sent[half:])
    with line.scorer():
        wait_for(line, len(sent))

    assert last.returncode == 0, last.stderr
    assert codes.count(-9) >= 4  # later runs find less to do, and may end before
    assert found(line) == undisturbed(line, champion, sent)


def killing(call: int) -> str:
    """A program that has the growth killed at its `call`th step: before a topic grows, or in a transaction, small ones."""
    return f"""
import os, upkeep.growth.grow as g, stream.records.exclusive_writer as w
g.CHUNK, steps = 2, []
def killed(real):
    def step(*arguments):
        steps.append(real)
        if len(steps) == {call}:
            os.kill(os.getpid(), 9)
        return real(*arguments)
    return step
g.grow_topic = killed(g.grow_topic)
w.ExclusiveWriter._insist = killed(w.ExclusiveWriter._insist)
"""


def wait_until_nobody_scores(line: Line) -> None:
    """A killed scorer is a member of its group until its session times out, which the command says."""
    limit = time.monotonic() + 60
    while (done := ran(line, "--partitions", "2")).returncode:
        assert "stop every scorer of the fleet" in done.stderr
        assert time.monotonic() < limit
        time.sleep(0.5)


def test_a_growth_moves_each_device_once_and_a_second_run_finds_nothing_to_do(line: Line) -> None:
    line.champion()
    events = line.events(devices=12)[:200]
    line.send(events)
    with line.scorer():
        wait_for(line, 200)

    first, second = grow(line.settings, line.fleet, GROWN), grow(line.settings, line.fleet, GROWN)

    keys = {key for key, _ in events}
    moved = sum(partition_of(key, GROWN) != partition_of(key, 2) for key in keys)
    assert (first.devices, first.moved, len(first.grown), first.astray) == (len(keys), moved, 8, 0)
    assert (second.moved, second.grown) == (0, {})
    newest = {(r.partition, r.key): r.value for r in read_all(line.settings, line.names.state)}
    there = {(p, key) for (p, key), value in newest.items() if value is not None}
    wanted = {(partition_of(key, GROWN), key) for key in keys}
    assert there == wanted | {(p, key) for p in range(GROWN) for key in (b"\xffreplay_from", b"\xffposition")}


def test_a_fleet_that_has_seen_nothing_grows(line: Line) -> None:
    assert grow(line.settings, line.fleet, 3).devices == 0
    set_partitions(line, 3)

    champion, sent = line.champion(), with_faults(line, devices=3)
    send_anew(line, sent)
    with line.scorer():
        wait_for(line, len(sent))
    assert found(line) == undisturbed(line, champion, sent)


def test_an_events_topic_that_somebody_grew_by_hand_is_mended(line: Line) -> None:
    champion, sent = line.champion(), with_faults(line, devices=6)
    half = len(sent) // 2
    line.send(sent[:half])
    with line.scorer():
        wait_for(line, half)
    grow_topic(line.settings, line.names.events, GROWN)
    send_anew(line, sent[half:])  # already where the keys lead to now

    assert grow(line.settings, line.fleet, GROWN).moved > 0
    set_partitions(line, GROWN)

    with line.scorer():
        wait_for(line, len(sent))
    assert found(line) == undisturbed(line, champion, sent)


def test_a_growth_is_refused_while_someone_scores_or_events_wait_and_changes_nothing(line: Line) -> None:
    line.champion()
    line.send(line.events(devices=4)[:40])
    with pytest.raises(KafkaError, match=r"events of .* are not scored yet .* let `aimaas score"):
        grow(line.settings, line.fleet, GROWN)
    with line.scorer():
        wait_for(line, 40)
        with pytest.raises(KafkaError, match=r"group aimaas-\w+ has members .*stop every scorer"):
            grow(line.settings, line.fleet, GROWN)
    with pytest.raises(KafkaError, match=r"has 2 partitions, requested are 1: Kafka cannot remove partitions"):
        grow(line.settings, line.fleet, 1)

    assert len(end_offsets(line.settings, line.names.state)) == 2


def test_devices_of_another_partitioner_are_not_moved_blindly(line: Line) -> None:
    line.champion()
    line.fleet = anywhere(line.fleet)
    line.producer = Producer(producer_config(line.settings, partitioner="consistent_random"))
    line.send(line.events(devices=8)[:80])
    with line.scorer():
        wait_for(line, 80)

    with pytest.raises(KafkaError, match=r"does not use murmur2_random"):
        grow(line.settings, line.fleet, GROWN)
    assert len(end_offsets(line.settings, line.names.state)) == 2


def test_a_scorer_does_not_start_in_the_middle_of_a_growth(line: Line) -> None:
    line.champion()
    line.send(line.events(devices=4)[:40])
    with line.scorer():
        wait_for(line, 40)
    killed = ran(
        line,
        "--partitions",
        str(GROWN),
        before="import os, upkeep.growth.grow as g\ng.move_in_lake = lambda *_: os.kill(os.getpid(), 9)",
    )

    assert killed.returncode == -9
    with pytest.raises(KafkaError, match=r"finishes an interrupted growth"), line.scorer():
        time.sleep(3)


def test_a_running_scorer_ends_where_somebody_grows_the_events_topic_alone(line: Line) -> None:
    line.champion()
    line.send(line.events(devices=2)[:40])

    def grow_once_scored() -> None:
        line.wait_for(40)
        grow_topic(line.settings, line.names.events, GROWN)

    growing = threading.Thread(target=grow_once_scored)
    growing.start()
    with pytest.raises(KafkaError, match=r"has 2 partitions, .* has 5: .*`aimaas topics grow`"):
        line.score_until_it_fails()
    growing.join(30)
