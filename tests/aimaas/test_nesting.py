"""How deep a text is nested is told as a plain walk over it tells it, in time that grows as its bytes do."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.nesting import DEEPEST, is_too_deep

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
    """The fastest of many runs, so that a busy machine does not count; an overhead of 20 µs is nobody's bytes."""
    short, long = (before + unit * (size // len(unit)) for size in (8_000, 64_000))

    assert fastest_s(long) <= 10 * fastest_s(short) + 20e-6


def fastest_s(text: bytes) -> float:
    found = []
    for _ in range(20):
        begin = time.thread_time_ns()
        is_too_deep(text)
        found.append(time.thread_time_ns() - begin)
    return min(found) / 1e9
