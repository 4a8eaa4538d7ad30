"""The scorer on a real broker: what goes in, what comes out, and what it survives."""

from __future__ import annotations

import random
import signal
import threading
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from aimaas.admission.judge import Reason
from aimaas.errors import KafkaError
from aimaas.kafka import create_topics, delete_topics, end_offsets, read_all
from aimaas.topics import topic_specs
from stream.devices.faults import FAULTS, Faults
from tests.stream.conftest import Line

pytestmark = pytest.mark.broker


def sources(line: Line, places: list[tuple[int, int]]) -> set[str]:
    return {f"{line.names.events}/{p}/{o}" for p, o in places}


def spoiled(line: Line, events: list[tuple[bytes, bytes]], each: int) -> list[tuple[bytes, bytes | None, Reason]]:
    """The events with `each` bad records of every reason between them."""
    faults = Faults(line.fleet, dict.fromkeys(FAULTS, each), len(events), 1, datetime.now(UTC))
    return [*faults.feed(events), *faults.drain()]


def test_every_event_gets_one_prediction_that_names_event_and_model(line: Line) -> None:
    line.champion(version="7")
    events = line.events(devices=3)
    places = line.send(events)

    done = line.score_all(len(events))

    found = line.scored()
    assert set(found) == sources(line, places)
    assert {p["model_version"] for p in found.values()} == {"7"}
    assert (done.events, done.predictions, line.dead_letters()) == (len(events), len(events), [])
    first = line.predictions()[0]
    assert first.key == msgspec.json.decode(first.value or b"")["device_id"].encode()
    assert first.headers["ce_type"] == b"aimaas.prediction"
    assert first.headers["content-type"] == b"application/json"


def test_a_prediction_lies_in_the_partition_that_its_event_has(line: Line) -> None:
    line.champion()
    places = line.send(line.events(devices=2)[:40])

    line.score_all(40)

    of = {r.headers["ce_id"].decode().split("/")[1]: r.partition for r in line.predictions()}
    assert of == {str(p): p for p, _ in places}


def test_refused_records_are_dead_letters_with_their_reason_and_source_while_the_good_ones_are_scored(
    line: Line,
) -> None:
    champion = line.champion()
    records = spoiled(line, line.events(devices=3), each=2)
    places = line.send([(key, value) for key, value, _ in records])
    good = sum(reason == Reason.ADMITTED for _, _, reason in records)

    line.score_all(good, len(records) - good)

    reasons = {f"{line.names.events}/{p}/{o}": r.label for (p, o), (_, _, r) in zip(places, records, strict=True) if r}
    assert line.letters() == reasons
    assert set(reasons.values()) == {reason.label for reason in FAULTS}
    assert (line.scored(), line.letters()) == line.undisturbed(champion)


