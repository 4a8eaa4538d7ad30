"""The interface between the scorer's loop and its writer: outputs, state and offsets are committed together.

`Transactions` (transaction.py) gives exactly once. `Acknowledged` (acknowledged.py) gives at least once, for readers that
need a prediction before its transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from stream.records.outgoing import Outgoing


class TransactionAbortedError(Exception):
    """The work since the last commit was rolled back; memory must follow. Never reaches a user."""


def nothing_to_confirm() -> None:
    """Confirm nothing: for a commit without input from a topic."""


@dataclass(frozen=True)
class Progress:
    """The progress of the scorer that a commit records.

    `state` (key, value, partition) is for `state_topic`, `positions` (partition -> next offset) are in `topic`. `group` is
    the consumer's metadata: the broker uses it to refuse a scorer that has lost its partitions. `confirm` raises KafkaError
    if the input came from another topic than the expected one.
    """

    topic: str
    positions: dict[int, int]
    state_topic: str
    state: list[tuple[bytes, bytes | None, int]]
    group: Any
    confirm: Callable[[], object] = nothing_to_confirm


class CommitResult(NamedTuple):
    """A successful commit: its duration in seconds, and its end in seconds since 1970."""

    seconds: float
    at: float


class Outbox(Protocol):
    """Holds records until a commit makes them visible together with the progress that they stand for.

    Only the writer's thread (writer.py) calls it, unless a method says otherwise. Methods raise TransactionAbortedError
    after they rolled back, and KafkaError for an error that they cannot handle.
    """

    opened_at: float | None  # monotonic seconds of the `begin` that opened; None while not open

    def begin(self) -> None:
        """Open, unless open."""
        ...

    def produce(self, topic: str, partition: int, records: Iterable[Outgoing]) -> None:
        """Add records; blocks while the producer's queue is full."""
        ...

    def commit(self, progress: Progress) -> CommitResult:
        """Make the produced records visible together with `progress`."""
        ...

    def after_commit(self, progress: Progress) -> None:
        """Do the part of a finished commit that the loop's thread must do: only one thread at a time may call a consumer."""
        ...

    def abort(self) -> None:
        """Take uncommitted work back, as far as possible."""
        ...

    def check(self) -> None:
        """Raise KafkaError if a call will never return. The loop calls it."""
        ...
