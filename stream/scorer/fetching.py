"""The first step of the pipeline: fetches batches from the events topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from aimaas.admission.unreadable_batches import is_unreadable
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka.failures import UNREACHABLE, is_denied
from aimaas.kafka.topic_watch import deleted
from aimaas.logs import logger
from aimaas.topics import topic_names
from stream.scorer.group.assignment import Assignment
from stream.scorer.options import ScorerOptions
from stream.scorer.output.commits import Commits

log = logger("scorer")

_IDLE_S = 0.1  # longest wait for a first event; models, signals and callbacks are checked as often
_GATHER_S = 0.005  # wait for more events after the first one, at most a quarter of the commit interval
_GONE = (ClientError._AUTO_OFFSET_RESET, ClientError._LOG_TRUNCATION, ClientError.OFFSET_OUT_OF_RANGE)


class Fetcher:
    """Fetches batches. The loop calls it. A call blocks for up to 0.1 s. Rebalances run inside it and may block for a restore.

    Raises KafkaError and KafkaException if the group or the broker refuses the scorer, and TransactionAbortedError if a
    rebalance rolled the transaction back.
    """

    def __init__(
        self,
        fleet: FleetSpec,
        consumer: Any,
        fenced_by: Callable[[], str],
        assignment: Assignment,
        commits: Commits,
        options: ScorerOptions,
    ) -> None:
        self._fleet, self._topic = fleet.fleet, topic_names(fleet).events
        self._consumer, self._fenced_by = consumer, fenced_by
        self._assignment, self._commits, self._batch = assignment, commits, options.batch
        self._gather_s = min(_GATHER_S, options.commit_interval_ms / 4e3)
        self._gone: set[int] = set()  # partitions whose log does not hold the requested offset

    def batch(self) -> list[Any]:
        """Return a batch: the first event, and all others that arrive shortly after it."""
        messages = self._consumer.consume(1, self._patience_s())
        if messages and self._batch > 1:
            messages += self._consumer.consume(self._batch - 1, self._gather_s)
        self._assignment.raise_failure()
        messages = [m for m in messages if m.error() is None or self._pass_over(m)]
        if self._gone:
            self._go_on_behind_gaps()
        return messages

    def hold(self) -> list[Any]:
        """Serve rebalances without fetching a batch, while no model serves: events wait in the topic."""
        messages = self._assignment.hold(_IDLE_S)
        self._assignment.raise_failure()
        return [m for m in messages if self._pass_over(m)]

    def _patience_s(self) -> float:
        """Return how long to wait for a first event."""
        if self._commits.is_under_way:
            return self._gather_s
        return min(self._commits.due_in_s(), _IDLE_S) if self._commits.has_work else _IDLE_S

    def _go_on_behind_gaps(self) -> None:
        """Continue at the start of the log, with a gap, in partitions where retention was faster.

        All devices are saved first, because the log no longer holds the events that a restore would read. Raises if the log
        lost its end.
        """
        gone, self._gone = sorted(self._gone.intersection(self._assignment.owned.states)), set()
        self._commits.save_all(gone)
        self._assignment.rewind(gone)

    def _pass_over(self, message: Any) -> bool:
        """Log a consumer error that goes away by itself, otherwise raise it. Always False, because an error is no event."""
        error, code = message.error(), message.error().code()
        if code in _GONE:
            self._gone.add(message.partition())
            return False
        if is_unreadable(error):
            self._assignment.go_on_behind(message)
            return False
        if code == ClientError.FENCED_INSTANCE_ID or (code == ClientError._FATAL and "instance.id" in error.str()):
            raise KafkaError(f"score fleet {self._fleet}: {self._fenced_by()}")
        if code == ClientError.UNKNOWN_TOPIC_OR_PART:
            raise deleted(message.topic() or self._topic)
        if error.fatal() or code == ClientError._FATAL or is_denied(error):
            raise KafkaException(error)
        if code not in UNREACHABLE:  # an outage is reported elsewhere
            log.warning("consumer", error=error.str())
        return False
