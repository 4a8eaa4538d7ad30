"""Events with random headers, keys, times, counters and nestings, by the hundred thousand; `mutated.py` has the known ways."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.stream.fuzz.fuzzed import Fuzzed, Headers

_PIECES = (b"[", b"]", b"{", b"}", b'"', b"\\", b'\\"', b'"[', b'{"a":', b"1", b",", b":", b" ", b"\xff", b"null")
_NAMES = (
    "", "h", "site", "ключ", "a\x00b", "aimaas.replay.of", "aimaas.replay.mac", "aimaas.truncated.value",
    "__connect.errors.offset", "ce_id", "content-type",
)  # fmt: skip
_YEARS = (0, 1, 1899, 1900, 1970, 2025, 2026, 2199, 2200, 9999)
_HEADER_BYTES = 200_000  # of one record: a hundred thousand of them fit into the producer
_TOPICS = ("iot.mill.events", "t", "", "/", "iot.mill.events@", "9" * 300)


def wild(events: list[tuple[bytes, bytes]], count: int, seed: int) -> list[Fuzzed]:
    """`count` of these (key, value) events in their order, each with one to three of its parts replaced at random."""
    rng = random.Random(seed)
    return [_wild(rng, *events[i % len(events)]) for i in range(count)]


def _wild(rng: random.Random, key: bytes | None, value: bytes) -> Fuzzed:
    event, headers, sent_ms, text = json.loads(value), [], 0, None
    for part in rng.sample(("headers", "key", "time", "counter", "nesting", "nothing"), rng.randint(1, 3)):
        match part:
            case "headers":
                headers = _headers(rng)
            case "key":
                key = rng.choice(
                    [None, b"", rng.randbytes(rng.randrange(200)), (key or b"") + b"\x00", (key or b"").upper()]
                )
            case "time":
                event["ts"], sent_ms = _time(rng), rng.choice([0, 1, rng.randrange(2**62)])
            case "counter":
                event[rng.choice(["seq", "run"])] = _counter(rng)
            case "nesting":
                text = _nesting(rng)
    whole = json.dumps(event).encode()
    return Fuzzed(key, whole if text is None else _spliced(rng, whole, text), headers, sent_ms)


def _headers(rng: random.Random) -> Headers:
    few = [
        (rng.choice(_NAMES), rng.choice([None, b"", rng.randbytes(rng.randrange(40)), _place(rng)]))
        for _ in range(rng.randrange(6))
    ]
    size = sum(len(content or b"") for _, content in few)
    return few * min(rng.choice([1, 1, 1, 1, 1, 40, 400]), max(_HEADER_BYTES // max(size, 1), 1))


def _place(rng: random.Random) -> bytes:
    """Coordinates as a device may write them into a header."""
    numbers = [
        rng.choice(["", "-", "+", "00"]) + str(rng.randrange(10 ** rng.choice([1, 9, 18, 30]))) for _ in range(2)
    ]
    return "/".join([rng.choice(_TOPICS), *numbers]).encode() * rng.choice([1, 1, 1, 90])


def _time(rng: random.Random) -> str:
    text = (
        f"{rng.choice(_YEARS):04d}-{rng.randint(0, 13):02d}-{rng.randint(0, 32):02d}"
        f"{rng.choice('TTTt _')}{rng.randint(0, 24):02d}:{rng.randint(0, 60):02d}:{rng.randint(0, 60):02d}"
    )
    zones = ["Z", "Z", "z", "", "+00:00", "-23:59", "+24:00", "+0530"]
    return text + rng.choice(["", "", ".", f".{rng.randrange(10 ** rng.randint(1, 30))}"]) + rng.choice(zones)


def _counter(rng: random.Random) -> Any:
    power = rng.choice([0, 3, 31, 53, 63, 64, 400, 15_000])
    near = 2**power + rng.randint(-2, 2) if power < 15_000 else 10**4_000
    return rng.choice(
        [near, near, -near, float(near) if power < 400 else 0.5, rng.random(), str(near)[:50], None, True, [near % 7]]
    )


def _nesting(rng: random.Random) -> bytes:
    pieces = b"".join(rng.choice(_PIECES) for _ in range(rng.randrange(30)))
    deep = rng.choice(
        [b"", b"[" * rng.choice([200, 300, 5_000]), b'{"a":' * 300, b"[" * 257 + b'"' + b'\\"' * rng.randrange(4_000)]
    )
    return rng.choice([deep + pieces, pieces + deep, pieces * rng.choice([1, 100])])


def _spliced(rng: random.Random, value: bytes, text: bytes) -> bytes:
    """The text for the whole value, as a member of the object, or anywhere in it."""
    at = rng.randrange(len(value))
    return rng.choice([text, value[:-1] + b',"extra":' + text + b"}", value[:at] + text + value[at:]])
