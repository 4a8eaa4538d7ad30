"""Any number and any time comes out of a cell as it went in, and any other text is refused."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.replay.cells.numbers import numbers, whole_numbers
from stream.replay.cells.times import times
from stream.replay.mapping.schema import TableFormat, TimeSource

MARKS = [(".", None), (",", None), (".", ","), (",", "."), (",", " "), (".", "'")]
ANY = settings(max_examples=150)
MOMENTS = st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us_of(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


def read(texts: list[str], **keys: object) -> tuple[list[int], bool]:
    """Microseconds, and whether all of them are times."""
    us, faults = times(pa.array(texts), TimeSource.model_validate({"column": "t", **keys}), TableFormat())
    return us.tolist(), not any(fault.bad.any() for fault in faults)


@ANY
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), marks=st.sampled_from(MARKS))
def test_every_number_is_read_in_every_spelling(values: list[float], marks: tuple[str, str | None]) -> None:
    point, group = marks
    plain = str.maketrans({".": point})
    texts = [repr(v).translate(plain) for v in values] + [f"{round(v):,}".replace(",", group or "") for v in values]
    found, bad = numbers(pa.array(texts), TableFormat(decimal=point, thousands=group))
    assert not bad.any()
    assert found.tolist() == [*values, *(float(round(v)) for v in values)]


@ANY
@given(text=st.text(st.sampled_from("0123456789.,eE+-_ x'infa%\u00a0"), max_size=8), marks=st.sampled_from(MARKS))
def test_no_text_becomes_a_number_that_it_is_not(text: str, marks: tuple[str, str | None]) -> None:
    point, group = marks
    found, bad = numbers(pa.array([text, "1"]), TableFormat(decimal=point, thousands=group))
    if not bad[0] and not math.isnan(found[0]):
        bare = (
            text.strip()
            .replace(group or "\0", "")
            .replace("\u00a0", "" if group == " " else "\u00a0")
            .replace(point, ".")
        )
        assert found[0] == float(bare)
        assert "_" not in bare
    assert (found[1], bad[1]) == (1, False)


@ANY
@given(value=st.integers(-(2**63), 2**64))
def test_whole_numbers_are_exact_or_refused(value: int) -> None:
    found, bad = whole_numbers(pa.array([str(value)]), TableFormat(), 2**53 - 1)
    assert bad[0] == (not 0 <= value < 2**53)
    assert bad[0] or found[0] == value


@ANY
@given(value=st.integers(0, 2**64 - 1))
def test_an_unsigned_whole_number_is_exact_or_refused(value: int) -> None:
    found, bad = whole_numbers(pa.array([value, None], pa.uint64()), TableFormat(), 2**53 - 1)
    assert bad.tolist() == [value >= 2**53, True]
    assert bad[0] or found[0] == value


@ANY
@given(moments=st.lists(MOMENTS, min_size=1), offset=st.integers(-23, 23), mixed=st.booleans())
def test_every_time_with_a_zone_is_exact(moments: list[datetime], offset: int, mixed: bool) -> None:
    zone = timezone(timedelta(minutes=offset * 31))
    texts = [m.astimezone(zone if mixed and i % 2 else UTC).isoformat() for i, m in enumerate(moments)]
    assert read(texts) == ([us_of(m) for m in moments], True)
    assert read([f"{t} " for t in texts]) == ([us_of(m) for m in moments], True)


@ANY
@given(moment=MOMENTS, unit=st.sampled_from(["s", "ms", "us", "ns"]))
def test_every_number_in_a_declared_unit_is_exact_to_the_microsecond(moment: datetime, unit: str) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    count = us_of(moment) * per_second // 10**6
    assert read([str(count)], unit=unit) == ([count * 10**6 // per_second], True)
    assert not read([str(count)])[1]


@ANY
@given(
    moment=MOMENTS.map(lambda m: m.replace(microsecond=0)),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
)
def test_what_a_clock_shows_in_a_zone_is_that_moment(moment: datetime, zone: str) -> None:
    clock = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    which = "later" if moment.astimezone(ZoneInfo(zone)).fold else "earlier"
    found, whole = read([clock.isoformat(" ")], zone=zone, ambiguous=which)
    assert (found, whole) == ([us_of(moment)], True)
    german = "%d.%m.%Y %H:%M:%S"
    assert read([f"{clock:%d.%m.}{clock.year}{clock: %H:%M:%S}"], format=german, zone=zone, ambiguous="earlier")[1]


@ANY
@given(text=st.text(st.sampled_from("0123456789-:TtZz+ .W/"), max_size=26))
def test_no_text_ends_in_a_stack_trace(text: str) -> None:
    for keys in ({}, {"unit": "s"}, {"zone": "Europe/Berlin"}, {"format": "%Y-%m-%d"}):
        us, whole = read([text, "2026-11-29"], **keys)
        assert len(us) == 2
        if whole and not keys and "-" in text:
            assert (
                us[0] == us_of(datetime.fromisoformat(text.strip()).replace(tzinfo=UTC))
                or "T" in text.upper()
                or " " in text
            )


def test_a_column_of_times_may_be_written_in_more_than_one_way() -> None:
    assert read(["2026-11-29T10:00:00Z", "2026-11-29", "2026-11-29 11:00+01:00"])[1]
    assert read(["2026-11-29T10:00:00Z", "2026-11-29T10:00:00"])[1] is False
    assert read(["2026-11-29T10:00:00Z", "20261129"])[1] is False


@pytest.mark.parametrize("number", ["9999999999999999999999", "1e400", "nan", "-1e30"])
def test_numbers_far_beyond_any_time_are_refused(number: str) -> None:
    assert not read([number], unit="ns")[1]
