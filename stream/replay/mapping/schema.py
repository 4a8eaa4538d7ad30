"""The mapping file of a table replay: which columns hold the device, the order, the readings and the outcome.

`stream/replay/mapping/reference.py` writes docs/reference/mapping.md from these models. Every scalar of the YAML file arrives as
text, so `0012` and `no` stay as written (`stream/replay/mapping/file.py`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from aimaas.errors import AimaasError
from aimaas.records.events import OutcomeKind

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

    column: str = Field(description="Name of the column")


class TableFormat(_Part):
    """Format of the file. For Parquet only `missing` applies, to text."""

    delimiter: str = Field(default=",", min_length=1, max_length=1, description="Character between two cells")
    quote: str = Field(
        default='"',
        max_length=1,
        description="Character around a cell that contains delimiters. Empty: cells have no quotes.",
    )
    encoding: str = Field(default="utf-8", description="Text encoding, such as `latin-1`, `windows-1252` or `utf-16`")
    decimal: Literal[".", ","] = Field(default=".", description="Decimal mark: `.` or `,`")
    thousands: Literal[".", ",", "'", "_", " "] | None = Field(
        default=None,
        description="Thousands separator: `.`, `,`, `'`, `_` or a space. A space includes the no-break space.",
    )
    missing: Words = Field(default=MISSING, description="Cells without a value. An empty Parquet cell is always one.")
    skip_rows: int = Field(default=0, ge=0, le=10_000, description="Lines to skip before the header")
    columns: tuple[str, ...] | None = Field(
        default=None, description="Names of the columns, for a file without a header"
    )

    @field_validator("encoding")
    @classmethod
    def _text_encoding(cls, value: str) -> str:
        try:
            "a".encode(value)  # raises LookupError for an encoding that is not for text, such as base64
        except (LookupError, ValueError):
            raise ValueError(
                f"{value!r} is not a text encoding; write one such as utf-8, latin-1, windows-1252"
            ) from None
        return value

    @model_validator(mode="after")
    def _apart(self) -> TableFormat:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        if self.delimiter in (self.quote, "\n", "\r"):
            raise ValueError(f"delimiter {self.delimiter!r} must differ from quote and line end")
        return self


class DeviceSource(_Part):
    """Source of the device id: a column, the row number, or one id for the whole table. Give one key."""

    column: str | None = Field(default=None, description="Column of the ids. aimaas sends them as written.")
    row: str | None = Field(
        default=None,
        description='Format of an id from the row number, for tables in which each row is another device: `"m-{:05d}"`',
    )
    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="Id of the only device, for a table without an id column",
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
                raise ValueError(f"row {self.row!r} is not a format of a number; write one such as 'm-{{:05d}}'")
        return self


class TimeSource(_Part):
    """Source of the time. A number needs `unit`. A time without a zone needs `zone`. A date without a time means midnight
    in `zone`, or in UTC without `zone`."""

    column: Words = Field(
        min_length=1,
        description="Name of the column. The values of a list such as `[Date, Time]` are joined with a space.",
    )
    unit: Unit | None = Field(default=None, description="Unit of a number: `ns`, `us`, `ms`, `s`, `min`, `h` or `d`")
    since: AwareDatetime = Field(
        default=EPOCH, description="Time at which a number is 0. For Excel: `1899-12-30T00:00:00Z`."
    )
    format: str | None = Field(
        default=None,
        description="Format of text that is not RFC 3339, as for `strptime` of Python: `%d.%m.%Y %H:%M:%S`",
    )
    zone: str | None = Field(default=None, description="Time zone of times without a zone: `UTC`, `Europe/Berlin`")
    ambiguous: Literal["refuse", "earlier", "later"] = Field(
        default="refuse",
        description="Meaning of a time that occurs twice because clocks go back: `earlier`, `later`, or an error (`refuse`)",
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
            raise ValueError(f"{value!r} is not a format of a time ({e})") from None
        if "%Z" in value:
            raise ValueError("%Z (names of zones) is ambiguous; write %z for offsets, or give zone")
        if read.date() != _SAMPLE.date() or read.hour not in (0, _SAMPLE.hour):
            raise ValueError(f"{value!r} lacks year, month, day or half of the day")
        return value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        try:
            ZoneInfo(value or "UTC")
        except (ValueError, OSError, LookupError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError(f"{value!r} is not a time zone; write one such as UTC or Europe/Berlin") from None
        return value


class LongSource(_Part):
    """Columns of a table in long format, in which a row is one value of one tag."""

    tag: str = Field(description="Column of the tag. `readings.NAME.column` then names a tag.")
    value: str = Field(description="Column of the value")


class ReadingSource(_Part):
    """Source of a reading, that is of a setting or a sensor: a column or a constant."""

    column: str | None = Field(default=None, description="Name of the column; in long format, name of the tag")
    values: dict[str, float] | None = Field(default=None, description="Number of each word: `{L: 0, M: 1}`")
    scale: float = Field(default=1.0, description="The reading is value × `scale` + `offset`")
    offset: float = Field(default=0.0, description="The reading is value × `scale` + `offset`")
    unit: str | None = Field(
        default=None, description="Unit of the table. If the fleet file has another unit, give `scale` or `offset` too."
    )
    optional: bool = Field(
        default=False, description="Whether the column may be absent or empty. The reading is then null."
    )
    constant: float | None = Field(default=None, description="Value of the reading in all rows, instead of a column")

    @model_validator(mode="after")
    def _one(self) -> ReadingSource:
        if (self.column is None) == (self.constant is None):
            raise ValueError("give either column or constant")
        return self


class OutcomeWords(_Part):
    """Words of a column that mean an outcome."""

    column: str | None = Field(
        default=None, description="Column of the outcome. Words that you do not list mean no outcome."
    )
    failed: Words = Field(default=(), description="Words that mean `failed`: the life ended in a failure")
    repaired: Words = Field(default=(), description="Words that mean `repaired`: the life ended without a failure")
    retired: Words = Field(default=(), description="Words that mean `retired`: the life ended without a failure")
    optional: bool = Field(
        default=False, description="Whether the column may lack all these words, as in a table without failures"
    )
    mode: str | None = Field(default=None, description="Column of the failure mode")
    modes: dict[str, str] = Field(
        default={},
        description="Columns that name a failure mode, and the mode: `{TWF: tool_wear}`. The outcome has the mode of the column "
        "that is 1.",
    )

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
    """Source of the outcomes, if the table of readings has them."""

    last_row: OutcomeKind | None = Field(
        default=None,
        description="Outcome of each run without an outcome, at its last row: `failed`, `repaired` or `retired`. Without this key, "
        "such a run counts as still running.",
    )
    observed: bool = Field(
        default=False,
        description="Whether each run without an outcome was observed for the whole horizon after its last row, without a failure. "
        "Requires `order: seq`, and excludes `last_row`.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> OutcomeSource:
        if self.column is None and (self.mode or self.modes):
            raise ValueError("mode and modes need column")
        if self.last_row and self.observed:
            raise ValueError("give either last_row or observed")
        return self


class OutcomesTable(TableFormat, OutcomeWords):
    """Source of the outcomes, if another table has them: one row per outcome."""

    file: str = Field(min_length=1, description="Name of the file, in the same folder; `*` matches any text")
    device: Annotated[DeviceSource, BeforeValidator(_as_column)] | None = Field(
        default=None, description="Source of the device id. Without this key: as in the table of readings."
    )
    run: Annotated[Column, BeforeValidator(_as_column)] | None = Field(
        default=None, description="Column of the run. Without this key: run 0."
    )
    seq: Annotated[Column, BeforeValidator(_as_column)] | None = Field(
        default=None, description="Column of the counter. Required with `order: seq`."
    )
    ts: Annotated[TimeSource, BeforeValidator(_as_column)] | None = Field(
        default=None, description="Source of the time. Required with `order: ts`."
    )
    kind: OutcomeKind | None = Field(default=None, description="Outcome of all rows, instead of `column` and words")

    @model_validator(mode="after")
    def _one_kind(self) -> OutcomesTable:
        if (self.kind is None) == (self.column is None):
            raise ValueError("give either kind, or column with words")
        return self


class Mapping(TableFormat):
    """The keys at the top of a mapping file."""

    fleet: str = Field(description="Name of the fleet")
    file: str | None = Field(
        default=None, description="Name of the table of readings, if FILE is a folder; `*` matches any text"
    )
    device: Annotated[DeviceSource, BeforeValidator(_as_column)] = Field(
        description="Source of the device id: a column, or the keys below"
    )
    run: Annotated[Column, BeforeValidator(_as_column)] | None = Field(
        default=None, description="Column of the run. Without this key: run 0."
    )
    seq: Annotated[Column, BeforeValidator(_as_column)] | None = Field(
        default=None, description="Column of the counter. Without this key: the row number in the run, from 1."
    )
    ts: Annotated[TimeSource, BeforeValidator(_as_column)] | None = Field(
        default=None,
        description="Source of the time: a column, or the keys below. Without this key, the last row gets the present time, and "
        "rows are a second apart.",
    )
    long: LongSource | None = None
    readings: dict[str, Annotated[ReadingSource, BeforeValidator(_as_column)]] = Field(
        description="Source of each setting and each sensor of the fleet file: a column, or the keys below"
    )
    outcome: OutcomeSource = OutcomeSource()
    outcomes: OutcomesTable | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Mapping:
        if self.long and (self.outcome.column or self.device.row):
            raise ValueError("long: outcome.column and device.row need rows that are events; use outcomes")
        if self.outcomes and (self.device.row or (self.outcomes.device and self.outcomes.device.row)):
            raise ValueError("outcomes: devices need ids; give device.column or device.name")
        if self.long and self.ts is None and self.seq is None:
            raise ValueError("long: give ts or seq, which says which values belong to one event")
        return self

    def format_of(self, table: OutcomesTable) -> TableFormat:
        """Return the format of `table`: its own keys if it has any, otherwise the keys of the telemetry."""
        inherited = {
            name: getattr(self, name) for name in TableFormat.model_fields if name not in ("skip_rows", "columns")
        }
        own = {name: getattr(table, name) for name in TableFormat.model_fields if name in table.model_fields_set}
        return TableFormat(**{**inherited, **own})
