"""The page of the mapping file, written from its models: `python -m stream.replay.mapping_reference > docs/mapping.md`.

A test fails where the page and the models differ, and another tries every kind of file in the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stream.replay.mapping import (
    EPOCH,
    MISSING,
    DeviceSource,
    LongSource,
    Mapping,
    OutcomeSource,
    OutcomesTable,
    ReadingSource,
    TableFormat,
    TimeSource,
)

_INTRODUCTION = """# Replay your own data: the mapping file

<!-- Written by `python -m stream.replay.mapping_reference`; change stream/replay/mapping.py instead. -->

`aimaas replay FILE --fleet pump --mapping pump-csv.yaml` sends a CSV or Parquet file as events and outcomes. The mapping file says
which column is what. This one reads a German export with semicolons:

```yaml
fleet: pump
delimiter: ";"
decimal: ","
encoding: windows-1252
device: Anlage                     # a column; its cells are the ids, as written
ts: {column: Zeit, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
readings:
  pressure: Druck                  # the fleet's reading: the column
  vibration: {column: Schwingung, scale: 25.4, unit: in/s}
outcome:
  column: Status
  failed: [defekt]
  optional: true                   # a file without failures is all right
```

`aimaas fleets draft export.csv` proposes both files, the mapping and the fleet file, from the table alone: device, time, counter,
ranges with a margin, units from headers such as `temp [°C]`, gaps, and the words that say that a device failed. A comment marks
each guess. Constant columns, categories, other texts and columns that hold the answer (`RUL`) are left out, and the fleet file says
why. It reads the file twice in constant memory, and overwrites nothing without `--overwrite`. Long formats and several
tables are yours to write.

Try the mapping first without sending anything. The check counts which rows cannot be read, and which events would become dead
letters:

    aimaas replay export.csv --fleet pump --mapping pump-csv.yaml --check

Three rules hold for every file:

- **A replay is faithful, or it refuses.** Nothing is guessed. The error names file, column, row, and the key to write.
- **All of the file is read before the first event is sent.** A mistake in the last row sends nothing.
- **Memory does not grow with the file.** Rows that do not fit lie in `TMPDIR`, which needs some three times the room of the file.
  What grows is a name for each device.

How old the rows are does not matter. Retention and silence count by the broker's clock, which starts when a row is sent.
`limits.jump` compares the rows of one device with each other.

Events are sent in the order of time. Without `ts`, the rows end now, one second apart, all devices side by side. Times go out in
microseconds. One rule holds for times on the stream and in files: a time without a zone is refused. In a file, `zone` can say which
it is. Only a plain date needs none: it is midnight in UTC.

## Several tables

FILE may be a folder. `file` then names the telemetry in it, and `outcomes` a table with a row for each outcome:

```yaml
fleet: pdm
file: PdM_telemetry.csv
device: machineID
ts: {column: datetime, zone: UTC}
readings: {volt: volt, rotate: rotate}
outcomes:
  file: PdM_failures.csv
  kind: failed                     # of each row
  mode: failure                    # the column that names the failure mode
  ts: {column: datetime, zone: UTC}
```

The table of outcomes is written like the telemetry, and names devices by the same column, unless its own keys say otherwise.

## Data that is older than what was sent

`aimaas replay` sends as devices do, so a table that is older than what a device has sent is refused as `late`.
`aimaas replay --backfill` takes the same mapping and writes past the stream, into the lake:
[Backfill history](how-to/backfill-history.md). It needs `ts`, and with `order: seq` also `seq`. Send the oldest table first
where you can: only what is sent is predicted.

## Long format

Where a row is one value (`device, tag, value, time`), `long` names the two columns, and each reading names its tag:

```yaml
fleet: pump
device: device
ts: time
long: {tag: tag, value: value}
readings: {pressure: PT-101, vibration: VT-7}
```

Rows of one device and time become one event. Tags without a reading are left out. A tag without a value at that time is null:
values of different times are not joined.

## Kinds of files

