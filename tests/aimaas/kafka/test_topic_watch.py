"""Whether a topic is still the one that it was: what the cluster's answers come to, with answers made by hand."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any
from unittest.mock import Mock

import pytest
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from aimaas.errors import KafkaError
from aimaas.kafka import topic_watch
from aimaas.kafka.topic_watch import LOOK_S, TopicMadeAnewError, TopicWatch
from aimaas.settings import Settings

EVENTS = "iot.pump.events"
GONE = KafkaException(ClientError(ClientError.UNKNOWN_TOPIC_OR_PART))
AWAY = KafkaException(ClientError(ClientError._TRANSPORT))


class Description:
    def __init__(self, topic_id: str) -> None:
        self.topic_id = topic_id


class Cluster:
    """Answers in the order in which they are listed; the last one again and again."""

    def __init__(self, *answers: str | Exception | None) -> None:
        self.answers, self.asked = list(answers), 0

    def ask(self, _: Any, topics: list[str]) -> dict[str, Future[Any]]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        found: Future[Any] = Future()
        if isinstance(answer, Exception):
            found.set_exception(answer)
        elif answer is not None:
            found.set_result(Description(answer))
        return dict.fromkeys(topics, found)


@pytest.fixture
def watch_of(offline_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(
        *answers: str | Exception | None, known: str | None = "old", partitions: int = 4
    ) -> tuple[TopicWatch, Cluster]:
        cluster = Cluster(*answers)
        monkeypatch.setattr(topic_watch, "admin", lambda _: Mock())
        monkeypatch.setattr(topic_watch, "ask_for_ids", cluster.ask)
        monkeypatch.setattr(topic_watch, "_PAUSE_S", 0.0)
        return TopicWatch(offline_settings, {EVENTS: known}, partitions), cluster

    return made


def looks(watch: TopicWatch, times: int) -> None:
    for i in range(2 * times):
        watch.look(i * LOOK_S)


def test_a_topic_that_stays_what_it_was_is_asked_for_now_and_then_and_nothing_is_said(watch_of: Any) -> None:
    watch, cluster = watch_of("old")
    for tenth in range(100):
        watch.look(tenth / 10)
    assert cluster.asked == 2


def test_another_id_ends_the_watch_with_both_ids(watch_of: Any) -> None:
    watch, _ = watch_of("old", "new")
    with pytest.raises(TopicMadeAnewError, match=r"its id was old and is new.*Start again"):
        looks(watch, 3)


def test_the_first_answer_is_what_a_topic_is_known_by_where_nobody_knows_more(watch_of: Any) -> None:
    watch, _ = watch_of("any", "any", "other", known=None)
    looks(watch, 1)
    with pytest.raises(TopicMadeAnewError, match="was any and is other"):
        looks(watch, 3)


def test_a_topic_is_deleted_when_it_is_missing_twice_and_a_cluster_that_is_away_says_nothing(watch_of: Any) -> None:
    watch, _ = watch_of(AWAY, GONE, "old", AWAY)
    looks(watch, 5)
    watch, _ = watch_of(GONE)
    with pytest.raises(TopicMadeAnewError, match="was deleted: create it with `aimaas topics create`"):
        looks(watch, 3)


def test_a_question_is_confirmed_by_the_known_id_also_after_a_pause_of_the_cluster(watch_of: Any) -> None:
    watch, cluster = watch_of(AWAY, GONE, "old")
    watch.ask(EVENTS, 0.0).confirm()
    assert cluster.asked == 3
    watch, _ = watch_of(AWAY, "new")
    with pytest.raises(TopicMadeAnewError):
        watch.ask(EVENTS, 0.0).confirm()


def test_a_refused_question_is_told_at_once(watch_of: Any) -> None:
    watch, cluster = watch_of(KafkaException(ClientError(ClientError.TOPIC_AUTHORIZATION_FAILED)))
    with pytest.raises(KafkaError, match=f"ask for the id of {EVENTS}"):
        watch.ask(EVENTS, 0.0).confirm()
    assert cluster.asked == 1


def test_every_commit_asks_of_a_topic_with_few_partitions(watch_of: Any) -> None:
    watch, _ = watch_of(None)
    assert None not in [watch.ask(EVENTS, 0.0) for _ in range(3)]


def test_questions_of_a_topic_with_many_partitions_take_a_tenth_of_the_time_at_most(watch_of: Any) -> None:
    watch, _ = watch_of(None, partitions=1_000)
    first = watch.ask(EVENTS, 0.0)
    first.clock.took_s = 0.2

    assert watch.ask(EVENTS, first.clock.began + 1.9) is None
    assert watch.ask(EVENTS, first.clock.began + 2.1) is not None
