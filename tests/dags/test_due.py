"""When a training is due."""

from __future__ import annotations

import runpy
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from aimaas.fleet import find_fleet
from aimaas.lake import Table, append_rows, table_id
from aimaas.settings import Settings
from upkeep.erasing.reset import erase

TABLES: tuple[Table, ...] = ("outcomes", "silver", "gold")
DUE = Path(__file__).resolve().parents[2] / "dags" / "fleet_dags" / "due.py"


class RunType(str, Enum):  # noqa: UP042  # as Airflow hands it to tasks: its str() is not its value
    ASSET_TRIGGERED = "asset_triggered"
    SCHEDULED = "scheduled"
    MANUAL = "manual"


due = runpy.run_path(str(DUE))
why_not_due, known_outcomes = due["why_not_due"], due["known_outcomes"]
outcomes_before, published_now = due["outcomes_before"], due["published_now"]


@pytest.mark.parametrize(
    ("run_type", "outcomes", "before", "reason"),
    [
        ("asset_triggered", 20, 0, None),
        ("asset_triggered", 119, 100, "19 new outcomes since the last training, 20 are needed"),
        ("asset_triggered", 120, 100, None),
        ("scheduled", 101, 100, None),
        ("manual", 100, 100, None),
        ("manual", 0, 0, "no outcome of any device is known yet"),
    ],
)
def test_a_training_is_due_by_schedule_by_hand_or_when_enough_outcomes_came(
    run_type: str, outcomes: int, before: int, reason: str | None
) -> None:
    for said in (run_type, RunType(run_type)):
        found = why_not_due(said, outcomes, before, needed=20)

        assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("run_type", "due"), [(RunType.SCHEDULED, False), (RunType.ASSET_TRIGGERED, False), (RunType.MANUAL, True)]
)
def test_a_refused_training_that_nothing_would_change_is_repeated_by_hand_only(run_type: RunType, due: bool) -> None:
    found = why_not_due(run_type, 40, 0, needed=20, refused_again="2 test devices")

    assert (found is None) == due
    assert due or str(found).endswith("since the last training was refused: 2 test devices")


def test_failures_of_one_run_count_each_and_one_that_was_sent_again_counts_once(offline_settings: Settings) -> None:
    orders = [("a", 0, 10), ("a", 0, 25), ("a", 0, 25), ("a", 1, 10), ("b", 0, 10)]
    rows = {"topic": ["t"] * 5, "partition": [0] * 5, "offset": list(range(5))}
    rows |= {name: [place[i] for place in orders] for i, name in enumerate(("device_id", "run", "order"))}
    append_rows(offline_settings, "mill", "outcomes", pa.table(rows))

    assert known_outcomes(offline_settings, find_fleet(offline_settings.fleets, "mill")) == 4


@pytest.mark.parametrize(
    ("last", "known", "before"),
    [
        ({}, 20, 0),  # no training yet
        ({"outcomes": 100, "outcomes_table": "now"}, 120, 100),
        ({"outcomes": 100, "outcomes_table": "now"}, 98, 100),  # a device was forgotten: the training knew its outcomes
        ({"outcomes": 100, "outcomes_table": "deleted"}, 20, 0),
        ({"outcomes": 100, "outcomes_table": "deleted"}, 110, 0),  # many came at once after the reset
        ({"outcomes": 100}, 120, 100),
        ({"outcomes": 100}, 20, 0),
    ],
)
def test_outcomes_of_before_a_reset_do_not_count(last: dict[str, Any], known: int, before: int) -> None:
    assert outcomes_before(last, "now", known) == before


def outcome(settings: Settings) -> None:
    row = {"topic": ["t"], "partition": [0], "offset": [0], "device_id": ["a"], "run": [0], "order": [10]}
    for table in TABLES:
        append_rows(settings, "mill", table, pa.table(row))


def test_the_same_records_are_new_after_a_reset(offline_settings: Settings) -> None:
    fleet = find_fleet(offline_settings.fleets, "mill")
    outcome(offline_settings)
    before = [published_now(offline_settings, fleet, table) for table in ("silver", "gold")]
    seen = {"outcomes": 1, "outcomes_table": table_id(offline_settings, "mill", "outcomes")}

    assert [published_now(offline_settings, fleet, table) for table in ("silver", "gold")] == before
    assert outcomes_before(seen, table_id(offline_settings, "mill", "outcomes"), 1) == 1

    erase(offline_settings, fleet)
    outcome(offline_settings)
    after = [published_now(offline_settings, fleet, table) for table in ("silver", "gold")]

    assert all(then != now for then, now in zip(before, after, strict=True))
    assert after[1]["version"] == before[1]["version"]
    assert outcomes_before(seen, table_id(offline_settings, "mill", "outcomes"), 1) == 0
