"""`aimaas replay --backfill`: writes recorded data that is older than the sent events straight into the lake.

The stream cannot take such data, because all of it would be late. The corrected view can, because it orders the events of
each device. Outcomes are sent to their topic as always, because only the lake reads them, in any order. Events are written
to the table `history` in one commit, which a digest of all records identifies. A killed backfill is repeated from the
start, and a repeated backfill changes nothing.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aimaas.fleet import FleetSpec
from aimaas.lake import held
from aimaas.lake.history import APP_ID, HISTORY, PLACE, end_of, is_there, schema, write_history
from aimaas.records.refusal_reasons import Reason
from aimaas.settings import Settings
from stream.devices.producer import KeyValue, produce_chunks
from stream.replay.before import Oldest
from stream.replay.cells.mistakes import Mistakes
from stream.replay.mapping.file import load_mapping
from stream.replay.mapping.schema import Mapping, ReplayError
from stream.replay.recording import Found, Progress, Recorder
from stream.replay.sending import chunks

if TYPE_CHECKING:
    import pyarrow as pa

_SPOOL = "events.parquet"


@dataclass
class Backfilled:
    """Numbers of written events, of events among them that gold refuses, by reason, and of sent outcomes.

    `again`: all were there before.
    """

    events: int = 0
    outcomes: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    again: bool = False


def backfill_file(
    settings: Settings, fleet: FleetSpec, source: Path, mapping: Path, progress: Progress | None = None
) -> Backfilled:
    """Write a recording's events into the lake and send its outcomes. Raises ReplayError, LakeError and KafkaError.

    The whole recording is read, judged and compared with gold first, so nothing is written for a file with a mistake.
    """
    checked = load_mapping(mapping, fleet)
    _require_places(fleet, checked, mapping)
    with tempfile.TemporaryDirectory(prefix="aimaas-backfill-") as name:
        folder = Path(name)
        found = Recorder(fleet, checked, source, folder, Mistakes(), progress).by_time()
        spooled = _Spooled(fleet, Oldest.of(settings, fleet), folder / _SPOOL)
        spooled.take(found, progress)
        if is_there(settings, fleet.fleet, spooled.digest):
            return Backfilled(again=True)
        if spooled.outcomes:  # first, because repeated outcomes change nothing
            produce_chunks(settings, fleet, [([], spooled.outcomes, found.total)], found.total)
        _write(settings, fleet, spooled)
    return Backfilled(spooled.events, len(spooled.outcomes), spooled.refused)


def _require_places(fleet: FleetSpec, checked: Mapping, mapping: Path) -> None:
    """Raise ReplayError if the mapping does not define where a row belongs in a device's life."""
    if checked.ts is None:
        raise ReplayError(f"{mapping}: a backfill needs the time of each row; set ts to its column")
    if fleet.order == "seq" and checked.seq is None:
        raise ReplayError(
            f"{mapping}: without seq, rows are counted from 1 in this file, which is wrong for older data; a backfill of a fleet "
            "with order: seq needs the counter of each row; set seq to its column"
        )


class _Spooled:
    """The records of a recording, judged one by one, with events on disk."""

    def __init__(self, fleet: FleetSpec, oldest: Oldest, path: Path) -> None:
        from aimaas.admission.judge import Judge  # compiled code, which a plain replay does not need

        self._fleet, self._judge, self._oldest, self._path = fleet, Judge(fleet), oldest, path
        self._digest = hashlib.sha256()
        self.events = 0
        self.outcomes: list[KeyValue] = []
        self.refused: Counter[str] = Counter()

    @property
    def digest(self) -> str:
        """Return a digest that identifies the records."""
        return self._digest.hexdigest()

    def take(self, found: Found, progress: Progress | None) -> None:
        """Read and judge the whole recording. Raises ReplayError if an event contradicts gold's rows of its device."""
        import pyarrow as pa
        from pyarrow import parquet

        kinds = pa.schema([("key", pa.binary()), ("value", pa.binary())])
        with parquet.ParquetWriter(self._path, kinds) as spool:
            for events, outcomes, rows in chunks(self._fleet, found, None, int(time.time() * 1e6)):
                if events:
                    spool.write_table(pa.table([list(part) for part in zip(*events, strict=True)], schema=kinds))
                self._note(events, outcomes)
                if progress:
                    progress("judging", rows, found.total)

    def _note(self, events: list[KeyValue], outcomes: list[KeyValue]) -> None:
        for key, value in (*events, *outcomes):
            self._digest.update(b"%d %d " % (len(key), len(value)) + key + value)
        batch = self._judge.decode([key for key, _ in events], [value for _, value in events])
        self._oldest.check(batch)
        self.refused.update(Reason(reason).label for reason in batch.reason.tolist() if reason)
        self.events += len(events)
        self.outcomes += outcomes

    def batches(self, first: int, now: datetime) -> Iterator[pa.RecordBatch]:
        """Yield the events as rows of `history`, from offset `first` on."""
        import pyarrow as pa
        from pyarrow import parquet

        for part in parquet.ParquetFile(self._path).iter_batches(10_000):
            n = len(part)
            made: list[Any] = [pa.repeat(pa.scalar(value), n) for value in (HISTORY, pa.scalar(PLACE[1], pa.int32()))]
            made += [
                pa.array(range(first, first + n), pa.int64()),
                pa.repeat(pa.scalar(now, pa.timestamp("us", "UTC")), n),
            ]
            yield pa.RecordBatch.from_arrays([*made, part["key"], part["value"]], schema=schema())
            first += n


def _write(settings: Settings, fleet: FleetSpec, spooled: _Spooled) -> None:
    seen = held(settings, fleet.fleet, "history", APP_ID)
    first = end_of(seen)
    batches = spooled.batches(first, datetime.now(UTC))
    write_history(settings, fleet.fleet, batches, seen, first + spooled.events, spooled.digest)
