"""`aimaas score` in a process that sends itself a signal at a named point between two steps.

    python -m tests.chaos.kill_points '{"point": …, "passing": …, "signal": …, "options": {…}}' score --fleet …

The product has no switch for this: the clients of confluent-kafka are wrapped here before the product imports them, so the points
are the calls that it makes. `POINTS` is the whole list.
"""

from __future__ import annotations

import faulthandler
import functools
import json
import os
import signal
import sys
import threading
from typing import Any
from unittest.mock import patch

import confluent_kafka

REPLAY_FROM = b"\xffreplay_from"  # key of the record that ends what a commit writes to the state topic
RESTORE_GROUP = "aimaas-restore"  # group id of the client that reads state back

POINTS = {
    "begun": "after begin_transaction, before the first record",
    "prediction": "before a prediction is produced, with part of its batch behind it",
    "dead letter": "before a dead letter is produced",
    "alert": "before an alert is produced",
    "snapshot": "before a record of the state topic is produced",
    "replay offset": "after the record that says from where to re-read",
    "offsets": "before send_offsets_to_transaction",
    "commit": "after send_offsets_to_transaction, before commit_transaction",
    "committing": "within commit_transaction",
    "committed": "after commit_transaction, before anything else",
    "restore": "while state is read back",
    "revoke": "when partitions are to be given up, before the commit for it",
    "given up": "after that commit, before the partitions are let go",
    "restored": "when the state of new partitions is there, before they are read",
}


class Trigger:
    """Sends this process `number` when `point` is passed for the `passing`-th time."""

    def __init__(self, point: str | None, passing: int, number: int) -> None:
        self._point, self._left, self._number = point, passing, number

    def passes(self, point: str) -> None:
        """Say that a point was reached; for the armed one the last thing that is said, if the signal kills."""
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            os.write(2, f"reached the point {point!r}\n".encode())
            os.kill(os.getpid(), self._number)

    def passes_soon(self, point: str, seconds: float) -> None:
        """Let the point be reached by another thread, while this one waits for the broker."""
        if point == self._point:
            threading.Timer(seconds, self.passes, [point]).start()


def wrap_clients(trigger: Trigger) -> None:
    """Put clients that tell `trigger` what they do into confluent_kafka; before anything imports them from there."""

    class Producer(confluent_kafka.Producer):  # type: ignore[misc]
        def begin_transaction(self, *args: Any) -> None:
            super().begin_transaction(*args)
            trigger.passes("begun")

        def produce(self, topic: str, value: Any = None, key: Any = None, *args: Any, **named: Any) -> None:
            if topic.endswith(".predictions"):
                trigger.passes("prediction")
            elif topic.endswith(".dlq"):
                trigger.passes("dead letter")
            elif topic.endswith(".alerts"):
                trigger.passes("alert")
            elif topic.endswith(".state"):
                trigger.passes("snapshot")
            super().produce(topic, value, key, *args, **named)
            if key == REPLAY_FROM:
                trigger.passes("replay offset")

        def send_offsets_to_transaction(self, *args: Any) -> None:
            trigger.passes("offsets")
            super().send_offsets_to_transaction(*args)
            trigger.passes("commit")

        def commit_transaction(self, *args: Any) -> None:
            trigger.passes_soon("committing", 0.002)
            super().commit_transaction(*args)
            trigger.passes("committed")

    class Consumer(confluent_kafka.Consumer):  # type: ignore[misc]
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__(config)
            self._restores = config["group.id"] == RESTORE_GROUP

        def subscribe(self, topics: list[str], *, on_revoke: Any, **callbacks: Any) -> None:
            def revoked(consumer: Any, partitions: Any) -> None:
                trigger.passes("revoke")
                on_revoke(consumer, partitions)

            super().subscribe(topics, on_revoke=revoked, **callbacks)

        def consume(self, *args: Any, **named: Any) -> Any:
            messages = super().consume(*args, **named)
            if self._restores:
                trigger.passes("restore")
            return messages

        def incremental_unassign(self, *args: Any) -> None:
            trigger.passes("given up")
            super().incremental_unassign(*args)

        def incremental_assign(self, *args: Any) -> None:
            trigger.passes("restored")
            super().incremental_assign(*args)

    confluent_kafka.Producer, confluent_kafka.Consumer = Producer, Consumer


def main() -> None:
    faulthandler.register(signal.SIGUSR1)
    given = json.loads(sys.argv.pop(1))
    trigger = Trigger(given.get("point"), given.get("passing", 1), signal.Signals[given.get("signal", "SIGKILL")])
    wrap_clients(trigger)
    from stream.scorer import options

    narrowed = functools.partial(options.ScorerOptions, **given.get("options", {}))
    patch.object(options, "ScorerOptions", narrowed).start()
    from cli.app import main as command

    command()


if __name__ == "__main__":
    main()
