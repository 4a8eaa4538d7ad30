"""At-least-once delivery, the limit on dead letters and refused models, on a real broker."""

from __future__ import annotations

import signal
import time
from typing import Any

import msgspec
import pytest

from aimaas.errors import DeadLetterLimitError
from aimaas.events import Announcement
from aimaas.kafka import create_topics, delete_topics, end_offsets, read_all
from aimaas.model_topic import refusals, write_accepted
from aimaas.topics import topic_specs
from stream.model.watch import ModelWatcher
from stream.state.refusals import AT_LEAST

pytestmark = pytest.mark.broker


def test_at_least_once_writes_no_transactions_and_misses_nothing_through_a_kill(line: Any) -> None:
    champion = line.champion()
    events = line.events(devices=6)
    half = len(events) // 2
    line.send(events[:half])
    killed = line.start_process("0", "--at-least-once", state_share=0.02)
    line.wait_for(half // 3)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    line.send(events[half:])
    last = line.start_process("0", "--at-least-once")
    expected = line.undisturbed(champion)[0]
    line.wait_for(len(expected))
    while set(line.predictions_by_source()) != set(expected):
        assert last.poll() is None, line.log_of()
    last.send_signal(signal.SIGTERM)
    assert last.wait(20) == 0, line.log_of()

    found = line.predictions_by_source()
    assert {source: values[0] for source, values in found.items()} == expected
    assert all(value == values[0] for values in found.values() for value in values)  # a double says the same
    assert line.dead_letters() == []
    ends, records = end_offsets(line.settings, line.names.predictions), line.predictions()
    assert sum(ends.values()) == len(records)  # no transaction marker takes an offset
    assert line.group_offsets() == end_offsets(line.settings, line.names.events)


def test_too_many_refusals_stop_the_scorer_again_and_again_and_nothing_drains(line: Any) -> None:
    line.champion()
    good = line.events(devices=3)[:100]
    line.send(good)
    line.score_all(len(good))
    line.send([(key, b"not json") for key, _ in good] * 4)

    for _ in range(3):  # as a supervisor would
        assert line.start_process().wait(60) == DeadLetterLimitError.exit_code
        last_line = line.log_of().strip().splitlines()[-1]
        assert last_line.startswith(f"error: {line.names.events}: ")
        assert "unparsable: no JSON" in last_line
    assert "Traceback" not in line.log_of()
    assert len(line.dead_letters()) <= AT_LEAST
    assert len(line.predictions()) == len(good)


def test_a_refused_model_is_on_record_with_who_refused_it_and_why(line: Any) -> None:
    line.champion(version="1", sequence=1)
    with line.scorer("press-hall"):
        line.announce(line.announcement("2", 2, b"torn"))
        line.send(line.events(devices=1)[:10])
        line.wait_for(10)
        while not (found := refusals(line.settings, line.fleet)):
            pass

    assert [(r.version, r.sequence, r.instance) for r in found] == [("2", 2, "press-hall")]
    assert "no valid ONNX" in found[0].reason


def test_a_scorer_that_starts_with_a_refused_champion_takes_the_accepted_one(line: Any) -> None:
    accepted = line.champion(version="1", sequence=1)
    delete_topics(line.settings, [line.names.models])  # compaction leaves the newest announcement only
    create_topics(line.settings, topic_specs(line.fleet))
    write_accepted(line.settings, line.fleet, accepted)
    line.announce(line.announcement("2", 2, b"torn"))
    line.send(line.events(devices=1)[:10])

    line.score_all(10)

    assert {p["model_version"] for p in line.scored().values()} == {"1"}
    assert [r.version for r in refusals(line.settings, line.fleet)] == ["2"]


def test_the_accepted_champion_is_kept_once_for_each_promotion(line: Any) -> None:
    def kept() -> list[int]:
        records = [r for r in read_all(line.settings, line.names.models) if r.key == b"accepted/champion"]
        return [msgspec.json.decode(r.value or b"", type=Announcement).sequence for r in records]

    def wait_until_kept(sequences: list[int]) -> None:
        limit = time.monotonic() + 30
        while kept() != sequences:
            assert time.monotonic() < limit, kept()

    events = line.events(devices=1)
    line.champion(version="1", sequence=1)
    with line.scorer():
        wait_until_kept([1])
        line.champion(version="2", sequence=2)
        wait_until_kept([1, 2])
        line.announce(line.announcement("3", 3, b"torn"))
        limit = time.monotonic() + 30
        while not refusals(line.settings, line.fleet):
            assert time.monotonic() < limit
    line.send(events[:10])
    line.score_all(10)  # a second start adds nothing

    assert kept() == [1, 2]
    assert {p["model_version"] for p in line.scored().values()} == {"2"}


def test_a_withdrawn_model_gives_way_to_the_newest_other_one_and_is_on_record(line: Any) -> None:
    line.champion(version="1", sequence=1)
    line.champion(version="2", sequence=2)
    watcher = ModelWatcher(line.settings, line.fleet, "0")
    watcher.start()
    try:
        assert watcher.wait_for_end(60)
        served = watcher.newest()
        assert served is not None and served.version == "2"
        watcher.withdraw(served.sequence, "answers NaN")
        limit = time.monotonic() + 60
        while (found := watcher.newest()) is None:
            assert time.monotonic() < limit
        assert found.version == "1"
        line.champion(version="3", sequence=3)
        while (found := watcher.newest()) is None or found.version != "3":
            assert time.monotonic() < limit
    finally:
        watcher.stop()

    assert watcher.refusals == 1
    assert [(r.version, r.sequence, r.reason) for r in refusals(line.settings, line.fleet)] == [
        ("2", 2, "withdrawn: answers NaN")
    ]
