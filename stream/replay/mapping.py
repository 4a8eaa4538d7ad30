"""The mapping file of a replay: which column of recorded data is the device, the order, each reading, and the outcome.

`docs/mapping.md` is written from these models (`stream/replay/mapping_reference.py`). Every scalar of the YAML file arrives as
text, so a word such as `0012` or `no` stays as it is written (`stream/replay/mapping_file.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from aimaas.errors import AimaasError
from aimaas.events import OutcomeKind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MISSING = (
    "", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "1.#QNAN", "-1.#QNAN", "-1.#IND",
    "1.#IND", "NULL", "Null", "null", "None",
)  # fmt: skip
Unit = Literal["ns", "us", "ms", "s", "min", "h", "d"]
_SAMPLE = datetime(2021, 11, 23, 15, 47, 38, tzinfo=UTC)


class ReplayError(AimaasError):
    """Recorded data, or the mapping file that describes it, cannot be read as events."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _as_column(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_as_list)]


class Column(_Part):
    """A column by its name."""

    column: str = Field(description="name of the column")


class TableFormat(_Part):
    """How a file is written. Parquet needs none of it, except `missing` for text."""

    delimiter: str = Field(default=",", min_length=1, max_length=1, description="what separates cells")
    quote: str = Field(default='"', max_length=1, description="what encloses a cell; empty: nothing does")
    encoding: str = Field(default="utf-8", description="such as `latin-1`, `windows-1252`, `utf-16`")
    decimal: Literal[".", ","] = Field(default=".", description="the decimal mark, `.` or `,`")
    thousands: Literal[".", ",", "'", "_", " "] | None = Field(
        default=None, description="what groups digits by three: `.`, `,`, `'`, `_` or a blank, also a no-break one"
    )
    missing: Words = Field(default=MISSING, description="cells that say no value; also an empty Parquet cell")
    skip_rows: int = Field(default=0, ge=0, le=10_000, description="lines before the header")
    columns: tuple[str, ...] | None = Field(default=None, description="names of the columns, for a file without header")

    @field_validator("encoding")
    @classmethod
    def _text_encoding(cls, value: str) -> str:
        try:
            "a".encode(value)  # raises LookupError for what is no encoding of text, such as base64
        except (LookupError, ValueError):
            raise ValueError(f"{value!r} is no text encoding; write one such as utf-8, latin-1, windows-1252") from None
        return value

    @model_validator(mode="after")
    def _apart(self) -> TableFormat:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        if self.delimiter in (self.quote, "\n", "\r"):
            raise ValueError(f"delimiter {self.delimiter!r} cannot be told from quotes or line ends")
        return self


class DeviceSource(_Part):
    """Where the device's name comes from: a column, the number of the row, or one name for the whole table."""

    column: str | None = Field(default=None, description="its cells are the names, exactly as they are written")
    row: str | None = Field(default=None, description='each row is a device, named by its number: `"m-{:05d}"`')
    name: str | None = Field(
        default=None, min_length=1, max_length=128, description="the table is of this one device and has no id column"
    )

    @model_validator(mode="after")
    def _one(self) -> DeviceSource:
        if sum(given is not None for given in (self.column, self.row, self.name)) != 1:
            raise ValueError('give one of column, name (a table of one device) and row (such as {row: "m-{:05d}"})')
        if self.row is not None:
            try:
                named = self.row.format(1) != self.row.format(2)
            except (ValueError, LookupError):
                named = False
            if not named:
                raise ValueError(f"row {self.row!r} is no format of a number; write one such as 'm-{{:05d}}'")
        return self


