"""Reads cells as times. A number needs a unit. A time without a zone needs a zone. A plain date is the midnight at its begin."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aimaas.records.event_times import FIRST_YEAR, LAST_YEAR, YEARS
from stream.replay.cells.arrays import is_absent, mask_of, values_of
from stream.replay.cells.numbers import numbers
from stream.replay.cells.zones import in_zone
from stream.replay.mapping.schema import TableFormat, TimeSource

Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "min": 60 * 10**9, "h": 3_600 * 10**9, "d": 86_400 * 10**9}
_FIRST_US, _END_US = (
    int(np.datetime64(f"{year}-01-01", "us").astype(np.int64)) for year in (FIRST_YEAR, LAST_YEAR + 1)
)
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?(?: ?([Zz]|[+-]\d\d:?\d\d))?)?", re.ASCII
)
_NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?", re.ASCII)


class Fault(NamedTuple):
    """Cells (n,) that are no time, and what is allowed."""

    bad: Mask
    allowed: str


class Naive(NamedTuple):
    """Times on a clock without a zone: microseconds (n,) as if it were UTC's, and which (n,) are plain dates."""

    us: Int64
    date: Mask


def times(cells: Any, source: TimeSource, written: TableFormat) -> tuple[Int64, list[Fault]]:
    """Return microseconds since 1970 (n,) of an Arrow array, and its faults."""
    if pa.types.is_string(cells.type):
        if source.unit is None:
            us, faults = _of_text(cells, source)
        else:
            us, faults = _of_numbers(cells, source, written)
    elif pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        us, faults = _of_typed(cells, source)
    else:
        us, faults = _of_numbers(cells, source, written)
    outside = (us < _FIRST_US) | (us >= _END_US)
    counted = f" (counted in {source.unit})" if source.unit else ""
    return us, [*faults, Fault(outside, f"a time within {YEARS}{counted}")]


def _of_typed(cells: Any, source: TimeSource) -> tuple[Int64, list[Fault]]:
    """Read Parquet's own dates and times."""
    absent = is_absent(cells)
    aware = pa.types.is_timestamp(cells.type) and cells.type.tz is not None
    plain = cells.cast(pa.timestamp("us", cells.type.tz) if aware else pa.timestamp("us"), safe=False)
    us = values_of(plain.cast(pa.int64()))
    faults = [Fault(absent, "a time")]
    if aware:
        return us, faults
    return _with_zone(Naive(us, np.full(len(us), pa.types.is_date(cells.type))), source, faults)


