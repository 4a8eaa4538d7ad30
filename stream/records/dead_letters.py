"""Dead letters: the copies of refused records, so that no record is dropped silently.

The record keeps key, value and headers and gets Kafka Connect's error headers: its coordinates, the reason (as
`exception.class.name`) and a sentence. A part that is too large is cut, and further headers hold its size and digest.

A dead letter that is sent again names the coordinates of the original in `REPLAY_OF`. Everything derived from the copy
counts for that original. `REPLAY_MAC` beside it proves that a replay wrote it. Without that proof `REPLAY_OF` counts for
nothing, because a device may write any header.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from aimaas.admission.judge import Reason
from aimaas.fleet import FleetSpec
from aimaas.topics import topic_of
from stream.records.replay_mac import is_genuine, replay_mac

PREFIX = "__connect.errors."
REPLAY_OF = "aimaas.replay.of"  # on a copy in the events topic: topic/partition/offset of the original event
REPLAY_MAC = "aimaas.replay.mac"  # beside it: the proof, see `stream.records.replay_mac`
TRUNCATED = "aimaas.truncated."  # + key | value | headers: "<bytes> sha256:<hex>" of the content before the cut
_KEY_BYTES = 1_024  # a device id has at most 128 characters
_HEADERS = 1_000
_HEADER_BYTES = 16_384
_DETAIL_CHARACTERS = 1_000
_SOURCE = re.compile(r"(.+)/(0|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,18})", re.DOTALL)
_SOURCE_CHARACTERS = 512  # a topic's name has at most 249

Header = tuple[str, bytes | None]


class Source(NamedTuple):
    """The coordinates of a record; its text is `topic/partition/offset`, as in `ce_id`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Source | None:
        """Parse the text; None if it is no such text or no valid place in Kafka, because any device may have written it."""
        found = _SOURCE.fullmatch(text) if len(text) <= _SOURCE_CHARACTERS else None
        if found is None:
            return None
        source = cls(found[1], int(found[2]), int(found[3]))
        return source if source.partition < 2**31 and source.offset < 2**63 - 1 else None


class DeadLetter(NamedTuple):
    """A record for the dead-letter topic, in the same partition as its source."""

    key: bytes | None
    value: bytes | None
    partition: int
    headers: list[Header]


def dead_letter(message: Any, reason: Reason, detail: str, fleet: FleetSpec, label: str | None = None) -> DeadLetter:
    """Return the dead letter of a consumed message (of confluent-kafka) that was refused with `reason`.

    `label` is the label of the message's topic (`aimaas.admission.journal`), by default its name.
    """
    key, key_cut = _cut(message.key(), _KEY_BYTES, "key")
    value, value_cut = _cut(message.value(), fleet.limits.record_bytes, "value")
    headers, headers_cut = _kept_headers(message)
    return DeadLetter(
        key,
        value,
        message.partition(),
        [*headers, *key_cut, *value_cut, *headers_cut, *_errors(label or message.topic(), message, reason, detail)],
    )


def replay_headers(secret: str, original: Source, key: bytes | None, value: bytes | None) -> list[Header]:
    """Return the headers of a copy of `original` with this key and value."""
    return [
        (REPLAY_OF, str(original).encode()),
        (REPLAY_MAC, replay_mac(secret, str(original), key, value).encode()),
    ]


def replay_of(
    headers: Iterable[Header] | None, topic: str, key: bytes | None, value: bytes | None, secret: str | None
) -> Source | None:
    """Return the original of a record of `topic` that is a copy, by its headers; None if it is an original itself.

    The original may have been in a deleted topic of this name. Headers that no replay with the key `secret` wrote count for
    nothing; without a `secret` all of them count.
    """
    named = {name: content or b"" for name, content in reversed([*(headers or ())])}  # of several the first counts
    source = Source.parse(named.get(REPLAY_OF, b"").decode("utf-8", "replace"))
    if secret is None or source is None or topic_of(source.topic) != topic_of(topic):
        return None
    return source if is_genuine(named.get(REPLAY_MAC, b""), secret, str(source), key, value) else None


def original_of(message: Any, topic: str, secret: str | None = None) -> Source | None:
    """Return the original of a consumed message of `topic` that is a copy; None if it is an original itself."""
    if secret is None or not claims_copy(message):
        return None
    return replay_of(header_list(message), topic, message.key(), message.value(), secret)


def claims_copy(message: Any) -> bool:
    """Return whether a consumed message's headers claim that it is a copy, rightly or not."""
    return any(name == REPLAY_OF for name, _ in header_list(message) or ())


def header_list(message: Any) -> list[Header] | None:
    """Return the headers of a consumed message; None if a name is not UTF-8, because a sender may use any bytes."""
    try:
        return message.headers() or []
    except UnicodeDecodeError:
        return None


def source_of(prediction: Any) -> Source | None:
    """Return the event of a consumed prediction, by its `ce_id`; None if it names none."""
    ce_id = dict(header_list(prediction) or ()).get("ce_id") or b""
    return Source.parse(ce_id.decode("utf-8", "replace"))


def _kept_headers(message: Any) -> tuple[list[Header], list[Header]]:
    """Return the record's own headers. If they are too large, too many or no text, return none of them and a note."""
    every = header_list(message)
    if every is None:
        return [], [(f"{TRUNCATED}headers", b"names are not UTF-8")]
    found = [h for h in every if not h[0].startswith((PREFIX, TRUNCATED))]
    size = sum(_sent_bytes(name.encode()) + _sent_bytes(content) for name, content in found)
    if size > _HEADER_BYTES or len(found) > _HEADERS:
        return [], [(f"{TRUNCATED}headers", b"%d bytes in %d headers" % (size, len(found)))]
    return found, []


def _sent_bytes(part: bytes | None) -> int:
    """Return the size of a header's name or content in a Kafka record: its bytes after their number, which is a zigzag varint."""
    content = len(part or b"")
    return max((2 * content).bit_length() + 6, 7) // 7 + content


def _errors(label: str, message: Any, reason: Reason, detail: str) -> list[Header]:
    return [
        (f"{PREFIX}topic", label.encode()),
        (f"{PREFIX}partition", b"%d" % message.partition()),
        (f"{PREFIX}offset", b"%d" % message.offset()),
        (f"{PREFIX}exception.class.name", reason.label.encode()),
        (f"{PREFIX}exception.message", detail[:_DETAIL_CHARACTERS].encode("utf-8", "backslashreplace")),
    ]


def _cut(content: bytes | None, limit: int, name: str) -> tuple[bytes | None, list[Header]]:
    """Return the first `limit` bytes, with a header that holds size and digest of the whole if something was cut."""
    if content is None or len(content) <= limit:
        return content, []
    note = f"{len(content)} bytes sha256:{hashlib.sha256(content).hexdigest()}"
    return content[:limit], [(f"{TRUNCATED}{name}", note.encode())]
