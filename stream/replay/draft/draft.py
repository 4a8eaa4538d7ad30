"""`aimaas fleets draft`: proposes a fleet file and a mapping file for a table, which is read block by block."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from stream.replay.cells.csv_source import header
from stream.replay.cells.mistakes import Mistakes
from stream.replay.cells.source import ReadProgress, is_parquet
from stream.replay.draft.columns import Column, survey
from stream.replay.draft.fleet_text import fleet_yaml
from stream.replay.draft.layout import best_marks, csv_format
from stream.replay.draft.mapping_text import mapping_yaml
from stream.replay.draft.names import key_of, name_and_unit
from stream.replay.draft.order import Order, order_of
from stream.replay.draft.proposal import Draft
from stream.replay.draft.roles import Roles, roles_of
from stream.replay.mapping.schema import DeviceSource, ReplayError, TableFormat
from stream.replay.recording import Progress

_PACKED = (".gz", ".bz2", ".zst", ".lz4")
_FARTHEST_US = 900_000_000 * 1_000_000  # in the future: limits.skew_s allows little more
_LARGEST_STEP = 1_000_000  # of a counter, which `limits.jump` allows


@dataclass(frozen=True)
class Drafted:
    """The text of both files, and the survey."""

    fleet: str
    fleet_file: str
    mapping_file: str
    rows: int
    devices: int
    readings: int
    left_out: int
    unreadable: int


def name_of(table: Path) -> str:
    """Return the fleet's name, from the file's name."""
    stem = table.name
    while (suffix := Path(stem).suffix) and suffix.lower() in (
        *_PACKED,
        ".csv",
        ".tsv",
        ".txt",
        ".parquet",
        ".pq",
        ".dat",
    ):
        stem = Path(stem).stem
    return key_of(stem, "fleet")


def draft(table: Path, fleet: str, progress: Progress | None = None) -> Drafted:
    """Draft the files of the fleet `fleet` from a table. Raises ReplayError if the table has nothing for a fleet."""
    if table.is_dir():
        raise ReplayError(f"{table}: is a folder; name the table of readings in it")
    try:
        columns, names = _layout(table)
    except OSError as e:
        raise ReplayError(f"{table}: cannot be read ({e.strerror or e})") from None
    except (pa.ArrowException, UnicodeError) as e:
        raise ReplayError(f"{table}: not a table ({' '.join(str(e).split())}); allowed: CSV, or Parquet") from None
    usable = [n for n in names if names.count(n) == 1 and n.strip()]
    written, mistakes, found = _surveyed(table, columns, usable, _stage(progress, "reading"))
    if not found or not found[0].rows:
        raise ReplayError(f"{table}: has no rows")
    roles = _with_readings(table, roles_of(found), found)
    roles.left_out |= {n: "two columns have this name" for n in names if names.count(n) > 1 and n.strip()}
    if not all(n.strip() for n in names):
        roles.left_out["a column without a name"] = "name it"
    made = _draft(table, fleet, written, roles, mistakes, _stage(progress, "looking at the order"))
    return Drafted(
        fleet, fleet_yaml(made), mapping_yaml(made), made.order.rows, made.order.devices, len(made.names), len(roles.left_out),
        mistakes.rows,
    )  # fmt: skip


def _layout(table: Path) -> tuple[TableFormat, list[str]]:
    """Return the format of a table, and its columns."""
    if is_parquet(table):
        with parquet.ParquetFile(table) as file:
            return TableFormat(), list(file.schema_arrow.names)
    written = csv_format(table)
    return written, header(table, written)


def _surveyed(
    table: Path, written: TableFormat, names: list[str], progress: ReadProgress | None
) -> tuple[TableFormat, Mistakes, list[Column]]:
    """Return the columns; read again if later rows show other marks of numbers than the beginning of the file."""
    mistakes = Mistakes(counting=True)
    found = survey(table, written, names, mistakes, progress)
    strange = [[*c.strange, *(w for w in [c.first] if w)] for c in found if c.strange and c.numbers > c.rows // 2]
    decimal, thousands = (
        best_marks(strange, quoted=written.delimiter == ",") if strange else (written.decimal, written.thousands)
    )
    if (decimal, thousands) == (written.decimal, written.thousands) or (decimal, thousands) == (".", None):
        return written, mistakes, found
    other = written.model_copy(update={"decimal": decimal, "thousands": thousands})
    mistakes = Mistakes(counting=True)
    again = survey(table, other, names, mistakes, progress)
    better = sum(c.is_number for c in again) > sum(c.is_number for c in found)
    return (other, mistakes, again) if better else (written, mistakes, found)


def _with_readings(table: Path, roles: Roles, columns: Sequence[Column]) -> Roles:
    """Return the roles with at least one reading: constant columns if nothing varies. Raises ReplayError without numbers."""
    if roles.readings:
        return roles
    constants = [c for c in columns if roles.left_out.get(c.name, "").startswith("constant") and c.is_number]
    if constants:
        left = {name: why for name, why in roles.left_out.items() if name not in {c.name for c in constants}}
        return replace(roles, readings=constants, left_out=left)
    if len(columns) == 1 and " " in columns[0].name.strip():
        raise ReplayError(
            f"{table}: its cells are separated by spaces, which a mapping cannot read; write commas (C-MAPSS as published "
            "needs none: replay it with the fleet turbofan)"
        )
    told = "; ".join(f"{_short(name)}: {_short(why)}" for name, why in list(roles.left_out.items())[:5])
    raise ReplayError(
        f"{table}: has no column of numbers, so no column can be a reading; {told or 'only ids and times'}"
    )


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"


def _draft(
    table: Path, fleet: str, written: TableFormat, roles: Roles, mistakes: Mistakes, progress: ReadProgress | None
) -> Draft:
    device = _device(table, roles)
    order = order_of(table, written, device, roles.time, roles.counters, progress)
    now_us = int(time.time() * 1e6)
    if roles.time is not None and (order.time is None or order.time.newest - now_us > _FARTHEST_US):
        why = "times that are unreadable in part, or too far in the future"
        roles = replace(roles, time=None, left_out=roles.left_out | dict.fromkeys(roles.time.column, why))
        order = replace(order, time=None)
    seq = next((c for c in roles.counters if _orders(order, c)), None)
    readings = [c for c in roles.readings if c.name != seq]
    roles = replace(roles, readings=readings or roles.readings)
    if not readings:
        seq = None
    labels = {c.name: name_and_unit(c.name) for c in roles.readings}
    keys: dict[str, str] = {}
    for i, (column, (label, _)) in enumerate(labels.items()):
        keys[column] = key_of(label, f"column_{i + 1}", keys.values())
    return Draft(
        fleet=fleet, table=table.name, written=written, device=device, roles=roles, order=order, seq=seq, names=keys,
        units={c: unit for c, (_, unit) in labels.items() if unit is not None},
        labels={c: " ".join(label.split()) or keys[c] for c, (label, _) in labels.items()},
        torn=[str(refused) for refused in mistakes.refused.values()], now_us=now_us,
    )  # fmt: skip


def _device(table: Path, roles: Roles) -> DeviceSource:
    """Return the likeliest column of names; without one the table is about one device."""
    if roles.devices:
        return DeviceSource(column=roles.devices[0])
    return DeviceSource(name=name_of(table).replace("_", "-"))


def _orders(order: Order, counter: str) -> bool:
    """Return whether a counter can be `seq`: unique within each device, with allowed steps, and in the order of time."""
    steps = order.counters[counter]
    agrees = order.time is None or (steps.rises and order.time.rises) or (steps.falls and order.time.falls)
    return steps.is_strict and agrees and steps.largest < _LARGEST_STEP


def _stage(progress: Progress | None, doing: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(doing, done, total)


def paths_of(folder: Path, fleet: str) -> Sequence[Path]:
    """Return the paths of a draft's fleet file and mapping."""
    return folder / f"{fleet}.yaml", folder / "mappings" / f"{fleet}.yaml"


def require_free(paths: Sequence[Path]) -> None:
    """Raise ReplayError if one of the files exists."""
    for path in paths:
        if path.exists():
            raise ReplayError(f"{path}: is there already; give another --fleet NAME, or --overwrite")
