"""Reads predictions as rows, in batches with the offsets after them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from aimaas.kafka import Offsets, delivered_between
from aimaas.logs import logger
from aimaas.records.events import Prediction
from aimaas.settings import Settings
from stream.export.database import Row
from stream.records.dead_letters import header_list

_BATCH = 5_000  # records

log = logger("export")
_decode = msgspec.json.Decoder(Prediction).decode


@dataclass
class Portion:
    """Rows, the offset of the next record by partition, and the number of records that are no predictions."""

    rows: list[Row] = field(default_factory=list)
    offsets: Offsets = field(default_factory=dict)
    strange: int = 0


def portions(settings: Settings, topic: str, begin: Offsets, end: Offsets) -> Iterator[Portion]:
    """Yield the records between these offsets, by partition, in portions. Raises KafkaError after 120 s without progress."""
    for part in delivered_between(settings, topic, begin, end, most=_BATCH):
        portion = Portion(offsets=part.positions)
        for message in part.messages:
            _add(portion, message)
        yield portion


def _add(portion: Portion, message: Any) -> None:
    try:
        portion.rows.append(row_of(message))
    except (ValueError, RecursionError) as e:  # msgspec's errors are ValueErrors
        portion.strange += 1
        place = f"{message.topic()}/{message.partition()}/{message.offset()}"
        log.error("no prediction", record=place, error=str(e)[:200])


def row_of(message: Any) -> Row:
    """Return the row of a consumed prediction. Raises ValueError for a record that is none."""
    found = msgspec.structs.asdict(_decode(message.value() or b""))
    times = {name: _utc(value) for name, value in found.items() if isinstance(value, datetime)}
    event = dict(header_list(message) or ()).get("ce_id") or b""
    return found | times | {"event": event.decode("utf-8", "replace") or None}


def _utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError(f"its time {time.isoformat()} has no time zone")
    return time.astimezone(UTC)
