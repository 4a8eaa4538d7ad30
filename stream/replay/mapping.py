"""The mapping file of a replay: which column of recorded data is the device, the order, each reading, and the outcome.

```yaml
fleet: mill                                # the fleet whose events it makes
delimiter: ","                             # CSV only
device: {column: machine}                  # or {row: "m-{:05d}"}: each row is a device of its own, named by its number from 1
run: {column: life}                        # left out: run 0
seq: {column: cycle}                       # left out: the row's number in its run, from 1
ts: {column: time}                         # RFC 3339 (UTC where it has no zone) or seconds since 1970; left out: ends now
readings:
  torque: Torque [Nm]                      # a column as it is
  speed: {column: hz, scale: 60}           # value * scale + offset
  quality: {column: Type, values: {L: 0, M: 1}}
  load: {constant: 1}
outcome:
  column: broken                           # of a row; what it says where the run ends
  failed: [1]                              # also repaired: […], retired: […]
  modes: {heat: overheated}                # column that is 1 in this mode: the mode's name
  last_row: failed                         # what became of runs without such a row; left out: not known
  observed: true                           # instead of last_row: such runs were watched for the whole horizon and did not fail
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from aimaas.errors import AimaasError
from aimaas.events import OutcomeKind
from aimaas.fleet import FleetSpec


class ReplayError(AimaasError):
    """Recorded data, or the mapping file that describes it, cannot be read as events."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Part):
    """A column by its name."""

    column: str


class DeviceSource(_Part):
    """Where the device's name comes from: a column, or the number of the row."""

    column: str | None = None
    row: str | None = None

    @model_validator(mode="after")
    def _one(self) -> DeviceSource:
        if (self.column is None) == (self.row is None):
            raise ValueError('give either column or row, such as {row: "m-{:05d}"}')
        if self.row is not None:
            try:
                self.row.format(1)
            except (ValueError, LookupError):
                raise ValueError(f"row {self.row!r} is no format of a number; write one such as 'm-{{:05d}}'") from None
        return self


class ReadingSource(_Part):
    """Where a reading comes from: a column (its words as numbers, or scaled), or a constant."""

    column: str | None = None
    values: dict[str | int | float, float] | None = None
    scale: float = 1.0
    offset: float = 0.0
    constant: float | None = None

    @model_validator(mode="after")
    def _one(self) -> ReadingSource:
        if (self.column is None) == (self.constant is None):
            raise ValueError("give either column or constant")
        return self


class OutcomeSource(_Part):
    """How rows say what became of a run."""

    column: str | None = None
    failed: tuple[str | int | float, ...] = ()
    repaired: tuple[str | int | float, ...] = ()
    retired: tuple[str | int | float, ...] = ()
    modes: dict[str, str] = {}
    last_row: OutcomeKind | None = None
    observed: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> OutcomeSource:
        if self.column is None and (self.failed or self.repaired or self.retired or self.modes):
            raise ValueError("failed, repaired, retired and modes need column")
        if self.last_row and self.observed:
            raise ValueError("give either last_row or observed")
        return self


def _as_column(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


class Mapping(_Part):
    """One mapping file, checked."""

    fleet: str
    delimiter: str = ","
    device: DeviceSource
    run: Annotated[Column, BeforeValidator(_as_column)] | None = None
    seq: Annotated[Column, BeforeValidator(_as_column)] | None = None
    ts: Annotated[Column, BeforeValidator(_as_column)] | None = None
    readings: dict[str, Annotated[ReadingSource, BeforeValidator(_as_column)]]
    outcome: OutcomeSource = OutcomeSource()


def load_mapping(path: Path, fleet: FleetSpec) -> Mapping:
    """Read a mapping file for `fleet`. Raises ReplayError with one line for each mistake."""
    try:
        mapping = Mapping.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as e:
        raise ReplayError(f"{path}: cannot be read ({e.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise ReplayError(f"{path}: no valid YAML ({' '.join(str(e).split())})") from None
    except ValidationError as e:
        raise ReplayError("\n".join(_line(path, error) for error in e.errors())) from None
    wrong = _misfits(mapping, fleet)
    if wrong:
        raise ReplayError("\n".join(f"{path}: {line}" for line in wrong))
    return mapping


def _misfits(mapping: Mapping, fleet: FleetSpec) -> list[str]:
    """What of the mapping does not go with the fleet file."""
    lines = []
    if mapping.fleet != fleet.fleet:
        lines.append(f"fleet: found {mapping.fleet!r}, but the events are to be of fleet {fleet.fleet!r}")
    lines += [f"readings.{n}: missing, must be given" for n in fleet.readings if n not in mapping.readings]
    known = ", ".join(fleet.readings)
    lines += [
        f"readings.{n}: fleet {fleet.fleet} has no such reading; it has {known}"
        for n in mapping.readings
        if n not in fleet.readings
    ]
    if fleet.order == "ts" and mapping.ts is None:
        lines.append(f"ts: missing, must be given, since fleet {fleet.fleet} is ordered by time")
    if fleet.order == "ts" and mapping.outcome.observed:
        lines.append("outcome.observed: needs a fleet with order: seq; give last_row: retired")
    return lines


def _line(path: Path, error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    match error["type"]:
        case "missing":
            return f"{path}: {key}: missing, must be given"
        case "extra_forbidden":
            return f"{path}: {key}: unknown key, remove it or check its spelling"
        case "value_error":
            return f"{path}: {key}: {str(error['msg']).removeprefix('Value error, ')}"
        case _:
            return f"{path}: {key or 'file'}: found {error['input']!r}, allowed: {error['msg']}"
