"""A header counts only on the record that a replay wrote it for, and only with the key."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.records.dead_letters import Header, Source, original_of, replay_headers
from stream.records.replay_mac import replay_mac
from stream.scorer.scoring import sources_of

TOPIC = "iot.mill.events"
ORIGINAL = Source(TOPIC, 0, 7)
SECRET = "s3cret"

Part = tuple[str, bytes | None, bytes | None]


class Message:
    def __init__(self, headers: list[Header] | None, key: bytes | None = b"m-1", value: bytes | None = b"{}") -> None:
        self.headers, self.key, self.value = lambda: headers, lambda: key, lambda: value


maybe = st.none() | st.binary(max_size=4)
covered = st.tuples(st.text(max_size=4), maybe, maybe)


@given(covered, covered)
def test_two_proofs_are_equal_only_for_the_same_original_key_and_value(one: Part, other: Part) -> None:
    assert (replay_mac(SECRET, *one) == replay_mac(SECRET, *other)) == (one == other)


@given(maybe, maybe)
def test_what_a_replay_wrote_is_recognised_whatever_the_record(key: bytes | None, value: bytes | None) -> None:
    written = replay_headers(SECRET, ORIGINAL, key, value)
    assert original_of(Message([("site", None), *written], key, value), TOPIC, SECRET) == ORIGINAL


GENUINE = replay_headers(SECRET, ORIGINAL, b"m-1", b"{}")


@pytest.mark.parametrize(
    "message",
    [
        Message(GENUINE, key=b"m-2"),
        Message(GENUINE, value=b"{ }"),
        Message(GENUINE, value=None),
        Message(GENUINE[:1]),
        Message(GENUINE[1:]),
        Message([GENUINE[0], ("aimaas.replay.mac", None)]),
        Message([GENUINE[0], ("aimaas.replay.mac", b"\xff" * 64)]),
        Message([("aimaas.replay.of", f"{TOPIC}/0/8".encode()), GENUINE[1]]),
        Message([("aimaas.replay.of", f"{TOPIC}/0/8".encode()), *GENUINE]),  # of several headers the first
        Message(replay_headers("another", ORIGINAL, b"m-1", b"{}")),
        Message([("aimaas.replay.of", b"9" * 5_000), ("aimaas.replay.mac", b"0" * 64)]),
        Message(None),
    ],
)
def test_any_other_header_is_ignored(message: Message) -> None:
    assert original_of(message, TOPIC, SECRET) is None


def test_without_a_key_no_header_counts() -> None:
    assert original_of(Message(GENUINE), TOPIC) is None


def test_a_copy_without_proof_is_an_event_of_its_own_and_is_counted() -> None:
    forged = Message([("aimaas.replay.of", str(ORIGINAL).encode())])
    messages = [Message(None), forged, Message(GENUINE), Message([("site", b"x")])]
    part: Any = SimpleNamespace(partition=2, messages=messages, records=SimpleNamespace(offsets=np.arange(5, 9)))
    counted: list[None] = []

    found = sources_of(part, TOPIC, SECRET, lambda: counted.append(None))

    assert found == [f"{TOPIC}/2/5", f"{TOPIC}/2/6", str(ORIGINAL), f"{TOPIC}/2/8"]
    assert len(counted) == 1
