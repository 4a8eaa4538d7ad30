"""Writes of one process at a time, in transactions under a stable id, for people's commands on a fleet's topics.

A process that takes the id over fences the earlier process. The broker rolls the open transaction back, or completes the
committed one, before the new process reads the topics. So the topics show all completed work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, NamedTuple, Self

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException, Producer, TopicPartition

from aimaas.fleet import FleetSpec
from aimaas.kafka import kafka_errors, producer_config
from aimaas.kafka.rights import Right, on_topic
from aimaas.settings import Settings
from aimaas.topics import topic_specs
from stream.records.dead_letters import Header
from stream.records.producing import LIMIT_S, insist, send

_MOVED_ON = {ClientError.ILLEGAL_GENERATION, ClientError.UNKNOWN_MEMBER_ID, ClientError.FENCED_INSTANCE_ID}
_TRANSACTION_MS = 15_000  # a killed process blocks readers this long
_SAME_WORK = "another process does the same work for this fleet: let it finish, then run this again"


class Write(NamedTuple):
    """A record to write; without a partition the key decides."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    partition: int = -1


class ExclusiveWriter:
    """The only writer under `aimaas-<fleet>-<work>`; use it in a `with` statement. Raises KafkaError, with no partial write.

    `doing` names the work in an error; `rival` names the process that takes the id over from a running one, and what to do.
    """

    def __init__(self, settings: Settings, fleet: FleetSpec, work: str, doing: str, rival: str = _SAME_WORK) -> None:
        self._settings, self._doing, self._rival = settings, f"{doing} of fleet {fleet.fleet}", rival
        transactional_id = f"aimaas-{fleet.fleet}-{work}"
        config = producer_config(
            settings,
            transactional_id=transactional_id,
            transaction_timeout_ms=_TRANSACTION_MS,
            message_max_bytes=max(int(spec.config.get("max.message.bytes", 0)) for spec in topic_specs(fleet)),
        )
        self._producer, self._right = Producer(config), Right("transactional-id", transactional_id, "Write")

    def _errors(self, writes: Sequence[Write] = ()) -> AbstractContextManager[None]:
        rights = [on_topic("Write", topic) for topic in dict.fromkeys(w.topic for w in writes)]
        return kafka_errors(self._settings, self._doing, self._right, *rights, fenced=self._rival)

    def __enter__(self) -> Self:
        with self._errors():
            insist(self._producer.init_transactions)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer.purge()

    def write(self, writes: Sequence[Write]) -> None:
        """Write all records in one transaction; at most a few thousand, because it must end within 15 s."""
        if writes:
            with self._errors(writes):
                self._transact(writes)

    def write_as_member(self, writes: Sequence[Write], topic: str, offsets: Mapping[int, int], group: Any) -> bool:
        """Write all records, if we still own the partitions. False if the group has moved on, and nothing was written.

        `group` is the metadata of the group's consumer. The broker checks it with offsets in the topic: pass the group's
        own. The check comes after the records have arrived, so they precede the next owner's records.
        """
        places = [TopicPartition(topic, p, offset) for p, offset in offsets.items()]

        def as_member() -> None:
            self._producer.flush(LIMIT_S)
            insist(lambda s: self._producer.send_offsets_to_transaction(places, group, s))

        with self._errors(writes):
            try:
                self._transact(writes, as_member)
            except KafkaException as e:
                if e.args[0].code() not in _MOVED_ON:
                    raise
                return False
        return True

    def _transact(self, writes: Sequence[Write], then: Callable[[], None] = lambda: None) -> None:
        self._producer.begin_transaction()
        try:
            for w in writes:
                send(self._producer, w.topic, [(w.key, w.value, list(w.headers))], w.partition)
            then()
            insist(self._producer.commit_transaction)
        except KafkaException as e:
            if e.args[0].txn_requires_abort():
                insist(self._producer.abort_transaction)
            raise
