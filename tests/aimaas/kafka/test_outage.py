"""An outage is told once when it begins and once when it is over; what lasts is raised. Probes are scripted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError as ClientError

from aimaas.errors import KafkaLastingError
from aimaas.kafka import outage
from aimaas.kafka.connection import Cause
from aimaas.kafka.outage import Outage, Quiet
from aimaas.settings import Settings

AWAY, REFUSED = Cause("Connection refused", lasts=False), Cause("user 'x' is not let in", lasts=True)


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[Cause | None]:
    """What the probes find, one after the other."""
    found: list[Cause | None] = []
    monkeypatch.setattr(outage, "why_unreachable", lambda *_: found.pop(0))
    return found


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    with caplog.at_level(logging.INFO, logger="aimaas.kafka"):
        yield caplog.messages


def test_one_line_when_it_begins_and_one_when_it_is_over(
    offline_settings: Settings, probes: list[Cause | None], caplog: pytest.LogCaptureFixture
) -> None:
    probes += [AWAY, AWAY, AWAY, None]

    assert Outage(offline_settings).wait(lambda _: False, "score")

    away, back = caplog.messages
    assert away == "Kafka is out of reach at 127.0.0.1:1: Connection refused; waiting for it"
    assert back.startswith("Kafka answers again, after")


def test_a_cluster_that_answers_is_no_outage(
    offline_settings: Settings, probes: list[Cause | None], caplog: pytest.LogCaptureFixture
) -> None:
    probes += [None]
    assert Outage(offline_settings).wait(lambda _: False, "score")
    assert caplog.messages == []


def test_what_a_person_must_mend_is_raised_at_once_by_who_waits(
    offline_settings: Settings, probes: list[Cause | None]
) -> None:
    probes += [AWAY, REFUSED]
    with pytest.raises(KafkaLastingError, match=r"score: no connection to 127\.0\.0\.1:1: user 'x' is not let in"):
        Outage(offline_settings).wait(lambda _: False, "score")


def test_who_gives_up_is_told_that_it_does_not_answer(offline_settings: Settings, probes: list[Cause | None]) -> None:
    probes += [AWAY]
    assert not Outage(offline_settings).wait(lambda _: True, "score")


def test_a_client_that_is_refused_while_it_runs_ends_once_that_has_lasted(
    offline_settings: Settings, probes: list[Cause | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    probes += [REFUSED, AWAY, REFUSED, REFUSED, REFUSED]  # a broker that starts may refuse for a moment
    now = iter(range(0, 1000, 3))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(threading, "Thread", _AtOnce)
    watched = Outage(offline_settings)

    watched.told(ClientError(ClientError._AUTHENTICATION))

    assert probes == []
    with pytest.raises(KafkaLastingError):
        watched.raise_if_lasting("score")


class _AtOnce:
    def __init__(self, target: Callable[..., object], args: tuple[object, ...], **_: object) -> None:
        self._target, self._args = target, args

    def start(self) -> None:
        self._target(*self._args)


def test_the_clients_own_lines_of_lost_connections_are_dropped_and_others_come_once_a_minute() -> None:
    quiet = Quiet()
    kept = [
        quiet.filter(_line(text))
        for text in ("FAIL [x]: gone", "MAXPOLL [x]: late", "MAXPOLL [x]: late", "ERROR [x]: 1/1")
    ]
    assert kept == [False, True, False, False]


def _line(text: str) -> logging.LogRecord:
    return logging.LogRecord("kafka", logging.ERROR, "", 0, text, (), None)