Each row of this table is a test.
"""

KINDS: tuple[tuple[str, str], ...] = (
    ("ids with leading zeros, twenty digits, exponents or quotes", "sent as written; `NA` and `true` are ids too"),
    ("ids that are missing, too long, or floating-point numbers", "refused: another type does not say how an id is written"),
    ("one machine, without an id column", "`device: {name: press-7}`"),
    ("rows that are a device each", "`device: {row: \"m-{:05d}\"}`"),
    ("times with a zone", "read as on the stream (RFC 3339), to the microsecond"),
    ("times without a zone", "refused until `ts.zone` says which; also Parquet's"),
    ("times that clocks show twice or never", "refused; `ts.ambiguous: earlier` or `later` for those that come twice"),
    ("plain dates", "midnight in UTC, or in `ts.zone`; also Parquet's `date32` and `date64`"),
    ("numbers as times", "refused until `ts.unit` says `s`, `ms`, …; `ts.since` for another beginning, such as Excel's"),
    ("times outside the years 1900 to 2199", "refused, which also finds a wrong unit"),
    ("times in a local form", "refused until `ts.format` says it"),
    ("date and time in two columns", "`ts: {column: [Date, Time]}`"),
    ("decimal commas", "refused until `decimal: \",\"`; a point is refused then"),
    ("groups of thousands", "refused until `thousands`; groups of other than three digits are refused then too"),
    ("infinity, and numbers too large", "refused; they never become null"),
    ("cells that are almost numbers", "refused: `1_0`, `0x10`, `1.5 bar`, `5 %`"),
    ("missing values", "null: an empty cell and the words of `missing`, which may name `-999`; a missing id or time is refused"),
    ("words for numbers", "`values: {no: 0, yes: 1}`; other words are refused"),
    ("another unit", "refused until `scale` or `offset` converts it, where `unit` declares it"),
    ("Latin-1, Windows-1252 and other encodings", "refused until `encoding` says it"),
    ("UTF-16, and UTF-8 with a byte order mark", "UTF-16: refused until `encoding: utf-16`; the mark of UTF-8 is skipped"),
    ("another delimiter", "refused until `delimiter` says it"),
    ("columns that are missing or there twice", "refused, if the mapping names them"),
    ("rows with too many or too few cells", "refused"),
    ("cells with delimiters and line ends in quotes", "one cell; `quote` says which quotes"),
    ("lines before the header, or no header", "`skip_rows: 2`, `columns: [id, time, …]`"),
    ("compressed files", "read: gzip, bzip2, zstd, lz4"),
    ("files without rows", "refused"),
    ("other kinds of file", "refused: Excel, zip, Feather, ORC, SQLite, HDF5"),
    ("Parquet categories, decimals, truth values", "read: a category as its text, true as 1; dates are no readings"),
    ("long format", "`long`: one event for each device and time; two values of a tag at one time are refused"),
    ("outcomes in a column", "`outcome`; a word that matches no row is refused, unless `optional: true`"),
    ("outcomes in a table of their own", "`outcomes`; refused where none of its devices is in the telemetry"),
    ("telemetry in several files", "`file: \"telemetry-*.csv\"`, in the order of their names"),
    ("a reading without a value in the whole file", "refused, unless `optional: true` for the reading"),
    ("rows in any order", "sorted by time, within a device and run by `seq`"),
)  # fmt: skip
"""Kinds of files, and what is done with each. `tests/stream/replay/test_kinds.py` tries them all."""

_TABLES: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("Top level", "", Mapping),
    ("How the file is written", "", TableFormat),
    ("`device`", "device.", DeviceSource),
    ("`ts`", "ts.", TimeSource),
    ("`long`", "long.", LongSource),
    ("`readings.NAME`", "readings.NAME.", ReadingSource),
    ("`outcome`", "outcome.", OutcomeSource),
    ("`outcomes`", "outcomes.", OutcomesTable),
)


def reference() -> str:
    """The page, Markdown."""
    kinds = "\n".join(f"| {kind} | {done} |" for kind, done in KINDS)
    table = f"| kind | what is done |\n|---|---|\n{kinds}\n"
    return "\n".join([_INTRODUCTION, table, "# All keys\n", *(_table(*part) for part in _TABLES)]).rstrip() + "\n"


def _table(title: str, prefix: str, model: type[BaseModel]) -> str:
    """A table of one model's keys."""
    described = " ".join((model.__doc__ or "").split())
    own = [(name, field) for name, field in model.model_fields.items() if model is TableFormat or not _is_format(name)]
    rows = "\n".join(_row(prefix, name, field) for name, field in own)
    takes_format = issubclass(model, TableFormat) and model is not TableFormat
    more = "\nIt takes the keys of “How the file is written” too.\n" if takes_format else ""
    return f"## {title}\n\n{described}\n{more}\n| key | meaning | default |\n|---|---|---|\n{rows}\n"


def _is_format(name: str) -> bool:
    return name in TableFormat.model_fields


def _row(prefix: str, name: str, field: FieldInfo) -> str:
    part = next(_models(field.annotation), None)
    meaning = field.description or f"see `{name}` below"
    if part is not None and name in ("long", "outcome", "outcomes"):
        meaning = (part.__doc__ or "").split(". ")[0].rstrip(".") + "; the keys below"
    return f"| `{prefix}{name}` | {meaning} | {_default(field)} |"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    value = field.default
    if value == MISSING:
        return "empty, `NA`, `N/A`, `NaN`, `NULL`, `None` and their like"
    if value == EPOCH:
        return "1970"
    if value is None or isinstance(value, BaseModel) or value in ((), {}):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
