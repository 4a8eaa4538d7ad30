"""When a training is due."""

from __future__ import annotations

import runpy
from enum import Enum
from pathlib import Path

import pyarrow as pa
import pytest

from aimaas.fleet import find_fleet
from aimaas.lake import append_rows
from aimaas.settings import Settings

DUE = Path(__file__).resolve().parents[2] / "dags" / "fleet_dags" / "due.py"


class RunType(str, Enum):  # noqa: UP042  # as Airflow hands it to tasks: its str() is not its value
    ASSET_TRIGGERED = "asset_triggered"
    SCHEDULED = "scheduled"
    MANUAL = "manual"


due = runpy.run_path(str(DUE))
why_not_due, known_outcomes = due["why_not_due"], due["known_outcomes"]


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
