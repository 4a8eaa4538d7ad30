"""Outages of Kafka in a long-running process: one log line when the cluster goes away, one when it is back.

All clients of a process with the same settings share one `Outage`. librdkafka reconnects by itself, several times a second, and
logs each attempt. This module replaces those lines.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import KafkaError as ClientError

from aimaas.kafka.connection import Cause, lasting_cause, plain, why_unreachable
from aimaas.kafka.failures import UNREACHABLE, unreachable
from aimaas.settings import Settings

_PROBE_S = 3.0
_PAUSES_S = (0.5, 1.0, 2.0, 5.0)  # between two checks; the last one repeats
# a lasting cause counts after this time, because starting brokers give misleading errors
_LASTS_S = 5.0
_REPEAT_S = 60.0  # between two lines about one refusing broker among several
_LOSSES = UNREACHABLE | {ClientError._AUTHENTICATION, ClientError._SSL, ClientError.SASL_AUTHENTICATION_FAILED}

_log = logging.getLogger("aimaas.kafka")
_log.addHandler(logging.NullHandler())  # a command that runs once reports its error itself


class Outage:
    """The state of the connection to one cluster in this process. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._looks_after = self._told_at = float("-inf")
        self._away_since: float | None = None
        self._looking = False
        self._lasting: Cause | None = None

    def told(self, error: Any) -> None:
        """Take a client's error (librdkafka's error callback). A thread looks for its cause, unless one runs already."""
        if error.code() not in _LOSSES:
            return
        with self._lock:
            if self._looking or time.monotonic() < self._looks_after:
                return
            self._looking = True
        threading.Thread(target=self._look, args=(error,), name="kafka-outage", daemon=True).start()

    def raise_if_lasting(self, doing: str) -> None:
        """Raise KafkaError if the cause lasts until a person acts. Otherwise this call costs nothing."""
        if self._lasting is not None:
            cause, self._lasting = self._lasting, None
            raise unreachable(self._settings, doing, cause)

    def wait(self, ended: Callable[[float], bool], doing: str) -> bool:
        """Wait until the cluster answers or `ended(seconds)` is true; return whether it answers. Raises KafkaLastingError for a
        lasting cause.

        `ended` waits for at most that many seconds, and returns whether to give up.
        """
        cause = self._follow(ended, lasts_s=0.0)
        if cause is not None:
            raise unreachable(self._settings, doing, cause)
        return self._away_since is None

    def _look(self, error: Any) -> None:
        try:
            self._lasting = self._follow(_sleep, _LASTS_S)
            self._one_of_several(error)
        finally:
            with self._lock:
                self._looking, self._looks_after = False, time.monotonic() + _PAUSES_S[-1]

    def _follow(self, ended: Callable[[float], bool], lasts_s: float) -> Cause | None:
        """Check until the cluster answers, and return None; or until a lasting cause was there for `lasts_s`, and return it."""
        since = float("inf")
        for pause_s in _pauses():
            cause, now = why_unreachable(self._settings.kafka, _PROBE_S), time.monotonic()
            if cause is None:
                self._answers(now)
                return None
            since = min(since, now) if cause.lasts else float("inf")
            if now - since >= lasts_s:
                return cause
            self._is_away(cause, now)
            if ended(pause_s):
                return None
        return None

    def _is_away(self, cause: Cause, now: float) -> None:
        with self._lock:
            told, self._away_since = self._away_since is not None, self._away_since or now
        if not told:
            _log.error("Kafka is out of reach at %s: %s; waiting for it", self._settings.bootstrap_servers, cause.text)

    def _answers(self, now: float) -> None:
        with self._lock:
            since, self._away_since = self._away_since, None
        if since is not None:
            _log.warning("Kafka answers again, after %.0f s", now - since)

    def _one_of_several(self, error: Any) -> None:
        """Log, at most once per `_REPEAT_S`, that the cluster answers but one of its brokers refuses this client."""
        text = lasting_cause(self._settings.kafka, error.code(), plain(error.str()))
        if text is None or self._lasting is not None or time.monotonic() < self._told_at + _REPEAT_S:
            return
        self._told_at = time.monotonic()
        _log.error("a broker of %s refuses this client: %s", self._settings.bootstrap_servers, text)


def _pauses() -> Iterator[float]:
    yield from _PAUSES_S
    while True:
        yield _PAUSES_S[-1]


def _sleep(pause_s: float) -> bool:
    time.sleep(pause_s)
    return False


_outages: dict[frozenset[tuple[str, str]], Outage] = {}


def outage_of(settings: Settings) -> Outage:
    """The `Outage` of all clients with these settings."""
    return _outages.setdefault(frozenset(settings.kafka.items()), Outage(settings))


class Quiet(logging.Filter):
    """Drops librdkafka's lines about lost connections, which `Outage` reports; keeps one line a minute of each other kind."""

    def __init__(self) -> None:
        super().__init__()
        self._next_at: Mapping[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the line."""
        kind = record.getMessage().partition(" ")[0]
        now = time.monotonic()
        if kind in ("FAIL", "ERROR") or now < self._next_at.get(kind, 0.0):
            return False
        self._next_at = {**self._next_at, kind: now + _REPEAT_S}
        return True
