"""The partitions that a scorer owns and the state of each: what happens in a rebalance.

Cooperative: partitions that stay are not disturbed. A scorer is a static member of its group, so that one that is killed and
started again under its name gets its partitions at once; one that is asked to stop leaves the group: the others need not wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as ClientError

from aimaas.errors import AimaasError, KafkaError, StateError
from aimaas.fleet import FleetSpec
from aimaas.judges import Judges
from aimaas.kafka import consumer_config
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topic_ids import topic_ids
from aimaas.topic_watch import check_id
from aimaas.unreadable import Skipped
from stream.model.load import Model
from stream.scorer.fenced import who_fenced
from stream.scorer.monitor import RESTORE_LIMIT_S, Monitor
from stream.scorer.outbox import TransactionAbortedError
from stream.scorer.resumed import tell
from stream.scorer.rules import Rules
from stream.state.events_topic import EventsTopic
from stream.state.partition import PartitionState
from stream.state.topic import restore

log = logger("scorer.assignment")

_ANSWER_S = 15.0
_COMMITTED_S = 90.0  # a transaction that a dead scorer left open holds the offsets until it times out
_LEAVE_S = 5.0


class Owner(Protocol):
    """What an assignment asks of the scorer it belongs to."""

    @property
    def model(self) -> Model:
        """The model that serves now."""
        ...

    def check_topics(self) -> object:
        """Raise KafkaError where the fleet's topics have different numbers of partitions."""
        ...

    def hand_over(self, partitions: list[int]) -> None:
        """Commit all work, before partitions are given up or new ones restored."""
        ...

    def abandon(self) -> None:
        """Forget the open transaction."""
        ...


