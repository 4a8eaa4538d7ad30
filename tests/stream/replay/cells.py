"""Kinds of numbers and other cells."""

from __future__ import annotations

import pyarrow as pa

from tests.stream.replay.cases import ONE, ROW, TWO, ZONED, Case, columns, pressure, rows

CASES: dict[str, list[Case]] = {
    "decimal commas": [
        pressure("1,5", refused="column 'p', row 1: found '1,5', allowed: a finite number such as 1234.5"),
        pressure("1,5", 1.5, decimal=","),
        pressure("-1,5e2", -150.0, decimal=","),
        pressure("1.5", refused="such as 1234,5", decimal=","),
    ],
    "groups of thousands": [
        pressure("1,234.5", refused="such as 1234.5"),
        pressure("1,234.5", 1234.5, thousands=","),
        pressure("1.234,5", 1234.5, thousands=".", decimal=","),
        pressure("1\u202f234,5", 1234.5, thousands=" ", decimal=","),
        pressure("1.23", refused="such as 1.234,5", thousands=".", decimal=","),
        pressure("12,34", refused="finite", thousands=","),
        pressure("1.5", refused="decimal and thousands are both", thousands="."),
        pressure("1'234", 1234.0, thousands="'"),
    ],
    "infinity, and numbers too large": [
        *(
            pressure(cell, refused=f"found '{cell}', allowed: a finite number")
            for cell in ("inf", "-Infinity", "1e999", "1.#INF")
        ),
        Case(columns(p=[float("inf")]), refused="found inf, allowed: a finite number"),
        pressure("1e300", refused="finite", readings={"pressure": {"column": "p", "scale": 1e300}, "vibration": "v"}),
    ],
    "cells that are almost numbers": [
        *(
            pressure(cell, refused=f"found '{cell}'")
            for cell in ("1_0", "0x10", "1.5 bar", "１", "5 %", "−5", "1e", ".")
        )
    ],
    "missing values": [
        *(
            Case(rows(ROW, f"m1,2026-11-29T10:00:01Z,{cell},2"), {}, [ONE, (*TWO[:2], None)])
            for cell in ("", "NA", "nan", "NULL", '""')
        ),
        Case(rows(ROW, "m1,2026-11-29T10:00:01Z,-999.0,2"), {"missing": ["-999"]}, [ONE, (*TWO[:2], None)]),
        pressure("NA", refused="found 'NA'", missing=["-"]),
        Case(rows("m1,,1,2"), refused="column 't', row 1: found ''"),
        Case(
            pa.table({"id": ["m1", "m1"], "t": [ZONED, TWO[1]], "p": [1.5, None], "v": [1.0, 1.0]}),
            events=[ONE, (*TWO[:2], None)],
        ),
    ],
    "words for numbers": [
        pressure("no", 0.0, readings={"pressure": {"column": "p", "values": {"no": 0, "yes": 1}}, "vibration": "v"}),
        pressure("01", 5.0, readings={"pressure": {"column": "p", "values": {"01": 5, "1": 6}}, "vibration": "v"}),
        pressure(
            "maybe",
            refused="found 'maybe', allowed: one of 'no', 'yes'",
            readings={"pressure": {"column": "p", "values": {"no": 0, "yes": 1}}, "vibration": "v"},
        ),
    ],
    "another unit": [
        pressure(
            "145",
            refused="readings.pressure.unit: found 'psi', but fleet pump has 'bar': give scale",
            readings={"pressure": {"column": "p", "unit": "psi"}, "vibration": "v"},
        ),
        pressure(
            "100", 6.895, readings={"pressure": {"column": "p", "unit": "psi", "scale": 0.06895}, "vibration": "v"}
        ),
    ],
}
