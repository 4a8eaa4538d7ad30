"""Deletes the data files that hold rows of a device and that only old versions of a table need.

A vacuum without retention would also delete the files of running jobs, and the files of all old versions. After this deletion, old
versions with such a file can no longer be read; other versions can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from aimaas.lake.erased_records import Forgotten
from upkeep.erasing.device import Device

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

_SETTLED_HOURS = 24  # a file that is older and not in the log belongs to no running job: jobs end after hours


def erase_files(found: DeltaTable, column: str, device: Device, erased: Forgotten, dry_run: bool = False) -> int:
    """Delete the files of old versions with rows of the device (by `column`) or rows at erased coordinates. Return their number."""
    from pyarrow.fs import FileType

    store = _store(found)
    gone = 0
    for path in sorted(_unneeded(found)):
        if store.get_file_info(path).type != FileType.File or not _holds(store, path, column, device, erased):
            continue
        gone += 1
        if not dry_run:
            _delete(store, path)
    return gone


def _delete(store: Any, path: str) -> None:
    """Delete the file, and the checksum that Hadoop writes beside it on a local disk."""
    from pyarrow.fs import FileType

    folder, _, name = path.rpartition("/")
    store.delete_file(path)
    checksum = f"{folder}/.{name}.crc".lstrip("/")
    if store.get_file_info(checksum).type == FileType.File:
        store.delete_file(checksum)


def _unneeded(found: DeltaTable) -> set[str]:
    """Return the files that only old versions have, by the log or by their age."""
    said = found.vacuum(retention_hours=0, dry_run=True, enforce_retention_duration=False)
    old = found.vacuum(retention_hours=_SETTLED_HOURS, dry_run=True, enforce_retention_duration=False, full=True)
    return {path for path in (*said, *old) if path.endswith(".parquet")}


def _holds(store: Any, path: str, column: str, device: Device, erased: Forgotten) -> bool:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with store.open_input_file(path) as source:
        file = pq.ParquetFile(source)
        if column not in file.schema_arrow.names:
            return False
        wanted = [name for name in (column, "topic", "partition", "offset") if name in file.schema_arrow.names]
        for rows in file.iter_batches(columns=wanted):
            ids = rows[column].cast("string" if column == "device_id" else "binary")
            value = device.id if column == "device_id" else device.key
            if pc.any(pc.equal(ids, value)).as_py() or _has_erased(rows, path, erased):
                return True
    return False


def _has_erased(rows: pa.RecordBatch, path: str, erased: Forgotten) -> bool:
    """Return whether a file in folders of topic and partition has a record at erased coordinates."""
    folders = dict(part.split("=", 1) for part in path.split("/") if "=" in part)
    if not {"topic", "partition"} <= folders.keys() or "offset" not in rows.schema.names:
        return False
    at = unquote(folders["topic"]), int(folders["partition"])
    return bool(np.isin(rows["offset"].to_numpy(zero_copy_only=False), erased.get(at, [])).any())


def _store(found: DeltaTable) -> Any:
    """Return the table's folder as an Arrow file system: directly if it is local, else through delta-rs."""
    from pyarrow.fs import LocalFileSystem, PyFileSystem, SubTreeFileSystem

    place = found.table_uri.removeprefix("file://")
    if place.startswith("/"):
        return SubTreeFileSystem(place, LocalFileSystem())
    from deltalake.fs import DeltaStorageHandler

    return PyFileSystem(DeltaStorageHandler.from_table(found._table))