def _of_numbers(cells: Any, source: TimeSource, written: TableFormat) -> tuple[Int64, list[Fault]]:
    """Read numbers in the declared unit; whole numbers of any size are exact."""
    if source.unit is None:
        return np.zeros(len(cells), np.int64), [Fault(np.ones(len(cells), np.bool_), _unit_asked(cells[0].as_py()))]
    values, bad = numbers(cells, written)
    bad = bad | np.isnan(values)
    ns = _NS[source.unit]
    since_us = round((source.since - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
    with np.errstate(invalid="ignore", over="ignore"):
        rough = since_us + values * (ns / 1_000)
        within = ~bad & (rough > 2.0 * _FIRST_US) & (rough < 2.0 * _END_US)
        us = np.where(within, np.rint(rough), float(2 * _END_US)).astype(np.int64)
    whole = _whole(cells)
    if whole is not None:
        exact = whole[within] // (1_000 // ns) if ns < 1_000 else whole[within] * (ns // 1_000)
        us[within] = since_us + exact
    us[bad] = 0
    return us, [Fault(bad, f"a number: {source.unit} since {source.since:%Y-%m-%dT%H:%M:%SZ}")]


def _whole(cells: Any) -> Int64 | None:
    """Return the cells (n,) as whole numbers, None if they are not."""
    if not (pa.types.is_integer(cells.type) or pa.types.is_string(cells.type)):
        return None
    try:
        found: Int64 = values_of(cells.cast(pa.int64()))
    except pa.ArrowInvalid:
        return None
    return found


def _of_text(cells: Any, source: TimeSource) -> tuple[Int64, list[Fault]]:
    """Read text in the declared format, otherwise RFC 3339, with or without a zone, or a plain date.

    One cast reads cells of one format.
    """
    if source.format is None and not cells.null_count:
        try:
            return values_of(cells.cast(pa.timestamp("us", "UTC")).cast(pa.int64())), []
        except (pa.ArrowInvalid, ValueError):
            pass
        try:
            us = values_of(cells.cast(pa.timestamp("us")).cast(pa.int64()))
        except (pa.ArrowInvalid, ValueError):
            pass
        else:
            dates = mask_of(pc.match_substring_regex(cells, _DATE))
            return _with_zone(Naive(us, dates), source, [])
    return _each(cells, source)


def _each(cells: Any, source: TimeSource) -> tuple[Int64, list[Fault]]:
    """Read every different text separately."""
    encoded = pc.dictionary_encode(cells, null_encoding="encode")
    indices = values_of(encoded.indices)
    read: Callable[[str], datetime] = _rfc_3339 if source.format is None else _by_format(source.format)
    texts = [(text or "").strip() for text in encoded.dictionary.to_pylist()]
    found = [_time(read, text) for text in texts]
    bad = np.array([time is None for time in found])[indices]
    us = np.array([0 if t is None else _wall_us(t) for t in found], np.int64)[indices]
    aware = np.array([t is not None and t.tzinfo is not None for t in found])[indices]
    dates = np.array([re.fullmatch(_DATE, text) is not None for text in texts])[indices]
    faults = [Fault(bad, _allowed(source, texts, found))]
    clock = np.flatnonzero(~bad & ~aware)
    if len(clock):
        us[clock], more = _with_zone(Naive(us[clock], dates[clock]), source, [])
        faults += [Fault(_spread(fault.bad, clock, len(us)), fault.allowed) for fault in more]
    return us, faults


def _spread(bad: Mask, at: Int64, length: int) -> Mask:
    whole = np.zeros(length, np.bool_)
    whole[at] = bad
    return whole


def _time(read: Callable[[str], datetime], text: str) -> datetime | None:
    try:
        return read(text)
    except ValueError:
        return None


def _wall_us(time: datetime) -> int:
    """Return microseconds since 1970 of an aware time; of a naive time as if its clock were UTC's."""
    seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (seconds.days * 86_400 + seconds.seconds) * 1_000_000 + seconds.microseconds


def _rfc_3339(text: str) -> datetime:
    """Read a time as the stream does; seconds may be missing, and so may the clock. Raises ValueError."""
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError(text)
    date, clock, seconds, zone = match.groups()
    return msgspec.convert(f"{date}T{clock or '00:00'}{seconds or ':00'}{zone or ''}", datetime)


def _by_format(form: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, form)


def _allowed(source: TimeSource, texts: list[str], found: list[datetime | None]) -> str:
    """Return what is allowed instead of the first text that is no time."""
    first = next((text for text, time in zip(texts, found, strict=True) if time is None), "")
    if source.format:
        return f"a time as {source.format}"
    if _NUMBER.fullmatch(first):
        return _unit_asked(first)
    return "RFC 3339 such as 2026-11-23T10:00:00Z, or a date; another form needs ts: {column: ..., format: ...}"


def _unit_asked(example: Any) -> str:
    """Return advice for a number that must be a time; a person must confirm the guessed unit."""
    try:
        size = abs(float(str(example).replace(",", ".")))
    except ValueError:
        return "a time: text, or a column of dates or times"
    if re.fullmatch(r"(19|20|21)\d{6}", str(example)):
        return "a time: for dates such as 20261123 write ts: {column: ..., format: '%Y%m%d'}"
    unit = next((u for u, most in (("s", 1e11), ("ms", 1e14), ("us", 1e17)) if size < most), "ns")
    return f"a number with its unit: write ts: {{column: ..., unit: {unit}}} (or another of {', '.join(_NS)})"


def _with_zone(naive: Naive, source: TimeSource, faults: list[Fault]) -> tuple[Int64, list[Fault]]:
    """Return the instants of naive times in the declared zone; without a zone, only dates have one: midnight in UTC."""
    if source.zone is None:
        asked = "a time with its zone, such as Z; to say which it is in write ts: {column: ..., zone: UTC}"
        return naive.us, [*faults, Fault(~naive.date, asked)]
    us, twice, never = in_zone(naive.us, source.zone, source.ambiguous)
    return us, [
        *faults,
        Fault(twice, f"a time that comes once in {source.zone}; say which it means by ambiguous: earlier, or later"),
        Fault(never, f"a time that there is in {source.zone} (clocks were set forward over this one)"),
    ]
