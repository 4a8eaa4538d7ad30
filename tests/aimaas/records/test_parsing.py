"""What a record costs to judge grows as its bytes do, whatever they are."""

from __future__ import annotations

import time

import pytest

from aimaas.admission.judge import Judge
from tests.aimaas.records.test_event_schema import FLEETS

JUDGE = Judge(FLEETS["seq"])
EVENT = (
    b'{"fleet":"pump","device_id":"d","run":0,"seq":%s,"ts":"2026-11-29T10:00:00Z",'
    b'"readings":{"o":%s,"a":2,"n":null},"other":%s}'
)
UNITS = {
    "brackets, then escaped quotes": (b"[" * 257 + b'"', b'\\"', b""),
    "brackets": (b"", b"[", b""),
    "digits of a counter": (EVENT.split(b"%s")[0], b"9", b',"x":1}'),
    "digits of a reading": (EVENT.split(b',"a"')[0].replace(b"%s", b"1", 1).partition(b"%s")[0], b"9", b"}}"),
    "digits that nobody asked for": ((EVENT % (b"1.0", b"1", b"%s")).partition(b"%s")[0], b"9", b"}"),
    "a string": ((EVENT % (b"1.0", b"1", b'"%s')).partition(b"%s")[0], b"\\u00e9", b'"}'),
    "half characters": ((EVENT % (b"1.0", b"1", b'"%s')).partition(b"%s")[0], b"\\ud800", b'"}'),
    "doubled names": ((EVENT % (b"1.0", b"1", b"1%s")).partition(b"%s")[0], b',"seq":"1"', b',"seq":1}'),
    "other names": ((EVENT % (b"1.0", b"1", b'{"":1%s')).partition(b"%s")[0], b',"a":NaN', b"}}"),
    "a device's name": (b'{"fleet":"pump","device_id":"', b"x", b'","seq":1}'),
    "a foreign fleet": (b'{"fleet":"', b"x", b'","seq":1}'),
    "no text": (b"", b"\xff", b""),
}  # fmt: skip


@pytest.mark.parametrize("what", UNITS)
def test_64_kb_cost_at_most_ten_times_8_kb(what: str) -> None:
    """The fastest of many, in processor time, so that a busy machine does not count."""
    before, unit, after = UNITS[what]
    short, long = (before + unit * ((size - len(before) - len(after)) // len(unit)) + after for size in (8_000, 64_000))

    assert fastest_s(long) <= 10 * fastest_s(short) + 100e-6


def fastest_s(value: bytes) -> float:
    found = []
    for _ in range(15):
        begin = time.thread_time_ns()
        JUDGE.decode([b"d"], [value])
        found.append(time.thread_time_ns() - begin)
    return min(found) / 1e9
