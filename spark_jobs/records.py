"""Schemas of what admission makes of bronze: silver, outcomes, quarantine and the state it goes on from.

The judge's pass over bronze returns one wide frame with all of them (`verdict` says which), so that it runs once; each table takes
its columns of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from spark_jobs.labels import ENDS, LIFE

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import StructType

SILVER, OUTCOME, QUARANTINE, STATE = "silver", "outcomes", "quarantine", "admission_state"
READING = "reading."  # before a reading's name where it stands beside columns of other tables

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
    """Columns of a kind with their Spark types, without those of `SOURCE`. Raises LakeError where a reading's name is taken."""
    if kind != SILVER:
        return _COLUMNS[kind]
    columns = {**_DEVICE, "begins": "boolean"}
    made = {"day", "label", "split", "late", "life_ends", *LIFE, *ENDS}
    taken = sorted({*columns, *SOURCE, *made} & set(fleet.readings))
    if taken:
        raise LakeError(f"fleet {fleet.fleet}: a reading is called {taken[0]!r}, as a column of the lake is: rename it")
    return columns | dict.fromkeys(fleet.readings, "double")


def wide_columns(fleet: FleetSpec) -> dict[str, str]:
    """Columns of the judge's pass: `verdict`, the source, then those of every kind."""
    wide = {"verdict": "string", **SOURCE, **columns_of(SILVER, fleet)}
    for name in fleet.readings:
        wide[READING + name] = wide.pop(name)
    return wide | columns_of(OUTCOME, fleet) | columns_of(QUARANTINE, fleet) | columns_of(STATE, fleet)


def ddl(columns: dict[str, str]) -> str:
    """The columns as a schema that Spark parses."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def arrow_schema(columns: dict[str, str]) -> pa.Schema:
    """The columns as Arrow has them in a Spark worker of a session in UTC."""
    import pyarrow as pa

    kinds = {
        "string": pa.string(), "int": pa.int32(), "bigint": pa.int64(), "double": pa.float64(), "boolean": pa.bool_(),
        "binary": pa.binary(), "timestamp": pa.timestamp("us", "UTC"), "float": pa.float32(), "date": pa.date32(),
    }  # fmt: skip
    return pa.schema([(name, kinds[kind]) for name, kind in columns.items()])


def spark_schema(columns: dict[str, str]) -> StructType:
    """The columns as a Spark schema."""
    from pyspark.sql.types import StructType

    return StructType.fromDDL(ddl(columns))
