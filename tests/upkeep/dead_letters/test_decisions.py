"""Which letter goes where: decisions on plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aimaas.admission.judge import Judge
from aimaas.admission.partitioner import partition_of
from aimaas.fleet import load_fleet
from aimaas.records.events import encode_event
from stream.records.dead_letters import Source
from tests.conftest import FLEETS
from upkeep.dead_letters.decisions import Action, Served, judged_now, place, served_of, why_left, why_unknown
from upkeep.dead_letters.letters import Letter
from upkeep.dead_letters.log import Account, Event, Sent

FLEET = load_fleet(FLEETS / "mill.yaml")
AT = datetime(2026, 11, 23, tzinfo=UTC)
KEYED = partition_of(b"m-1", 2)
NOW_MS = int(AT.timestamp() * 1e3)


def source(offset: int) -> Source:
    return Source("iot.mill.events", 0, offset)


def letter(
    offset: int, reason: str = "out_of_range", copy_of: int | None = None, truncated: Mapping[str, str] = {}
) -> Letter:
    return Letter(
        source(offset), Source("iot.mill.events.dlq", 0, offset), offset, reason, "", b"m-1", value(offset), (), truncated,
        None if copy_of is None else source(copy_of),
    )  # fmt: skip


def value(seq: int, at: datetime = AT) -> bytes:
    readings: dict[str, float | None] = {
        n: r.fill_value for n, r in zip(FLEET.readings, FLEET.reading_specs, strict=True)
    }
    return encode_event("mill", "m-1", 0, seq, at, readings)


def account(copies: Mapping[int, list[int]] = {}, predicted: tuple[int, ...] = ()) -> Account:
    made = Account(predicted={source(p) for p in predicted})
    for origin, places in copies.items():
        made.copies[source(origin)] = [source(p) for p in places]
    return made


@pytest.mark.parametrize(
    ("one", "known", "says"),
    [
        (letter(1), account(), None),
        (letter(1, truncated={"headers": "9 bytes"}), account(), None),  # the event itself is whole
        (letter(1, truncated={"value": "9 bytes"}), account(), "truncated here"),
        (letter(1, "conflict"), account(), "a conflict"),
        (letter(1, "duplicate"), account(), "a duplicate"),
        (letter(1), account(predicted=(1,)), "has a prediction"),
        (letter(1), account({1: [9]}, predicted=(9,)), "has a prediction"),
        (letter(1), account({1: [9]}), "iot.mill.events/0/9 and is not scored yet"),
        (letter(1), account({1: [5]}), "iot.mill.events/0/5 and was refused again: replay that copy"),
        (letter(5, "late", copy_of=1), account({1: [5]}), None),
        (
            letter(5, "duplicate", copy_of=1),
            account({1: [5]}),
            None,
        ),  # its original was refused, so it has no prediction
        (letter(5, "late", copy_of=1), account({1: [5, 9]}), "iot.mill.events/0/9 and is not scored yet"),
    ],
)
def test_a_letter_is_left_where_the_topics_say_that_it_has_or_needs_nothing(
    one: Letter, known: Account, says: str | None
) -> None:
    found = why_left(one, {source(1), source(5)}, known)

    assert found is None if says is None else says in (found or "")


HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("oldest_ms", "at_ms", "says"),
    [
        ({}, 0, None),  # nothing was deleted
        ({0: 5 * HOUR_MS}, 6 * HOUR_MS, None),
        ({0: 5 * HOUR_MS}, 6 * HOUR_MS - 1, "partition 0 of the predictions topic begins at 1970-01-01T05:00:00Z"),
        ({0: None}, 9 * HOUR_MS, "has lost all its records"),
        ({1 - KEYED: 9 * HOUR_MS}, HOUR_MS, "partition 0" if KEYED else None),  # the source's partition is 0
        ({KEYED: 9 * HOUR_MS}, HOUR_MS, "cannot tell whether it has a prediction"),
        ({2: 9 * HOUR_MS}, HOUR_MS, None),  # of other devices
    ],
)
def test_a_letter_is_unknown_where_its_prediction_may_have_been_deleted(
    oldest_ms: dict[int, int | None], at_ms: int, says: str | None
) -> None:
    found = why_unknown(replace(letter(1), at_ms=at_ms), Account(partitions=2, oldest_ms=oldest_ms))

    assert found is None if says is None else says in (found or "")


def test_the_present_fleet_file_judges_as_if_the_event_came_now() -> None:
    judge, ahead = Judge(FLEET), datetime(2026, 11, 23, 1, tzinfo=UTC)
    skewed = replace(letter(1, "skew"), value=value(1, ahead))

    assert "still refused: skew" in str(judged_now(judge, skewed, NOW_MS))
    assert isinstance(judged_now(judge, skewed, NOW_MS + 3_600_000), Event)
    assert "still refused: unparsable: no JSON" in str(judged_now(judge, replace(skewed, value=b"{"), NOW_MS))


def event(seq: int, content: bytes = b"") -> Event:
    return Event("m-1", (0, seq), (0, content))


def test_what_became_a_letter_is_not_served_unless_it_was_scored_by_batch() -> None:
    sent = [Sent(source(i), i, b"m-1", b"") for i in range(4)]

    known = served_of(sent, [event(0), event(1), event(7), None], {source(1), source(2)}, account(predicted=(1,)))

    assert known == Served((0, 1), {(0, 0): (0, b""), (0, 1): (0, b"")})


def test_letters_go_into_the_stream_in_order_while_they_are_newest_and_by_batch_where_the_device_is_further() -> None:
    candidates = [(letter(i), event(seq)) for i, seq in enumerate((9, 3, 8))]

    placed = place(FLEET, candidates, {"m-1": Served((0, 5), {(0, 5): (0, b"")})})

    assert [(r.event and r.event.at, r.action) for r in placed] == [
        ((0, 3), Action.BACKFILL),
        ((0, 8), Action.STREAM),
        ((0, 9), Action.STREAM),
    ]


def test_of_letters_with_one_place_in_the_order_only_the_first_is_replayed() -> None:
    candidates = [(letter(1), event(6, b"a")), (letter(2), event(6, b"a")), (letter(3), event(6, b"b"))]

    placed = place(FLEET, candidates, {"m-1": Served((0, 5), {})})

    assert [r.action for r in placed] == [Action.STREAM, Action.LEFT, Action.LEFT]
    assert [r.why.split(":")[0] for r in placed[1:]] == ["a duplicate", "a conflict"]


def test_a_copy_that_the_stream_refused_as_late_is_not_sent_into_it_again() -> None:
    (placed,) = place(FLEET, [(letter(5, "late", copy_of=1), event(6))], {"m-1": Served((0, 5), {})})

    assert placed.action == Action.BACKFILL


@pytest.mark.parametrize(
    ("reason", "seq", "newest", "action"),
    [
        ("jump", 9_000_000, 5, Action.LEFT),
        ("jump", 1_000_007, 9, Action.LEFT),  # near enough by now, but the device goes on elsewhere
        ("jump", 9_000_000, 9_000_002, Action.BACKFILL),
        ("out_of_range", 9_000_000, 5, Action.LEFT),
        ("out_of_range", 9, 5, Action.STREAM),
    ],
)
def test_a_letter_that_jumps_is_left_until_its_device_has_gone_so_far(
    reason: str, seq: int, newest: int, action: Action
) -> None:
    (placed,) = place(FLEET, [(letter(5, reason), event(seq))], {"m-1": Served((0, newest), {})})

    assert placed.action == action
    assert action != Action.LEFT or placed.why == (
        f"still refused: jump: not confirmed by later records; the device's newest is run 0, {newest}"
    )
