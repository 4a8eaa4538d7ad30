"""A dead letter says what was refused, where and why, and fits into its topic whatever was in the record."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from aimaas.admission import Reason
from aimaas.fleet import load_fleet
from stream.records.dead_letters import DeadLetter, dead_letter

FLEET = load_fleet(Path(__file__).resolve().parents[2] / "fleets" / "mill.yaml")
LIMIT = FLEET.limits.record_bytes


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
