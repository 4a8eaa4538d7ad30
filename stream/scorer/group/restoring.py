"""Restores the state of assigned partitions as of the group's committed offsets, also after a rollback."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from aimaas.admission.judges_by_offset import Judges
from aimaas.errors import KafkaError, StateError
from aimaas.fleet import FleetSpec
from aimaas.kafka.topic_ids import topic_ids
from aimaas.kafka.topic_watch import check_id
from aimaas.logs import logger
from aimaas.settings import Settings
from stream.scorer.group.alerting import Alerting
from stream.scorer.group.resumed import tell
from stream.scorer.group.rule_claims import Rules
from stream.scorer.monitor import Monitor
from stream.scorer.partitions import Partitions
from stream.scorer.serving import Serving
from stream.state.events_topic import EventsTopic
from stream.state.topic import restore

log = logger("scorer.assignment")

_ANSWER_S = 15.0
_COMMITTED_S = 90.0  # a transaction that a dead scorer left open blocks the offsets until it times out


class Restorer:
    """Restores partitions from the topics, in rebalance callbacks and after an abort. May block for minutes."""

    def __init__(
        self,
        settings: Settings,
        fleet: FleetSpec,
        consumer: Any,
        rules: Rules,
        serving: Serving,
        monitor: Monitor,
        topic: EventsTopic,
        alerting: Alerting,
    ) -> None:
        self._settings, self._fleet, self._consumer, self._rules = settings, fleet, consumer, rules
        self._serving, self._monitor = serving, monitor
        self._of, self._topic, self._alerting = topic, topic.name, alerting

    def restore(self, partitions: list[int], owned: Partitions) -> list[int]:
        """Restore the state of these partitions at their committed offsets into `owned`, with judges for new ones.

        Returns the partitions.

        Raises KafkaError and StateError. In that case the state of the partitions is unchanged.
        """
        self._monitor.restoring()
        check_id(self._topic, self._of.id, topic_ids(self._settings, [self._topic])[self._topic])
        committed = self._committed(partitions)

        def take_up(positions: Mapping[int, int]) -> Mapping[int, Judges]:
            new = {p: position for p, position in positions.items() if p not in owned.judges}
            group = {p: positions[p] if offset is None else offset for p, offset in committed.items()}
            owned.judges.update(self._rules.take_up(new, group) if new else {})
            return owned.judges

        kernel = self._serving.model.kernel
        try:
            restored = restore(self._settings, self._fleet, take_up, kernel, committed, self._of)
        except StateError as e:
            if self._committed(partitions) != committed:  # both moved on between the two reads
                raise KafkaError(
                    f"{self._topic}: another scorer commits in the partitions {sorted(partitions)}: the group reassigned them "
                    "while this scorer stood still; nothing is lost, start it again"
                ) from e
            raise
        self._monitor.restored(restored)
        tell(self._settings, self._fleet, self._of, restored.resumed, self._monitor)
        owned.unsaved.update(p for p, r in restored.resumed.items() if r.is_news)
        owned.states.update(restored.states)
        self._alerting.take_up(restored)
        return list(restored.states)

    def _committed(self, partitions: list[int]) -> dict[int, int | None]:
        """Return the group's committed offsets; None for a partition without one.

        While a transaction is undecided, the broker answers "unstable": the request is repeated until it is committed or
        aborted.
        """
        asked = [TopicPartition(self._topic, p) for p in partitions]
        limit = time.monotonic() + _COMMITTED_S
        while True:
            try:
                found = self._consumer.committed(asked, _ANSWER_S)
                break
            except KafkaException as e:
                if e.args[0].fatal() or time.monotonic() > limit:
                    raise
                log.warning("cannot get the committed offsets yet", error=e.args[0].str())
        return {tp.partition: tp.offset if tp.offset >= 0 else None for tp in found}
