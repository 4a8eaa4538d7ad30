"""What both outboxes share: a producer that makes its caller wait while its queue is full, and a commit beside the loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from typing import Any

from confluent_kafka import Producer

from aimaas.kafka import producer_config
from aimaas.settings import Settings
from stream.records.outgoing import Outgoing
from stream.scorer.outbox import Done

_WAIT_S = 0.05
_CHECK_S = 1.0


class Sender:
    """A producer of outputs and state; `client` is librdkafka's."""

    def __init__(
        self,
        settings: Settings,
        largest_record: int,
        on_delivery: Callable[[Any, Any], None] | None = None,
        **extra: Any,
    ) -> None:
        config = producer_config(
            settings,
            message_max_bytes=largest_record,
            queue_buffering_max_messages=1_000_000,
            delivery_report_only_error=True,  # a commit tells of the others
            **extra,
        )
        self.client = Producer({**config, "on_delivery": on_delivery} if on_delivery else config)

    def send(self, topic: str, partition: int, records: Iterable[Outgoing]) -> int:
        """Add records; how many. Raises KafkaException."""
        produce, count = self.client.produce, 0
        for count, (key, value, headers) in enumerate(records, 1):  # noqa: B007 - the last one is how many there were
            try:
                produce(topic, value, key, partition, headers=headers)
            except BufferError:
                self._send_later(topic, value, key, partition, headers)
        return count

    def _send_later(self, *record: Any) -> None:
        """Add one record once the queue has room."""
        *positional, headers = record
        while True:
            self.client.poll(_WAIT_S)
            try:
                self.client.produce(*positional, headers=headers)
                return
            except BufferError:
                continue


class CommitBeside:
    """At most one commit at a time, in a thread of its own: a daemon, so that one that hangs in the client lets the process end."""

    def __init__(self) -> None:
        self._under_way: Future[Done] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether one was started and not settled."""
        return self._under_way is not None

    def start(self, commit: Callable[[], Done]) -> None:
        """Begin; `settle` tells how it went."""
        future = self._under_way = Future()
        threading.Thread(target=_fulfil, args=(future, commit), name="committer", daemon=True).start()

    def settle(self, check: Callable[[], None] | None = None) -> Done | None:
        """Wait for the one under way; what it did, None where there is none. Raises what it raised, or `check` meanwhile."""
        if self._under_way is None:
            return None
        commit, self._under_way = self._under_way, None
        while check is not None and not wait([commit], _CHECK_S).done:
            check()
        return commit.result()


def _fulfil(future: Future[Done], commit: Callable[[], Done]) -> None:
    try:
        future.set_result(commit())
    except BaseException as e:  # noqa: BLE001 - handed to whoever settles
        future.set_exception(e)
