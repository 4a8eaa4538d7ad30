"""The partitions that a scorer owns and their state: handles rebalances.

Rebalances are cooperative: a partition that stays is not disturbed. A scorer is a static member of its group. A killed
scorer that starts again under its name gets its partitions back at once. A scorer that is asked to stop leaves the group,
so the others need not wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as ClientError

from aimaas.admission.unreadable_batches import Skipped
from aimaas.errors import AimaasError
from aimaas.fleet import FleetSpec
from aimaas.kafka import ANSWER_LIMIT_S, admin, consumer_config
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.scorer.group.fenced import who_fenced
from stream.scorer.group.restoring import Restorer
from stream.scorer.monitor import RESTORE_LIMIT_S, Monitor
from stream.scorer.output.commits import Commits
from stream.scorer.output.progress import TransactionAbortedError
from stream.scorer.partitions import Partitions
from stream.state.topic import check_partitions

log = logger("scorer.assignment")

_LEAVE_S = 5.0


def count_partitions(settings: Settings, fleet: FleetSpec) -> int:
    """Return the number of partitions of the events topic. Raises KafkaError if another topic has a different number.

    Uses a client of its own: if a consumer is asked within its own callback, it loses the following callbacks, and the
    process aborts.
    """
    topics = admin(settings).list_topics(timeout=ANSWER_LIMIT_S).topics
    check_partitions(settings, fleet, {name: len(topic.partitions) for name, topic in topics.items()})
    return len(topics[topic_names(fleet).events].partitions)


def group_consumer(
    settings: Settings, group: str, instance: str, session_timeout_ms: int
) -> tuple[Consumer, Callable[[], str]]:
    """Return a consumer that joins `group` as member `instance` when it subscribes, and a function that says who fenced it."""
    member = f"{group}-{instance}"
    config = consumer_config(
        settings,
        group,
        group_instance_id=member,
        session_timeout_ms=session_timeout_ms,
        heartbeat_interval_ms=max(session_timeout_ms // 5, 500),
        queued_min_messages=20_000,  # per partition; messages that wait longer have left the processor's cache
        fetch_queue_backoff_ms=20,  # with the default of a second, a scorer that empties the queue sooner starves
        partition_assignment_strategy="cooperative-sticky",
        # The group waits this long for a member that restores, and a rollback restores between two polls, so it is as long as a
        # restore may take. A scorer that hangs is found by its heartbeats or its health.
        max_poll_interval_ms=int(RESTORE_LIMIT_S * 1e3) + 60_000,
        # A topic growth is noticed within this time. Until then devices may be scored on a partition that lacks their state.
        topic_metadata_refresh_interval_ms=5_000,
    )
    return Consumer(config), who_fenced(settings, group, member, session_timeout_ms)


class Assignment:
    """Keeps `owned` in line with the group's assignment, and commits before it gives partitions up.

    Callbacks run inside `consume`. An error in a callback is raised after it, by `raise_failure`.
    """

    def __init__(
        self,
        settings: Settings,
        fleet: FleetSpec,
        consumer: Any,
        owned: Partitions,
        commits: Commits,
        restorer: Restorer,
        monitor: Monitor,
    ) -> None:
        self._settings, self._fleet, self._consumer = settings, fleet, consumer
        self._commits, self._restorer, self._monitor = commits, restorer, monitor
        self._topic, self.owned = topic_names(fleet).events, owned
        self._given_up = False
        self._failure: AimaasError | KafkaException | None = None
        self._must_roll_back: str | None = None
        self._skipped = Skipped(settings, fleet)
        self._behind: dict[int, int] = {}

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def leave(self) -> None:
        """Commit, give all partitions up and leave the group.

        Closing the consumer alone would leave a static member in the group.
        """
        self._consumer.unsubscribe()
        limit = time.monotonic() + _LEAVE_S
        while self._consumer.assignment() and time.monotonic() < limit:
            self._consumer.consume(1, 0.05)
        self._consumer.consume(1, 0.05)
        self.raise_failure()

    def rejoin(self) -> None:
        """Leave the group and join again, so that it rebalances."""
        log.warning("partitions without an owner: rejoining the group", had=sorted(self.owned.states))
        try:
            self.leave()
        finally:
            self.subscribe()

    def give_up(self) -> None:
        """From now on, give partitions up without a commit."""
        self._given_up = True

    def raise_failure(self) -> None:
        """Raise the error of a callback, or TransactionAbortedError if memory must be rolled back."""
        if self._failure is not None:
            raise self._failure
        if self._must_roll_back is not None:
            why, self._must_roll_back = self._must_roll_back, None
            raise TransactionAbortedError(why)

    def rewind(self, partitions: list[int] | None = None) -> None:
        """Restore the state of these partitions (default: all) at their committed offsets, and continue to read there."""
        self._behind.clear()
        for p in self._restorer.restore(list(self.owned.states) if partitions is None else partitions, self.owned):
            self._read_on(TopicPartition(self._topic, p, self.owned.states[p].position))

    def hold(self, patience_s: float) -> list[Any]:
        """Pause reading and serve rebalances for this time. Fetched events are put back. Returns the consumer's errors."""
        self._consumer.pause(self._consumer.assignment())
        messages = self._consumer.consume(1, patience_s)
        for m in messages:
            if m.error() is None and (state := self.owned.states.get(m.partition())) is not None:
                self._consumer.seek(TopicPartition(self._topic, m.partition(), state.position))
        return [m for m in messages if m.error() is not None]

    def go_on_behind(self, error: Any) -> None:
        """Continue behind the unreadable batch that this error names.

        Raises KafkaError unless the journal lists the batch as skipped.
        """
        partition, behind = error.partition(), self._skipped.behind(error)
        log.warning("skipped a batch that cannot be read", partition=partition, first=error.offset(), last=behind - 1)
        self._read_on(TopicPartition(self._topic, partition, behind))
        self._behind[partition] = behind

    def move_past_skipped(self) -> None:
        """Move positions behind skipped batches, once all records before them are judged."""
        for p in self._behind.keys() & self.owned.states.keys():
            self.owned.states[p].position = max(self.owned.states[p].position, self._behind[p])
            self.owned.unsaved.add(p)
        self._behind.clear()

    def read_on(self) -> None:
        """End a hold."""
        self._consumer.resume(self._consumer.assignment())

    def _read_on(self, place: TopicPartition) -> None:
        try:
            self._consumer.seek(place)
        except KafkaException as e:  # the client has stopped fetching the partition, because its log lacks the offset
            if e.args[0].code() != ClientError._STATE:
                raise
            self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([place])

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Take new partitions over.

        1. refuse topics that grew while the group ran, and rejoin; 2. commit, so that no transaction waits for the restore;
        3. restore, by the rules that apply; 4. continue at the committed offsets.
        """
        try:
            self._check_topics()
            new = [] if self._given_up else [tp.partition for tp in partitions]
            if new:
                self._hand_over([])
                self._restorer.restore(new, self.owned)
                log.info("partitions assigned", new=sorted(new), all=sorted(self.owned.states))
            self._monitor.owns(self.owned.states)
            consumer.incremental_assign([TopicPartition(self._topic, p, self.owned.states[p].position) for p in new])
        except (AimaasError, KafkaException) as e:
            self._failure = e

    def _hand_over(self, partitions: list[int]) -> None:
        try:
            self._commits.hand_over(partitions)
        except TransactionAbortedError as e:
            self._must_roll_back = str(e)

    def _check_topics(self) -> None:
        if self._given_up:
            return
        try:
            count_partitions(self._settings, self._fleet)
        except KafkaException as e:  # the next assignment checks again
            log.warning("cannot get the numbers of partitions", error=e.args[0].str())

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """1. commit all work; 2. drop the state; 3. give the partitions up. The next owner finds everything in the topics."""
        try:
            gone = [tp.partition for tp in partitions]
            if not self._given_up:
                self._hand_over(gone)
            self._drop(gone, "partitions revoked")
            consumer.incremental_unassign(partitions)
        except (AimaasError, KafkaException) as e:
            self._failure = e

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Drop partitions that the group has reassigned: nothing of the open transaction may be committed."""
        try:
            if not self._given_up:
                self._commits.abandon()
            self._drop([tp.partition for tp in partitions], "partitions lost")
            if self.owned.states:
                self._must_roll_back = "partitions were lost"
            consumer.incremental_unassign(partitions)
        except (AimaasError, KafkaException) as e:
            self._failure = e

    def _drop(self, partitions: list[int], what: str) -> None:
        self.owned.drop(partitions)
        self._monitor.owns(self.owned.states)
        log.info(what, gone=sorted(partitions), all=sorted(self.owned.states))
