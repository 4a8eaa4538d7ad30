"""The rules of readings: all present, finite, within the fleet file's ranges. The judge and HTTP share them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.fleet.expression import evaluate
from aimaas.records.refusal_reasons import Reason

Float64 = npt.NDArray[np.float64]


class Fault(NamedTuple):
    """The fault of one row: the reading (or derived channel), the reason, a sentence, the value found and the values allowed."""

    row: int
    name: str
    reason: Reason
    detail: str
    found: str
    allowed: str


class ReadingRules:
    """The rules of one fleet, on rows of R readings."""

    def __init__(self, fleet: FleetSpec) -> None:
        self._names, self._derived = fleet.readings, tuple(zip(fleet.derived, fleet.programs, strict=True))
        self._pack = struct.Struct(f"={len(fleet.readings)}d").pack
        self._low = np.array([r.range[0] for r in fleet.reading_specs])
        self._high = np.array([r.range[1] for r in fleet.reading_specs])
        self._required = np.array([not r.nullable for r in fleet.reading_specs])

    def matrix(self, readings: list[Any]) -> Float64:
        """Return decoded readings (m structs) as a matrix (m, R), NaN for null, and 0.0 for -0.0, because both are the same
        content.
        """
        rows = [msgspec.structs.astuple(r) for r in readings]
        try:
            packed = b"".join([self._pack(*row) for row in rows])
            values = np.frombuffer(packed, np.float64)
        except struct.error:  # a null
            values = np.array(rows, np.float64)
        return values.reshape(len(rows), len(self._names)) + 0.0

    def faults(self, values: Float64) -> Iterator[Fault]:
        """Yield the faults of rows (m, R) of readings; the first fault of a row counts."""
        null = np.isnan(values)
        with np.errstate(invalid="ignore"):
            outside = (values < self._low) | (values > self._high)
        missing = null & self._required
        for row in np.flatnonzero((missing | outside).any(axis=1)):
            if missing[row].any():
                yield self._null(int(row), int(np.argmax(missing[row])))
            else:
                c = int(np.argmax(outside[row]))
                yield self._outside(int(row), c, f"{values[row, c]:g}")
        for name, program in self._derived:
            # as in the kernel: float64 arithmetic on float32 readings, a float32 result
            with np.errstate(over="ignore"):
                derived = evaluate(program, values.astype(np.float32).astype(np.float64)).astype(np.float32)
            for row in np.flatnonzero(~np.isfinite(derived) & ~null.any(axis=1)):
                found = str(derived[row])
                detail = f"derived channel {name} is {found}"
                yield Fault(int(row), name, Reason.NOT_FINITE, detail, found, "readings that give a finite number")

    def _null(self, row: int, c: int) -> Fault:
        name = self._names[c]
        detail = f"{name} is null, which the fleet file does not allow"
        return Fault(row, name, Reason.MISSING_READING, detail, "null", self._range(c))

    def _outside(self, row: int, c: int, found: str) -> Fault:
        name, allowed = self._names[c], self._range(c)
        return Fault(row, name, Reason.OUT_OF_RANGE, f"{name} is {found}; allowed are {allowed}", found, allowed)

    def _range(self, c: int) -> str:
        return f"{self._low[c]:g} to {self._high[c]:g}"

    def fault_of(self, readings: Mapping[str, Any], row: int = 0) -> Fault | None:
        """Return the first fault of parsed readings that cannot be decoded; None if the record has a fault of another kind."""
        names = self._names
        missing = [
            name for name, required in zip(names, self._required, strict=True) if required and name not in readings
        ]
        if missing:
            detail = f"without {', '.join(missing)}"
            return Fault(
                row, missing[0], Reason.MISSING_READING, detail, "nothing", self._range(names.index(missing[0]))
            )
        for c, name in enumerate(names):
            value = readings.get(name)
            if isinstance(value, float) and not np.isfinite(value):
                return Fault(row, name, Reason.NOT_FINITE, f"{name} is {value}", str(value), self._range(c))
        return None
