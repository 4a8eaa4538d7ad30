"""The table `history`: past events that `aimaas replay --backfill` wrote straight into the lake.

They were never on a topic, and the stream never judged them. Only gold takes them, judged by the present fleet file, and the
corrected view orders them. Their coordinates are `history/0/offset`, so the column `topic` of gold marks backfilled rows, and
offsets tell which of them a version of gold has. `broker_ts` is the time at which they were written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from aimaas.errors import LakeError
from aimaas.lake.tables import Held, Offsets, find_table, held, table_uri
from aimaas.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

HISTORY = "history"  # instead of a topic's name
PLACE = (HISTORY, 0)  # one stretch of offsets: later backfills append
APP_ID = "backfill"


class _Note(msgspec.Struct, frozen=True):
    """The note of a commit: the end of the offsets. Upkeep keeps the newest note, even if it erases the newest rows."""

    end: int


def schema() -> pa.Schema:
    """The columns of the table."""
    import pyarrow as pa

    kinds = {
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "broker_ts": pa.timestamp("us", "UTC"),
    }
    return pa.schema([*kinds.items(), ("key", pa.binary()), ("value", pa.binary())])


def history_ends(settings: Settings, fleet: str) -> Offsets:
    """The end of the table, as offsets like those of topics; empty before the first backfill. Raises LakeError."""
    end = end_of(held(settings, fleet, "history", APP_ID))
    return {PLACE: end} if end else {}


def end_of(seen: Held) -> int:
    """The offset after the newest that was ever used."""
    noted = msgspec.json.decode(seen.note, type=_Note).end if seen.note else 0
    return max(seen.offsets.get(PLACE, 0), noted)


def is_there(settings: Settings, fleet: str, digest: str) -> bool:
    """Whether a backfill with this digest was written."""
    found = find_table(settings, fleet, "history")
    return found is not None and found.transaction_version(_once(digest)) is not None


def write_history(
    settings: Settings, fleet: str, batches: Iterable[pa.RecordBatch], seen: Held, end: int, digest: str
) -> None:
    """Append batches of `schema` that end before offset `end`, in one commit, if the table is still as it was `seen`.

    Raises LakeError if another backfill came first.
    """
    import pyarrow as pa
    from deltalake import CommitProperties, Transaction, write_deltalake
    from deltalake.exceptions import CommitFailedError, DeltaError

    found, uri = find_table(settings, fleet, "history"), table_uri(settings, fleet, "history")
    how = CommitProperties(
        custom_metadata={"userMetadata": msgspec.json.encode(_Note(end)).decode()},
        app_transactions=[Transaction(APP_ID, seen.number + 1), Transaction(_once(digest), 1)],
        max_commit_retries=0,
    )
    overtaken = f"{uri}: another backfill or upkeep job wrote to it meanwhile; nothing was changed, run this again"
    if (None if found is None else int(found.version())) != seen.version:
        raise LakeError(overtaken)
    rows = pa.RecordBatchReader.from_batches(schema(), batches)
    try:
        write_deltalake(
            uri if found is None else found, rows, mode="error" if found is None else "append",
            partition_by=["topic", "partition"], commit_properties=how,
        )  # fmt: skip
    except CommitFailedError:
        raise LakeError(overtaken) from None
    except DeltaError:
        if found is None and find_table(settings, fleet, "history") is not None:
            raise LakeError(overtaken) from None
        raise


def _once(digest: str) -> str:
    return f"{APP_ID} {digest}"
