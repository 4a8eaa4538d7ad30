"""Offsets that retention deleted unread are shown on the days that they may be of, and on no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from aimaas.admission.journal import MADE_ANEW, Gap
from aimaas.fleet import FleetSpec
from aimaas.lake import append_rows
from aimaas.settings import Settings
from aimaas.topics import topic_names
from tests.spark_jobs.conftest import small_fleet
from upkeep.reconcile.losses import Loss, losses_of

DAY, NOTED = timedelta(days=1), datetime(2026, 11, 25, 12, tzinfo=UTC)
FIRST = datetime(2026, 11, 20, tzinfo=UTC)


def put(settings: Settings, fleet: FleetSpec, table: Any, rows: list[dict[str, Any]]) -> None:
    where = {"topic": topic_names(fleet).events, "partition": 0}
    schema = {"partition": pa.int32(), "broker_ts": pa.timestamp("us", "UTC"), "accepted_at": pa.timestamp("us", "UTC")}
    found = pa.Table.from_pylist([where | row for row in rows])
    for name in schema.keys() & set(found.column_names):
        found = found.set_column(found.column_names.index(name), name, found[name].cast(schema[name]))
    append_rows(settings, fleet.fleet, table, found)


@pytest.mark.parametrize(
    ("records", "days"),
    [
        ({3: 1, 9: 3}, [1, 2, 3]),
        ({3: 1, 4: 2, 9: 2}, [2]),
        ({3: 1}, [1, 2, 3, 4, 5]),
        ({9: 2}, [0, 1, 2]),
        ({}, [0, 1, 2, 3, 4, 5]),
    ],
    ids=["days between", "within a day", "nothing behind it", "nothing before it", "empty bronze"],
)
def test_a_loss_is_of_the_days_between_the_records_around_it(
    offline_settings: Settings, records: dict[int, int], days: list[int]
) -> None:
    settings, fleet = offline_settings, small_fleet()
    events = (topic_names(fleet).events,)
    assert losses_of(settings, fleet, events, FIRST, FIRST + DAY) == []
    if records:
        rows = [{"offset": o, "broker_ts": FIRST + d * DAY + DAY / 2} for o, d in records.items()]
        put(settings, fleet, "bronze", rows)
    gap = {"first_offset": 5, "accepted_at": NOTED}
    put(settings, fleet, "gaps", [gap | {"last_offset": 6}, gap | {"last_offset": 8}])  # a killed landing, and the next

    found = {i: losses_of(settings, fleet, events, FIRST + i * DAY, FIRST + (i + 1) * DAY) for i in range(8)}

    assert {i: losses for i, losses in found.items() if losses} == {i: [Loss(*events, 0, 5, 8, NOTED)] for i in days}
    assert losses_of(settings, fleet, (topic_names(fleet).outcomes,), FIRST, FIRST + DAY) == []


def test_gaps_of_the_journal_are_losses_by_their_reader_also_of_a_topic_that_was_made_anew(
    offline_settings: Settings,
) -> None:
    fleet = small_fleet()
    events = topic_names(fleet).events
    labels = (events, f"{events}@9aBcDeFg")
    gaps = [
        Gap(labels[1], 0, 2, 3, "retention deleted them before they were scored", "scorer", NOTED),
        Gap(labels[0], 1, 50, None, MADE_ANEW, "land", NOTED),
        Gap("other", 1, 50, None, MADE_ANEW, "land", NOTED),
    ]

    found = losses_of(offline_settings, fleet, labels, NOTED - DAY, NOTED, gaps)

    assert [str(loss) for loss in found] == [
        f"{events}, partition 1, from offset 50 on, if there were any, never landed: the topic was deleted and created again, "
        "noted 2026-11-25T12:00:00Z",
        f"{events}@9aBcDeFg, partition 0, offset 2 to 3 never scored: retention deleted them before they were scored, noted "
        "2026-11-25T12:00:00Z",
    ]
    assert losses_of(offline_settings, fleet, labels, NOTED + DAY, NOTED + 2 * DAY, gaps) == []
