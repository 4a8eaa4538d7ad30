"""Schemas of the tables that admission writes from bronze: silver, outcomes, quarantine and the admission state.

The judge's pass over bronze returns one wide frame for all of them (`verdict` names the table), so that the pass runs once. Each
table takes its columns from that frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec

if TYPE_CHECKING:
    import pyarrow as pa

SILVER, OUTCOME, QUARANTINE, STATE = "silver", "outcomes", "quarantine", "admission_state"
LIFE = ("device_id", "run", "life_number")
ENDS = ("life_first", "life_newest", "failure_order", "end_order")  # order keys of a row's life
READING = "reading."  # prefix of a reading's column in a frame with columns of other tables

SOURCE = {"topic": "string", "partition": "int", "offset": "bigint", "broker_ts": "timestamp"}
_DEVICE = {"device_id": "string", "run": "bigint", "seq": "bigint", "order": "bigint", "ts": "timestamp"}
_COLUMNS = {
    OUTCOME: {**_DEVICE, "kind": "string", "mode": "string"},
    QUARANTINE: {
        "reason": "string", "detail": "string", "key": "binary", "value": "binary", "value_bytes": "bigint",
        "value_sha256": "string",
    },
    STATE: {"device_id": "string", "state": "binary"},
}  # fmt: skip


def columns_of(kind: str, fleet: FleetSpec) -> dict[str, str]:
    """Columns of a kind with their Spark types, without `SOURCE`. Raises LakeError if a reading has the name of a column."""
    if kind != SILVER:
        return _COLUMNS[kind]
    columns = {**_DEVICE, "begins": "boolean"}
    made = {"day", "label", "split", "late", "life_ends", *LIFE, *ENDS}
    taken = sorted({*columns, *SOURCE, *made} & set(fleet.readings))
    if taken:
        raise LakeError(
            f"fleet {fleet.fleet}: the reading {taken[0]!r} has the name of a column of the lake: rename the reading"
        )
    return columns | dict.fromkeys(fleet.readings, "double")


def wide_columns(fleet: FleetSpec) -> dict[str, str]:
    """Columns of the judge's pass: `verdict`, the source, then the columns of every kind."""
    wide = {"verdict": "string", **SOURCE, **columns_of(SILVER, fleet)}
    for name in fleet.readings:
        wide[READING + name] = wide.pop(name)
    return wide | columns_of(OUTCOME, fleet) | columns_of(QUARANTINE, fleet) | columns_of(STATE, fleet)


def ddl(columns: dict[str, str]) -> str:
    """The columns as a schema string for Spark."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def arrow_schema(columns: dict[str, str]) -> pa.Schema:
    """The columns as an Arrow schema, as a Spark worker of a session in UTC expects it."""
    import pyarrow as pa

    kinds = {
        "string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "double": pa.float64(), "boolean": pa.bool_(),
        "binary": pa.binary(), "timestamp": pa.timestamp("us", "UTC"), "float": pa.float32(), "date": pa.date32(),
    }  # fmt: skip
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
