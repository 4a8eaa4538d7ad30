"""The scorer's loop: events in, predictions out, each valid event exactly once, with warm state per device.

One turn of the loop: take the newest model at the batch border, gather a batch, and for each partition in it judge the records
and advance the devices; one run of the model over all partitions; predictions and dead letters into the open transaction; commit
when it is due. What is in memory is always the state of what the open transaction will commit, so an abort rolls memory back too.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaException
from confluent_kafka import KafkaError as ClientError

from aimaas.admission import Judge, Reason
from aimaas.errors import KafkaError
from aimaas.events import encode_event
from aimaas.fleet import FleetSpec
from aimaas.kafka import ANSWER_LIMIT_S
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_specs
from stream.assignment import Assignment, group_consumer
from stream.dead_letters import dead_letter
from stream.model_watch import ModelWatcher
from stream.models import Model
from stream.options import ScorerOptions
from stream.partition_state import PartitionState, Records, records_of
from stream.predictions import prediction_records
from stream.rates import RateLog, Tally
from stream.state_topic import check_partitions, replay_record, snapshot_record
from stream.transaction import TransactionAbortedError, Transactions

log = logger("scorer")

_IDLE_S = 0.1  # longest wait for a first event: models, signals and callbacks are looked at so often
_GATHER_S = 0.005  # wait for more events once one is there
_MAX_ABORTS = 8  # in a row, before the scorer says that it gets nowhere
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
    ) -> None:
        self._settings, self._fleet, self._options = settings, fleet, options
        self._names, self._judge = topic_names(fleet), Judge(fleet)
        self._watcher, self._model = watcher, model
        self.tally = Tally()
        self._rates = RateLog(self.tally)
        self._aborts_in_a_row = 0
        self._touched: set[int] = set()  # partitions with work in the open transaction
        largest = max(int(spec.config.get("max.message.bytes", 0)) for spec in topic_specs(fleet))
        name = f"aimaas-{fleet.fleet}"
        self._consumer: Any = group_consumer(settings, name, instance, options.session_timeout_ms)
        self._check_topics(self._consumer)
        self._transactions = Transactions(settings, f"{name}-{instance}", options.transaction_timeout_ms, largest)
        self._assignment = Assignment(settings, fleet, self._judge, self._consumer, self)

    def _check_topics(self, consumer: Consumer) -> None:
        topics = consumer.list_topics(timeout=ANSWER_LIMIT_S).topics
        check_partitions(self._settings, self._fleet, {name: len(topic.partitions) for name, topic in topics.items()})

    @property
    def model(self) -> Model:
        """The model that serves now."""
        return self._model

    def _warm_up(self) -> None:
        """Score one event into state that nobody sees: compiled code is loaded before the first event waits for it."""
        readings = zip(self._fleet.readings, self._fleet.reading_specs, strict=True)
        values: dict[str, float | None] = {name: sum(spec.range) / 2 for name, spec in readings}
        event = encode_event(self._fleet.fleet, "warm-up", 0, 0, datetime.now(UTC), values)
        one, now_ms = np.zeros(1, np.int64), np.array([int(time.time() * 1e3)], np.int64)
        state = PartitionState.empty(self._fleet, 0, 0)
        state.advance(self._judge, self._model.kernel, Records([b"warm-up"], [event], one, now_ms))

    def run(self, stop: threading.Event) -> Tally:
        """Score until `stop` is set, then commit what is done and leave the group."""
        self._warm_up()
        self._assignment.subscribe()
        log.info("scorer started", fleet=self._fleet.fleet, model_version=self._model.version)
        try:
            while not stop.is_set():
                self._turn()
            self._assignment.leave()
        except BaseException:
            self._give_up()
            raise
        finally:
            self._consumer.close()
        log.info("scorer stopped", events=self.tally.events, predictions=self.tally.predictions)
        return self.tally

    def _give_up(self) -> None:
        """Roll back before a failure ends the scorer: memory may hold half a batch, and an open transaction holds readers up."""
        self._assignment.give_up()
        with suppress(KafkaError):
            self._transactions.abort()

    def _turn(self) -> None:
        """One turn of the loop; an aborted transaction costs its work and nothing else."""
        try:
            self._take_model()
            messages = self._gather()
            if messages:
                self._score(messages)
            if self._is_due():
                self.commit()
            elif not messages:
                self._settle()
        except TransactionAbortedError as e:
            self._roll_back(str(e))
        self._rates.report(time.monotonic(), self._model.version)

    def _take_model(self) -> None:
        """Change to the newest model, at a batch border."""
        newest = self._watcher.newest()
        if newest is not None and newest is not self._model:
            log.info("model changed", version=newest.version, before=self._model.version, sequence=newest.sequence)
            self._model = newest

    def _gather(self) -> list[Any]:
        """A batch: what is there within a moment after its first event. Rebalances happen inside this call."""
        wait_s = min(self._due_in_s(), _IDLE_S) if self._transactions.is_open else _IDLE_S
        messages = self._consumer.consume(1, wait_s)
        if messages and self._options.batch > 1:
            messages += self._consumer.consume(self._options.batch - 1, _GATHER_S)
        self._assignment.raise_failure()
        return [m for m in messages if m.error() is None or self._pass_over(m.error())]

    def _pass_over(self, error: Any) -> bool:
        """Whether an error the consumer met goes away by itself; always False, since it is no event. Raises when it does not."""
        if error.code() in (ClientError._FATAL, ClientError.FENCED_INSTANCE_ID):
            raise KafkaError(
                f"the group has put this scorer out ({error.str()}): give every scorer its own --instance; what was not "
                "committed is scored by the one that took over"
            )
        if error.fatal() or error.code() == ClientError.UNKNOWN_TOPIC_OR_PART:
            raise KafkaException(error)
        log.warning("consumer", error=error.str())
        return False

    def _by_partition(self, messages: list[Any]) -> dict[int, list[Any]]:
        """Messages that are ours and not done yet, by partition in order: a rebalance may leave others in a batch."""
        found: dict[int, list[Any]] = defaultdict(list)
        for message in messages:
            found[message.partition()].append(message)
        for p in [p for p in found if p not in self._assignment.states]:
            del found[p]
        for p, group in found.items():
            position = self._assignment.states[p].position
            if group[0].offset() < position:
                found[p] = [m for m in group if m.offset() >= position]
        return {p: group for p, group in found.items() if group}

    def _score(self, messages: list[Any]) -> None:
        """Judge, advance and score a batch, and put what comes out into the transaction.

        1. open the transaction; 2. per partition: judge the records, advance the devices, which moves the partition's position;
        3. one run of the model; 4. produce predictions; 5. produce dead letters.
        """
        groups = self._by_partition(messages)
        if not groups:
            return
        self._transactions.begin()
        model, work = self._model, []
        for p, group in groups.items():
            state, records = self._assignment.states[p], records_of(group)
            self._touched.add(p)
            batch, features = state.advance(self._judge, model.kernel, records)
            state.credit_bytes += self._options.state_share * records.value_bytes
            work.append((p, group, records, batch, features))
            self.tally.add_batch(batch)
        features = np.concatenate([w[4] for w in work])
        answers = model.predict(features) if len(features) else np.zeros(0, np.float32)
        scored_at, begin = datetime.now(UTC), 0
        produce, topic = self._transactions.produce, self._names.predictions
        for p, group, records, batch, part in work:
            rows = batch.admitted
            mine, begin = answers[begin : begin + len(part)], begin + len(part)
            for r in prediction_records(self._names.events, p, records, batch, rows, mine, model, scored_at):
                produce(topic, r.key, r.value, r.headers)
            if len(rows) < len(group):
                self._refuse(group, batch)
        self._transactions.poll()
        self.tally.batches += 1

    def _refuse(self, group: list[Any], batch: Any) -> None:
        for i in np.flatnonzero(batch.reason).tolist():
            letter = dead_letter(group[i], Reason(batch.reason[i]), batch.detail[i], self._fleet)
            self._transactions.produce(
                self._names.dead_letters, letter.key, letter.value, letter.headers, letter.partition
            )

    def _due_in_s(self) -> float:
        age = time.monotonic() - self._transactions.opened_at
        return max(self._options.commit_interval_ms / 1e3 - age, 0.0)

    def _is_due(self) -> bool:
        """Whether the open transaction is old or large enough."""
        t = self._transactions
        return t.is_open and (t.records >= self._options.transaction_events or self._due_in_s() == 0)

    def commit(self) -> None:
        """Make the work since the last commit visible. The order matters:

        1. snapshots of the devices that wait longest, as far as the input has paid for them;
        2. from where to re-read, after the snapshots that moved it, before the offsets that rely on it;
        3. the position of every partition touched, as offsets of the group, with its generation: a zombie fails here;
        4. the commit, which waits until the brokers have every record.
        A crash before 4 leaves nothing of it, since readers pass over the open transaction; after 4 all of it.
        """
        if not self._transactions.is_open:
            return
        started = time.perf_counter()
        states = [self._assignment.states[p] for p in self._touched]
        for state in states:
            self._save(state)
        positions = {state.partition: state.position for state in states}
        self._transactions.commit(self._names.events, positions, self._consumer.consumer_group_metadata())
        self._touched.clear()
        self._aborts_in_a_row = 0
        self.tally.transactions += 1
        self.tally.commit_s += time.perf_counter() - started

    def _save(self, state: PartitionState) -> None:
        """Put snapshots and the replay offset of one partition into the open transaction."""
        topic, produce = self._names.state, self._transactions.produce
        for snapshot in state.take_snapshots():
            key, value = snapshot_record(snapshot)
            produce(topic, key, value, None, state.partition)
            self.tally.snapshots += 1
            self.tally.state_bytes += len(value)
        if state.replay_from != state.written_replay_from:
            produce(topic, *replay_record(state.replay_from), None, state.partition)
            state.written_replay_from = state.replay_from

    def _settle(self) -> None:
        """While the stream is quiet, save devices that wait for long: their events may leave the log some day."""
        if self._transactions.is_open:
            return
        before_ms = (time.time() - self._options.settle_s) * 1e3
        waiting = [s for s in self._assignment.states.values() if (s.oldest_dirty_ms or before_ms) < before_ms]
        if waiting:
            self._save_more(waiting)
            self.commit()

    def _save_more(self, states: list[PartitionState]) -> None:
        """Let partitions save more than the input has paid for, in the open transaction or a new one."""
        for state in states:
            self._transactions.begin()
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
        self._transactions.abort()

    def _roll_back(self, why: str) -> None:
        """Bring memory and position back to the last commit, after the transaction was aborted."""
        self._aborts_in_a_row += 1
        self.tally.aborts += 1
        log.warning("transaction aborted", reason=why, in_a_row=self._aborts_in_a_row)
        if self._aborts_in_a_row >= _MAX_ABORTS:
            raise KafkaError(f"{_MAX_ABORTS} transactions in a row were aborted, the last because: {why}")
        time.sleep(min(0.05 * 2**self._aborts_in_a_row, 2.0))
        self._touched.clear()
        self._assignment.rewind()
