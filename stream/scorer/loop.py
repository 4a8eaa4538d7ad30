"""The scorer's loop: events in, predictions out, each valid event exactly once, with warm state per device.

One turn of the loop: take the newest model at the batch border, gather a batch, judge it and advance its devices, hand it to the
writer, and start a commit when it is due. The writer's thread runs the model, puts predictions and dead letters into the open
transaction and commits, while the loop goes on with the next batches. Memory is always ahead of what is committed; when a
transaction is aborted, it and the batches that were judged meanwhile are forgotten, and state and position come back from the
topics as of the last commit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from aimaas.admission import Judge
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import ANSWER_LIMIT_S, admin
from aimaas.kafka_failures import UNREACHABLE, is_denied
from aimaas.logs import logger
from aimaas.outage import outage_of
from aimaas.settings import Settings
from aimaas.topic_ids import topic_ids
from aimaas.topic_settings import check_settings
from aimaas.topic_watch import TopicWatch, deleted
from aimaas.topics import scorer_group, topic_names
from aimaas.unreadable import is_unreadable
from stream.model.answers import AnswerWatch
from stream.model.load import Model
from stream.model.watch import ModelWatcher
from stream.scorer.assignment import Assignment, group_consumer
from stream.scorer.delivery import open_outbox
from stream.scorer.garbage import Breaks
from stream.scorer.monitor import Monitor
from stream.scorer.options import ScorerOptions
from stream.scorer.orphans import OrphanWatch
from stream.scorer.outbox import Done, Outbox, Progress, TransactionAbortedError, nothing_to_confirm
from stream.scorer.rules import Rules
from stream.scorer.scoring import Judged, by_partition, judge_batch, sources_of, write_batch
from stream.scorer.warm_up import warm_up
from stream.scorer.writer import Writer
from stream.state.events_topic import find_events_topic
from stream.state.partition import PartitionState
from stream.state.refusal_limit import check_limit
from stream.state.topic import check_partitions

log = logger("scorer")

_IDLE_S = 0.1  # longest wait for a first event: models, signals and callbacks are looked at so often
_GATHER_S = 0.005  # wait for more events once one is there, at most a quarter of the commit interval
_MAX_ABORTS = 8  # in a row, before the scorer says that it gets nowhere
_GONE = (ClientError._AUTO_OFFSET_RESET, ClientError._LOG_TRUNCATION, ClientError.OFFSET_OUT_OF_RANGE)
_PARTING_BYTES = 8_000_000  # snapshots of a partition that is given up: the next owner re-reads less


class Scorer:
    """One member of the fleet's group of scorers; `run` is its life."""

    def __init__(
        self,
        settings: Settings,
        fleet: FleetSpec,
        instance: str,
        options: ScorerOptions,
        watcher: ModelWatcher,
        model: Model,
        monitor: Monitor,
    ) -> None:
        self._settings, self._fleet, self._options = settings, fleet, options
        self._names, self._judge = topic_names(fleet), Judge(fleet)
        self._at_least_once = options.delivery == "at-least-once"
        self._watcher, self._model, self._monitor = watcher, model, monitor
        self._serves = True  # unless the model was withdrawn and there is no other yet
        self._answers = AnswerWatch(fleet.gates.unanswered_share)
        self._outage = outage_of(settings)
        self._breaks = Breaks(time.monotonic())
        self._gather_s = min(_GATHER_S, options.commit_interval_ms / 4e3)
        self._commit_at = 0.0  # monotonic seconds at which the last commit was started
        self._aborts_in_a_row = 0
        self._touched: set[int] = set()  # partitions with work since the last commit was started
        name = scorer_group(fleet)
        self._consumer: Any
        self._consumer, self._fenced_by = group_consumer(settings, name, instance, options.session_timeout_ms)
        partitions = self.check_topics()
        check_settings(settings, fleet)
        self._events = find_events_topic(settings, fleet, datetime.now(UTC))
        self._topics = self._watch_topics(partitions)
        self._sources = partial(
            sources_of, topic=self._names.events, replay_key=settings.replay_key, unproven=monitor.copy_unproven,
            label=self._events.label,
        )  # fmt: skip
        self._gone: set[int] = set()  # partitions whose log does not hold the offset that was asked for
        self._orphans = OrphanWatch(settings, name, f"{name}-{instance}", self._names.events, partitions)
        outbox = open_outbox(settings, fleet, options, self._consumer, f"{name}-{instance}", self._fenced_by)
        self._writer = Writer(outbox, self._committed)
        rules = Rules(settings, fleet, self._consumer, instance, self._events.label)
        self._assignment = Assignment(
            settings, fleet, rules, self._consumer, self, monitor, self._at_least_once, self._events
        )
        monitor.model_serves(model)

    def check_topics(self) -> int:
        """Partitions of the events topic. Raises KafkaError where the other topics have not as many.

        By a client of its own: a consumer asked within its own callback loses the callbacks that follow, and the process aborts.
        """
        topics = admin(self._settings).list_topics(timeout=ANSWER_LIMIT_S).topics
        check_partitions(self._settings, self._fleet, {name: len(topic.partitions) for name, topic in topics.items()})
        return len(topics[self._names.events].partitions)

    def _watch_topics(self, partitions: int) -> TopicWatch:
        names = self._names
        ids = topic_ids(self._settings, [names.state, names.predictions, names.dead_letters])
        return TopicWatch(self._settings, {names.events: self._events.id, **ids}, partitions)

    @property
    def model(self) -> Model:
        """The model that serves, or while none does the last one: its kernel restores state as any other's."""
        return self._model

    def run(self, stop: threading.Event) -> None:
        """Score until `stop` is set, then commit what is done and leave the group."""
        warm_up(self._fleet, self._judge, self._model.kernel)
        self._breaks.set_apart()
        self._assignment.subscribe()
        log.info("scorer started", fleet=self._fleet.fleet, model_version=self._model.version)
        try:
            while not stop.is_set():
                self._turn()
            self._leave()
        except BaseException:
            self._give_up()
            raise
        finally:
            self._consumer.close()
            self._writer.close()
        tally = self._monitor.tally
        log.info("scorer stopped", events=tally.events, predictions=tally.predictions, step_s=tally.step_s)

    def _leave(self) -> None:
        """Commit what is done and leave the group; what cannot be committed any more is left to the next owner."""
        try:
            self._assignment.leave()
        except TransactionAbortedError as e:
            self._monitor.aborted()
            log.warning("the last transaction was aborted; the next owner scores its events again", reason=str(e))

    def _give_up(self) -> None:
        """Roll back before a failure ends the scorer: memory may hold half a batch, and an open transaction holds readers up."""
        self._assignment.give_up()
        with suppress(KafkaError):
            self._writer.abort()

    def _turn(self) -> None:
        """One turn of the loop; an aborted transaction costs its work and nothing else."""
        self._outage.raise_if_lasting(f"score fleet {self._fleet.fleet}")
        try:
            serves = self._take_model()
            if self._orphans.must_rejoin(time.monotonic()):
                self._assignment.rejoin()
            self._topics.look(time.monotonic())
            messages = self._gather() if serves else self._hold()
            self._monitor.lap("gather")
            self._writer.look()
            if messages:
                self._score(messages)
            self._assignment.settle_skipped()
            self._save_positions()
            if self._is_due():
                self._start_commit()
            elif not messages:
                self._save_idle_devices()
        except TransactionAbortedError as e:
            self._roll_back(str(e))
        self._monitor.lap("commit")
        self._monitor.turned(self._consumer, self._assignment.states, self._model.version)
        self._breaks.take(time.monotonic())

    def _take_model(self) -> bool:
        """Change to the newest model, at a batch border; whether one serves. One that gives too few finite answers is withdrawn."""
        why = self._answers.complaint(self._model.sequence)
        if why is not None and self._serves:
            self._serves = False
            self._watcher.withdraw(self._model.sequence, why)
            self._monitor.model_withdrawn(self._model, why)
        newest = self._watcher.newest()
        if newest is not None and newest is not self._model and self._answers.complaint(newest.sequence) is None:
            self._monitor.model_serves(newest, before=self._model)
            self._model, self._serves = newest, True
            self._assignment.read_on()
            self._breaks.set_apart()
        self._monitor.models_seen(self._watcher.refusals, self._watcher.passed_over)
        return self._serves

    def _hold(self) -> list[Any]:
        """No batch, while no model serves: events wait in the topic. Rebalances happen inside this call."""
        messages = self._assignment.hold(_IDLE_S)
        self._assignment.raise_failure()
        return [m for m in messages if self._pass_over(m)]

    def _gather(self) -> list[Any]:
        """A batch: what is there within a moment after its first event. Rebalances happen inside this call."""
        messages = self._consumer.consume(1, self._patience_s())
        if messages and self._options.batch > 1:
            messages += self._consumer.consume(self._options.batch - 1, self._gather_s)
        self._assignment.raise_failure()
        messages = [m for m in messages if m.error() is None or self._pass_over(m)]
        if self._gone:
            self._go_on_behind_gaps()
        return messages

    def _patience_s(self) -> float:
        """How long a first event may be waited for."""
        if self._writer.is_committing:
            return self._gather_s
        return min(self._due_in_s(), _IDLE_S) if self._writer.records else _IDLE_S

    def _go_on_behind_gaps(self) -> None:
        """Go on where the log begins, with a gap, in partitions where retention was faster. Raises where the log lost its end."""
        gone, self._gone = sorted(self._gone.intersection(self._assignment.states)), set()
        self.commit()
        self._assignment.rewind(gone)

    def _pass_over(self, message: Any) -> bool:
        """Whether an error the consumer met goes away by itself; always False, since it is no event. Raises when it does not."""
        error, code = message.error(), message.error().code()
        if code in _GONE:
            self._gone.add(message.partition())
            return False
        if is_unreadable(error):
            self._assignment.go_on_behind(message)
            return False
        if code == ClientError.FENCED_INSTANCE_ID or (code == ClientError._FATAL and "instance.id" in error.str()):
            raise KafkaError(f"score fleet {self._fleet.fleet}: {self._fenced_by()}")
        if code == ClientError.UNKNOWN_TOPIC_OR_PART:
            raise deleted(message.topic() or self._names.events)
        if error.fatal() or code == ClientError._FATAL or is_denied(error):
            raise KafkaException(error)
        if code not in UNREACHABLE:  # an outage is told elsewhere
            log.warning("consumer", error=error.str())
        return False

    def _score(self, messages: list[Any]) -> None:
        """Judge a batch, advance its devices and hand it on.

        1. judge the records and advance the devices, which moves the partitions' positions; 2. stop where too many were refused;
        3. hand the batch to the writer, which runs the model and produces predictions and dead letters.
        """
        states = self._assignment.states
        groups = by_partition(messages, states)
        if not groups:
            return
        judged = judge_batch(groups, states, self._assignment.judges, self._model)
        self._touched.update(groups)
        self._count(judged)
        self._monitor.lap("judge")
        work = partial(write_batch, judged, self._names, self._events.label, self._fleet, self._answers, self._sources)
        self._write(self._confirmed(work) if self._at_least_once else work, len(judged))
        self._monitor.lap("wait")

    def _confirmed(self, work: Callable[[Outbox], None]) -> Callable[[Outbox], None]:
        """The work, done once it is sure that the batch is of the topic that it is taken for: nobody takes its records back."""
        asked = self._topics.ask(self._names.events, time.monotonic())

        def confirmed(outbox: Outbox) -> None:
            if asked is not None:
                asked.confirm()
            work(outbox)

        return confirmed

    def _write(self, work: Callable[[Outbox], None], records: int) -> None:
        """Have the writer do `work` in the open transaction."""
        self._writer.write(work, records)
        self._monitor.opened(self._writer.opened_at or time.monotonic())

    def _count(self, judged: Judged) -> None:
        """Count what the batch held. Raises DeadLetterLimitError where too large a share was refused lately, of many devices."""
        states, refused = self._assignment.states, False
        for part in judged.parts:
            state = states[part.partition]
            state.credit_bytes += self._options.state_share * part.records.value_bytes
            state.count_refusals(part.batch, part.records)
            refused |= bool(part.batch.reason.any())
        self._monitor.judged(judged)
        if refused:
            owned = list(states.values())
            flood = check_limit(
                [s.refusals for s in owned],
                lambda: sum(s.devices.seen_since(s.refusals.begin_ms) for s in owned),
                self._fleet.quality.refused_share,
                self._names.events,
                judged.newest_refusal(),
            )
            self._monitor.devices.flood(flood)

    def _due_in_s(self) -> float:
        return max(self._commit_at + self._options.commit_interval_ms / 1e3 - time.monotonic(), 0.0)

    def _is_due(self) -> bool:
        """Whether there is something to commit and the last commit is over, and long enough ago or the work much."""
        writer = self._writer
        if writer.is_committing or not writer.records:
            return False
        return writer.records >= self._options.transaction_events or self._due_in_s() == 0

    def _start_commit(self) -> None:
        """Begin to make the work since the last commit visible: the outbox has the order of its steps.

        A crash before the last of them leaves nothing of it, since readers pass over the open transaction; after it all of it.
        """
        if not self._writer.records:
            return
        states = [s for p, s in self._assignment.states.items() if p in self._touched]
        written = [(s.partition, s.records_to_write()) for s in states]
        self._monitor.commit_started([record for _, records in written for record in records])
        state = [(key, value, p) for p, records in written for key, value in records]
        positions = {s.partition: s.position for s in states}
        group = self._consumer.consumer_group_metadata()
        self._touched.clear()
        self._commit_at = time.monotonic()
        asked = self._topics.ask(self._names.events, time.monotonic())
        confirm = nothing_to_confirm if asked is None else asked.confirm
        self._writer.start_commit(Progress(self._names.events, positions, self._names.state, state, group, confirm))

    def _committed(self, done: Done) -> None:
        self._aborts_in_a_row = 0
        self._monitor.committed(done)

    def commit(self) -> None:
        """Make all work visible, and return when it is."""
        self._writer.settle()
        self._start_commit()
        self._writer.settle()

    def _save_positions(self) -> None:
        """Commit the positions that the topics have not heard of; the next commit is due as if this one had not been."""
        unsaved, due_since = self._assignment.unsaved.intersection(self._assignment.states), self._commit_at
        if not unsaved or self._writer.is_committing:
            return
        for p in unsaved:
            self._write(lambda _: None, 1)
            self._touched.add(p)
        self._assignment.unsaved.clear()
        self._start_commit()
        self._commit_at = due_since

    def _save_idle_devices(self) -> None:
        """While the stream is quiet, save devices that wait for long: their events may leave the log some day."""
        if self._writer.records or self._writer.is_committing:
            return
        before_ms = (time.time() - self._options.settle_s) * 1e3
        waiting = [s for s in self._assignment.states.values() if (s.oldest_dirty_ms or before_ms) < before_ms]
        if waiting:
            self._save_more(waiting)
            self.commit()

    def _save_more(self, states: list[PartitionState]) -> None:
        """Let partitions save more than the input has paid for, in the open transaction or a new one."""
        for state in states:
            self._write(lambda _: None, 1)
            self._touched.add(state.partition)
            state.credit_bytes += _PARTING_BYTES

    def hand_over(self, partitions: list[int]) -> None:
        """Commit all work before `partitions` are given up, with snapshots so that the next owner re-reads little."""
        try:
            self._save_more([s for p in partitions if (s := self._assignment.states.get(p)) and s.dirty])
            self.commit()
        except TransactionAbortedError as e:
            self._touched.clear()
            self._assignment.must_roll_back = str(e)

    def abandon(self) -> None:
        """Forget the open transaction: its partitions belong to others now."""
        self._touched.clear()
        self._writer.abort()
        self._monitor.aborted()

    def _roll_back(self, why: str) -> None:
        """Bring memory and position back to the last commit, after the transaction was aborted."""
        self._aborts_in_a_row += 1
        self._monitor.aborted()
        log.warning("transaction aborted", reason=why, in_a_row=self._aborts_in_a_row)
        if self._aborts_in_a_row >= _MAX_ABORTS:
            raise KafkaError(
                f"{_MAX_ABORTS} transactions in a row were aborted, the last because: {why}; none of them was committed: "
                "remove the cause and start the scorer again"
            )
        time.sleep(min(0.05 * 2**self._aborts_in_a_row, 2.0))
        self._touched.clear()
        self._assignment.rewind()
