"""`aimaas replay`: recorded data as if devices sent it now."""

from __future__ import annotations

from pathlib import Path

from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from stream.devices.histories import Histories
from stream.devices.producer import Produced, Progress, produce
from stream.replay.cmapss import read_cmapss, read_remaining
from stream.replay.mapping import ReplayError, load_mapping
from stream.replay.table import read_table, table_histories

__all__ = ["ReplayError", "read_cmapss", "read_file", "read_remaining", "replay_cmapss", "replay_file"]


def read_file(fleet: FleetSpec, source: Path, mapping: Path) -> Histories:
    """Histories from a CSV or Parquet file by its mapping file. Raises ReplayError."""
    checked = load_mapping(mapping, fleet)
    return table_histories(read_table(source, checked.delimiter), checked, fleet)


def replay_file(
    settings: Settings,
    fleet: FleetSpec,
    source: Path,
    mapping: Path,
    rate: float | None = None,
    progress: Progress | None = None,
) -> Produced:
    """Send a recorded table: `rate` events/s over all devices, None for full speed. Raises ReplayError, KafkaError."""
    return produce(settings, fleet, read_file(fleet, source, mapping), rate, progress=progress)


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
    return produce(settings, fleet, read_cmapss(fleet, directory, subset, part), rate, progress=progress)
