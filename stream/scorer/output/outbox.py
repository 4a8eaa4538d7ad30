"""The interface between the scorer's loop and its writer: outputs, state and offsets are written together, in one of two ways.

`Transactions` (transaction.py) gives exactly once, `Acknowledged` (acknowledged.py) at least once, for readers that want to see a
prediction before its transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from stream.records.outgoing import Outgoing


class TransactionAbortedError(Exception):
    """What was written since the last commit has been rolled back; memory must follow. Never reaches a user."""


def nothing_to_confirm() -> None:
    """For a commit of what came from nowhere that could have changed."""


@dataclass(frozen=True)
class Progress:
    """How far the scorer has come: `state` (key, value, partition) for `state_topic`, `positions` (partition -> next offset) in
    `topic`, `group` the consumer's metadata, by which a scorer that has lost its partitions is told. `confirm` raises KafkaError
    where what was read was not of the topic that it is taken for."""

    topic: str
    positions: dict[int, int]
    state_topic: str
    state: list[tuple[bytes, bytes | None, int]]
    group: Any
    confirm: Callable[[], object] = nothing_to_confirm


class CommitResult(NamedTuple):
    """A commit that has ended well: the seconds it took, and when it ended, in seconds since 1970."""

    seconds: float
    at: float


class Outbox(Protocol):
    """Records wait in it until a commit makes them visible together with the progress they stand for.

    One thread calls it, writer.py's, unless a method says otherwise. Methods raise TransactionAbortedError after they rolled back,
    and KafkaError when nothing can be done.
    """

    opened_at: float | None  # monotonic seconds of the `begin` that opened; None while not open

    def begin(self) -> None:
        """Open, unless open."""
        ...

    def produce(self, topic: str, partition: int, records: Iterable[Outgoing]) -> None:
        """Add records; waits while the producer's queue is full."""
        ...

    def commit(self, progress: Progress) -> CommitResult:
        """Make what was produced visible together with `progress`."""
        ...

    def after_commit(self, progress: Progress) -> None:
        """Do what a commit that has ended leaves to the loop's thread: a consumer may be called by one thread at a time."""
        ...

    def abort(self) -> None:
        """Take back what is not committed, as far as that can be done."""
        ...

    def check(self) -> None:
        """Raise KafkaError where a call will never come back; the loop asks."""
        ...
