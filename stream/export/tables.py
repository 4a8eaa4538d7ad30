"""The two tables of an export: predictions, and the exported offset of each partition."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Double, Integer, MetaData, String, Table

TABLES = MetaData()
_TIME = DateTime(timezone=True)  # UTC; SQLite keeps no zone

# `ts` is part of the key for fleets with `order: ts`, whose events need no `seq`, and for devices whose counter starts again
PREDICTIONS = Table(
    "aimaas_predictions",
    TABLES,
    Column("fleet", String(64), primary_key=True),
    Column("device_id", String(128), primary_key=True),
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("ts", _TIME, primary_key=True),
    Column("prediction", Double, nullable=False),
    Column("lower", Double),
    Column("upper", Double),
    Column("unit", String(64), nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("scored_at", _TIME, nullable=False),
    Column("event", String(320)),  # `ce_id`: topic/partition/offset of the event
)

# one row for each partition of each topic that ever had the name; `topic_id` distinguishes them
OFFSETS = Table(
    "aimaas_export_offsets",
    TABLES,
    Column("topic", String(249), primary_key=True),
    Column("topic_id", String(22), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
)
