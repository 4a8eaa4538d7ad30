"""Real events spoiled in every way that a broken sender is known for; a seed decides.

They must be of devices that nobody else uses, so that one which stays valid does not make the events around it late.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from tests.stream.fuzz.fuzzed import Fuzzed, Headers, json_bytes


def mutated(events: list[tuple[bytes, bytes]], count: int, record_bytes: int, seed: int) -> list[Fuzzed]:
    """`count` spoiled ones of these (key, value) events in their order, each way as often. `record_bytes`: the fleet's limit."""
    ways = [*_WAYS, _at_size(record_bytes)]
    rng = random.Random(seed)
    return [ways[i % len(ways)](rng, *events[i % len(events)]) for i in range(count)]


def at_broker_limit(key: bytes, value: bytes, batch_bytes: int, count: int) -> list[Fuzzed]:
    """Records about as large as the broker takes (`batch_bytes` of a topic), and larger ones: it weighs what is compressed."""
    rng = random.Random(0)
    room = batch_bytes - 200 - len(key)
    noise = [Fuzzed(key, rng.randbytes(room - 7 * i)) for i in range(count)]
    padded = [Fuzzed(key, _padded(value, batch_bytes + 100_000 * i)) for i in range(count)]
    padded.append(Fuzzed(key, _padded(value, 16 * batch_bytes)))
    headers = Fuzzed(key, value, [("", None)] * 700_000)
    return [*noise, *padded, headers, Fuzzed(rng.randbytes(room // 2), value), Fuzzed(b"k" * 2 * batch_bytes, None)]


def _padded(value: bytes, size: int) -> bytes:
    """The event with a key that nobody asked for, `size` bytes in all."""
    empty = value[:-1] + b',"padding":""}'
    return empty[:-2] + b"x" * (size - len(empty)) + empty[-2:]


Way = Callable[[random.Random, bytes, bytes], Fuzzed]


def _at_size(limit: int) -> Way:
    """Exactly as large as allowed, or by a byte larger."""
    return lambda rng, key, value: Fuzzed(key, _padded(value, limit + rng.randrange(2)))


def _truncated(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    return Fuzzed(key, value[: rng.randrange(len(value))])


def _flipped(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    changed = bytearray(value)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return Fuzzed(key, bytes(changed))


def _spliced(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    begin, end = sorted((rng.randrange(len(value)), rng.randrange(len(value))))
    at = rng.randrange(len(value))
    return Fuzzed(key, value[:at] + value[begin:end] + value[at:])


def _recoded(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    text = value.decode().replace("device_id", rng.choice(["device_id", "dévice_id"]))
    encoding = rng.choice(
        ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "cp037", "utf-7", "rot13"]
    )
    if encoding == "rot13":
        return Fuzzed(key, bytes(b ^ 0x80 for b in value))
    return Fuzzed(key, text.encode(encoding))


_NUMBERS = (
    "NaN", "nan", "-NaN", "Infinity", "-Infinity", "inf", "1.#INF", "+1", ".5", "5.", "01", "0x10", "1_000", "1e5", "1e400",
    "-1e400",
    "1e-400", "5e-324", "1e308", "1e38", "-0.0", "-0", "1E+2", "1e99999999999999999999", "null", "true", '"1"', "[1]", "{}",
    "", "1,5",
    "9" * 19, "9" * 20, "1" * 400, "1" * 5_000, "0." + "1" * 5_000, "-9223372036854775809", "18446744073709551616",
    "9007199254740993",
)  # fmt: skip


def _number(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    """One of the event's numbers in another spelling."""
    event = json.loads(value)
    place = rng.choice(["run", "seq", *event["readings"]])
    (event if place in event else event["readings"])[place] = "@"
    return Fuzzed(key, json_bytes(event).replace(b'"@"', rng.choice(_NUMBERS).encode()))


def _nested(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    depth = rng.choice([50, 250, 500, 900, 1_100, 5_000, 30_000])
    opening, closing = rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    closed = closing * depth if rng.random() < 0.7 else b""
    deep = (opening * depth)[:40_000] + b"1" + closed[:20_000]
    where = rng.choice([b'"extra":%s,', b'"readings":%s,', b'"device_id":%s,'])
    return Fuzzed(key, rng.choice([deep, b"{" + where % deep + value[1:]]))


_IDS = (
    "Ω-7", "насос", "ポンプ-1", "\u202egnop", "e\u0301", "é", "👩‍🚀", "\ufeff", "\ufffe", "\U0010ffff", "\x00", "\x7f",
    "a\x00b", " ", "\n",
    "x" * 128, "x" * 129, "Ж" * 128, "👾" * 128, '"', "\\", "../../etc", "%s%n{}", "\u2028", "mutated\u0000", "\ud800",
    "\udfff\ud800", "",
)  # fmt: skip


def _named(rng: random.Random, _: bytes, value: bytes) -> Fuzzed:
    """Another device id, as text or as escapes; most of these are good."""
    event = json.loads(value)
    event["device_id"] = rng.choice(_IDS)
    ascii_only = rng.random() < 0.5
    encoded = json.dumps(event, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    return Fuzzed(event["device_id"].encode("utf-8", "surrogatepass"), encoded)


def _odd_keys(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    """Unknown, odd and doubled keys of the object."""
    extra = rng.choice(
        [b'"\\ud800":1', b'"\\udc00\\ud800":"\\ud83d"', b'"\xed\xa0\x80":1', b'"\\u0000":0', b'"":{}', b'"%s":1' % (b"k" * 30_000),
         b'"seq":3', b'"seq":"3"', b'"device_id":"other"', b'"readings":{}', b'"readings":null', b'"fleet":"other"', b'"ts":0',
         b'"FLEET":1', b'"s\xc3\xa92":1', b'"\\u0066leet":"x"', b'"x":"\\uZZZZ"', b'"x":"\x01"', b'"x":"\\x41"', b"seq:3", b"'x':1"]
    )  # fmt: skip
    changed = b"{" + extra + b"," + value[1:] if rng.random() < 0.5 else value[:-1] + b"," + extra + b"}"
    return Fuzzed(key, changed)


def _null_bytes(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    at = rng.randrange(len(value))
    return rng.choice(
        [Fuzzed(key, value[:at] + b"\x00" + value[at:]), Fuzzed(key, value + b"\x00"), Fuzzed(key + b"\x00", value),
         Fuzzed(b"\x00", b"\x00"), Fuzzed(key, b"\x00" * 500)]
    )  # fmt: skip


def _without(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    return rng.choice(
        [Fuzzed(key, None), Fuzzed(None, None), Fuzzed(None, value), Fuzzed(b"", value), Fuzzed(key, b"")]
    )


_TIMES = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59",
    "2199-12-31T23:59:59Z",
    "1970-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T23:59:60Z", "2026-01-01 00:00:00Z", "2026-01-01t00:00:00z",
    "20260101T000000Z",
    "2026-01-01T00:00:00", "2026-01-01", "2026-01-01T00:00:00.1234567891234Z", "2026-01-01T00:00:00+99:99",
    "-0001-01-01T00:00:00Z",
    "+12026-01-01T00:00:00Z", "1900-01-01T00:00:00+05:53:28", "２０２６-01-01T00:00:00Z", "", "now", "0",
    "2026-01-01T00:00:00Z\x00",
)  # fmt: skip


def _timed(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    """Another time in the event, and one that the sender claims for the record."""
    event = json.loads(value) | {"ts": rng.choice(_TIMES)}
    return Fuzzed(key, json_bytes(event), [], rng.choice([0, 1, 2**31, 2**41, 253_402_300_799_999, 2**53, 2**62]))


_HEADERS: tuple[Headers, ...] = (
    [("", b""), ("", None)], [("h", None)] * 400, [("", None)] * 30_000, [("h", b"x" * 16_384)], [("h", b"x" * 40_000)],
    [("x" * 20_000, b"")],
    [("__connect.errors.offset", b"7"), ("__connect.errors.topic", b"\xff")], [("ce_id", b"\x00\xff"), ("ce_type", b"")],
    [("ключ", b"\xff")],
    [("aimaas.truncated.value", b"1 bytes")], [("a\x00b", b"1")], [("", None)] * 1_001,
    [("aimaas.replay.of", b"iot.mill.events/0/" + b"9" * 5_000)], [("aimaas.replay.of", b"/" * 20_000)],
    [("aimaas.replay.of", b"iot.mill.events/4294967296/99999999999999999999")], [("aimaas.replay.of", None)],
    [("content-type", b"text/html"), ("content-type", b"\xf0\x9f")],
)  # fmt: skip


def _odd_headers(rng: random.Random, key: bytes, value: bytes) -> Fuzzed:
    """Headers that nobody expects, on a good event or a bad one."""
    return Fuzzed(key, rng.choice([value, value[:-1], None]), rng.choice(_HEADERS))


def _as_it_is(_: random.Random, key: bytes, value: bytes) -> Fuzzed:
    """Good, a duplicate or late."""
    return Fuzzed(key, value)


_WAYS: tuple[Way, ...] = (
    _truncated, _flipped, _spliced, _recoded, _number, _number, _nested, _named, _odd_keys, _null_bytes, _without, _timed,
    _odd_headers,
    _as_it_is,
)  # fmt: skip
