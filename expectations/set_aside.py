"""Notes admitted rows that fail an expectation of severity `quarantine` in quarantine, so that gold leaves them out.

The rows stay in silver, which records what the stream served. A gate that runs again over the same rows notes no row twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aimaas.fleet import FleetSpec
from aimaas.lake import append_rows
from aimaas.lake.quarantine import EXPECTATION
from aimaas.settings import Settings
from expectations.rows.new_rows import rows_in
from expectations.rows.parts import PLACE, Part
from expectations.suite import Expected, columns_of

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = (*PLACE, "broker_ts")


def set_aside(
    settings: Settings, fleet: FleetSpec, rows: pa.Table, part: Part, failing: Sequence[tuple[Expected, Sequence[int]]]
) -> int:
    """Note the failing rows of a part of silver (with `SOURCE`, device_id and the readings); returns how many were new."""
    fails: dict[int, list[Expected]] = {}
    for expected, places in failing:
        for place in places:
            fails.setdefault(int(place), []).append(expected)
    known = {
        _place(r) for r in rows_in(settings, fleet, "quarantine", part.of_quarantine(set_aside=True), PLACE).to_pylist()
    }
    taken = rows.take(sorted(fails)).to_pylist() if fails else []
    notes = [note(r, told(fails[i], r)) for i, r in zip(sorted(fails), taken, strict=True) if _place(r) not in known]
    if notes:
        append_rows(settings, fleet.fleet, "quarantine", notes_table(notes))
    return len(notes)


def told(expected: Sequence[Expected], row: Mapping[str, Any]) -> str:
    """The observed value and the failed expectation, for each of `expected`."""
    return "; ".join(f"{', '.join(_observed(row, c) for c in columns_of(e))}: {_name(e)}" for e in expected)


def note(row: Mapping[str, Any], detail: str) -> dict[str, Any]:
    """The quarantine row for a row of silver; the record itself is in bronze."""
    source = {name: row[name] for name in SOURCE}
    key, day = row["device_id"].encode(), row["broker_ts"].date()
    return {**source, "reason": EXPECTATION, "detail": detail, "key": key, "day": day}


def notes_table(notes: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The notes with the columns of quarantine."""
    import pyarrow as pa

    schema = pa.schema([
        ("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("broker_ts", pa.timestamp("us", "UTC")),
        ("reason", pa.string()), ("detail", pa.string()), ("key", pa.binary()), ("value", pa.binary()),
        ("value_bytes", pa.int64()), ("value_sha256", pa.string()), ("day", pa.date32()),
    ])  # fmt: skip
    return pa.Table.from_pylist(list(notes), schema=schema)


def _place(row: Mapping[str, Any]) -> tuple[str, int, int]:
    return row["topic"], row["partition"], row["offset"]


def _name(expected: Expected) -> str:
    return f"{expected[0]}({', '.join(columns_of(expected))})"


def _observed(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    return f"{column} is {value:g}" if isinstance(value, float) else f"{column} is {value}"
