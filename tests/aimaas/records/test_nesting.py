"""How deep a text is nested is told as a plain walk over it tells it, in time that grows as its bytes do."""

from __future__ import annotations

import time
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.records.nesting import DEEPEST, is_too_deep

PIECES = (b"[", b"]", b"{", b"}", b'"', b"\\", b'\\"', b"\\\\", b'"[', b"x", b"\xff", b"[" * DEEPEST, b"]" * DEEPEST)


def by_the_letter(text: bytes) -> bool:
    """The same, written down as JSON's grammar has it."""
    level = i = 0
    while i < len(text):
        if text[i : i + 1] == b'"':
            i += 1
            while i < len(text) and text[i : i + 1] != b'"':
                i += 2 if text[i : i + 1] == b"\\" else 1
        elif text[i] in b"[{":
            level += 1
            if level > DEEPEST:
                return True
        elif text[i] in b"]}":
            level -= 1
        i += 1
    return False


@settings(deadline=None)  # the first call may compile
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from([b"", b"[" * DEEPEST, b"[" * DEEPEST + b'["']))
def test_any_mix_of_brackets_quotes_and_backslashes_is_as_deep_as_the_letter_says(
    pieces: list[bytes], before: bytes
) -> None:
    text = before + b"".join(pieces)
    assert is_too_deep(text) == by_the_letter(text)


@pytest.mark.parametrize(
    "unit", [b'\\"', b'"', b"\\", b'"\\', b'""', b"[", b"[]", b'["', b'[\\"', b"]"], ids=lambda unit: unit.decode()
)
@pytest.mark.parametrize("before", [b"[" * 257, b"[" * 257 + b'"', b"[" * 200], ids=["", "in a string", "flatter"])
def test_eight_times_the_bytes_take_at_most_ten_times_the_work(before: bytes, unit: bytes) -> None:
    """Of the fastest runs, looked for until they say so, since a busy machine slows some; 20 µs of overhead are nobody's bytes."""
    short, long = (before + unit * (size // len(unit)) for size in (8_000, 64_000))
    fastest = [inf, inf]

    for _ in range(200):
        fastest = [min(known, thread_s(text)) for known, text in zip(fastest, (short, long), strict=True)]
        if fastest[1] <= 10 * fastest[0] + 20e-6:
            return
    pytest.fail(f"{fastest[1] / fastest[0]:.1f} times the work")


def thread_s(text: bytes) -> float:
    """Seconds of the processor that one look takes."""
    begin = time.thread_time_ns()
    is_too_deep(text)
    return (time.thread_time_ns() - begin) / 1e9
