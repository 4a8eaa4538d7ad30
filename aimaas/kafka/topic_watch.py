"""Detects topics that were deleted and created again: such a topic has a new id under its old name.

librdkafka follows such a topic without an error (measured with 2.16: the broker refuses the fetch by the old id, the client asks
for the new id and continues at the old offset). So long-running readers ask for the ids every few seconds, and before they
commit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from aimaas.errors import KafkaError
from aimaas.kafka.clients import admin
from aimaas.kafka.topic_ids import ask_for_ids, id_of
from aimaas.settings import Settings

LOOK_S = 5.0
_ANSWER_S = 10.0
_LIMIT_S = 30.0
_PAUSE_S = 0.1
_REST = 10  # questions about a topic with many partitions take at most a tenth of the time: their answers are large
MANY = 100  # partitions: an answer takes some 3 ms of processor time
_GONE = (ClientError.UNKNOWN_TOPIC_OR_PART, ClientError.UNKNOWN_TOPIC_ID)


class TopicMadeAnewError(KafkaError):
    """A topic was deleted, or deleted and created again, while a process read or wrote it."""


def check_id(topic: str, known: str, found: str) -> None:
    """Raise TopicMadeAnewError if the id of a topic has changed."""
    if found != known:
        raise TopicMadeAnewError(
            f"topic {topic} was deleted and created again (its id was {known} and is {found}): the new one is not committed. "
            "Start again to continue at the beginning of the new topic"
        )


def deleted(topic: str) -> TopicMadeAnewError:
    """The error of a topic that does not exist any more."""
    return TopicMadeAnewError(f"topic {topic} was deleted: create it with `aimaas topics create`, then start again")


class _Clock:
    """The time of a question, in monotonic seconds, and the time until its answer.

    It holds no client, so the future's callback may hold it.
    """

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.took_s: float | None = None  # until the answer

    def stop(self, _: object) -> None:
        self.took_s = time.monotonic() - self.began


class Asked:
    """A question for one topic's id, which the constructor sends. `confirm` checks that the id is still the known one."""

    def __init__(self, client: Any, topic: str, known: str) -> None:
        self._client, self._topic, self._known = client, topic, known
        self.clock = _Clock()
        self._future = self._ask()

    def _ask(self) -> Future[Any]:
        future: Future[Any] = ask_for_ids(self._client, [self._topic])[self._topic]
        future.add_done_callback(self.clock.stop)
        return future

    def confirm(self) -> None:
        """Wait for the answer. Raises TopicMadeAnewError, and KafkaError if there is no answer within 30 s."""
        limit = time.monotonic() + _LIMIT_S
        while True:
            try:
                found = id_of(self._future.result(_ANSWER_S))
            except (KafkaException, TimeoutError) as e:
                self._give_up(e, time.monotonic() > limit)
                time.sleep(_PAUSE_S)
                self._future = self._ask()
            else:
                return check_id(self._topic, self._known, found)

    def _give_up(self, error: Exception, is_late: bool) -> None:
        """Raise the error that the client's error means, unless a repeated question may help."""
        found = error.args[0] if isinstance(error, KafkaException) else None
        if found is not None and found.code() in _GONE and time.monotonic() > self.clock.began + _ANSWER_S:
            raise deleted(self._topic)
        if is_late or (found is not None and found.code() == ClientError.TOPIC_AUTHORIZATION_FAILED):
            why = found.str() if found is not None else f"no answer for {_LIMIT_S:g} s"
            raise KafkaError(f"ask for the id of {self._topic}: {why}; what was read is not committed: start again")


class TopicWatch:
    """Watches topics by their `known` ids, of which None is replaced by the first answer. No method waits.

    `partitions` is the number of partitions of the topics.
    """

    def __init__(self, settings: Settings, known: Mapping[str, str | None], partitions: int = 1) -> None:
        self._rests = partitions > MANY
        self._client, self._known = admin(settings), dict(known)
        self._looks: dict[str, Future[Any]] = {}
        self._look_at = 0.0
        self._missing: set[str] = set()
        self._last: Asked | None = None

    def look(self, now: float) -> None:
        """Every few seconds take the answers and ask again; `now` is in monotonic seconds. Raises TopicMadeAnewError."""
        self._client.poll(0)  # else its events would pile up
        if self._looks and all(future.done() for future in self._looks.values()):
            looks, self._looks = self._looks, {}
            self._take(looks)
        if not self._looks and now >= self._look_at:
            self._look_at = now + LOOK_S
            self._looks = dict(ask_for_ids(self._client, list(self._known)))

    def _take(self, looks: Mapping[str, Future[Any]]) -> None:
        missing, self._missing = self._missing, set()
        for topic, future in looks.items():
            try:
                found = id_of(future.result())
                check_id(topic, self._known[topic] or found, found)
                self._known[topic] = found
            except KafkaException as e:
                if e.args[0].code() in _GONE:
                    self._missing.add(topic)
        for topic in sorted(missing & self._missing):  # twice: a broker that is just back may know no topic
            raise deleted(topic)

    def ask(self, topic: str, now: float) -> Asked | None:
        """Ask whether `topic` still has its known id, so that the records read so far belong to it.

        None if the last question was a moment ago and the topic has many partitions.
        """
        last = self._last
        if last is not None and self._rests:
            clock = last.clock
            took_s = now - clock.began if clock.took_s is None else clock.took_s
            if now < clock.began + took_s * _REST:
                return None
        self._last = Asked(self._client, topic, self._known[topic] or "")
        return self._last
