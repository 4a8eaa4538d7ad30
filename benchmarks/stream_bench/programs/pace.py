"""Sends records at an even rate and notes when it passed each one to its client. A separate process shares no lock.

Started by `pacing`: `pace.py --bootstrap … --topic … --rate … --records FILE --times FILE`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from confluent_kafka import Producer

_TICK_S = 0.001


def main() -> None:
    """Send, then write the times (n,) float64, monotonic seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bootstrap", "topic", "rate", "records", "times"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    records = msgspec.msgpack.decode(Path(given.records).read_bytes(), type=list[tuple[bytes, bytes]])
    producer = Producer(
        {
            "bootstrap.servers": given.bootstrap, "linger.ms": 0, "acks": "all", "enable.idempotence": True,
            "partitioner": "murmur2_random",
        }
    )  # fmt: skip
    producer.list_topics(given.topic, timeout=15)  # connects before the clock runs
    np.save(given.times, _send(producer, given.topic, records, float(given.rate)))
    assert producer.flush(60) == 0, "not all records were sent"


def _send(
    producer: Producer, topic: str, records: Sequence[tuple[bytes, bytes]], rate: float
) -> npt.NDArray[np.float64]:
    times = np.zeros(len(records))
    begin, done = time.monotonic(), 0
    while done < len(records):
        due = min(int((time.monotonic() - begin) * rate) + 1, len(records))
        for i in range(done, due):
            key, value = records[i]
            times[i] = time.monotonic()
            producer.produce(topic, value, key)
        done = due
        producer.poll(0)
        time.sleep(_TICK_S)
    return times


if __name__ == "__main__":
    main()
