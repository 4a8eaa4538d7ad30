"""A dead letter says what was refused, where and why, and fits into its topic whatever was in the record."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from aimaas.admission.judge import Reason
from aimaas.fleet import load_fleet
from aimaas.kafka import headers_of
from aimaas.topics import topic_names, topic_specs
from stream.records.dead_letters import DeadLetter, Source, dead_letter, original_of, source_of
from tests.conftest import FLEETS
from upkeep.dead_letters.letters import letter_of

FLEET = load_fleet(FLEETS / "mill.yaml")
LIMIT = FLEET.limits.record_bytes
LETTERS = next(s.config for s in topic_specs(FLEET) if s.name == topic_names(FLEET).dead_letters)
BATCH_BYTES = 61  # of a batch's own header, which the client does not count
PRODUCER = Producer(
    {
        "bootstrap.servers": "127.0.0.1:1",
        "message.max.bytes": int(LETTERS["max.message.bytes"]) - BATCH_BYTES,
        "logger": logging.getLogger(__name__),
    }
)


class Message:
    """What a consumed message says of itself."""

    def __init__(self, key: bytes | None, value: bytes | None, headers: Any = None) -> None:
        self._key, self._value, self._headers = key, value, headers

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Any:
        if isinstance(self._headers, Exception):
            raise self._headers
        return self._headers

    def topic(self) -> str:
        return "iot.mill.events"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 41


def letter(message: Message, reason: Reason = Reason.SCHEMA, detail: str = "seq is missing") -> DeadLetter:
    return dead_letter(message, reason, detail, FLEET)


def test_a_dead_letter_keeps_the_record_and_names_its_source_and_reason() -> None:
    found = letter(Message(b"m-1", b"{}", [("site", b"north")]))

    assert (found.key, found.value, found.partition) == (b"m-1", b"{}", 3)
    assert dict(found.headers) == {
        "site": b"north",
        "__connect.errors.topic": b"iot.mill.events",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"41",
        "__connect.errors.exception.class.name": b"schema",
        "__connect.errors.exception.message": b"seq is missing",
    }


def test_an_oversized_value_is_cut_and_its_digest_kept() -> None:
    value = b"x" * (LIMIT + 10)
    found = letter(Message(b"m-1", value), Reason.OVERSIZED)

    assert found.value == value[:LIMIT]
    digest = hashlib.sha256(value).hexdigest()
    assert dict(found.headers)["aimaas.truncated.value"] == f"{LIMIT + 10} bytes sha256:{digest}".encode()


def test_key_headers_and_sentence_are_bounded_too() -> None:
    found = letter(Message(b"k" * 900_000, None, [("h", b"v" * 500_000)]), detail="d" * 100_000)

    size = len(found.key or b"") + sum(len(name) + len(value or b"") for name, value in found.headers)
    assert size < 4_000
    assert {"aimaas.truncated.key", "aimaas.truncated.headers"} <= dict(found.headers).keys()


def test_errors_of_an_earlier_life_do_not_hide_the_new_ones() -> None:
    found = letter(Message(b"m-1", b"{}", [("__connect.errors.offset", b"7")]))

    assert [value for name, value in found.headers if name == "__connect.errors.offset"] == [b"41"]


def test_a_sentence_with_half_a_character_and_headers_that_are_no_text_do_not_stop_it() -> None:
    broken = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    found = letter(Message(b"m-1", b"{}", broken), detail="fleet \ud800")

    assert dict(found.headers)["__connect.errors.exception.message"] == b"fleet \\ud800"
    assert dict(found.headers)["aimaas.truncated.headers"] == b"names are not UTF-8"


def test_headers_without_a_byte_in_them_are_counted_as_kafka_does() -> None:
    few, many = (letter(Message(b"m-1", b"{}", [("", None)] * n)) for n in (900, 700_000))

    assert [h for h in few.headers if h[0] == ""] == [("", None)] * 900
    assert [h for h in many.headers if h[0] == ""] == []
    assert dict(many.headers)["aimaas.truncated.headers"] == b"1400000 bytes in 700000 headers"


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
content = st.none() | st.binary(max_size=3)
drawn_headers = st.lists(st.tuples(text, content), max_size=4)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Records around every limit: what is drawn is repeated, so that it becomes large or many."""
    times = st.sampled_from([1, 7, 400, 30_000])
    key, value = (draw(st.none() | st.binary(max_size=3)) for _ in range(2))
    headers = [(n * draw(times), c and c * draw(times)) for n, c in draw(drawn_headers)]
    many = headers * draw(st.sampled_from([1, 7, 400]))
    return Message(key and key * draw(times), value and value * draw(times), many)


@given(messages(), st.text(max_size=3), st.sampled_from([1, 5_000]))
def test_whatever_came_in_its_dead_letter_can_be_produced(message: Message, detail: str, times: int) -> None:
    found = letter(message, detail=detail * times)

    PRODUCER.produce("any", found.value, found.key, found.partition, headers=found.headers)
    PRODUCER.purge()


@pytest.mark.parametrize(
    "text",
    ["t/0/" + "9" * 5_000, "t/" + "9" * 5_000 + "/1", "9" * 5_000_000, "/" * 100_000, "t/0/" + "0" * 100_000,
     "t/0/9223372036854775807", "t/0/9223372036854775808", "t/2147483648/0", "t/00/1", "t/0/+1", "t/0/1_0", "t/0/1 ",
     "t/0/٣", "/0/1", "t//1", "0/1", ""],
)  # fmt: skip
def test_a_text_that_names_no_place_of_kafka_names_no_source(text: str) -> None:
    assert Source.parse(text) is None
    assert original_of(Message(b"k", b"{}", [("aimaas.replay.of", text.encode())]), "t") is None


@given(st.text(min_size=1, max_size=200), st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 2))
def test_a_source_is_read_back_from_its_text(topic: str, partition: int, offset: int) -> None:
    source = Source(topic, partition, offset)

    assert Source.parse(str(source)) == source


@given(st.lists(st.tuples(st.sampled_from(["aimaas.replay.of", "ce_id", "__connect.errors.offset"]), st.binary())))
def test_no_header_stops_who_reads_it(headers: Any) -> None:
    message = Message(b"k", b"{}", headers)

    assert original_of(message, "t") is None
    assert source_of(message) is None
    assert letter_of(message) is None


def test_headers_whose_names_are_no_text_are_passed_over() -> None:
    message = Message(b"k", b"{}", UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))

    assert original_of(message, "t") is None
    assert source_of(message) is None
    assert letter_of(message) is None
    assert headers_of(message) == {}
