"""The statement of `aimaas forget` about the records that stay in one topic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aimaas.fleet import find_fleet
from aimaas.topics import topic_specs
from tests.conftest import FLEETS
from upkeep.erasing.retention import BY_TIME, COMPACTED, NEVER, remains_of

MILL = find_fleet(FLEETS, "mill")
DAY_MS = 86_400_000
NEWEST = datetime(2026, 12, 1, tzinfo=UTC)
BACK = "; `aimaas topics create` and `aimaas up` set retention.ms back to"
DECLARED = {spec.name.split(".", 2)[-1]: spec.config.get("retention.ms") for spec in topic_specs(MILL)}
MONTH = str(30 * DAY_MS)


@pytest.mark.parametrize(
    ("policy", "retention", "declared", "how"),
    [
        ("delete", "-1", DECLARED["outcomes"], f"{NEVER}{BACK} forever"),
        ("delete", str(DAY_MS), DECLARED["outcomes"], f"{BY_TIME}{BACK} forever"),
        ("delete", MONTH, MONTH, BY_TIME),
        ("delete", str(DAY_MS), MONTH, f"{BY_TIME}{BACK} {MONTH}"),
        ("delete", str(60 * DAY_MS), MONTH, BY_TIME),
        ("delete", "-1", MONTH, NEVER),
        ("compact", "-1", DECLARED["state"], COMPACTED),
    ],
)
def test_a_retention_that_our_commands_would_undo_is_said_to_be(
    policy: str, retention: str, declared: str | None, how: str
) -> None:
    config = {"cleanup.policy": policy, "retention.ms": retention, "segment.ms": str(DAY_MS)}
    found = remains_of("t", int(NEWEST.timestamp() * 1e3), config, declared)

    assert found.how == how
    expected = NEWEST + timedelta(milliseconds=int(retention) + DAY_MS) if how.startswith(BY_TIME) else None
    assert found.gone_by == expected


def test_an_empty_topic_is_said_to_be_empty() -> None:
    assert remains_of("t", -1, {"cleanup.policy": "delete", "retention.ms": "-1"}, "-1").how == "empty"
