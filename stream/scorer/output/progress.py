"""What a commit of the scorer records, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from aimaas.kafka.topic_watch import Asked


class TransactionAbortedError(Exception):
    """The work since the last commit was rolled back; memory must follow. Never reaches a user."""


@dataclass(frozen=True)
class Progress:
    """The progress of the scorer that a commit records.

    `state` (key, value, partition) is for `state_topic`, `positions` (partition -> next offset) are in `topic`. `group` is
    the consumer's metadata: the broker uses it to refuse a scorer that has lost its partitions. `asked` raises KafkaError
    if the input came from another topic than the expected one; None if that was confirmed a moment ago.
    """

    topic: str
    positions: dict[int, int]
    state_topic: str
    state: list[tuple[bytes, bytes | None, int]]
    group: Any
    asked: Asked | None = None


class CommitResult(NamedTuple):
    """A successful commit: its duration in seconds, and its end in seconds since 1970."""

    seconds: float
    at: float
