"""Kinds of tables: long format, outcomes, several files."""

from __future__ import annotations

from tests.stream.replay.cases import FAILURES, LONG, LONG_ROWS, ONE, ROW, STATE, STATES, TWO, ZONED, Case, rows

CASES: dict[str, list[Case]] = {
    "long format": [
        Case(LONG_ROWS, LONG, [("m1", ZONED, 1.5), ("m2", ZONED, 3.0)]),
        Case(LONG_ROWS + f"m1,{ZONED},P 1,1.50\n", LONG, [("m1", ZONED, 1.5), ("m2", ZONED, 3.0)]),
        Case(
            LONG_ROWS + f"m1,{ZONED},P 1,9\n",
            LONG,
            refused="found 1.5 and 9, allowed: one value of a tag for each device and time",
        ),
        Case(LONG_ROWS.replace("P 1", "P 2"), LONG, refused="tag 'P 1' has no value in any row"),
        Case(
            LONG_ROWS.replace("P 1,3", "P 1,x"),
            LONG,
            refused="column 'x', row 4: found 'x', allowed: a finite .*tag 'P 1'",
        ),
    ],
    "outcomes in a column": [
        Case(STATES, STATE, outcomes=[("m2", "failed", "seal")]),
        Case(
            STATES.replace("broken", "Broken"),
            STATE,
            refused="outcome.failed: 'broken': no row of column 's' says so; other words there: 'ok', 'Broken'",
        ),
        Case(STATES.replace("broken", "ok"), {"outcome": {**STATE["outcome"], "optional": True}}, outcomes=[]),
        Case(
            STATES.replace("broken", "1.0"),
            {"outcome": {"column": "s", "failed": [1]}},
            outcomes=[("m2", "failed", None)],
        ),
        Case(
            STATES.replace("broken", "No"),
            {"outcome": {"column": "s", "failed": ["No"]}},
            outcomes=[("m2", "failed", None)],
        ),
    ],
    "outcomes in a table of their own": [
        Case(
            {"telemetry.csv": rows(ROW), "failures.csv": "machine,when,part\nm1,2026-11-29T10:30:00Z,seal\n"},
            FAILURES,
            outcomes=[("m1", "failed", "seal")],
        ),
        Case(
            {"telemetry.csv": rows(ROW), "failures.csv": "machine,when,part\n1,2026-11-29T10:30:00Z,seal\n"},
            FAILURES,
            refused="none of its devices, such as '1', is in the telemetry",
        ),
        Case({"telemetry.csv": rows(ROW)}, FAILURES, refused="has no file failures.csv"),
        Case(
            {"telemetry.csv": rows(ROW), "failures.csv": "machine,when,part\nm1,now,seal\n"},
            FAILURES,
            refused="failures.csv: column 'when', row 1",
        ),
    ],
    "telemetry in several files": [
        Case({"t-2.csv": rows("m1,2026-11-29T10:00:01Z,2.5,2"), "t-1.csv": rows(ROW)}, {"file": "t-*.csv"}, [ONE, TWO]),
        Case({"t-1.csv": rows(ROW)}, {}, refused="is a folder; name the table in the mapping"),
    ],
    "a reading without a value in the whole file": [
        Case(
            rows("m1,2026-11-29T10:00:00Z,1.5,"), refused="column 'v' has no value in any row \\(readings.vibration\\)"
        ),
        Case(
            rows("m1,2026-11-29T10:00:00Z,1.5,"),
            {"readings": {"pressure": "p", "vibration": {"column": "v", "optional": True}}},
            [ONE],
        ),
        Case(
            rows("m1,2026-11-29T10:00:00Z,1.5", header="id,t,p"),
            {"readings": {"pressure": "p", "vibration": {"column": "v", "optional": True}}},
            [ONE],
        ),
    ],
    "rows in any order": [Case(rows("m1,2026-11-29T10:00:01Z,2.5,2", ROW), {}, [ONE, TWO])],
}
