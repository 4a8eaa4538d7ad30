"""The lake's quarantine, read back: each refused record by its coordinates, with its detail and the run that refused it.

A run of the admit job is identified by its commit, whose note names the judged offsets, so it is found again after a compaction.
Rows of a gate, and rows whose commit has no such note (any more), belong to the commit that wrote their file.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake.tables import Offsets, actions_of, arrow_dataset, find_table, read_table, table_uri
from aimaas.lake.torn_files import reading
from aimaas.settings import Settings

if TYPE_CHECKING:
    from deltalake import DeltaTable

EXPECTATION = "expectation"
"""Reason of a record that was admitted and then set aside by an expectation of severity `quarantine`."""

Place = tuple[str, int, int]  # topic, partition, offset
_SHORT = ("topic", "partition", "offset", "broker_ts", "reason", "detail", "key")
_WHOLE = (*_SHORT, "value", "value_bytes", "value_sha256")


@dataclass(frozen=True)
class Run:
    """The commit that brought a record into quarantine."""

    version: int
    at: datetime

    def __str__(self) -> str:
        """The commit as one word."""
        return f"v{self.version} {self.at:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True)
class Quarantined:
    """One refused record.

    `broker_ms` is the time at which the broker received it (ms since 1970). `detail` names the observed and the allowed value.
    `value` is given for records that were requested by their coordinates, at most `limits.record_bytes` of it; `value_bytes` and
    `value_sha256` belong to the whole value.
    """

    place: Place
    broker_ms: int
    reason: str
    detail: str
    key: bytes | None
    run: Run | None
    value: bytes | None = None
    value_bytes: int | None = None
    value_sha256: str | None = None

    @property
    def source(self) -> str:
        """`topic/partition/offset`, as in dead letters."""
        return "{}/{}/{}".format(*self.place)


def judged_note(start: Offsets, end: Offsets) -> str:
    """The note of an admission's commit: it holds the refused records at offsets from `start` up to `end`."""
    return json.dumps([[*at, start[at], stop] for at, stop in sorted(end.items()) if stop > start[at]])


def read_quarantine(settings: Settings, fleet: FleetSpec, since_ms: int | None = None) -> list[Quarantined]:
    """All refused records (received by the broker at `since_ms` or later) without their values, oldest first.

    Raises LakeError before the first admission.
    """
    import pyarrow.dataset as ds

    after = None if since_ms is None else ds.field("broker_ts") >= datetime.fromtimestamp(since_ms / 1e3, UTC)
    return _records(settings, fleet, _SHORT, after)


def find_quarantined(settings: Settings, fleet: FleetSpec, places: Sequence[Place]) -> list[Quarantined]:
    """These records with their values, in the same order. Raises LakeError if one is not in quarantine."""
    found = {r.place: r for r in _records(settings, fleet, _WHOLE, _at(places))} if places else {}
    for place in places:
        if place not in found:
            raise LakeError(
                f"{'/'.join(map(str, place))}: not in quarantine; `aimaas quarantine list --fleet {fleet.fleet}` shows what is"
            )
    return [found[place] for place in places]


def read_headers(
    settings: Settings, fleet: FleetSpec, places: Sequence[Place]
) -> Mapping[Place, list[tuple[str, bytes | None]]]:
    """The headers of records in bronze, by their coordinates. Raises LakeError before the first landing."""
    if not places:
        return {}
    columns = ["topic", "partition", "offset", "headers"]
    rows = read_table(settings, fleet.fleet, "bronze", columns, _at(places)).to_pylist()
    return {_place(row): [(h["key"], h["value"]) for h in row["headers"] or ()] for row in rows}


def _records(settings: Settings, fleet: FleetSpec, columns: Sequence[str], condition: Any) -> list[Quarantined]:
    found = find_table(settings, fleet.fleet, "quarantine")
    if found is None:
        uri = table_uri(settings, fleet.fleet, "quarantine")
        raise LakeError(f"{uri}: no such table; the admit job makes it (`aimaas status` shows what ran)")
    with reading(found.table_uri):
        rows = arrow_dataset(found).to_table(columns=[*columns, "__filename"], filter=condition)
    commits = found.history()
    admissions, run_of = _Admissions(commits), _runs(found, commits)
    records = [_record(row, admissions.of(row) or run_of.get(_name(row["__filename"]))) for row in rows.to_pylist()]
    return sorted(records, key=lambda r: (r.broker_ms, r.place))


def _record(row: dict[str, Any], run: Run | None) -> Quarantined:
    whole = {name: row.get(name) for name in ("value", "value_bytes", "value_sha256")}
    broker_ms = int(row["broker_ts"].timestamp() * 1e3)
    return Quarantined(_place(row), broker_ms, row["reason"], row["detail"] or "", row["key"], run, **whole)


def _place(row: dict[str, Any]) -> Place:
    return row["topic"], row["partition"], row["offset"]


def _at(places: Sequence[Place]) -> Any:
    import pyarrow.dataset as ds

    partitions: dict[tuple[str, int], list[int]] = {}
    for topic, partition, offset in places:
        partitions.setdefault((topic, partition), []).append(offset)
    return reduce(
        or_,
        (
            (ds.field("topic") == topic) & (ds.field("partition") == partition) & ds.field("offset").isin(offsets)
            for (topic, partition), offsets in partitions.items()
        ),
    )


class _Admissions:
    """The admissions in a table's log, by the offsets that they judged; no offset was judged by two."""

    def __init__(self, commits: Sequence[dict[str, Any]]) -> None:
        self._judged: dict[tuple[str, int], list[tuple[int, int, Run]]] = {}
        for commit in commits:
            note = str(commit.get("userMetadata") or "").partition(" ")[2]  # after the commit's mark
            for topic, partition, first, stop in json.loads(note) if note.startswith("[") else ():
                self._judged.setdefault((topic, partition), []).append((first, stop, _run(commit)))
        for judged in self._judged.values():
            judged.sort(key=lambda found: found[0])

    def of(self, row: dict[str, Any]) -> Run | None:
        """The admission that refused a record; None if none did, or if it is not in the log any more."""
        judged = self._judged.get((row["topic"], row["partition"]), [])
        place = bisect_right(judged, row["offset"], key=lambda found: found[0]) - 1
        is_known = place >= 0 and row["offset"] < judged[place][1] and row["reason"] != EXPECTATION
        return judged[place][2] if is_known else None


def _run(commit: dict[str, Any]) -> Run:
    return Run(commit["version"], datetime.fromtimestamp(commit["timestamp"] / 1e3, UTC))


def _runs(found: DeltaTable, commits: Sequence[dict[str, Any]]) -> dict[str, Run]:
    """The commit that added each data file, by the file's name: the first commit that is not older than the file."""
    ordered = sorted(commits, key=lambda commit: (commit["timestamp"], commit["version"]))
    times, runs = [commit["timestamp"] for commit in ordered], {}
    for path, written in _files(found):
        runs[_name(path)] = _run(ordered[min(bisect_left(times, written), len(ordered) - 1)])
    return runs


def _files(found: DeltaTable) -> list[tuple[str, int]]:
    """Path of each data file, and the time at which it was written (ms since 1970)."""
    actions = actions_of(found)
    return list(zip(actions["path"].to_pylist(), actions["modification_time"].to_pylist(), strict=True))


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]