def group_consumer(
    settings: Settings, group: str, instance: str, session_timeout_ms: int
) -> tuple[Consumer, Callable[[], str]]:
    """A consumer that joins `group` as its member `instance` once it subscribes, and a function that says who put it out."""
    member = f"{group}-{instance}"
    config = consumer_config(
        settings,
        group,
        group_instance_id=member,
        session_timeout_ms=session_timeout_ms,
        heartbeat_interval_ms=max(session_timeout_ms // 5, 500),
        queued_min_messages=20_000,  # of each partition; what waits longer has left the processor's cache
        fetch_queue_backoff_ms=20,  # the default of a second starves a scorer that empties the queue sooner
        partition_assignment_strategy="cooperative-sticky",
        # the group waits so long for a member that restores, and a roll back restores between two polls: no less than a restore may
        # take; one that hangs is known by its heartbeats or its health
        max_poll_interval_ms=int(RESTORE_LIMIT_S * 1e3) + 60_000,
        # so soon it is seen that somebody gave the topic more partitions: until then devices are scored where their state is not
        topic_metadata_refresh_interval_ms=5_000,
    )
    return Consumer(config), who_fenced(settings, group, member, session_timeout_ms)


class Assignment:
    """The partitions a scorer owns: `states` and `judges` by partition.

    Callbacks run inside `consume`; what fails in one is raised after it."""

    def __init__(
        self,
        settings: Settings,
        fleet: FleetSpec,
        rules: Rules,
        consumer: Any,
        owner: Owner,
        monitor: Monitor,
        ahead: bool,
        topic: EventsTopic,
    ) -> None:
        self._settings, self._fleet, self._rules = settings, fleet, rules
        self._consumer, self._owner, self._monitor = consumer, owner, monitor
        self._of, self._topic = topic, topic.name
        self._ahead = ahead  # whether state may be further than the group's offsets
        self._given_up = False
        self._failure: AimaasError | KafkaException | None = None
        self.states: dict[int, PartitionState] = {}
        self.judges: dict[int, Judges] = {}
        self.must_roll_back: str | None = None
        self.unsaved: set[int] = set()  # partitions whose position the topics do not hold yet
        self._skipped = Skipped(settings, fleet)
        self._behind: dict[int, int] = {}

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def leave(self) -> None:
        """Give all partitions up, committed, and leave the group at once; closing alone would leave a static member in it."""
        self._consumer.unsubscribe()
        limit = time.monotonic() + _LEAVE_S
        while self._consumer.assignment() and time.monotonic() < limit:
            self._consumer.consume(1, 0.05)
        self._consumer.consume(1, 0.05)
        self.raise_failure()

    def rejoin(self) -> None:
        """Leave and join again, so that the group shares its partitions out anew."""
        log.warning("partitions without an owner: rejoining the group", had=sorted(self.states))
        try:
            self.leave()
        finally:
            self.subscribe()

    def give_up(self) -> None:
        """Let partitions go without a commit from now on."""
        self._given_up = True

    def raise_failure(self) -> None:
        """Raise what failed in a callback: an error, or TransactionAbortedError when memory must be rolled back."""
        if self._failure is not None:
            raise self._failure
        if self.must_roll_back is not None:
            why, self.must_roll_back = self.must_roll_back, None
            raise TransactionAbortedError(why)

    def rewind(self, partitions: list[int] | None = None) -> None:
        """Restore the state of these partitions (of all) at their committed offsets, and read on from there."""
        self._behind.clear()
        restored = self._restored(list(self.states) if partitions is None else partitions)
        self.states.update(restored)
        for p, state in restored.items():
            self._read_on(TopicPartition(self._topic, p, state.position))

    def hold(self, patience_s: float) -> list[Any]:
        """Read nothing, and serve rebalances for so long; events that were fetched already are put back. Returns the errors met."""
        self._consumer.pause(self._consumer.assignment())
        messages = self._consumer.consume(1, patience_s)
        for m in messages:
            if m.error() is None and (state := self.states.get(m.partition())) is not None:
                self._consumer.seek(TopicPartition(self._topic, m.partition(), state.position))
        return [m for m in messages if m.error() is not None]

    def go_on_behind(self, error: Any) -> None:
        """Read on behind a batch that this error says cannot be read. Raises KafkaError unless the journal has it as skipped."""
        partition, behind = error.partition(), self._skipped.behind(error)
        log.warning("skipped a batch that cannot be read", partition=partition, first=error.offset(), last=behind - 1)
        self._read_on(TopicPartition(self._topic, partition, behind))
        self._behind[partition] = behind

    def settle_skipped(self) -> None:
        """Move positions behind skipped batches, once all before them is judged."""
        for p in self._behind.keys() & self.states.keys():
            self.states[p].position = max(self.states[p].position, self._behind[p])
            self.unsaved.add(p)
        self._behind.clear()

    def read_on(self) -> None:
        """End a hold."""
        self._consumer.resume(self._consumer.assignment())

    def _read_on(self, place: TopicPartition) -> None:
        try:
            self._consumer.seek(place)
        except KafkaException as e:  # the client has stopped to fetch it, since its offset was not in the log
            if e.args[0].code() != ClientError._STATE:
                raise
            self._consumer.incremental_unassign([place])
            self._consumer.incremental_assign([place])

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """1. refuse topics that grew under the group, which is shared out anew for it; 2. commit, so that no transaction waits for
        the restore; 3. restore, by the rules that hold; 4. read on from the committed offsets."""
        try:
            self._check_topics()
            new = [] if self._given_up else [tp.partition for tp in partitions]
            if new:
                self._owner.hand_over([])
                self.states.update(self._restored(new))
                log.info("partitions assigned", new=sorted(new), all=sorted(self.states))
            self._monitor.owns(self.states)
            consumer.incremental_assign([TopicPartition(self._topic, p, self.states[p].position) for p in new])
        except (AimaasError, KafkaException) as e:
            self._failure = e

    def _check_topics(self) -> None:
        if self._given_up:
            return
        try:
            self._owner.check_topics()
        except KafkaException as e:  # the next assignment looks again
            log.warning("cannot get the numbers of partitions", error=e.args[0].str())

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """1. commit what is done; 2. drop the state; 3. let go. The next owner finds everything in the topics."""
        try:
            gone = [tp.partition for tp in partitions]
            if not self._given_up:
                self._owner.hand_over(gone)
            self._drop(gone, "partitions revoked")
            consumer.incremental_unassign(partitions)
        except (AimaasError, KafkaException) as e:
            self._failure = e

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """The group went on without this scorer: nothing of the open transaction may be committed."""
        try:
            if not self._given_up:
                self._owner.abandon()
            self._drop([tp.partition for tp in partitions], "partitions lost")
            if self.states:
                self.must_roll_back = "partitions were lost"
            consumer.incremental_unassign(partitions)
        except (AimaasError, KafkaException) as e:
            self._failure = e

    def _drop(self, partitions: list[int], what: str) -> None:
        for p in partitions:
            self.states.pop(p, None)
            self.judges.pop(p, None)
        self._monitor.owns(self.states)
        log.info(what, gone=sorted(partitions), all=sorted(self.states))

    def _restored(self, partitions: list[int]) -> dict[int, PartitionState]:
        self._monitor.restoring()
        check_id(self._topic, self._of.id, topic_ids(self._settings, [self._topic])[self._topic])
        committed = self._committed(partitions)

        def take_up(positions: Mapping[int, int]) -> Mapping[int, Judges]:
            new = {p: position for p, position in positions.items() if p not in self.judges}
            group = {p: positions[p] if offset is None else offset for p, offset in committed.items()}
            self.judges.update(self._rules.take_up(new, group) if new else {})
            return self.judges

        kernel = self._owner.model.kernel
        try:
            restored = restore(self._settings, self._fleet, take_up, kernel, committed, self._ahead, self._of)
        except StateError as e:
            if self._committed(partitions) != committed:  # the offsets were read before the state, and both moved on
                raise KafkaError(
                    f"{self._topic}: another scorer commits in the partitions {sorted(partitions)}: the group reassigned them "
                    "while this scorer stood still; nothing is lost, start it again"
                ) from e
            raise
        self._monitor.restored(restored)
        tell(self._settings, self._fleet, self._of, restored.resumed, self._monitor)
        self.unsaved.update(p for p, r in restored.resumed.items() if r.is_news)
        return restored.states

    def _committed(self, partitions: list[int]) -> dict[int, int | None]:
        """The group's offsets, None where it has none.

        A transaction that is not decided yet makes the broker say "unstable": asked again until it is committed or aborted.
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
