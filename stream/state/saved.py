"""Reads the records of the state topic."""

from __future__ import annotations

from typing import Any

from stream.state.log_reader import LogReader
from stream.state.records import POSITION, REFUSALS, REPLAY_FROM, RULES, offset_of, topic_id_of
from stream.state.refusals import RefusalWindow


class Saved:
    """The state topic's records of one partition: for every key the record that covers the most input."""

    def __init__(self) -> None:
        self.topic_id: str | None = None
        self.position: int | None = None
        self.replay_from: int | None = None
        self.refusals = RefusalWindow()
        self.devices: dict[bytes, bytes] = {}
        self.rules: dict[str, bytes] = {}
        self.read_bytes = 0

    def take(self, message: Any) -> None:
        """Note one record of the topic; a record without a value deletes its key.

        A later record replaces the earlier one, unless it covers less input: earlier releases could score without
        transactions, so that a scorer which the group had fenced could still write an older snapshot.
        """
        key, value = message.key(), message.value()
        self.read_bytes += len(key or b"") + len(value or b"")
        if key == REPLAY_FROM:
            self.replay_from = max(offset_of(value), self.replay_from or 0) if value else None
        elif key == REFUSALS:
            self.refusals = RefusalWindow.unpack(value or b"")
        elif key == POSITION:
            self._take_position(value)
        elif key.startswith(RULES):
            self._take_rules(key[len(RULES) :].decode(), value)
        elif value is None:
            self.devices.pop(key, None)
        elif offset_of(value) >= offset_of(self.devices.get(key, value)):
            self.devices[key] = value

    def _take_rules(self, device_id: str, value: bytes | None) -> None:
        if value is None:
            self.rules.pop(device_id, None)
        else:
            self.rules[device_id] = value

    def _take_position(self, value: bytes | None) -> None:
        """Take the furthest position of the topic that was written last."""
        if not value:
            self.topic_id = self.position = None
        elif topic_id_of(value) == self.topic_id:
            self.position = max(offset_of(value), self.position or 0)
        else:
            self.topic_id, self.position = topic_id_of(value), offset_of(value)

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is there."""
        return not self.devices and not self.rules and self.position is None and self.replay_from is None

    def upto(self) -> dict[bytes, int]:
        """Return by key the offset before which the device's record covers the input."""
        return {key: offset_of(value) for key, value in self.devices.items()}

    @property
    def newest(self) -> int:
        """The offset of the newest record: all events before it were answered."""
        return max(self.upto().values(), default=0)


def read_saved(reader: LogReader, topic: str, partitions: list[int]) -> dict[int, Saved]:
    """Return the state topic's records of each of these partitions."""
    saved = {p: Saved() for p in partitions}
    for p, messages in reader.read(topic, {p: reader.span(topic, p) for p in partitions}):
        for message in messages:
            saved[p].take(message)
    return saved