def test_sigkill_at_random_moments_leaves_exactly_one_answer_per_record_bit_for_bit(line: Line) -> None:
    champion = line.champion()
    records = [(key, value) for key, value, _ in spoiled(line, line.events(devices=12), each=5)]
    rng, quarter = random.Random(4), len(records) // 4
    for begin in (0, quarter, 2 * quarter):
        process = line.start_process(state_share=0.02)  # few snapshots, so that much is read again
        seen = len(line.predictions())
        sending = threading.Thread(target=send_slowly, args=(line, records[begin : begin + quarter], 2.0))
        sending.start()
        line.wait_for(seen + rng.randrange(1, quarter // 2))
        time.sleep(rng.uniform(0, 0.15))  # some moment between the steps of a commit
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        sending.join(60)
    line.send(records[3 * quarter :])
    last = line.start_process()
    scored, letters = line.undisturbed(champion)
    line.wait_for(len(scored), len(letters))
    last.send_signal(signal.SIGTERM)

    assert last.wait(20) == 0, line.log_of()
    assert line.scored() == scored
    assert line.letters() == letters
    replayed = [int(word.split("=")[1]) for word in line.log_of().split() if word.startswith("replayed_events=")]
    assert len(replayed) == 4
    assert max(replayed) > 50


def send_slowly(line: Line, records: list[Any], seconds: float) -> None:
    parts = [records[i : i + 50] for i in range(0, len(records), 50)]
    for part in parts:
        line.send(part)
        time.sleep(seconds / len(parts))


def test_a_new_champion_takes_over_at_a_batch_border_without_losing_state(line: Line) -> None:
    line.champion(version="1", sequence=1, factor=1.0)
    events = line.events(devices=2)
    half = len(events) // 2
    with line.scorer():
        line.send(events[:half])
        line.wait_for(half)
        second = line.champion(version="2", sequence=2, factor=2.0)
        probe = line.events(devices=1, first_device=50)
        while not any(p["model_version"] == "2" for p in line.scored().values()):
            line.send([probe.pop(0)])
            time.sleep(0.05)
        before = len(line.scored())
        late = line.send(events[half:])
        line.wait_for(before + len(late))

    all_by_second, _ = line.undisturbed(second)
    found, late_sources = line.scored(), sources(line, late)
    assert {found[s]["model_version"] for s in late_sources} == {"2"}
    assert {s: found[s] for s in late_sources} == {s: all_by_second[s] for s in late_sources}


def test_a_refused_champion_leaves_the_old_one_serving_and_a_rollback_replaces_it(line: Line) -> None:
    first = line.champion(version="1", sequence=1)
    torn = line.announcement("2", 2, b"torn")
    with line.scorer():
        line.announce(torn)
        line.send(line.events(devices=1)[:30])
        line.wait_for(30)
        assert {p["model_version"] for p in line.scored().values()} == {"1"}
        line.announce(msgspec.structs.replace(first, version="1-again", sequence=3))
        more = line.events(devices=1, first_device=9)
        while not any(p["model_version"] == "1-again" for p in line.scored().values()):
            line.send([more.pop(0)])
            time.sleep(0.05)


def test_no_event_is_read_before_there_is_a_champion(line: Line) -> None:
    events = line.events(devices=1)[:20]
    line.send(events)
    with line.scorer():
        time.sleep(1.0)  # nothing can be awaited where nothing is to happen
        assert line.predictions() == []
        line.champion()
        line.wait_for(len(events))


def test_two_scorers_share_the_partitions_and_answer_once_while_one_comes_and_goes(line: Line) -> None:
    champion = line.champion()
    events = line.events(devices=10)
    third = len(events) // 3
    with line.scorer("0") as first:
        line.send(events[:third])
        line.wait_for(third)
        with line.scorer("1") as second:
            send_slowly(line, events[third : 2 * third], 4.0)
            line.wait_for(2 * third)
        line.send(events[2 * third :])
        line.wait_for(len(events))

    assert line.scored() == line.undisturbed(champion)[0]
    done, aborts = first.predictions + second.predictions, first.aborts + second.aborts
    assert done == len(events) or (aborts and done > len(events))  # work that was rolled back is counted again
    assert second.predictions > 0


def test_a_second_scorer_of_the_same_name_puts_the_first_out_with_one_clear_line(line: Line) -> None:
    champion = line.champion()
    events = line.events(devices=2)
    line.send(events[:50])
    first = line.start_process()
    line.wait_for(50)
    with line.scorer("0"):
        line.send(events[50:])
        line.wait_for(len(events))
        assert first.wait(30) == 1

    assert line.scored() == line.undisturbed(champion)[0]
    last_line = line.log_of().strip().splitlines()[-1]
    assert "--instance" in last_line
    assert "Traceback" not in line.log_of()


def test_a_stop_lets_the_next_scorer_restore_from_snapshots_alone(line: Line) -> None:
    line.champion()
    line.send(line.events(devices=3)[:100])
    line.score_all(100)

    saved = read_all(line.settings, line.names.state)
    ends = end_offsets(line.settings, line.names.events)
    replay = {r.partition: int.from_bytes(r.value or b"", "little") for r in saved if r.key == b"\xffreplay_from"}
    assert replay == {p: end for p, end in ends.items() if p in replay}
    assert {r.key for r in saved if not (r.key or b"").startswith(b"\xff")} == {
        r.key for r in read_all(line.settings, line.names.events)
    }


def test_other_numbers_of_partitions_are_refused_with_what_to_do(line: Line) -> None:
    line.champion()
    delete_topics(line.settings, [line.names.state])
    state = next(s for s in topic_specs(line.fleet) if s.name == line.names.state)
    create_topics(line.settings, [type(state)(state.name, 5, 1, state.config)])

    with pytest.raises(KafkaError, match=r"has 5 partitions, .* has 2"), line.scorer():
        time.sleep(3)
