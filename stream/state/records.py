"""Records of the state topic, as bytes.

- key device id, value `upto` (int64, little endian) and the packed device: the device's state with its input before offset
  `upto`;
- the same without a packed device: the device was forgotten, and a restore must skip its input before `upto`;
- key `REPLAY_FROM` (no device id: not UTF-8), value an offset (int64): every event before it is in its device's record;
- key `REFUSALS`, value the counts of `stream.state.refusals.RefusalWindow`;
- key `POSITION`, value an offset (int64) and the id of its events topic: every event before the offset is answered;
- key `RULES` and a device id, value the state of the alert rules on that device (`aimaas.records.alerts.SavedRules`).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

REPLAY_FROM = b"\xffreplay_from"
REFUSALS = b"\xffrefusals"
POSITION = b"\xffposition"
RULES = b"\xffrules:"
_OFFSET = struct.Struct("<q")


class StateRecord(NamedTuple):
    """Key and value of a record in the state topic; a record without a value deletes its key."""

    key: bytes
    value: bytes | None


def device_record(device_id: str, upto: int, packed: bytes = b"") -> StateRecord:
    """Return a device's snapshot, or without a packed device the note that it was forgotten; see above."""
    return StateRecord(device_id.encode(), _OFFSET.pack(upto) + packed)


def deletion(device_id: str) -> StateRecord:
    """Return the record that lets compaction delete a device's record."""
    return StateRecord(device_id.encode(), None)


def replay_record(offset: int) -> StateRecord:
    """Return the record with the offset from which a restore re-reads the input."""
    return StateRecord(REPLAY_FROM, _OFFSET.pack(offset))


def refusals_record(packed: bytes) -> StateRecord:
    """Return the record with the recent refusals of the partition."""
    return StateRecord(REFUSALS, packed)


def position_record(topic_id: str, position: int) -> StateRecord:
    """Return the record with the next offset to read, and its topic."""
    return StateRecord(POSITION, _OFFSET.pack(position) + topic_id.encode())


def rules_record(device_id: str, saved: bytes | None) -> StateRecord:
    """Return the record with the state of the alert rules on a device; None deletes it."""
    return StateRecord(RULES + device_id.encode(), saved)


def topic_id_of(value: bytes) -> str:
    """Return the topic's id in a position's value."""
    return value[_OFFSET.size :].decode()


def is_snapshot(record: StateRecord) -> bool:
    """Return whether the value holds a packed device."""
    if record.key in (REPLAY_FROM, REFUSALS, POSITION) or record.key.startswith(RULES):
        return False
    return len(record.value or b"") > _OFFSET.size


def offset_of(value: bytes) -> int:
    """Return the offset at the begin of a record's value."""
    offset: int = _OFFSET.unpack_from(value)[0]
    return offset


def packed_of(value: bytes) -> bytes:
    """Return the packed device in a record's value; empty if the device was forgotten."""
    return value[_OFFSET.size :]
