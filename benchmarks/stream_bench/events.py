"""The input of all contenders: events for the scorer, and ready features of the same events for the hand-written loop.

Every event has a number. The outputs carry enough to find it again: the scorer's outputs by (device, run, seq), the loop's
outputs directly.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from confluent_kafka import Producer

from aimaas.fleet import FleetSpec
from aimaas.kafka import producer_config
from aimaas.settings import Settings
from model_bench.fitting import features_of
from stream.devices.histories import Histories
from stream.devices.producer import Encoder, KeyValue
from stream.devices.simulator import device_id, simulate
from stream_bench.champion import Champion

_SEED = 11
_CHUNK = 50_000


@dataclass(frozen=True)
class Load:
    """n events in the order of sending: `places` (device, run, seq) and the `expected` answers (n,) float32."""

    events: Sequence[KeyValue]
    features: Sequence[KeyValue]
    places: dict[tuple[str, int, int], int]
    expected: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.events)


def make_load(fleet: FleetSpec, champion: Champion, devices: int, events: int) -> Load:
    """Return `events` events of `devices` simulated devices, in the order of time.

    Devices begin new runs until there are enough.
    """
    histories = _lives(fleet, devices, events)
    order = histories.in_time()[:events]
    matrix = features_of(fleet, champion.fit, histories, order)
    made = Encoder(fleet, histories).events(order, histories.times_us(int(time.time() * 1e6))[order])
    keys = [key for key, _ in made]
    names = [histories.devices[d] for d in histories.device[order].tolist()]
    places = zip(names, histories.run[order].tolist(), histories.seq[order].tolist(), strict=True)
    return Load(made, _ready(keys, matrix), {place: i for i, place in enumerate(places)}, champion.predict(matrix))


def _lives(fleet: FleetSpec, devices: int, events: int) -> Histories:
    """Return histories of at least `events` rows: one life of every device after the other, each a run."""
    lives: list[Histories] = []
    while sum(map(len, lives)) < events:
        lives.append(simulate(fleet, devices, _SEED + len(lives)))
    run = np.concatenate([life.run + n for n, life in enumerate(lives)])
    longest = max(int(life.step.max()) for life in lives) + 1
    step = np.concatenate([life.step + n * longest for n, life in enumerate(lives)])
    device, seq, values = (np.concatenate([getattr(life, c) for life in lives]) for c in ("device", "seq", "values"))
    sort = np.lexsort((step, device))
    first = lives[0]
    return Histories(
        first.fleet, first.devices, device[sort], run[sort], seq[sort], step[sort], values[sort], [], first.interval_s
    )


def _ready(keys: Sequence[bytes], matrix: npt.NDArray[np.float32]) -> list[KeyValue]:
    """Return records with only the features: every float32 with the fewest exact digits, which is fastest to decode."""
    made = []
    for begin in range(0, len(keys), 2_000):
        part, of = matrix[begin : begin + 2_000], keys[begin : begin + 2_000]
        texts = pa.array(part.reshape(-1)).cast(pa.string()).to_pylist()
        for i, key in enumerate(of):
            v = ",".join(texts[i * part.shape[1] : (i + 1) * part.shape[1]])
            made.append((key, b'{"device_id":"%b","seq":%d,"v":[%b]}' % (key, begin + i, v.encode())))
    return made


def one_event_each(fleet: FleetSpec, devices: int) -> Iterator[list[KeyValue]]:
    """Yield one event of each of `devices` devices, some thousands at a time."""
    rows = simulate(fleet, 1, _SEED).values
    for begin in range(0, devices, _CHUNK):
        n = min(_CHUNK, devices - begin)
        names, at, one = [device_id(fleet, begin + i) for i in range(n)], np.arange(n), np.ones(n, np.int64)
        histories = Histories(fleet.fleet, names, at, 0 * one, one, 0 * one, rows[at % len(rows)], [])
        yield Encoder(fleet, histories).events(at, histories.times_us(int(time.time() * 1e6)))


def send(settings: Settings, topic: str, records: Sequence[KeyValue]) -> None:
    """Send all records to a topic, each with its device as key."""
    no_limit = {"queue_buffering_max_messages": len(records) + 1, "queue_buffering_max_kbytes": 2_000_000_000}
    producer = Producer(producer_config(settings, **no_limit))
    for i, (key, value) in enumerate(records):
        producer.produce(topic, value, key)
        if i % 1_000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0, f"not all records reached {topic}"
