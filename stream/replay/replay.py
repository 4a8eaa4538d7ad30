"""`aimaas replay`: sends recorded data as if devices sent it now."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from stream.devices import producer
from stream.devices.histories import Ending, Histories
from stream.devices.producer import Produced, produce, produce_chunks, require_topics
from stream.replay.cells.mistakes import Mistakes
from stream.replay.check import Report, judged
from stream.replay.cmapss import read_cmapss, read_remaining
from stream.replay.mapping.file import load_mapping
from stream.replay.mapping.schema import ReplayError
from stream.replay.recording import Progress, Recorder, Recording
from stream.replay.rows import EVENT, Rows
from stream.replay.sending import chunks, endings

__all__ = ["ReplayError", "check_file", "read_cmapss", "read_file", "read_remaining", "replay_cmapss", "replay_file"]


def read_file(fleet: FleetSpec, source: Path, mapping: Path) -> Histories:
    """Return histories in memory, ordered by device, run and order key, from a CSV or Parquet file by its mapping.

    Raises ReplayError.
    """
    checked = load_mapping(mapping, fleet)
    with _folder() as folder:
        recorder = Recorder(fleet, checked, source, Path(folder), Mistakes(), None)
        rows = np.concatenate(list(recorder.by_device()))
    return _histories(fleet, recorder.recording(), rows)


def replay_file(
    settings: Settings,
    fleet: FleetSpec,
    source: Path,
    mapping: Path,
    rate: float | None = None,
    progress: Progress | None = None,
) -> Produced:
    """Send recorded tables: `rate` events/s over all devices, None for full speed.

    All tables are read before anything is sent, so nothing is sent for a file with a mistake. Raises ReplayError,
    KafkaError.
    """
    checked = load_mapping(mapping, fleet)
    require_topics(settings, fleet)  # a large file takes minutes to read
    with _folder() as folder:
        found = Recorder(fleet, checked, source, Path(folder), Mistakes(), progress).by_time()
        sent = chunks(fleet, found, rate, int(time.time() * 1e6))
        return produce_chunks(settings, fleet, sent, found.total, progress=_sending(progress))


def check_file(fleet: FleetSpec, source: Path, mapping: Path, progress: Progress | None = None) -> Report:
    """Report the events that `replay_file` would send, and the refused ones with reasons.

    Raises ReplayError for mapping and headers.
    """
    checked = load_mapping(mapping, fleet)
    mistakes, now_us = Mistakes(counting=True), int(time.time() * 1e6)
    with _folder() as folder:
        recorder = Recorder(fleet, checked, source, Path(folder), mistakes, progress)
        found = recorder.by_time()
        sent = chunks(fleet, found, None, now_us)
        reasons = judged(fleet, sent, now_us // 1_000, found.total, _sending(progress, "judging"))
    return Report(recorder.rows_read, found.events, found.outcomes, list(mistakes.refused.values()), reasons)


def replay_cmapss(
    settings: Settings,
    fleet: FleetSpec,
    directory: Path,
    subset: str,
    part: str,
    rate: float | None = None,
    progress: Progress | None = None,
) -> Produced:
    """Send one file of a C-MAPSS directory (`part` is train or test), at `rate` as above. Raises ReplayError, KafkaError."""
    return produce(settings, fleet, read_cmapss(fleet, directory, subset, part), rate, progress=_sending(progress))


def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="aimaas-replay-")


def _sending(progress: Progress | None, doing: str = "sending") -> producer.Progress | None:
    return None if progress is None else lambda done, total: progress(doing, done, total)


def _histories(fleet: FleetSpec, recording: Recording, rows: Rows) -> Histories:
    """Return rows by device, run and place; an outcome of a separate table belongs to the event before it."""
    is_event = rows["what"] == EVENT
    event = np.maximum(np.cumsum(is_event) - 1, 0)
    events = rows[is_event]
    return Histories(
        fleet=fleet.fleet,
        devices=list(recording.devices),
        device=events["device"].astype(np.int64),
        run=events["run"].astype(np.int64),
        seq=events["seq"].copy(),
        step=events["time"].copy(),
        values=events["values"].copy(),
        endings=[
            Ending(int(event[e.row]), e.seq, e.kind, e.mode)
            for e in endings(recording, rows)
            if len(events) and events["device"][event[e.row]] == rows["device"][e.row]
        ],
        ts_us=None if recording.last_step is not None else events["time"].copy(),
    )
