"""Partitions without an owner in the group, and which member must repair that.

A cooperative rebalance takes two rounds: a member gives partitions up in the first and joins again for the second. When it is
killed in between and comes back under its static name, the broker hands it the assignment of the first round and sees no
reason for a second: what it was to give up belongs to nobody, until the group is shared out anew for another reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaException

from aimaas.kafka import admin
from aimaas.settings import Settings

LOOK_S = 5.0
# as long as the client allows: where it gives a question up before it found the group's coordinator, librdkafka 2.16 aborts the
# process once the coordinator is back
_ANSWER_S = 3_600.0


def orphans(partitions: int, owned: Mapping[str, Iterable[int]]) -> frozenset[int]:
    """Partitions from 0 to `partitions` - 1 that no member has; `owned` by the member's static name."""
    return frozenset(range(partitions)).difference(*owned.values())


def rejoins(owned: Mapping[str, Iterable[int]]) -> str:
    """The one member that is to leave and join again: the one that has least, of these the first by name."""
    return min(owned, key=lambda name: (len(list(owned[name])), name))


class OrphanWatch:
    """Asks the cluster every few seconds who has what, without waiting for the answer."""

    def __init__(self, settings: Settings, group: str, member: str, topic: str, partitions: int) -> None:
        self._admin, self._group, self._member = admin(settings, connected=False), group, member
        self._topic, self._partitions = topic, partitions
        self._asked: Future[Any] | None = None
        self._next_at = 0.0
        self._before: frozenset[int] = frozenset()

    def must_rejoin(self, now: float) -> bool:
        """Whether this member must leave and join again: it is the one to, and the same partitions had no owner when last asked.

        `now` in monotonic seconds. A group that is being shared out says nothing, and neither does a cluster out of reach.
        """
        self._admin.poll(0)  # what it has to tell would heap up
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
        """Partitions by member; nothing where the group is not at rest, or this member not in it."""
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
