"""Records of the state topic, as bytes.

- key device id, value `upto` (int64, little endian) and the packed device: it holds the device's input before offset `upto`;
- the same without a packed device: it was forgotten, and its input before `upto` must not be put into state again;
- key `REPLAY_FROM` (no device id: not UTF-8), value an offset (int64): every event before it is in its device's record;
- key `REFUSALS`, value the counts of `stream.state.refusals.RefusalWindow`;
- key `POSITION`, value an offset (int64) and the id of the events topic it counts in: every event before it is answered.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

REPLAY_FROM = b"\xffreplay_from"
REFUSALS = b"\xffrefusals"
POSITION = b"\xffposition"
_OFFSET = struct.Struct("<q")


class StateRecord(NamedTuple):
    """Key and value of a record in the state topic; without a value it deletes what the topic holds under its key."""

    key: bytes
    value: bytes | None


def device_record(device_id: str, upto: int, packed: bytes = b"") -> StateRecord:
    """A device's snapshot, or without one the note that it was forgotten; see above."""
    return StateRecord(device_id.encode(), _OFFSET.pack(upto) + packed)


def deletion(device_id: str) -> StateRecord:
    """The record that lets compaction drop what the topic holds of a device."""
    return StateRecord(device_id.encode(), None)


def replay_record(offset: int) -> StateRecord:
    """The record that says from where the input is to be re-read."""
    return StateRecord(REPLAY_FROM, _OFFSET.pack(offset))


def refusals_record(packed: bytes) -> StateRecord:
    """The record that says how many of the partition's records were refused lately."""
    return StateRecord(REFUSALS, packed)


def position_record(topic_id: str, position: int) -> StateRecord:
    """The record that says where reading goes on, and in which topic."""
    return StateRecord(POSITION, _OFFSET.pack(position) + topic_id.encode())


def topic_id_of(value: bytes) -> str:
    """The topic's id in a position's value."""
    return value[_OFFSET.size :].decode()


def is_snapshot(record: StateRecord) -> bool:
    """Whether it holds a packed device."""
    return record.key not in (REPLAY_FROM, REFUSALS, POSITION) and len(record.value or b"") > _OFFSET.size


def offset_of(value: bytes) -> int:
    """The offset that a record's value begins with."""
    offset: int = _OFFSET.unpack_from(value)[0]
    return offset


def packed_of(value: bytes) -> bytes:
    """The packed device in a record's value; empty where the device was forgotten."""
    return value[_OFFSET.size :]
