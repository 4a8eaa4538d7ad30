"""Contender (a): consumes and produces, with no work between: the limit of broker and client on this machine.

Started as a program: `raw.py --bootstrap … --source … --target … --group …`; ends on SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import threading

from confluent_kafka import Consumer, Producer

BATCH = 2_000


def main() -> None:
    """Copy records until asked to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bootstrap", "source", "target", "group"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--instance", default="0")
    given = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    producer = Producer(
        {
            "bootstrap.servers": given.bootstrap, "linger.ms": 5, "compression.type": "lz4", "acks": "all",
            "partitioner": "murmur2_random", "queue.buffering.max.messages": 1_000_000,
        }
    )  # fmt: skip
    consumer = Consumer(
        {
            "bootstrap.servers": given.bootstrap, "group.id": given.group, "auto.offset.reset": "earliest",
            "queued.min.messages": 100_000, "fetch.queue.backoff.ms": 20,
        }
    )  # fmt: skip
    consumer.subscribe([given.source])
    while not stop.is_set():
        for message in consumer.consume(BATCH, 0.005):
            if message.error() is None:
                producer.produce(given.target, message.value(), message.key())
        producer.poll(0)
    producer.flush()
    consumer.close()


if __name__ == "__main__":
    main()
