"""The sources of a version of gold: the rows and outcomes that it consists of. The note of its commit holds them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import (
    Offsets,
    Table,
    held,
    newest_note,
    offsets_json,
    offsets_of,
    read_table,
    table_path,
    table_version,
)
from aimaas.lake.audits import published_offsets
from aimaas.lake.history import PLACE, history_ends
from aimaas.lake.quarantine import EXPECTATION
from aimaas.lake.rebuilt_days import held_days
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_of
from spark_jobs.commits import note_of, without_mark

if TYPE_CHECKING:
    import pyarrow as pa

_MEANING = 2  # increase it if columns, or their computation, change their meaning: gold is then written as a whole
# the keys of the fleet file that decide which rows gold has, and what their columns mean
_SAID: dict[str, Any] = {
    "order": True, "settings": True, "sensors": True, "task": True, "split": True,
    "limits": {"record_bytes", "lateness_s", "silence_s"},
}  # fmt: skip


_SHOWN = ("name", "command")  # keys of a reading that do not change gold


class Sources(msgspec.Struct, frozen=True):
    """Published rows of silver and quarantine, and backfilled rows, up to `admitted` (offsets as JSON); the version of outcomes; a
    digest of the fleet file.

    `rebuilt` counts how often the rebuild job replaced rows below `admitted`. `aside` is the number of rows below `admitted` that
    expectations have set aside. `remade` counts how often that number changed for rows that gold had already.
    """

    admitted: str
    outcomes: int
    fleet: str
    meaning: int = _MEANING
    rebuilt: int = 0
    aside: int = 0
    remade: int = 0

    @property
    def offsets(self) -> Offsets:
        """The ends of the rows by topic and partition."""
        return offsets_of(self.admitted)

    @property
    def rows_digest(self) -> str:
        """Equal for two versions of gold that hold the same rows."""
        return hashlib.sha256(f"{self.admitted} {self.fleet} {self.meaning}".encode()).hexdigest()[:16]

    def goes_on_from(self, before: Sources) -> bool:
        """Whether gold made of `before`, if it is older, is the first part of gold made of these sources."""
        mine, theirs = ((s.fleet, s.meaning, s.rebuilt, s.remade) for s in (self, before))
        return mine == theirs


def find_sources(settings: Settings, fleet: FleetSpec, before: Sources | None) -> Sources:
    """The newest published sources, to continue gold made of `before`. Raises LakeError before the first admission, and before
    the gate of silver has passed any rows.
    """
    for table in ("silver", "quarantine", "outcomes"):
        landed_version(settings, fleet, table)
    ends = published_offsets(settings, fleet)
    if not ends:
        raise LakeError(
            f"{table_path(settings, fleet.fleet, 'silver')}: nothing has passed its gate yet; run the task check_silver of the DAG "
            f"{fleet.fleet}_ingest, or `aimaas gate check --fleet {fleet.fleet}`; `aimaas gate show` says what failed"
        )
    events = {at: end for at, end in ends.items() if topic_of(at[0]) != topic_names(fleet).outcomes}
    events |= history_ends(settings, fleet.fleet)
    digest = digest_of(fleet)
    rebuilt = _rebuilt(settings, fleet, before)
    aside = _set_aside(settings, fleet)
    remade = 0 if before is None else before.remade + (_below(aside, before.offsets) != before.aside)
    outcomes = landed_version(settings, fleet, "outcomes")
    return Sources(offsets_json(events), outcomes, digest, rebuilt=rebuilt, aside=_below(aside, events), remade=remade)


def _rebuilt(settings: Settings, fleet: FleetSpec, before: Sources | None) -> int:
    """The number of replacements of rows; unchanged from `before` while a rebuilt day has not passed its gate."""
    if before is not None and held_days(settings, fleet):
        return before.rebuilt
    return sum(held(settings, fleet.fleet, table, "rebuild").number for table in ("silver", "quarantine"))


def gold_is_behind(settings: Settings, fleet: FleetSpec) -> bool:
    """Whether days were rebuilt, or rows set aside or backfilled, since gold was written. False before the first gold."""
    before = read_sources(note_of(held(settings, fleet.fleet, "gold", "gold")), fleet)
    if before is None:
        return False
    now = find_sources(settings, fleet, before)
    ends = (sources.offsets.get(PLACE, 0) for sources in (before, now))
    return (before.rebuilt, before.remade) != (now.rebuilt, now.remade) or len(set(ends)) > 1


def _set_aside(settings: Settings, fleet: FleetSpec) -> pa.Table:
    """Coordinates of the rows that expectations have set aside."""
    import pyarrow.dataset as ds

    columns = ["topic", "partition", "offset"]
    return read_table(settings, fleet.fleet, "quarantine", columns, ds.field("reason") == EXPECTATION)


def _below(places: pa.Table, ends: Offsets) -> int:
    """The number of coordinates below the ends of their partitions."""
    columns = (places[name].to_pylist() for name in places.column_names)
    return sum(offset < ends.get((topic, p), 0) for topic, p, offset in zip(*columns, strict=True))


def read_sources(note: str, fleet: FleetSpec) -> Sources | None:
    """The sources in the note of a commit to gold; None if it is no note of this release."""
    try:
        return _known_by(msgspec.json.decode(note, type=Sources), fleet)
    except msgspec.DecodeError:
        return None


def _known_by(sources: Sources, fleet: FleetSpec) -> Sources:
    """The sources with the digest of this release, if an earlier release noted the same fleet file."""
    same = sources.fleet == _digest_with_names(fleet)
    return msgspec.structs.replace(sources, fleet=digest_of(fleet)) if same else sources


def digest_of(fleet: FleetSpec) -> str:
    """A digest of the keys of the fleet file that define gold; the display name of a reading does not count."""
    said = fleet.model_dump(mode="json", include=_SAID)
    for part in ("settings", "sensors"):
        said[part] = {n: {k: v for k, v in r.items() if k not in _SHOWN} for n, r in said[part].items()}
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:16]


def _digest_with_names(fleet: FleetSpec) -> str:
    """The digest as earlier releases computed it."""
    return hashlib.sha256(fleet.model_dump_json(include=_SAID).encode()).hexdigest()[:16]


def sources_of(settings: Settings, fleet: FleetSpec, version: int) -> Sources:
    """The sources of a version of gold. Raises LakeError if its log has been cleaned up, or if an older release made it."""
    sources = read_sources(without_mark(newest_note(settings, fleet.fleet, "gold", version) or ""), fleet)
    if sources is None:
        raise LakeError(
            f"{table_path(settings, fleet.fleet, 'gold')}: version {version} does not say what it is made of: its log was cleaned "
            "up, or an older release wrote it; run the gold job, and use the version that it reports"
        )
    return sources


def landed_version(settings: Settings, fleet: FleetSpec, table: Table) -> int:
    """The version of a table that landing or admission writes. Raises LakeError if the table does not exist yet."""
    version = table_version(settings, fleet.fleet, table)
    if version is None:
        raise LakeError(f"{table_path(settings, fleet.fleet, table)}: no such table; run the land and admit jobs first")
    return version
