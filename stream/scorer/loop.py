"""The scorer's loop: events in, predictions out, each valid event exactly once, with warm state per device.

One turn is one pass through the pipeline:

1. fetch (`fetching.Fetcher`): a batch of events; rebalances happen inside;
2. judge and 3. advance (`scoring.judge_batch`): each record is admitted or refused, and the devices of admitted records
   move on. This is pure computation and does not block;
4. predict, 5. act and 6. emit (`scoring.write_batch`): the writer's thread runs the model, advances the alert rules
   (`alerts.table.AlertTable`), and puts predictions, dead letters and alerts into the open transaction, while the loop goes
   on. The loop blocks while three batches wait;
7. commit (`commits.Commits`): outputs, device state and offsets become visible together, or not at all.

Memory is always ahead of the committed offsets. When a transaction is aborted, it and all batches that were judged since
are dropped, and state and positions are restored from the topics as of the last commit.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aimaas.admission.judge import Judge
from aimaas.fleet import FleetSpec
from aimaas.kafka.outage import outage_of
from aimaas.kafka.topic_ids import topic_ids
from aimaas.kafka.topic_settings import check_settings
from aimaas.kafka.topic_watch import TopicWatch
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import scorer_group, topic_names
from stream.model.load import Model
from stream.model.watch import ModelWatcher
from stream.scorer.fetching import Fetcher
from stream.scorer.garbage import GarbageCollector
from stream.scorer.group.alerting import Alerting
from stream.scorer.group.assignment import Assignment, count_partitions, group_consumer
from stream.scorer.group.orphans import OrphanWatch
from stream.scorer.group.restoring import Restorer
from stream.scorer.group.rule_claims import Rules
from stream.scorer.monitor import Monitor
from stream.scorer.options import ScorerOptions
from stream.scorer.output.commits import Commits
from stream.scorer.output.opening import open_transactions
from stream.scorer.output.progress import TransactionAbortedError
from stream.scorer.partitions import Partitions
from stream.scorer.scoring import Judged, by_partition, judge_batch, sources_of, write_batch
from stream.scorer.serving import Serving
from stream.scorer.warm_up import warm_up
from stream.state.events_topic import find_events_topic
from stream.state.refusal_limit import check_limit

log = logger("scorer")


class Scorer:
    """One member of the fleet's group of scorers. `run` runs it from start to stop."""

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
        self._fleet, self._options, self._monitor = fleet, options, monitor
        self._names, self._outage = topic_names(fleet), outage_of(settings)
        self._garbage = GarbageCollector(time.monotonic())
        group = scorer_group(fleet)
        member = f"{group}-{instance}"
        self._consumer: Any
        self._consumer, fenced_by = group_consumer(settings, group, instance, options.session_timeout_ms)
        partitions = count_partitions(settings, fleet)
        check_settings(settings, fleet)
        self._events = find_events_topic(settings, fleet, datetime.now(UTC))
        ids = topic_ids(settings, [self._names.state, self._names.predictions, self._names.dead_letters])
        self._topics = TopicWatch(settings, {self._names.events: self._events.id, **ids}, partitions)
        self._sources = partial(
            sources_of, topic=self._names.events, replay_key=settings.replay_key, unproven=monitor.copy_unproven,
            label=self._events.label,
        )  # fmt: skip
        self._orphans = OrphanWatch(settings, group, member, self._names.events, partitions)
        transactions = open_transactions(settings, fleet, options, member, fenced_by)
        self._owned = Partitions()
        self._commits = Commits(fleet, options, self._consumer, transactions, self._topics, self._owned, monitor)
        self._serving = Serving(fleet, watcher, model, monitor)
        rules = Rules(settings, fleet, self._consumer, instance, self._events.label)
        self._alerting = Alerting(settings, fleet, self._owned, self._commits)
        restorer = Restorer(
            settings, fleet, self._consumer, rules, self._serving, monitor, self._events, self._alerting
        )
        self._assignment = Assignment(settings, fleet, self._consumer, self._owned, self._commits, restorer, monitor)
        self._fetcher = Fetcher(fleet, self._consumer, fenced_by, self._assignment, self._commits, options)

    def run(self, stop: threading.Event) -> None:
        """Score until `stop` is set, then commit all work and leave the group."""
        warm_up(self._fleet, Judge(self._fleet), self._serving.model.kernel)
        self._garbage.freeze()
        self._assignment.subscribe()
        log.info("scorer started", fleet=self._fleet.fleet, model_version=self._serving.model.version)
        try:
            while not stop.is_set():
                self._turn()
            self._leave()
        except BaseException:
            self._assignment.give_up()
            self._commits.give_up()
            raise
        finally:
            self._consumer.close()
            self._commits.close()
        done, step_s = self._monitor.totals, self._monitor.steps.seconds
        log.info("scorer stopped", events=done.events, predictions=done.predictions, step_s=step_s)

    def _leave(self) -> None:
        """Commit all work and leave the group. The next owner does the work that cannot be committed any more."""
        try:
            self._assignment.leave()
        except TransactionAbortedError as e:
            self._monitor.aborted()
            log.warning("the last transaction was aborted; the next owner scores its events again", reason=str(e))

    def _turn(self) -> None:
        """Run one pass through the pipeline. An aborted transaction costs its work and nothing else."""
        self._outage.raise_if_lasting(f"score fleet {self._fleet.fleet}")
        try:
            self._between_batches()
            messages = self._fetcher.batch() if self._serving.serves else self._fetcher.hold()
            self._monitor.lap("gather")
            self._commits.look()
            if messages:
                self._score(messages)
            self._assignment.move_past_skipped()
            self._commits.save_positions()
            if not self._commits.commit_if_due() and not messages:
                self._commits.save_idle_devices()
        except TransactionAbortedError as e:
            self._commits.forget_aborted(str(e))
            self._assignment.rewind()
        self._monitor.lap("commit")
        self._monitor.turned(self._consumer, self._owned, self._serving.model.version)
        self._garbage.collect_if_due(time.monotonic())

    def _between_batches(self) -> None:
        """Take a new model, rejoin the group if partitions have no owner, check the topics, and note who is silent."""
        if self._serving.change():
            self._assignment.read_on()
            self._garbage.freeze()
        if self._orphans.must_rejoin(time.monotonic()):
            self._assignment.rejoin()
        self._topics.look(time.monotonic())
        self._alerting.between_batches(time.monotonic(), int(time.time() * 1e3))

    def _score(self, messages: list[Any]) -> None:
        """Judge a batch, advance its devices and pass it on to the writer."""
        groups = by_partition(messages, self._owned.states)
        if not groups:
            return
        judged = judge_batch(groups, self._owned.states, self._owned.judges, self._serving.model)
        self._count(judged)
        self._monitor.lap("judge")
        answers = self._serving.answers
        alerts = {p: self._owned.alerts[p] for p in groups if p in self._owned.alerts}
        work = partial(
            write_batch, judged, self._names, self._events.label, self._fleet, answers, self._sources, alerts
        )
        self._commits.write(groups, work, len(judged))
        self._monitor.lap("wait")

    def _count(self, judged: Judged) -> None:
        """Count the batch's records. Raises DeadLetterLimitError if too large a share was refused lately, from many devices."""
        states, refused = self._owned.states, False
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
