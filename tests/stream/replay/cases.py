"""How a case of a kind of file is written: a table, what its mapping has beside the plain one, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pyarrow as pa

PLAIN = {"fleet": "pump", "device": "id", "ts": "t", "readings": {"pressure": "p", "vibration": "v"}}
Table: TypeAlias = str | bytes | pa.Table | dict[str, str]
Event = tuple[str, str, float | None]  # device, time, pressure


@dataclass
class Case:
    """A table, what its mapping has beside the plain one, and what comes of it: events (device, time, pressure) or an error."""

    table: Table
    mapping: Mapping[str, Any] = field(default_factory=dict)
    events: list[Event] | None = None
    refused: str | None = None
    outcomes: list[tuple[str, str, str | None]] | None = None  # device, kind, mode


def rows(*cells: str, header: str = "id,t,p,v") -> str:
    return "\n".join([header, *cells]) + "\n"


def at(time: str, **more: Any) -> Case:
    """A row at `time`, with one `ts` key of the mapping for each of `more`."""
    keys = {"ts": {"column": "t", **more}} if more else {}
    return Case(rows(f'm1,"{time}",1.5,2'), keys)


def gives(case: Case, ts: str) -> Case:
    case.events = [("m1", ts, 1.5)]
    return case


def refuses(case: Case, message: str) -> Case:
    case.refused = message
    return case


def pressure(cell: str, value: float | None = None, refused: str | None = None, **keys: Any) -> Case:
    """A row with one cell of pressure, which gives a value or is refused."""
    table = rows(f'm1,2026-11-29T10:00:00Z,"{cell}",2')
    return Case(table, keys, None if refused else [("m1", "2026-11-29T10:00:00.000Z", value)], refused)


def named(cell: str, name: str | None = None, refused: str | None = None) -> Case:
    table = rows(f"{cell},2026-11-29T10:00:00Z,1.5,2")
    return Case(table, {}, None if refused else [(str(name), "2026-11-29T10:00:00.000Z", 1.5)], refused)


def columns(**changed: list[Any] | pa.Array) -> pa.Table:
    """A Parquet table of one row, with other columns."""
    return pa.table({"id": ["m1"], "t": ["2026-11-29T10:00:00Z"], "p": [1.5], "v": [2.0], **changed})


ZONED = "2026-11-29T10:00:00.000Z"
ROW = f"m1,{ZONED},1.5,2"
GERMAN = {"delimiter": ";", "decimal": ",", "encoding": "windows-1252"}
LONG = {"long": {"tag": "tag", "value": "x"}, "readings": {"pressure": "P 1", "vibration": "V 1"}}
LONG_ROWS = rows(
    f"m1,{ZONED},P 1,1.5", f"m1,{ZONED},V 1,2", f"m1,{ZONED},other,word", f"m2,{ZONED},P 1,3", header="id,t,tag,x"
)
STATE = {"outcome": {"column": "s", "failed": ["broken"], "mode": "why"}}
STATES = rows(f"m1,{ZONED},1,2,ok,", f"m2,{ZONED},1,2,broken,seal", header="id,t,p,v,s,why")
FAILURES = {
    "file": "telemetry.csv",
    "outcomes": {"file": "failures.csv", "device": "machine", "ts": "when", "kind": "failed", "mode": "part"},
}
ONE, TWO = ("m1", ZONED, 1.5), ("m1", "2026-11-29T10:00:01.000Z", 2.5)
