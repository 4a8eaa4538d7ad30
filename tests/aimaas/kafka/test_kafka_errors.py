"""What confluent-kafka raises becomes one error of ours, whichever way it ran out of time."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

import pytest

from aimaas.errors import KafkaError
from aimaas.kafka.failures import kafka_errors
from aimaas.settings import Settings


def test_an_answer_that_is_given_up_before_the_client_gives_it_up_is_an_error_of_kafka_too(
    offline_settings: Settings, free_port: int
) -> None:
    nobody = replace(offline_settings, kafka={"bootstrap.servers": f"127.0.0.1:{free_port}"})
    unanswered: Future[None] = Future()

    with pytest.raises(KafkaError, match="look at it: no broker answers"), kafka_errors(nobody, "look at it"):
        unanswered.result(0)
