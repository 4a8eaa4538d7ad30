"""The limit on dead letters and refused models, on a real broker."""

from __future__ import annotations

import time
from collections import Counter

import msgspec
import pytest

from aimaas.errors import DeadLetterLimitError
from aimaas.registry.model_status import refusals, statuses
from stream.model.watch import ModelWatcher
from stream.state.refusal_limit import AT_LEAST
from tests.stream.conftest import Line, tiny_model

pytestmark = pytest.mark.broker


def test_one_device_that_sends_only_garbage_stops_nobody_and_is_named(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    line.champion()
    good = line.events(devices=6)[:120]
    loud, *_ = Counter(key for key, _ in good).most_common()[0]
    line.send([record for event in good for record in (event, *[(loud, b"not json")] * 10)])

    line.score_all(len(good), 10 * len(good))

    lines = [text for text in "".join(capsys.readouterr()).splitlines() if "few devices have most" in text]
    assert len(lines) == 1
    assert f"device={loud.decode()}" in lines[0]
    assert len(line.scored()) == len(good)


def test_too_many_refusals_stop_the_scorer_again_and_again_and_nothing_drains(line: Line) -> None:
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


def test_a_refused_model_is_on_record_with_who_refused_it_and_why(line: Line) -> None:
    line.champion(version="1", sequence=1)
    with line.scorer("press-hall"):
        line.announce(line.announcement("2", 2, b"torn"))
        line.send(line.events(devices=1)[:10])
        line.wait_for(10)
        while not (found := refusals(line.settings, line.fleet)):
            pass

    assert [(r.version, r.sequence, r.instance) for r in found] == [("2", 2, "press-hall")]
    assert "not a valid ONNX file" in found[0].reason


def test_a_scorer_that_starts_with_a_refused_champion_takes_the_one_before_and_passes_old_records_over(
    line: Line,
) -> None:
    line.champion(version="1", sequence=1)
    torn = line.announcement("2", 2, b"torn")
    line.announce(torn)
    old = line.announcement("3", 3, tiny_model(line.fleet))
    line.send([(b"accepted/champion", msgspec.json.encode(old)), (b"refused/2/0", b"{}")], line.names.models)
    line.send(line.events(devices=1)[:10])

    line.score_all(10)

    assert {p["model_version"] for p in line.scored().values()} == {"1"}
    found = {(s.version, s.state) for s in statuses(line.settings, line.fleet)}
    assert found == {("1", "serves"), ("2", "refused")}


def test_a_withdrawn_model_gives_way_to_the_newest_other_one_and_is_on_record(line: Line) -> None:
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
