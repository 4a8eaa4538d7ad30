"""A device's history in order: what it holds, and what silence means in it."""

from __future__ import annotations

from datetime import UTC, datetime

from aimaas.admission.judge import Judge
from aimaas.fleet import load_fleet
from aimaas.records.events import encode_event
from stream.records.dead_letters import Source
from tests.conftest import FLEETS
from upkeep.dead_letters.backfill import History, history_of
from upkeep.dead_letters.log import Sent

FLEET = load_fleet(FLEETS / "turbofan.yaml")
HOUR_MS = 3_600_000


def sent(*events: tuple[int, int], run: int = 0) -> list[Sent]:
    """Events (seq, hour at which the broker took it), in the order of their offsets."""
    readings: dict[str, float | None] = {
        n: sum(r.range) / 2 for n, r in zip(FLEET.readings, FLEET.reading_specs, strict=True)
    }
    return [
        Sent(
            Source("iot.turbofan.events", 0, i),
            hour * HOUR_MS,
            b"e-1",
            encode_event("turbofan", "e-1", run, seq, datetime.fromtimestamp(hour * 3_600, UTC), readings),
        )
        for i, (seq, hour) in enumerate(events)
    ]


def rows(history: History) -> list[tuple[int, int, int]]:
    """Sequence number, place among the records, and hour of each row."""
    batch = history.batch
    columns = batch.order[history.rows], batch.at[history.rows], history.broker_ms // HOUR_MS
    return list(zip(*(c.tolist() for c in columns), strict=True))


def test_late_events_stand_in_their_place_and_repeated_ones_count_once() -> None:
    history = history_of(Judge(FLEET), sent((1, 1), (3, 2), (2, 3), (3, 4), (2, 5), (4, 6)), frozenset(), True)

    assert rows(history) == [(1, 0, 1), (2, 2, 2), (3, 1, 2), (4, 5, 6)]


def test_a_record_that_is_to_be_scored_stands_for_its_place_in_the_order() -> None:
    history = history_of(Judge(FLEET), sent((1, 1), (3, 2), (2, 3), (2, 4)), frozenset({3}), True)

    assert rows(history) == [(1, 0, 1), (2, 3, 2), (3, 1, 2)]


def test_an_event_that_came_long_after_its_time_counts_for_the_time_of_its_neighbours() -> None:
    records = sent(
        (1, 1), (3, 2), (4, 3), (2, 400_000)
    )  # decades late, where a silence of a month begins a device anew

    history = history_of(Judge(FLEET), records, frozenset({3}), True)

    assert [hour for _, _, hour in rows(history)] == [1, 2, 2, 3]
