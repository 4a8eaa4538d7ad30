"""The lake: Delta tables at `<lake>/<fleet>/<table>`, and readers of them that need no JVM.

Spark writes. The command line, training and the gates read here, and `aimaas topics grow` moves rows. `bronze`, `silver`,
`quarantine` and `outcomes` are partitioned by Kafka topic and partition, so the file statistics hold the newest offset of a table.
`gold` has the rows of the corrected view; readers compute whatever depends on a row's neighbours (`aimaas.labels.lifetimes`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from aimaas.errors import LakeError
from aimaas.lake.table_features import check_features
from aimaas.lake.torn_files import reading
from aimaas.settings import Settings
from aimaas.stored_files import with_s3

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from deltalake import DeltaTable

Table = Literal[
    "bronze",
    "outcomes",
    "silver",
    "quarantine",
    "gold",
    "admission_state",
    "gold_state",
    "gaps",
    "rescored",
    "forgotten",
    "audits",
    "history",
]
Offsets = dict[tuple[str, int], int]  # (topic, partition) -> offset

_KAFKA_PLACE = ["topic", "partition"]

_MADE_BY: dict[Table, str] = {
    "bronze": "the land job",
    "outcomes": "the admit job",
    "silver": "the admit job",
    "quarantine": "the admit job",
    "admission_state": "the admit job",
    "gold": "the gold job",
    "gold_state": "the gold job",
    "gaps": "the land job",
    "rescored": "`aimaas rescore`",
    "forgotten": "`aimaas forget`",
    "audits": "the gate of silver",
    "history": "`aimaas replay --backfill`",
}


def fleet_folder(settings: Settings, fleet: str) -> str:
    """Path or URI of the fleet's part of the lake: its tables and its trainings."""
    return f"{settings.lake.rstrip('/')}/{fleet}"


def table_path(settings: Settings, fleet: str, table: Table) -> str:
    """Path or URI of a fleet's table, as Spark takes it."""
    return f"{fleet_folder(settings, fleet)}/{table}"


def partitioned_by(table: Table) -> list[str]:
    """The partition columns of a table: Kafka's topic and partition if its rows are Kafka records in their order."""
    if table == "rescored":
        return ["model_version", "day"]
    return [] if table in ("gold", "gold_state", "gaps", "forgotten", "audits") else _KAFKA_PLACE


def table_version(settings: Settings, fleet: str, table: Table) -> int | None:
    """Version of the table's newest commit; None if there is no table yet."""
    found = find_table(settings, fleet, table)
    return None if found is None else int(found.version())


def table_id(settings: Settings, fleet: str, table: Table) -> str | None:
    """Delta's id of the table; None if there is no table yet. A table that was deleted and made again has another id."""
    found = find_table(settings, fleet, table)
    return None if found is None else str(found.metadata().id)


def version_at(settings: Settings, fleet: str, table: Table, at: datetime) -> int:
    """The newest version of the table at a time, by the clock of the writers. Raises LakeError if there was none."""
    found = _open(settings, fleet, table)
    commits = [(commit["timestamp"], int(commit["version"])) for commit in found.history()]
    then = [version for ms, version in commits if ms <= at.timestamp() * 1e3]
    if not then:
        oldest = datetime.fromtimestamp(min(ms for ms, _ in commits) / 1e3, UTC).isoformat(timespec="seconds")
        raise LakeError(
            f"{found.table_uri}: its log begins at {oldest}, after {at.isoformat()}; give a later time, or a version"
        )
    return max(then)


def commit_notes(settings: Settings, fleet: str, table: Table, since: int | None = None) -> list[str]:
    """The notes of the commits after version `since` (Delta's user metadata), newest first; all notes if it is None."""
    found = find_table(settings, fleet, table)
    commits = 0 if found is None else found.version() - (-1 if since is None else since)
    if found is None or commits == 0:
        return []
    return [note for commit in found.history(commits) if (note := commit.get("userMetadata")) is not None]


def newest_note(settings: Settings, fleet: str, table: Table, version: int | None = None) -> str | None:
    """The newest note of a commit up to `version`; None if no commit in the log has a note."""
    found = find_table(settings, fleet, table)
    return None if found is None else note_in(found, version)


