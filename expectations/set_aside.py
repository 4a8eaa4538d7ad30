"""Rows that were admitted and fail an expectation of severity `quarantine`: noted in quarantine, so that gold leaves them out.

They stay in silver, which says what the stream served. A gate that runs again over the same rows notes none twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aimaas.fleet import FleetSpec
from aimaas.lake import read_table, table_uri, table_version
from aimaas.quarantine import EXPECTATION
from aimaas.settings import Settings
from expectations.suite import Expected

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = ("topic", "partition", "offset", "broker_ts")


def set_aside(
    settings: Settings, fleet: FleetSpec, rows: pa.Table, failing: Sequence[tuple[Expected, Sequence[int]]]
) -> int:
    """Note the rows of silver (with `SOURCE`, device_id and the readings) at the failing places; how many were new."""
    from deltalake import write_deltalake

    details: dict[int, list[str]] = {}
    for expected, places in failing:
        for place in places:
            details.setdefault(int(place), []).append(_name(expected))
    known = _known(settings, fleet)
    taken = {
        i: row for i, row in zip(sorted(details), _at(rows, sorted(details)), strict=True) if _place(row) not in known
    }
    if taken:
        notes = [_note(row, "; ".join(_told(details[i], row, failing))) for i, row in taken.items()]
        write_deltalake(
            table_uri(settings, fleet.fleet, "quarantine"),
            _table(notes),
            mode="append",
            partition_by=["topic", "partition"],
        )
    return len(taken)


def columns_of(expected: Expected) -> list[str]:
    """The columns that an expectation names, in the order of its arguments."""
    named = [value for key, value in expected[1].items() if key.startswith("column")]
    return [name for value in named for name in ([value] if isinstance(value, str) else value)]


def _at(rows: pa.Table, places: list[int]) -> list[dict[str, Any]]:
    return list(rows.take(places).to_pylist()) if places else []


def _place(row: Mapping[str, Any]) -> tuple[str, int, int]:
    return row["topic"], row["partition"], row["offset"]


def _known(settings: Settings, fleet: FleetSpec) -> set[tuple[str, int, int]]:
    import pyarrow.dataset as ds

    if table_version(settings, fleet.fleet, "quarantine") is None:
        return set()
    columns = ["topic", "partition", "offset"]
    rows = read_table(settings, fleet.fleet, "quarantine", columns, ds.field("reason") == EXPECTATION)
    return {_place(row) for row in rows.to_pylist()}


def _name(expected: Expected) -> str:
    return f"{expected[0]}({', '.join(columns_of(expected))})"


def _told(names: list[str], row: Mapping[str, Any], failing: Sequence[tuple[Expected, Sequence[int]]]) -> list[str]:
    """What was observed and which expectation it fails, for each of them."""
    by_name = {_name(expected): columns_of(expected) for expected, _ in failing}
    return [
        f"{', '.join(f'{c} is {row[c]:g}' if isinstance(row[c], float) else f'{c} is {row[c]}' for c in by_name[n])}: {n}"
        for n in names
    ]


def _note(row: Mapping[str, Any], detail: str) -> dict[str, Any]:
    source = {name: row[name] for name in SOURCE}
    return {
        **source,
        "reason": EXPECTATION,
        "detail": detail,
        "key": row["device_id"].encode(),
        "day": row["broker_ts"].date(),
    }


def _table(notes: list[dict[str, Any]]) -> pa.Table:
    """The notes as rows of quarantine; the record itself lies in bronze."""
    import pyarrow as pa

    schema = pa.schema([
        ("topic", pa.string()), ("partition", pa.int32()), ("offset", pa.int64()), ("broker_ts", pa.timestamp("us", "UTC")),
        ("reason", pa.string()), ("detail", pa.string()), ("key", pa.binary()), ("value", pa.binary()),
        ("value_bytes", pa.int64()), ("value_sha256", pa.string()), ("day", pa.date32()),
    ])  # fmt: skip
    return pa.Table.from_pylist(notes, schema=schema)
