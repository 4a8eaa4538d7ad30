"""Reads the lake's records of one day of a topic, for `aimaas reconcile`: only coordinates and reasons, never values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from aimaas.fleet import FleetSpec
from aimaas.lake import Table, arrow_dataset, find_table, read_table, table_version
from aimaas.lake.quarantine import EXPECTATION
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_of
from stream.records.dead_letters import REPLAY_OF, replay_of
from upkeep.reconcile.account import NONE, Codes, Landed, Refusals, codes_of, has_code

if TYPE_CHECKING:
    import pyarrow as pa

_KEY = ["device_id", "run", "order"]
_PLACE = ["topic", "partition", "offset"]


class LakeDay:
    """The records of one topic with a broker time from `begin` on and before `end`.

    `labels` are the labels of all topics that had its name, oldest first.
    """

    def __init__(
        self, settings: Settings, fleet: FleetSpec, labels: Sequence[str], begin: datetime, end: datetime
    ) -> None:
        self._settings, self._fleet, self._topic = settings, fleet, topic_of(labels[0])
        self._labels = labels
        self._begin, self._end = begin, end

    def read(self) -> Landed:
        """Read all. Raises LakeError if a table cannot be read; a table that does not exist yet is empty."""
        events = self._topic == topic_names(self._fleet).events
        refused = self._rows("quarantine", "reason")
        reasons = np.array(refused["reason"].to_pylist() if refused else [], np.str_)
        all_refused = Refusals(self._codes(refused), reasons)
        by_judge = reasons != EXPECTATION
        admitted = self._codes(self._rows("silver" if events else "outcomes"))
        return Landed(
            bronze=self._codes(self._rows("bronze")),
            admitted=admitted,
            quarantined=Refusals(all_refused.codes[by_judge], reasons[by_judge]),
            set_aside=all_refused.of(EXPECTATION),
            gold=self._gold(admitted) if events else None,
            copies=self._copies() if events else {},
        )

    def erased(self) -> Codes:
        """Return the day's records of the topic that `aimaas forget` erased."""
        if table_version(self._settings, self._fleet.fleet, "forgotten") is None:
            return NONE
        import pyarrow.dataset as ds

        day = _isin("topic", self._labels) & (ds.field("day") == self._begin.date())
        return np.unique(self._codes(read_table(self._settings, self._fleet.fleet, "forgotten", _PLACE, day)))

    def _gold(self, admitted: Codes) -> Codes:
        """Return the codes in gold; a row of gold also counts for another admitted record of the same event."""
        there = self._codes(self._rows("gold"))
        missing = np.setdiff1d(admitted, there)
        if not len(missing) or table_version(self._settings, self._fleet.fleet, "gold") is None:
            return there
        mine = self._rows("silver", *_KEY, keep=missing)
        devices = _isin("device_id", mine["device_id"].unique().to_pylist())
        gold = read_table(self._settings, self._fleet.fleet, "gold", _KEY, devices)
        keys = set(zip(*(gold[name].to_pylist() for name in _KEY), strict=True))
        same = [key in keys for key in zip(*(mine[name].to_pylist() for name in _KEY), strict=True)]
        return np.concatenate([there, self._codes(mine)[np.array(same, np.bool_)]])

    def _copies(self) -> dict[int, int]:
        """Return for replayed records: code -> the original's code, from bronze since the day's begin, because replays come later.

        Headers are read first. Keys and values, which prove the headers, are read only for records that claim to be copies.
        """
        import pyarrow.compute as pc
        import pyarrow.dataset as ds

        bronze, secret = find_table(self._settings, self._fleet.fleet, "bronze"), self._settings.replay_key
        if bronze is None or secret is None:
            return {}
        rows, columns = arrow_dataset(bronze), [*_PLACE, "headers"]
        with_headers = pc.list_value_length(ds.field("headers")) > 0
        mine = _isin("topic", self._labels) & (ds.field("broker_ts") >= self._begin) & with_headers
        claiming = {at for batch in rows.to_batches(columns=columns, filter=mine) for at in _claiming(batch)}
        found: dict[int, int] = {}
        if claiming:
            mine &= ds.field("offset").isin(sorted(claiming))
            for batch in rows.to_batches(columns=[*columns, "key", "value"], filter=mine):
                found.update(self._copy_pairs(batch, secret))
        return found

    def _rows(self, table: Table, *columns: str, keep: Codes | None = None) -> Any:
        """Return partition, offset and more `columns` of the day's rows; None if the table does not exist yet.

        `keep`: only these codes.
        """
        import pyarrow.dataset as ds

        if table_version(self._settings, self._fleet.fleet, table) is None:
            return None
        at = ds.field("broker_ts")
        condition = _isin("topic", self._labels) & (at >= self._begin) & (at < self._end)
        rows = read_table(self._settings, self._fleet.fleet, table, [*_PLACE, *columns], condition)
        return rows if keep is None else rows.filter(np.isin(self._codes(rows), keep))

    def _codes(self, rows: pa.Table | None) -> Codes:
        import pyarrow as pa
        import pyarrow.compute as pc

        if rows is None:
            return NONE
        making = pc.index_in(rows["topic"], pa.array(self._labels, rows["topic"].type)).to_numpy()
        return codes_of(rows["partition"].to_numpy(), rows["offset"].to_numpy(), making)

    def _copy_pairs(self, rows: pa.RecordBatch, replay_key: str) -> Iterable[tuple[int, int]]:
        """Return the codes of copies and of their originals, for copies that a replay with the key wrote."""
        making = {label: n for n, label in enumerate(self._labels)}
        for row in rows.to_pylist():
            headers = [(h["key"], h["value"]) for h in row["headers"]]
            original = replay_of(headers, self._topic, row["key"], row["value"], replay_key)
            if original is None or original.topic not in making or not has_code(original.partition, original.offset):
                continue
            copy = codes_of(row["partition"], row["offset"], making[row["topic"]])
            yield int(copy), int(codes_of(original.partition, original.offset, making[original.topic]))


def _isin(name: str, values: Sequence[str]) -> Any:
    import pyarrow.dataset as ds

    return ds.field(name).isin(values)


def _claiming(rows: pa.RecordBatch) -> list[int]:
    """Return the offsets of the records whose headers claim that they are copies."""
    import pyarrow.compute as pc

    lists = rows["headers"]
    names = pc.struct_field(pc.list_flatten(lists), "key")
    owners = pc.list_parent_indices(lists).filter(pc.equal(names, REPLAY_OF))
    found: list[int] = rows["offset"].take(owners).to_pylist()
    return found
