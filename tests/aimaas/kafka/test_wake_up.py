from __future__ import annotations

import uuid

from aimaas.kafka.wake_up import decide


def test_a_burst_of_records_wakes_up_once_and_a_record_after_it_again() -> None:
    topic = f"iot.{uuid.uuid4().hex}.outcomes"

    first = decide(topic, 2, 40, taken_ms=1_000, now_ms=5_000)
    burst = [decide(topic, 2, offset, taken_ms=1_001, now_ms=6_000) for offset in range(41, 99)]
    later = decide(topic, 0, 7, taken_ms=5_001, now_ms=6_000)

    assert first == {"topic": topic, "partition": 2, "offset": 40}
    assert burst == [None] * 58, "the run that the first record started takes these too"
    assert later == {"topic": topic, "partition": 0, "offset": 7}
    assert decide(f"{topic}2", 0, 0, taken_ms=1_000, now_ms=6_000) is not None, "each topic has its own"
