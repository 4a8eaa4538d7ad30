"""The table of rights in docs/reference/kafka-rights.md is the one of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kafka.rights import Right, on_topic
from aimaas.kafka.roles import ROLES, rights_of

ROOT = Path(__file__).resolve().parents[3]


def fleet_named(name: str) -> FleetSpec:
    return load_fleet(ROOT / "fleets" / "mill.yaml").model_copy(update={"fleet": name})


def row(role: str) -> str:
    """A role's row: operations with the topics they are on, then the other resources."""
    topics: dict[str, list[str]] = {}
    others = []
    for right in rights_of(role, fleet_named("F")):
        if right.kind == "topic":
            topics.setdefault(right.operation, []).append(f"`{right.name.removeprefix('iot.F.')}`")
        else:
            others.append(
                f"{right.operation} {right.kind.replace('-', ' ')} `{right.name}{'*' if right.prefixed else ''}`"
            )
    said = "; ".join(f"{operation} {', '.join(names)}" for operation, names in topics.items())
    return f"| {role} | {said} | {', '.join(others)} |"


@pytest.mark.parametrize("role", ROLES)
def test_the_page_shows_exactly_what_the_role_needs(role: str) -> None:
    assert row(role) in (ROOT / "docs" / "reference" / "kafka-rights.md").read_text().splitlines()


def test_no_scorer_and_no_service_may_write_announcements() -> None:
    fleet = fleet_named("F")
    writers = {role for role in ROLES if on_topic("Write", "iot.F.models") in rights_of(role, fleet)}
    assert writers == {"announcer"}


def test_a_right_is_granted_by_the_command_of_kafka_itself() -> None:
    right = Right("transactional-id", "aimaas-F-", "Write", prefixed=True)
    assert right.command("s", {"bootstrap.servers": "k:9092"}) == (
        "kafka-acls --bootstrap-server k:9092 --add --allow-principal User:s --operation Write --transactional-id aimaas-F- "
        "--resource-pattern-type prefixed"
    )
