"""Dead letters: what a record that is not admitted becomes, so that nothing is dropped in silence.

The record keeps key, value and headers and gets Kafka Connect's error headers: where it was read, the reason (as
`exception.class.name`) and a sentence. What does not fit beside them is cut, with its size and digest in further headers.

A dead letter that is sent again says in `REPLAY_OF` where the original was read; whatever is made of the copy is of that original.
`REPLAY_MAC` beside it proves that a replay wrote it: a device may write any header, and it counts for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from aimaas.admission import Reason
from aimaas.fleet import FleetSpec
from stream.records.replay_mac import is_genuine, replay_mac

PREFIX = "__connect.errors."
REPLAY_OF = "aimaas.replay.of"  # on a copy in the events topic: topic/partition/offset of the original event
REPLAY_MAC = "aimaas.replay.mac"  # beside it: the proof, see `stream.records.replay_mac`
TRUNCATED = "aimaas.truncated."  # + key | value | headers: "<bytes> sha256:<hex>" of what was there before the cut
_KEY_BYTES = 1_024  # a device id has at most 128 characters
_HEADER_BYTES = 16_384
_DETAIL_CHARACTERS = 1_000

Header = tuple[str, bytes | None]


class Source(NamedTuple):
    """Where a record was read; its text is `topic/partition/offset`, as `ce_id` has it."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Source | None:
        """Read the text back; None where it is no such text."""
        topic, *places = text.rsplit("/", 2)
        if not topic or len(places) != 2 or not all(p.isascii() and p.isdecimal() for p in places):
            return None
        return cls(topic, int(places[0]), int(places[1]))


class DeadLetter(NamedTuple):
    """A record for the dead-letter topic, in the partition that its source had."""

    key: bytes | None
    value: bytes | None
    partition: int
    headers: list[Header]


def dead_letter(message: Any, reason: Reason, detail: str, fleet: FleetSpec) -> DeadLetter:
    """The dead letter of a consumed message (of confluent-kafka) that was refused with `reason`."""
    key, key_cut = _cut(message.key(), _KEY_BYTES, "key")
    value, value_cut = _cut(message.value(), fleet.limits.record_bytes, "value")
    headers, headers_cut = _kept_headers(message)
    return DeadLetter(
        key,
        value,
        message.partition(),
        [*headers, *key_cut, *value_cut, *headers_cut, *_errors(message, reason, detail)],
    )


def replay_headers(secret: str, original: Source, key: bytes | None, value: bytes | None) -> list[Header]:
    """The headers of a copy of `original` with this key and value."""
    return [
        (REPLAY_OF, str(original).encode()),
        (REPLAY_MAC, replay_mac(secret, str(original), key, value).encode()),
    ]


def replay_of(
    headers: Iterable[Header] | None, topic: str, key: bytes | None, value: bytes | None, secret: str | None
) -> Source | None:
    """The original in `topic` that a record is a copy of, by its headers; None where it is an original itself.

    Headers that no replay with the key `secret` wrote count for nothing; without a `secret` all of them do.
    """
    named = {name: content or b"" for name, content in reversed([*(headers or ())])}  # of several the first
    source = Source.parse(named.get(REPLAY_OF, b"").decode("utf-8", "replace"))
    if secret is None or source is None or source.topic != topic:
        return None
    return source if is_genuine(named.get(REPLAY_MAC, b""), secret, str(source), key, value) else None


def original_of(message: Any, topic: str, secret: str | None = None) -> Source | None:
    """The original in `topic` that a consumed message is a copy of; None where it is an original itself."""
    if secret is None or not claims_copy(message):
        return None
    return replay_of(message.headers(), topic, message.key(), message.value(), secret)


def claims_copy(message: Any) -> bool:
    """Whether a consumed message's headers say that it is a copy, rightly or not."""
    with suppress(UnicodeDecodeError):  # a device may name its headers by any bytes
        return any(name == REPLAY_OF for name, _ in message.headers() or ())
    return False


def _kept_headers(message: Any) -> tuple[list[Header], list[Header]]:
    """The record's own headers, or where they are too large or no text none of them and a note."""
    try:
        found: list[Header] = [h for h in message.headers() or () if not h[0].startswith((PREFIX, TRUNCATED))]
    except UnicodeDecodeError:
        return [], [(f"{TRUNCATED}headers", b"names are not UTF-8")]
    size = sum(len(name) + len(content or b"") for name, content in found)
    if size > _HEADER_BYTES:
        return [], [(f"{TRUNCATED}headers", b"%d bytes" % size)]
    return found, []


def _errors(message: Any, reason: Reason, detail: str) -> list[Header]:
    return [
        (f"{PREFIX}topic", message.topic().encode()),
        (f"{PREFIX}partition", b"%d" % message.partition()),
        (f"{PREFIX}offset", b"%d" % message.offset()),
        (f"{PREFIX}exception.class.name", reason.label.encode()),
        (f"{PREFIX}exception.message", detail[:_DETAIL_CHARACTERS].encode("utf-8", "backslashreplace")),
    ]


def _cut(content: bytes | None, limit: int, name: str) -> tuple[bytes | None, list[Header]]:
    """The first `limit` bytes, with a header that tells size and digest of the whole where something was cut."""
    if content is None or len(content) <= limit:
        return content, []
    note = f"{len(content)} bytes sha256:{hashlib.sha256(content).hexdigest()}"
    return content[:limit], [(f"{TRUNCATED}{name}", note.encode())]
