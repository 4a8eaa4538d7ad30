"""Finds the time columns of a table and their formats: tries ways of reading until one is left."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stream.replay.cells.times import times
from stream.replay.mapping.schema import TableFormat, TimeSource

_FORMATS = tuple(
    f"{date}{clock}"
    for date in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y%m%d", "%d-%b-%Y", "%d.%m.%y")
    for clock in (" %H:%M:%S", " %H:%M", "", " %H:%M:%S.%f", " %I:%M:%S %p", " %I:%M %p", "T%H:%M:%S")
)
_CALLED = re.compile(
    r"(^|[\W_])(t|ts|time|timestamp|datetime|date|epoch|stamp|zeit|zeitstempel|datum|uhrzeit)($|[\W_])|time$|zeit$",
    re.I,
)
_CLOCK = r"^[0-2]?[0-9]:[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?$"
_TRIED = 20  # cells that all ways are tried on
_UNITS = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))
_FROM, _TO = (
    946_684_800,
    2_524_608_000,
)  # the years 2000 to 2049, in seconds: a number within is a time if its column is named like one


def is_called_time(name: str) -> bool:
    """Return whether a column's name means that it holds times."""
    return _CALLED.search(name) is not None


def readings_of_time(name: str, cells: Any, written: TableFormat) -> list[TimeSource]:
    """Return the ways in which all of these cells (n,) are times; none for most columns."""
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        ways = [TimeSource(column=(name,)), TimeSource(column=(name,), zone="UTC")]
    elif pa.types.is_string(cells.type) and not _is_number(cells):
        formats = [TimeSource(column=(name,), format=f, zone="UTC") for f in _FORMATS]
        zoned = [TimeSource(column=(name,), format=f"{f}%z") for f in _FORMATS]
        ways = [TimeSource(column=(name,)), TimeSource(column=(name,), zone="UTC"), *formats, *zoned]
    else:
        ways = _as_numbers(name, cells)
    likely = [way for way in ways if holds(way, cells[:_TRIED], written)]
    return [way for way in likely if holds(way, cells, written)]


def holds(way: TimeSource, cells: Any, written: TableFormat) -> bool:
    """Return whether all of these cells (n,) can be read in this way."""
    if cells.null_count:
        return False
    _, faults = times(cells, way, written)
    return not any(fault.bad.any() for fault in faults)


def is_clock(cells: Any) -> bool:
    """Return whether all cells (n,) are times of day."""
    return bool(pa.types.is_string(cells.type) and pc.all(pc.match_substring_regex(cells, _CLOCK)).as_py())


def joined_with_clock(date: TimeSource, clock: str, example: str) -> TimeSource:
    """Return a date and the column of its time of day, such as `example`, as one time."""
    if date.format is None:
        return TimeSource(column=(*date.column, clock), zone="UTC")
    seconds = ":%S.%f" if "." in example else ":%S" if example.count(":") == 2 else ""
    return TimeSource(column=(*date.column, clock), format=f"{date.format} %H:%M{seconds}", zone="UTC")


def _is_number(cells: Any) -> bool:
    return bool(pc.any(pc.match_substring_regex(cells, r"^[+-]?[0-9]+([.,][0-9]*)?$")).as_py())


def _as_numbers(name: str, cells: Any) -> list[TimeSource]:
    """Return numbers that count from 1970, if their column is named like a time, and dates such as 20261123."""
    if not is_called_time(name):
        return []
    try:
        values = cells.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return []
    found = [TimeSource(column=(name,), unit=unit) for unit, per_s in _UNITS if _within(values / per_s)]
    if pa.types.is_string(cells.type) and pc.all(pc.match_substring_regex(cells, r"^(19|20)[0-9]{6}$")).as_py():
        found.insert(0, TimeSource(column=(name,), format="%Y%m%d", zone="UTC"))
    return found


def _within(seconds: Any) -> bool:
    return bool(len(seconds) and np.all((seconds > _FROM) & (seconds < _TO)))
