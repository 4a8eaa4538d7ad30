"""Print a fleet's predictions, one JSON object a line: `python predictions.py localhost:9092 iot.turbofan.predictions my-group`.

Needs `pip install confluent-kafka`. Each prediction is printed at least once, also over restarts: records are committed after they
were printed. A consumer that stores them makes that exactly once with the unique key (fleet, device_id, run, seq, ts):
a repeated record violates it.
"""

import json
import signal
import sys

from confluent_kafka import Consumer, KafkaException

stopped = False


def stop(*_: object) -> None:
    """End after the records in hand."""
    global stopped  # noqa: PLW0603 - a signal handler returns nothing
    stopped = True


def main(brokers: str, topic: str, group: str) -> None:
    """Follow the topic until SIGINT or SIGTERM."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": group,
            "isolation.level": "read_committed",  # what an aborted transaction left behind is no prediction
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",  # a group that never read begins at the oldest prediction
        }
    )
    consumer.subscribe([topic])
    try:
        while not stopped:
            messages = consumer.consume(500, timeout=0.5)
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
                event = dict(message.headers() or ())["ce_id"].decode()
                print(json.dumps({**json.loads(message.value()), "event": event}), flush=True)  # noqa: T201 - its output
            if messages:
                consumer.commit(asynchronous=False)
    finally:
        consumer.close()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python predictions.py BROKERS TOPIC GROUP")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    main(*sys.argv[1:])
