"""Decodes events from bytes: each record by itself, whatever its content, in time linear in its bytes.

A JSON text is an event if it matches the fleet's printed JSON Schema. One loop in C decodes most events. Any other text is read
again as plain data. It may still be an event: 31.0 is a whole number, and the last value of a repeated name counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.records import plain_json
from aimaas.records.events import event_type
from aimaas.records.nesting import DEEPEST, SHALLOW_BYTES, is_too_deep
from aimaas.records.readings import ReadingRules
from aimaas.records.refusal_reasons import Reason

Refusal = tuple[Reason, str]


class EventParser:
    """Decodes the records of one fleet. Holds no state."""

    def __init__(self, fleet: FleetSpec, rules: ReadingRules) -> None:
        self._fleet, self._rules = fleet, rules
        self._type = event_type(fleet.readings, fleet.order, None, fleet.nullable)
        self._strict = msgspec.json.Decoder(event_type(fleet.readings, fleet.order, fleet.nullable, fleet.nullable))
        self._lenient = msgspec.json.Decoder(self._type)
        self._largest = fleet.limits.record_bytes
        self._short = min(self._largest, SHALLOW_BYTES)

    def parse(self, values: Sequence[bytes | None]) -> tuple[list[Any], npt.NDArray[np.int64], dict[int, Refusal]]:
        """Return the events, their positions, and the refusals of the other records by position. No content makes it raise.

        `extend` keeps the events before a record that raises, and `rest` continues after it.
        """
        refused = self._unread(values)
        rest = iter([None if i in refused else v for i, v in enumerate(values)] if refused else values)
        events: list[Any] = []
        others = 0
        while True:
            try:
                events.extend(map(self._strict.decode, rest))  # type: ignore[arg-type]
                return events, np.delete(np.arange(len(values)), sorted(refused)), refused
            except (TypeError, ValueError, RecursionError):  # for None, and msgspec's errors, which are ValueErrors
                i = len(events) + others
                found = refused.get(i) or self._read_slowly(values[i])
                if isinstance(found, tuple):
                    refused[i] = found
                    others += 1
                else:
                    events.append(found)

    def _unread(self, values: Sequence[bytes | None]) -> dict[int, Refusal]:
        """Refusals of records that are not decoded at all, by position."""
        short = self._short
        return {i: why for i, v in enumerate(values) if v is not None and len(v) > short and (why := self._too_much(v))}

    def _too_much(self, value: bytes) -> Refusal | None:
        if len(value) > self._largest:
            return Reason.OVERSIZED, f"{len(value)} bytes; allowed are {self._largest}"
        if is_too_deep(value):
            return Reason.UNPARSABLE, f"nested deeper than {DEEPEST}"
        return None

    def _read_slowly(self, value: bytes | None) -> Any:
        """Return the event, or the refusal of the record."""
        if value is None:
            return Reason.UNPARSABLE, "the record has no value"
        try:
            return self._lenient.decode(value)  # the strict decoder refused nulls only
        except (ValueError, RecursionError) as e:
            error = e
        try:
            found = plain_json.parse(value)
        except (ValueError, RecursionError):
            return Reason.UNPARSABLE, f"no JSON: {error}"
        if not isinstance(found, dict):
            return Reason.SCHEMA, f"a JSON {type(found).__name__}, expected an object"
        return self._what_is_wrong(found) or self._event(found)

    def _what_is_wrong(self, found: dict[str, Any]) -> Refusal | None:
        """Return the first fault of a parsed record that has its own reason."""
        fleet, readings = found.get("fleet"), found.get("readings")
        if isinstance(fleet, str) and fleet != self._fleet.fleet:
            return Reason.WRONG_FLEET, f"fleet {fleet[:80]!r}, expected {self._fleet.fleet!r}"
        fault = self._rules.fault_of(readings) if isinstance(readings, dict) else None
        return (fault.reason, fault.detail) if fault else None

    def _event(self, found: dict[str, Any]) -> Any:
        """Return the event in plain data, or the refusal.

        Keys that the fleet file does not declare are ignored, whatever their value.
        """
        known = plain_json.members(found, self._type.__struct_fields__)
        if isinstance(readings := known.get("readings"), dict):
            known["readings"] = {name: readings[name] for name in self._fleet.readings if name in readings}
        try:
            event: Any = msgspec.convert(known, self._type)
            event.device_id.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can contain
            return Reason.KEY_MISMATCH, "device_id cannot be encoded in UTF-8, so it cannot be a key"
        except ValueError as e:
            return Reason.SCHEMA, str(e)
        return event
