"""Finds out why the group fenced a scorer.

A static member is fenced when another client joins the group under its name. That client may be a second scorer with the
same `--instance`. It may also be the scorer itself: a broker that goes down may process a member's join and lose the
answer, and the client joins again as another member. At first both cases look the same in the group. But a member that does
not live drops out when its session ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException

from aimaas.errors import KafkaError
from aimaas.kafka import admin
from aimaas.settings import Settings

_ANSWER_S = 5.0
_LOOK_S = 1.0
_LATE_S = 2.0  # the broker may end a session this much later


def who_fenced(settings: Settings, group: str, member: str, session_timeout_ms: int) -> Callable[[], str]:
    """Return a function that says which member has the name `member` in `group` now. It waits for the length of a session."""

    def ask() -> str:
        limit = time.monotonic() + session_timeout_ms / 1e3 + _LATE_S
        while (there := _is_there(settings, group, member)) and time.monotonic() < limit:
            time.sleep(_LOOK_S)
        if there is False:
            return (
                f"the group fenced {member!r}, but no other member of this name is left: a broker went down and lost the answer to "
                "its join, or another scorer of this --instance has ended since; nothing is lost, start this scorer again"
            )
        return (
            f"another scorer with the same --instance is in the group as {member!r}: give every scorer its own --instance; the "
            "other scorer scores the events that were not committed"
        )

    return ask


def _is_there(settings: Settings, group: str, member: str) -> bool | None:
    """Return whether the group has a member of this name. None if the cluster does not answer."""
    try:
        client: Any = admin(settings)
        found = client.describe_consumer_groups([group], request_timeout=_ANSWER_S)[group].result(_ANSWER_S)
    except (KafkaException, KafkaError, TimeoutError):
        return None
    return any(m.group_instance_id == member for m in found.members)
