"""Features of Delta tables that readers without a JVM lack: the error comes before anything is read or written.

Another engine may turn a feature on (some do so for every table that they write). Spark can read such a table, delta-rs and Arrow
cannot: half of the jobs would continue and the others fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimaas.errors import LakeError

if TYPE_CHECKING:
    from deltalake import DeltaTable

_PROPERTIES = {
    "deletionVectors": "delta.enableDeletionVectors",
    "typeWidening": "delta.enableTypeWidening",
    "typeWidening-preview": "delta.enableTypeWidening",
    "v2Checkpoint": "delta.checkpointPolicy",
    "columnMapping": "delta.columnMapping.mode",
}


def check_features(found: DeltaTable) -> None:
    """Raise LakeError if reading the table requires a feature that is missing here."""
    from deltalake.table import MAX_SUPPORTED_READER_VERSION, SUPPORTED_READER_FEATURES

    protocol = found.protocol()
    if protocol.min_reader_version > MAX_SUPPORTED_READER_VERSION:
        raise LakeError(
            f"{found.table_uri}: needs readers of Delta protocol {protocol.min_reader_version}, but aimaas reads up to "
            f"{MAX_SUPPORTED_READER_VERSION}; write the table again with an engine that uses the older protocol"
        )
    lacking = sorted({*(protocol.reader_features or ())} - SUPPORTED_READER_FEATURES)
    if lacking:
        raise LakeError(f"{found.table_uri}: {_told(found, lacking[0])}")


def _told(found: DeltaTable, feature: str) -> str:
    name = _PROPERTIES.get(feature)
    value = found.metadata().configuration.get(name) if name else None
    cause = f"the property {name}={value}" if value is not None else f"the table feature {feature}"
    undo = f"ALTER TABLE … UNSET TBLPROPERTIES ('{name}'); " if value is not None else ""
    return (
        f"another engine has set {cause}, which training, gates and commands cannot read; nothing was written. In Spark: {undo}"
        f"REORG TABLE … APPLY (PURGE); ALTER TABLE … DROP FEATURE {feature}"
    )
