"""Reads NASA's C-MAPSS turbofan data as published: `train_FD001.txt`, `test_FD001.txt`, `RUL_FD001.txt` and so on.

26 columns without a header: engine, cycle, three operating settings, sensors 1 to 21. Training engines run until they fail; test
engines are cut off before, and `RUL_*` says how many cycles each of them still had (Saxena & Goebel 2008).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from aimaas.fleet import FleetSpec
from stream.devices.histories import Ending, Float64, Histories, Int64
from stream.replay.mapping.schema import ReplayError

_READINGS = (*(f"o{i}" for i in range(1, 4)), *(f"s{i}" for i in range(1, 22)))


def read_cmapss(fleet: FleetSpec, directory: Path, subset: str, part: str) -> Histories:
    """Return the engines of one file, named `train-FD001-001` and so on; `failed` at the last cycle of each training engine.

    Raises ReplayError if a file is missing or torn, or if the fleet declares other readings.
    """
    if fleet.readings != _READINGS:
        raise ReplayError(
            f"fleet {fleet.fleet} does not declare the readings of C-MAPSS (o1 to o3, s1 to s21): use the fleet turbofan"
        )
    if part not in ("train", "test"):
        raise ReplayError(f"part: found {part!r}, allowed: train, test")
    path = directory / f"{part}_{subset}.txt"
    table = _read(path, 2 + len(_READINGS))
    engines, device = np.unique(table[:, 0].astype(np.int64), return_inverse=True)
    seq = table[:, 1].astype(np.int64)
    sort = np.lexsort((seq, device))
    device, seq = device[sort], seq[sort]
    last = np.append(np.flatnonzero(np.diff(device)), len(device) - 1)
    return Histories(
        fleet=fleet.fleet,
        devices=[f"{part}-{subset}-{engine:03d}" for engine in engines.tolist()],
        device=device,
        run=np.zeros(len(device), np.int64),
        seq=seq,
        step=seq,
        values=table[sort, 2:],
        endings=[Ending(int(row), int(seq[row]), "failed") for row in last] if part == "train" else [],
    )


def read_remaining(directory: Path, subset: str) -> Int64:
    """Return the true remaining cycles at the last row of each test engine (engines,), in the order of their numbers."""
    return _read(directory / f"RUL_{subset}.txt", 1)[:, 0].astype(np.int64)


def _read(path: Path, columns: int) -> Float64:
    if not path.parent.is_dir():
        raise ReplayError(f"{path.parent}: no directory; a CSV or Parquet file is replayed with --mapping FILE")
    if not path.is_file():
        there = ", ".join(sorted(p.name for p in path.parent.glob("*_*.txt"))) or "no files of C-MAPSS"
        raise ReplayError(f"{path}: no such file; {path.parent} has {there}")
    try:
        with warnings.catch_warnings(action="ignore"):  # about an empty file, which is refused below
            table = np.loadtxt(path, ndmin=2)
    except (ValueError, UnicodeDecodeError) as e:
        raise ReplayError(f"{path}: not a table of numbers ({str(e).split(';')[0]}); download the file again") from None
    if not table.size or table.shape[1] != columns:
        raise ReplayError(f"{path}: found {table.shape[1]} columns in {len(table)} rows, allowed: {columns} columns")
    return table
