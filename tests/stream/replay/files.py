"""Kinds of files."""

from __future__ import annotations

import gzip
from datetime import date
from decimal import Decimal

import pyarrow as pa

from tests.stream.replay.cases import GERMAN, ONE, ROW, ZONED, Case, columns, rows

CASES: dict[str, list[Case]] = {
    "Latin-1, Windows-1252 and other encodings": [
        Case(
            rows(f"Gerät 1,{ZONED},1.5,2").encode("latin-1"),
            refused="column 'id', row 1: found 'Ger\\\\xe4t 1', allowed: text in UTF-8; give .*encoding",
        ),
        Case(rows(f"Gerät 1,{ZONED},1.5,2").encode("latin-1"), {"encoding": "latin-1"}, [("Gerät 1", ZONED, 1.5)]),
        Case(
            rows(ROW, header="id,t,p °C,v").encode("latin-1"),
            {"readings": {"pressure": "p °C", "vibration": "v"}},
            refused="name of column 3.*encoding: windows",
        ),
        Case(
            rows(ROW, header="id,t,p °C,v").encode("cp1252"),
            {"encoding": "cp1252", "readings": {"pressure": "p °C", "vibration": "v"}},
            [ONE],
        ),
        Case(
            b"id,t,p,v\n\x81,2026-11-29T10:00:00Z,1,2\n", {"encoding": "cp1252"}, refused="byte 0x81 is not in cp1252"
        ),
        Case(rows(ROW), {"encoding": "utf-9"}, refused="encoding: 'utf-9' is not a text encoding"),
        Case(rows(ROW), {"encoding": "base64"}, refused="encoding: 'base64' is not a text encoding"),
    ],
    "UTF-16, and UTF-8 with a byte order mark": [
        Case(rows(ROW).encode("utf-16"), refused="is UTF-16; write encoding: utf-16"),
        Case(rows(ROW).encode("utf-16"), {"encoding": "utf-16"}, [ONE]),
        Case(rows(ROW).encode("utf-8-sig"), {}, [ONE]),
    ],
    "another delimiter": [
        Case(rows(ROW).replace(",", ";"), refused="no column 'id'; .*write delimiter: ';'"),
        Case(rows(ROW).replace(",", ";"), {"delimiter": ";"}, [ONE]),
        Case(rows(ROW).replace(",", "\t"), {"delimiter": "\t"}, [ONE]),
        Case(
            rows("Gerät;29.11.2026 11:00;1.234,5;2", header="id;t;p;v").encode("cp1252"),
            {**GERMAN, "thousands": ".", "ts": {"column": "t", "format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}},
            [("Gerät", ZONED, 1234.5)],
        ),
    ],
    "columns that are missing or there twice": [
        Case("sep=;\n" + rows(ROW), refused=r"no column 'id'; .*write skip_rows: 1"),
        Case(rows(ROW, header="id, t, p, v"), refused=r"no column 't'; .*names have blanks around them"),
        Case(rows(ROW, header="id,t,q,v"), refused="no column 'p'; the columns are id, t, q, v"),
        Case(rows(ROW + ",3", header="id,t,p,v,p"), refused="column 'p' occurs 2 times"),
        Case(rows(ROW + ",3,4", header="id,t,p,v,q,q"), {}, [ONE]),
    ],
    "rows with too many or too few cells": [
        Case(rows(ROW, "m1,2026"), refused="row 2: found 2 cells, allowed: 4 cells"),
        Case(rows(ROW + ",9"), refused="row 1: found 5 cells"),
    ],
    "cells with delimiters and line ends in quotes": [
        Case(rows(f'"a,\nb",{ZONED},1.5,2'), {}, [("a,\nb", ZONED, 1.5)])
    ],
    "lines before the header, or no header": [
        Case("report of today\n\n" + rows(ROW), {"skip_rows": 2}, [ONE]),
        Case(ROW + "\n", {"columns": ["id", "t", "p", "v"]}, [ONE]),
    ],
    "compressed files": [Case(gzip.compress(rows(ROW).encode()), {}, [ONE])],
    "files without rows": [
        Case("", refused="is empty"),
        Case("id,t,p,v\n", refused="has no rows"),
        Case("\n\n", refused="has no header"),
    ],
    "other kinds of file": [
        Case(b"PK\x03\x04" + b"0" * 40, refused="is an Excel or zip file: save it as CSV"),
        Case(b"ARROW1" + b"0" * 40, refused="write it as Parquet"),
        Case(b"PAR1" + b"0" * 40, refused="no table"),
    ],
    "Parquet categories, decimals, truth values": [
        Case(
            columns(id=pa.array(["0012"]).dictionary_encode(), p=[Decimal("1.5")], v=[True]), {}, [("0012", ZONED, 1.5)]
        ),
        Case(columns(p=[date(2026, 1, 1)]), refused="found '2026-01-01', allowed: a finite number"),
    ],
}
