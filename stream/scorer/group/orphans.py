"""Finds partitions without an owner in the group, and the member that must repair that.

A cooperative rebalance takes two rounds: a member gives partitions up in the first and joins again for the second. If it is
killed in between and restarts under its static name, the broker returns the assignment of the first round and starts no
second round. The partitions that it was to give up have no owner until another event causes a rebalance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaException

from aimaas.kafka import admin
from aimaas.settings import Settings

LOOK_S = 5.0
# the longest time that the client allows: if a request times out before the group's coordinator is found, librdkafka 2.16
# aborts the process once the coordinator is back
_ANSWER_S = 3_600.0


def orphans(partitions: int, owned: Mapping[str, Iterable[int]]) -> frozenset[int]:
    """Return the partitions from 0 to `partitions` - 1 that no member owns; `owned` by the member's static name."""
    return frozenset(range(partitions)).difference(*owned.values())


def rejoins(owned: Mapping[str, Iterable[int]]) -> str:
    """Return the one member that is to leave and join again: the one with the fewest partitions, of several the first by name."""
    return min(owned, key=lambda name: (len(list(owned[name])), name))


class OrphanWatch:
    """Asks the cluster every few seconds for the assignment of each member, without waiting for the answer."""

    def __init__(self, settings: Settings, group: str, member: str, topic: str, partitions: int) -> None:
        self._admin, self._group, self._member = admin(settings, connected=False), group, member
        self._topic, self._partitions = topic, partitions
        self._asked: Future[Any] | None = None
        self._next_at = 0.0
        self._before: frozenset[int] = frozenset()

    def must_rejoin(self, now: float) -> bool:
        """Return whether this member must leave and join again.

        This is so if it is the chosen member and the same partitions had no owner at the last answer. `now` in monotonic
        seconds. During a rebalance, or without the cluster, the answer is False.
        """
        self._admin.poll(0)  # otherwise answers pile up in the client
        if self._asked is None:
            if now >= self._next_at:
                self._next_at = now + LOOK_S
                groups = self._admin.describe_consumer_groups([self._group], request_timeout=_ANSWER_S)
                self._asked = groups[self._group]
            return False
        if not self._asked.done():
            return False
        asked, self._asked = self._asked, None
        owned = self._owned(asked)
        found = orphans(self._partitions, owned) if owned else frozenset()
        before, self._before = self._before, found
        return bool(found & before) and rejoins(owned) == self._member

    def _owned(self, asked: Future[Any]) -> dict[str, list[int]]:
        """Return partitions by member; nothing if the group is in a rebalance or this member is not in it."""
        try:
            group = asked.result()
        except KafkaException:
            return {}
        if group.state != ConsumerGroupState.STABLE:
            return {}
        owned = {
            m.group_instance_id or m.member_id: [
                tp.partition for tp in m.assignment.topic_partitions if tp.topic == self._topic
            ]
            for m in group.members
        }
        return owned if self._member in owned else {}