def note_in(found: DeltaTable, version: int | None = None) -> str | None:
    """The newest note of a commit of an open table, up to `version`."""
    before = 0 if version is None else found.version() - version
    for commits in (before + 1, None):  # usually the newest commit has a note; upkeep's commits have none
        for commit in found.history(commits)[before:]:
            if (note := commit.get("userMetadata")) is not None:
                return str(note)
    return None


def read_table(
    settings: Settings,
    fleet: str,
    table: Table,
    columns: Sequence[str] | None = None,
    filter: Any = None,
    version: int | None = None,
) -> pa.Table:
    """Rows of a table, in any order. `filter` is a `pyarrow.dataset` expression.

    Raises LakeError if the table, the version or a column is missing.
    """
    found = _open(settings, fleet, table, version)
    known = [field.name for field in found.schema().fields]
    missing = [name for name in columns or () if name not in known]
    if missing:
        raise LakeError(f"{table_path(settings, fleet, table)}: no column {missing[0]!r}; it has {', '.join(known)}")
    with reading(found.table_uri):
        return arrow_dataset(found).to_table(columns=None if columns is None else list(columns), filter=filter)


def arrow_dataset(found: DeltaTable) -> ds.Dataset:
    """The files of a table as a dataset.

    Arrow opens local files itself: through delta-rs its threads would call Python, which sometimes aborts the process at its end
    (delta-rs issue 2184).
    """
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    place = found.table_uri.removeprefix("file://")
    local = SubTreeFileSystem(place, LocalFileSystem()) if place.startswith("/") else None
    return found.to_pyarrow_dataset(filesystem=local)


def row_count(settings: Settings, fleet: str, table: Table) -> int:
    """Rows of the table, 0 if there is none yet; read from the log, not from the rows."""
    found = find_table(settings, fleet, table)
    return 0 if found is None else sum(actions_of(found)["num_records"].to_pylist())


@dataclass(frozen=True)
class Held:
    """The content of a table of Kafka records at one version (None: there is no table yet).

    `number` is the job's newest transaction (0: none). `offsets` are the offsets after the newest of each topic and partition, for
    tables partitioned by them. `note` is the newest note of a commit.
    """

    version: int | None = None
    number: int = 0
    offsets: Offsets = field(default_factory=dict)
    note: str | None = None


def held(settings: Settings, fleet: str, table: Table, app_id: str) -> Held:
    """Look up one version of the table for the job `app_id`.

    Offsets are read from the statistics of the files, each of which holds one Kafka partition, so they stay right after OPTIMIZE.
    """
    found = find_table(settings, fleet, table)
    if found is None:
        return Held()
    number = found.transaction_version(app_id) or 0
    offsets = _next_offsets(found) if partitioned_by(table) == _KAFKA_PLACE else {}
    return Held(int(found.version()), number, offsets, note_in(found))


def ends_at(settings: Settings, fleet: str, table: Table, version: int) -> Offsets:
    """The offsets after the newest of each topic and partition at a version, even if its files are deleted.

    For gold they are in the gold job's note. Raises LakeError if the version is gone, or has no such note.
    """
    if table == "gold":
        return _noted_offsets(_open(settings, fleet, table), version)
    return _next_offsets(_open(settings, fleet, table, version))


def offsets_of(text: str) -> Offsets:
    """Offsets from JSON in the format of Spark's Kafka source: {topic: {partition: offset}}."""
    import msgspec

    topics = msgspec.json.decode(text, type=dict[str, dict[int, int]])
    return {(topic, p): offset for topic, ends in topics.items() for p, offset in ends.items()}


def offsets_json(offsets: Offsets) -> str:
    """Offsets in the format of Spark's Kafka source (`startingOffsets`, `endingOffsets`): {topic: {partition: offset}}."""
    topics: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in sorted(offsets.items()):
        topics.setdefault(topic, {})[str(partition)] = offset
    return json.dumps(topics)


def _noted_offsets(found: DeltaTable, version: int) -> Offsets:
    import msgspec

    try:
        text = note_in(found, version) if version <= found.version() else None
        note = msgspec.json.decode((text or "").partition(" ")[2], type=dict[str, Any])
        return offsets_of(str(note["admitted"]))
    except (msgspec.DecodeError, KeyError):
        raise LakeError(f"{found.table_uri}: version {version} does not say what it is made of") from None


