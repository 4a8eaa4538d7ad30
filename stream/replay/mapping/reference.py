"""Writes docs/reference/mapping.md from the models: `python -m stream.replay.mapping.reference > docs/reference/mapping.md`.

A test fails if the page and the models differ. Another test tries every kind of file in the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stream.replay.mapping.schema import (
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

_INTRODUCTION = """# Mapping file

<!-- Written by `python -m stream.replay.mapping.reference`; change stream/replay/mapping/schema.py instead. -->

Look up here every key of a mapping file, and how aimaas reads each kind of table.
[Replay a table](../how-to/replay-a-table.md) shows the steps.

A mapping file is a YAML file that tells `aimaas replay` which column holds the id, the time and each reading.
This one reads a German export with semicolons:

```yaml
fleet: pump
delimiter: ";"
decimal: ","
encoding: windows-1252
device: Anlage                     # a column; its cells are the device ids
ts: {column: Zeit, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
readings:
  pressure: Druck                  # reading of the fleet file: column of the table
  vibration: {column: Schwingung, scale: 25.4, unit: in/s}
outcome:
  column: Status
  failed: [defekt]
  optional: true                   # the table may have no failures
```

## Outcomes in a column

`outcome` names a column of the table of readings. Each row with a listed word is one outcome of its device, at this row.
`failed` ends a life in a failure. `repaired` and `retired` [end it without one](../how-it-works/training/labels.md#lives).

- **Each row with a word is one outcome.** If the word for `failed` is on every row of a run, every row becomes a failure.
  Keep the word only on the last row before the failure, repair or retirement, and empty the other cells, before you
  replay the table.
  Or write the outcomes into [a table of their own](#several-tables).
- **A machine with several failures needs no column `run`.** Each outcome ends a life. The next row begins the next life.
  With a column `run`, each run begins with a new history of features.
- **A life without an outcome counts as still running**, up to its last row. `last_row: retired` adds an outcome at the last row
  of each run that has no outcome.

## Several tables

FILE may be a folder. Then `file` names the table of readings, and `outcomes` names a table with one row per outcome:

```yaml
fleet: pdm
file: PdM_telemetry.csv
device: machineID
ts: {column: datetime, zone: UTC}
readings: {volt: volt, rotate: rotate}
outcomes:
  file: PdM_failures.csv
  kind: failed                     # every row is a failure
  mode: failure                    # column of the failure mode
  ts: {column: datetime, zone: UTC}
```

The table of outcomes has the format and the device column of the table of readings, unless its own keys say otherwise.

## Long format

In long format, a row is one value: device, tag, value, time. `long` names the columns of tag and value.
Each reading names its tag:

```yaml
fleet: pump
device: device
ts: time
long: {tag: tag, value: value}
readings: {pressure: PT-101, vibration: VT-7}
```

- Rows of one device and one time become one event.
- aimaas ignores tags without a reading.
- A tag without a value at that time is null. aimaas does not join values of different times.

## Rules for every table

- **A replay is faithful, or it refuses.** aimaas does not guess. The error names the file, the column, the row and the key to add.
- **aimaas reads the whole table before it sends the first event.** A mistake in the last row sends nothing.
- **Memory does not grow with the table**, except for one name per device. Sorting needs space in `TMPDIR`: 72 bytes for
  each row, and 16 bytes more for each setting and each sensor of the fleet file.
- aimaas sends events in the order of time. Rows may be in any order.
- Without `ts`, the last row gets the present time, rows are one second apart, and all devices run in parallel.
- Times are sent in microseconds. A time without a zone is refused, unless `ts.zone` gives the zone. A date without a time means
  midnight in `ts.zone`, or in UTC without `ts.zone`.
- The age of the rows does not matter. Retention and `limits.silence_s` count by the broker's clock, from the moment a row is sent.
- `limits.jump` compares the rows of one device with each other.

## Kinds of tables

A test covers each row of this list.
"""

KINDS: tuple[tuple[str, str], ...] = (
    ("ids with leading zeros, twenty digits, exponents or quotes", "Sent as written. `NA` and `true` are ids too."),
    ("ids that are missing, too long, or floating-point numbers", "Refused. A float does not tell how the id is written."),
    ("one machine, without an id column", "Write `device: {name: press-7}`."),
    ("rows that are a device each", "Write `device: {row: \"m-{:05d}\"}`."),
    ("times with a zone", "Read as RFC 3339, as on the topic, to the microsecond."),
    ("times without a zone", "Refused without `ts.zone`, even in Parquet."),
    ("times that clocks show twice or never", "Refused. `ts.ambiguous: earlier` or `later` admits times that occur twice."),
    ("plain dates", "Midnight in `ts.zone`, or in UTC without `ts.zone`, including `date32` and `date64` of Parquet."),
    ("numbers as times", "Refused without `ts.unit` (`s`, `ms`, …). `ts.since` sets another epoch, such as the epoch of Excel."),
    ("times outside the years 1900 to 2199", "Refused. This also finds a wrong unit."),
    ("times in a local form", "Refused without `ts.format`."),
    ("date and time in two columns", "Write `ts: {column: [Date, Time]}`."),
    ("decimal commas", "Refused without `decimal: \",\"`. With it, decimal points are refused."),
    ("groups of thousands", "Refused without `thousands`. With it, groups that do not have three digits are refused."),
    ("infinity, and numbers too large", "Refused. They never become null."),
    ("cells that are almost numbers", "Refused: `1_0`, `0x10`, `1.5 bar`, `5 %`."),
    ("missing values", "Null: an empty cell and the words of `missing`, such as `-999`. A missing id or time is refused."),
    ("words for numbers", "Write `values: {no: 0, yes: 1}`. Other words are refused."),
    ("another unit", "If `unit` names another unit than the fleet file: refused without `scale` or `offset`."),
    ("Latin-1, Windows-1252 and other encodings", "Refused without `encoding`."),
    ("UTF-16, and UTF-8 with a byte order mark", "UTF-16 is refused without `encoding: utf-16`. The mark of UTF-8 is skipped."),
    ("another delimiter", "Refused without `delimiter`."),
    ("columns that are missing or there twice", "Refused, if the mapping names them."),
    ("rows with too many or too few cells", "Refused."),
    ("cells with delimiters and line ends in quotes", "Read as one cell. `quote` sets the quotation mark."),
    ("lines before the header, or no header", "Write `skip_rows: 2`, or `columns: [id, time, …]`."),
    ("compressed files", "Read: gzip, bzip2, zstd, lz4."),
    ("files without rows", "Refused."),
    ("other kinds of file", "Refused: Excel, zip, Feather, ORC, SQLite, HDF5."),
    ("Parquet categories, decimals, truth values", "Read: a category as its text, true as 1. Dates are not readings."),
    ("long format", "Write `long`. One device and time makes one event. Two values of a tag at one time are refused."),
    ("outcomes in a column", "Write `outcome`: a row with a listed word is one outcome. A word that matches no row is refused, "
     "unless `optional: true`."),
    ("outcomes in a table of their own", "Write `outcomes`. Refused if the table of readings has none of its devices."),
    ("telemetry in several files", "Write `file: \"telemetry-*.csv\"`. aimaas reads the files in the order of their names."),
    ("a reading without a value in the whole file", "Refused, unless the reading has `optional: true`."),
    ("rows in any order", "Sorted by time; within a device and run by `seq`."),
)  # fmt: skip
"""Kinds of tables, and how aimaas reads each. `tests/stream/replay/test_kinds.py` tries them all."""

_TABLES: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("Top level", "", Mapping),
    ("Format", "", TableFormat),
    ("`device`", "device.", DeviceSource),
    ("`ts`", "ts.", TimeSource),
    ("`long`", "long.", LongSource),
    ("`readings.NAME`", "readings.NAME.", ReadingSource),
    ("`outcome`", "outcome.", OutcomeSource),
    ("`outcomes`", "outcomes.", OutcomesTable),
)


def reference() -> str:
    """Return the page, Markdown."""
    kinds = "\n".join(f"| {kind} | {done} |" for kind, done in KINDS)
    table = f"| table | how aimaas reads it |\n|---|---|\n{kinds}\n"
    return "\n".join([_INTRODUCTION, table, *(_table(*part) for part in _TABLES)]).rstrip() + "\n"


def _table(title: str, prefix: str, model: type[BaseModel]) -> str:
    """Return a table of one model's keys."""
    described = " ".join((model.__doc__ or "").split())
    own = [(name, field) for name, field in model.model_fields.items() if model is TableFormat or not _is_format(name)]
    rows = "\n".join(_row(prefix, name, field) for name, field in own)
    takes_format = issubclass(model, TableFormat) and model is not TableFormat
    more = "\nIt also takes the keys of [Format](#format).\n" if takes_format else ""
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
    """Return the models in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value == MISSING:
        return "empty, `NA`, `N/A`, `NaN`, `NULL`, `None` and variants"
    if value == EPOCH:
        return "`1970-01-01T00:00:00Z`"
    if value is None or isinstance(value, BaseModel) or value in ((), {}):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
