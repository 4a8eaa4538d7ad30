"""Kinds of ids and times."""

from __future__ import annotations

from datetime import date, datetime

import pyarrow as pa

from tests.stream.replay.cases import ONE, ROW, TWO, ZONED, Case, at, columns, gives, named, refuses, rows

CASES: dict[str, list[Case]] = {
    "ids with leading zeros, twenty digits, exponents or quotes": [
        named("0012", "0012"),
        named("12345678901234567890", "12345678901234567890"),
        named("12E4", "12E4"),
        named('"007"', "007"),
        named("NA", "NA"),
        named("1.0", "1.0"),
        named("true", "true"),
        named(" m", " m"),
        Case(columns(id=pa.array([12], pa.int64())), events=[("12", ZONED, 1.5)]),
    ],
    "ids that are missing, too long, or floating-point numbers": [
        named("", refused="row 1: found '', allowed: a name of 1 to 128"),
        named("x" * 129, refused="allowed: a name of 1 to 128"),
        Case(columns(id=[12.0]), refused="column 'id', row 1: found 12.0, allowed: text or whole numbers"),
    ],
    "one machine, without an id column": [
        Case(rows(f"{ZONED},1.5,2", header="t,p,v"), {"device": {"name": "press-7"}}, [("press-7", ZONED, 1.5)]),
        Case(rows(f"{ZONED},1.5,2", header="t,p,v"), {"device": {}}, refused="device: give one of column, name"),
    ],
    "rows that are a device each": [
        Case(rows(ROW, ROW), {"device": {"row": "d-{:03d}"}}, [("d-001", ZONED, 1.5), ("d-002", ZONED, 1.5)]),
    ],
    "times with a zone": [
        gives(at("2026-11-29T11:00:00+01:00"), ZONED),
        gives(at("2026-11-29 10:00:00Z"), ZONED),
        gives(at("2026-11-29T10:00:00.123456789Z"), "2026-11-29T10:00:00.123457Z"),
        gives(at("2026-11-29t10:00:00z"), ZONED),
        Case(
            columns(t=pa.array([datetime(2026, 11, 29, 11)], pa.timestamp("ns", "Europe/Berlin"))),
            events=[("m1", "2026-11-29T11:00:00.000Z", 1.5)],
        ),
    ],
    "times without a zone": [
        refuses(at("2026-11-29T10:00:00"), "column 't', row 1: found .* write ts: {column: ..., zone: UTC}"),
        gives(at("2026-11-29 10:00", zone="UTC"), ZONED),
        gives(at("2026-07-29 10:00:00", zone="Europe/Berlin"), "2026-07-29T08:00:00.000Z"),
        refuses(at("2026-11-29T10:00:00", zone="Mars/Base"), "ts.zone: 'Mars/Base' is not a time zone"),
        Case(columns(t=[datetime(2026, 11, 29, 10)]), refused="write ts: {column: ..., zone: UTC}"),
        Case(columns(t=[datetime(2026, 11, 29, 10)]), {"ts": {"column": "t", "zone": "UTC"}}, [ONE]),
        Case(
            rows(ROW, "m1,2026-11-29T10:00:01,2.5,2"),
            refused="row 2: found '2026-11-29T10:00:01', allowed: a time with its zone",
        ),
        Case(rows(ROW, "m1,2026-11-29T10:00:01,2.5,2"), {"ts": {"column": "t", "zone": "UTC"}}, [ONE, TWO]),
    ],
    "times that clocks show twice or never": [
        refuses(at("2026-10-25 02:30", zone="Europe/Berlin"), "a time that comes once in Europe/Berlin"),
        gives(at("2026-10-25 02:30", zone="Europe/Berlin", ambiguous="earlier"), "2026-10-25T00:30:00.000Z"),
        gives(at("2026-10-25 02:30", zone="Europe/Berlin", ambiguous="later"), "2026-10-25T01:30:00.000Z"),
        refuses(
            at("2026-03-29 02:30", zone="Europe/Berlin", ambiguous="later"), "a time that there is in Europe/Berlin"
        ),
    ],
    "plain dates": [
        gives(at("2015-01-01"), "2015-01-01T00:00:00.000Z"),
        gives(at("2015-01-01", zone="Europe/Berlin"), "2014-12-31T23:00:00.000Z"),
        Case(columns(t=[date(2015, 1, 1)]), events=[("m1", "2015-01-01T00:00:00.000Z", 1.5)]),
        Case(columns(t=pa.array([date(2015, 1, 1)], pa.date64())), events=[("m1", "2015-01-01T00:00:00.000Z", 1.5)]),
        refuses(at("2015-02-29"), "allowed: RFC 3339"),
    ],
    "numbers as times": [
        refuses(
            at("1764410400"), "found '1764410400', allowed: a number with its unit: write ts: {column: ..., unit: s}"
        ),
        refuses(at("1764410400000"), "unit: ms}"),
        refuses(at("1764410400000000"), "unit: us}"),
        refuses(at("1764410400000000000"), "unit: ns}"),
        refuses(at("20251129"), "format: '%Y%m%d'"),
        gives(at("1764410400", unit="s"), "2025-11-29T10:00:00.000Z"),
        gives(at("1764410400.25", unit="s"), "2025-11-29T10:00:00.250Z"),
        gives(at("1764410400123", unit="ms"), "2025-11-29T10:00:00.123Z"),
        gives(at("1764410400123456789", unit="ns"), "2025-11-29T10:00:00.123456Z"),
        gives(at("45990", unit="d", since="1899-12-30T00:00:00Z"), "2025-11-29T00:00:00.000Z"),
        Case(columns(t=[1764410400]), refused="allowed: a number with its unit"),
        Case(columns(t=[1764410400]), {"ts": {"column": "t", "unit": "s"}}, [("m1", "2025-11-29T10:00:00.000Z", 1.5)]),
        refuses(at("soon", unit="s"), "found 'soon', allowed: a number: s since 1970-01-01T00:00:00Z"),
    ],
    "times outside the years 1900 to 2199": [
        refuses(at("1764410400000", unit="s"), "allowed: a time within the years 1900 to 2199 \\(counted in s\\)"),
        refuses(at("0001-01-01T00:00:00Z"), "allowed: a time within the years"),
        refuses(at("1e300", unit="s"), "within the years"),
        Case(columns(t=[datetime(2200, 1, 1)]), {"ts": {"column": "t", "zone": "UTC"}}, refused="within the years"),
    ],
    "times in a local form": [
        refuses(at("29.11.2026 10:00"), "another form needs ts: {column: ..., format: ...}"),
        gives(at("29.11.2026 10:00", format="%d.%m.%Y %H:%M", zone="UTC"), ZONED),
        gives(at("11/29/26 10:00 AM", format="%m/%d/%y %I:%M %p", zone="UTC"), ZONED),
        gives(at("29.11.2026 11:00 +0100", format="%d.%m.%Y %H:%M %z"), ZONED),
        refuses(at("31.11.2026 10:00", format="%d.%m.%Y %H:%M", zone="UTC"), "allowed: a time as %d.%m.%Y %H:%M"),
        refuses(at("29.11.2026 10:00", format="%d.%m.%Y %H:%M"), "a time with its zone"),
        refuses(at("10:00", format="%H:%M"), "ts.format: '%H:%M' lacks year, month, day"),
        refuses(at("11/29/26 10:00", format="%m/%d/%y %I:%M"), "lacks .*half of the day"),
    ],
    "date and time in two columns": [
        Case(
            rows("m1,2026-11-29,10:00:00,1.5,2", header="id,d,t,p,v"),
            {"ts": {"column": ["d", "t"], "zone": "UTC"}},
            [ONE],
        ),
    ],
}