class TimeSource(_Part):
    """Where an event's time comes from. A number needs `unit`; a time without a zone needs `zone`; a plain date is its midnight."""

    column: Words = Field(
        min_length=1, description="name of the column; a list such as `[Date, Time]` is joined by blanks"
    )
    unit: Unit | None = Field(default=None, description="numbers count `ns`, `us`, `ms`, `s`, `min`, `h` or `d`")
    since: AwareDatetime = Field(
        default=EPOCH, description="what the numbers count from; Excel's: `1899-12-30T00:00:00Z`"
    )
    format: str | None = Field(
        default=None, description="of text that is not RFC 3339: `%d.%m.%Y %H:%M:%S`, Python's `strptime`"
    )
    zone: str | None = Field(default=None, description="of times without one: `UTC`, `Europe/Berlin`")
    ambiguous: Literal["refuse", "earlier", "later"] = Field(
        default="refuse", description="which of two a time means in the hour that comes twice when clocks are set back"
    )

    @model_validator(mode="after")
    def _consistent(self) -> TimeSource:
        if self.unit and self.format:
            raise ValueError("give either unit (numbers) or format (text)")
        if self.since != EPOCH and not self.unit:
            raise ValueError("since needs unit")
        return self

    @field_validator("format")
    @classmethod
    def _whole_date(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            read = datetime.strptime(_SAMPLE.strftime(value), value)
        except ValueError as e:
            raise ValueError(f"{value!r} is no format of a time ({e})") from None
        if "%Z" in value:
            raise ValueError("%Z (names of zones) is ambiguous; write %z for offsets, or give zone")
        if read.date() != _SAMPLE.date() or read.hour not in (0, _SAMPLE.hour):
            raise ValueError(f"{value!r} does not tell year, month, day and half of the day")
        return value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        try:
            ZoneInfo(value or "UTC")
        except (ValueError, OSError, LookupError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError(f"{value!r} is no time zone; write one such as UTC or Europe/Berlin") from None
        return value


class LongSource(_Part):
    """A table in long format: a row is one value of one tag. Rows of one device and time become one event."""

    tag: str = Field(description="column that names the tag; a reading's `column` is then a tag")
    value: str = Field(description="column of the values")


class ReadingSource(_Part):
    """Where a reading comes from: a column (its words as numbers, or scaled), or a constant."""

    column: str | None = Field(default=None, description="name of the column, or of the tag in long format")
    values: dict[str, float] | None = Field(default=None, description="words as numbers: `{L: 0, M: 1}`")
    scale: float = Field(default=1.0, description="value × scale + offset is the reading")
    offset: float = Field(default=0.0, description="see `scale`")
    unit: str | None = Field(
        default=None, description="the file's unit; another one than the fleet file's needs `scale` or `offset`"
    )
    optional: bool = Field(
        default=False, description="whether the file may have no such column, or no value in it: then it is null"
    )
    constant: float | None = Field(default=None, description="the reading of all rows, instead of a column")

    @model_validator(mode="after")
    def _one(self) -> ReadingSource:
        if (self.column is None) == (self.constant is None):
            raise ValueError("give either column or constant")
        return self


class OutcomeWords(_Part):
    """Which words of a column say what became of a run."""

    column: str | None = Field(
        default=None, description="column that says what became of the run; other words say nothing"
    )
    failed: Words = Field(default=(), description="words that say that it failed")
    repaired: Words = Field(default=(), description="words that say that it was repaired")
    retired: Words = Field(default=(), description="words that say that it was retired")
    optional: bool = Field(default=False, description="whether these words may be absent: a file without failures")
    mode: str | None = Field(default=None, description="column that names the failure mode")
    modes: dict[str, str] = Field(default={}, description="column that is 1 in this mode: the mode's name")

    @model_validator(mode="after")
    def _words(self) -> OutcomeWords:
        words = [*self.failed, *self.repaired, *self.retired]
        if self.column is None and words:
            raise ValueError("failed, repaired and retired need column")
        if self.column is not None and not words:
            raise ValueError("column needs words: failed, repaired or retired")
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: given for two outcomes")
        if self.mode and self.modes:
            raise ValueError("give either mode or modes")
        return self


class OutcomeSource(OutcomeWords):
    """How rows of the telemetry say what became of a run."""

    last_row: OutcomeKind | None = Field(
        default=None, description="what became of runs without such a row; if left out it is not known"
    )
    observed: bool = Field(
        default=False,
        description="instead of `last_row`: such runs were watched for the whole horizon and did not fail",
    )

    @model_validator(mode="after")
    def _consistent(self) -> OutcomeSource:
        if self.column is None and (self.mode or self.modes):
            raise ValueError("mode and modes need column")
        if self.last_row and self.observed:
            raise ValueError("give either last_row or observed")
        return self


class OutcomesTable(TableFormat, OutcomeWords):
    """A file of its own with outcomes: one row for each."""

    file: str = Field(min_length=1, description="its name, beside the telemetry; `*` stands for anything")
    device: Annotated[DeviceSource, BeforeValidator(_as_column)] | None = Field(
        default=None, description="as for the telemetry, which is the default"
    )
    run: Annotated[Column, BeforeValidator(_as_column)] | None = Field(default=None, description="left out: run 0")
    seq: Annotated[Column, BeforeValidator(_as_column)] | None = Field(
        default=None, description="the row's place in its run; needed with `order: seq`"
    )
    ts: Annotated[TimeSource, BeforeValidator(_as_column)] | None = Field(
        default=None, description="when it happened; needed with `order: ts`"
    )
    kind: OutcomeKind | None = Field(default=None, description="of all rows, instead of column and words")

    @model_validator(mode="after")
    def _one_kind(self) -> OutcomesTable:
        if (self.kind is None) == (self.column is None):
            raise ValueError("give either kind, or column with words")
        return self


class Mapping(TableFormat):
    """One mapping file, checked."""

    fleet: str = Field(description="the fleet whose events it makes")
    file: str | None = Field(
        default=None, description="name of the telemetry in FILE, where that is a folder; `*` stands for anything"
    )
    device: Annotated[DeviceSource, BeforeValidator(_as_column)] = Field(description="a column, or the keys below")
    run: Annotated[Column, BeforeValidator(_as_column)] | None = Field(
        default=None, description="a column; left out: run 0"
    )
    seq: Annotated[Column, BeforeValidator(_as_column)] | None = Field(
        default=None, description="a column; left out: the row's number in its run, from 1"
    )
    ts: Annotated[TimeSource, BeforeValidator(_as_column)] | None = Field(
        default=None, description="a column, or the keys below; left out: the rows end now, one second apart"
    )
    long: LongSource | None = None
    readings: dict[str, Annotated[ReadingSource, BeforeValidator(_as_column)]] = Field(
        description="of each reading of the fleet: a column, or the keys below"
    )
    outcome: OutcomeSource = OutcomeSource()
    outcomes: OutcomesTable | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Mapping:
        if self.long and (self.outcome.column or self.device.row):
            raise ValueError("long: a row is one value, so outcome.column and device.row say nothing; use outcomes")
        if self.outcomes and (self.device.row or (self.outcomes.device and self.outcomes.device.row)):
            raise ValueError("outcomes: the devices need names of their own, by device.column or device.name")
        if self.long and self.ts is None and self.seq is None:
            raise ValueError("long: give ts or seq, by which values become one event")
        return self

    def format_of(self, table: OutcomesTable) -> TableFormat:
        """How `table` is written: its own keys, where it has any, else those of the telemetry."""
        inherited = {
            name: getattr(self, name) for name in TableFormat.model_fields if name not in ("skip_rows", "columns")
        }
        own = {name: getattr(table, name) for name in TableFormat.model_fields if name in table.model_fields_set}
        return TableFormat(**{**inherited, **own})