def has_files(settings: Settings, fleet: str, table: Table, version: int) -> bool:
    """Whether all files of a version still exist: a vacuum deletes files that newer versions do not have."""
    from pyarrow.fs import FileType

    rows = arrow_dataset(_open(settings, fleet, table, version))
    found = rows.filesystem.get_file_info(rows.files) if rows.files else []
    return all(info.type == FileType.File for info in found)


def offsets_at(settings: Settings, fleet: str, table: Table, version: int) -> Offsets | None:
    """Offsets after the newest of each topic and partition at an older version; None if its log or its files are gone."""
    try:
        return ends_at(settings, fleet, table, version) if has_files(settings, fleet, table, version) else None
    except LakeError:
        return None


def replace_rows(settings: Settings, fleet: str, table: Table, rows: pa.Table, seen: Held, app_id: str) -> None:
    """Replace the content of a table with `rows`, for the job `app_id`, if the table is still as it was `seen`.

    Raises LakeError if another job has committed since. A job that looked at the table before this commit then fails as well.
    """
    from deltalake import CommitProperties, Transaction, write_deltalake
    from deltalake.exceptions import CommitFailedError

    found = _open(settings, fleet, table, seen.version)
    numbered = CommitProperties(app_transactions=[Transaction(app_id, seen.number + 1)], max_commit_retries=0)
    try:
        write_deltalake(found, rows, mode="overwrite", partition_by=_KAFKA_PLACE, commit_properties=numbered)
    except CommitFailedError:
        raise LakeError(
            f"{found.table_uri}: {_MADE_BY[table]} wrote to it meanwhile; nothing was changed, run this again"
        ) from None


def append_rows(settings: Settings, fleet: str, table: Table, rows: pa.Table) -> None:
    """Append rows to a table. The table is created if there is none."""
    from deltalake import write_deltalake

    write_deltalake(table_uri(settings, fleet, table), rows, mode="append", partition_by=partitioned_by(table) or None)


def _next_offsets(found: DeltaTable) -> Offsets:
    actions, offsets = actions_of(found).to_pydict(), Offsets()
    columns = (
        actions[name] for name in ("partition.topic", "partition.partition", "max.offset", "num_records", "path")
    )
    for topic, partition, newest, rows, path in zip(*columns, strict=True):
        if newest is None and rows:
            raise LakeError(
                f"{found.table_uri}: file {path} has no statistics of its offsets; write it again by a writer that keeps them"
            )
        if rows:
            offsets[topic, partition] = max(newest + 1, offsets.get((topic, partition), 0))
    return offsets


def actions_of(found: DeltaTable) -> pa.Table:
    """One row per data file: path, partition values, row count and statistics."""
    import pyarrow as pa

    return pa.table(found.get_add_actions(flatten=True))


def find_table(settings: Settings, fleet: str, table: Table) -> DeltaTable | None:
    """The newest version of a table, for readers of its files; None if there is none yet. Raises LakeError."""
    from deltalake import DeltaTable

    uri = table_uri(settings, fleet, table)
    return _open(settings, fleet, table) if DeltaTable.is_deltatable(uri) else None


def _open(settings: Settings, fleet: str, table: Table, version: int | None = None) -> DeltaTable:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    uri = table_uri(settings, fleet, table)
    try:
        found = DeltaTable(uri, version=version)
    except TableNotFoundError:
        at = f" at version {version}" if version is not None else ""
        raise LakeError(
            f"{uri}: no such table{at}; {_MADE_BY[table]} makes it (`aimaas status` shows what ran)"
        ) from None
    except DeltaError as e:
        at = f" at version {version}" if version is not None else ""
        raise LakeError(f"{uri}: cannot be read{at}: {str(e).splitlines()[0]}") from None
    check_features(found)
    return found


def check_tables(settings: Settings, fleet: str) -> None:
    """Raise LakeError if one of the fleet's tables cannot be read here, before a job writes to the others."""
    for table in _MADE_BY:
        find_table(settings, fleet, table)


def table_uri(settings: Settings, fleet: str, table: Table) -> str:
    """The table's address for delta-rs."""
    return with_s3(table_path(settings, fleet, table))
