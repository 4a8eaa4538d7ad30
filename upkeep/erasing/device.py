"""Recognises the records of a device: by their key, or by their value."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Device:
    """The device to erase."""

    id: str

    @property
    def key(self) -> bytes:
        """The key of its records."""
        return self.id.encode()

    @cached_property
    def _in_value(self) -> re.Pattern[bytes]:
        spelt = {json.dumps(self.id, ensure_ascii=e).encode() for e in (True, False)}
        return re.compile(rb'"device_id"\s*:\s*(?:' + b"|".join(map(re.escape, sorted(spelt))) + b")")

    @cached_property
    def _in_text(self) -> re.Pattern[bytes]:
        spelt = {self.id, html.escape(self.id), json.dumps(self.id)[1:-1]}
        names = b"|".join(re.escape(name.encode()) for name in sorted(spelt))
        return re.compile(rb"(?<![\w.-])(?:" + names + rb")(?![\w-])")

    def is_of(self, key: bytes | None, value: bytes | None) -> bool:
        """Return whether a record belongs to the device, even if it was sent under another key."""
        return key == self.key or (value is not None and self._in_value.search(value) is not None)

    def is_named_in(self, text: bytes) -> bool:
        """Return whether a page or a report contains the device id as a separate word."""
        return self._in_text.search(text) is not None
