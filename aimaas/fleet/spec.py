"""The fleet file: the YAML file that declares one device type.

`load_fleet` reads and checks it. It reports each mistake on one line: file, key, value found, values allowed. The event schema, the
expectations, the feature plan, the ONNX input and the topic names are derived from the `FleetSpec` that it returns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from aimaas.errors import FleetFileError
from aimaas.fleet.alert_rules import AlertRule, values_of
from aimaas.fleet.consistency import inconsistencies
from aimaas.fleet.expression import Program, compile_expression
from aimaas.fleet.mistakes import mistake_lines
from aimaas.fleet.units import SECONDS_PER_UNIT, prediction_unit
from aimaas.fleet.yaml_reader import read_fleet_yaml

NAME = r"^[a-z][a-z0-9_]{0,39}$"
Name = Annotated[str, Field(pattern=NAME)]
# a number in quotes, or true, is a mistake, not a number
Whole = Annotated[int, Field(strict=True)]
Real = Annotated[float, Field(strict=True)]
Share = Annotated[Real, Field(ge=0, le=1)]
Physical = Annotated[Real, Field(ge=-1e30, le=1e30)]  # far within float32: no reading overflows in the kernel
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


WINDOW, FIRST, REGIMES = (2, 512), 64, 32  # bounds of `features`, also for the plan of a model
RULES = 100


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


def _rising(limits: tuple[float, ...]) -> tuple[float, ...]:
    if list(limits) != sorted(set(limits)):
        raise ValueError(f"{list(limits)} must increase")
    return limits


class Reading(_Part):
    """A reading is one number of an event. A sensor is measured. A setting is set by a person or a controller.

    The table names the keys of a sensor. A setting has the same keys, and `command`.
    """

    name: str = Field(min_length=1, description="Name that people see")
    unit: str = Field(description="Unit of the values; `1` for a number without a unit")
    range: Annotated[tuple[Physical, Physical], AfterValidator(_rising)] = Field(
        description="Lowest and highest value that is physically possible. Admission refuses any other value."
    )
    nullable: bool = Field(
        default=False,
        description="Whether an event may omit the reading or send null. `true` requires `fill`. "
        "[`quality.null_share`](#quality) limits the share of nulls (20 %).",
    )
    fill: Literal["previous"] | Physical | None = Field(
        default=None,
        description="Value that replaces a null: a number, or `previous`, the last value of the device in this run. If there is no "
        "last value, `previous` means the middle of `range`.",
    )
    command: tuple[Real, Real] | None = Field(
        default=None,
        description="Reserved: lowest and highest value that a command may set. aimaas sends no commands yet.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Reading:
        low, high = self.range
        wrong = ["a nullable reading needs fill: previous, or a number"] if self.nullable and self.fill is None else []
        if self.command and not low <= self.command[0] < self.command[1] <= high:
            wrong.append(f"command {list(self.command)} must increase and be within range {list(self.range)}")
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @property
    def fill_value(self) -> float:
        """The value that replaces a null if there is no previous value."""
        return self.fill if isinstance(self.fill, float) else (self.range[0] + self.range[1]) / 2


class Features(_Part):
    """Features that the kernel computes from the last rows of a device."""

    windows: Annotated[tuple[Annotated[Whole, Field(ge=WINDOW[0], le=WINDOW[1])], ...], AfterValidator(_rising)] = (
        Field(
            default=(),
            description="Window lengths in rows. Each gives a mean. The longest also gives a standard deviation and a slope.",
        )
    )
    first: Whole = Field(
        default=0,
        ge=0,
        le=FIRST,
        description="Number of rows at the beginning of a run. The distance from their mean is a feature. `0` switches it off.",
    )
    regimes: Whole = Field(default=1, ge=1, le=REGIMES, description="Maximum number of operating regimes")

    @model_validator(mode="after")
    def _consistent(self) -> Features:
        if self.first and not self.windows:
            raise ValueError("first needs windows")
        return self


class RemainingUsefulLife(_Part):
    """Regression: the remaining useful life of a device, up to a cap."""

    kind: Literal["remaining_useful_life"] = Field(description="Kind of the task")
    unit: str = Field(
        description="Unit of `cap` and of the predictions. With `order: ts`: `seconds`, `minutes`, `hours` or `days` of the "
        "events' times. With `order: seq`: a name for one step of the counter, such as `cycles`; labels then ignore the times."
    )
    cap: Real = Field(gt=0, description="Largest label, in `unit`. A longer remaining life gets this label.")


class FailureWithin(_Part):
    """Classification: the probability that a device fails within the horizon."""

    kind: Literal["failure_within"] = Field(description="Kind of the task")
    unit: str = Field(
        description="Unit of `horizon`. With `order: ts`: `seconds`, `minutes`, `hours` or `days` of the events' times. With "
        "`order: seq`: a name for one step of the counter, such as `cycles`; labels then ignore the times."
    )
    horizon: Real = Field(
        ge=0, description="Length of the horizon, in `unit`. A failure at the event itself is within the horizon."
    )


class Minimum(_Part):
    """Training refuses to run with less data than this. Promotion needs five test devices in addition: see `split.test`."""

    devices: Whole = Field(default=10, ge=2, description="Devices with labelled rows")
    rows: Whole = Field(default=200, ge=10, description="Labelled rows")
    failures: Whole = Field(default=5, ge=1, description="Runs that ended with a failure")


class Search(_Part):
    """Hyperparameter search before each training, if `trials` or `minutes` is above 0: docs/how-to/tune-a-model.md."""

    trials: Whole = Field(default=0, ge=0, description="Maximum number of trials, over all candidates. `0`: no limit.")
    minutes: Real = Field(default=0, ge=0, le=10_080, description="Maximum duration in minutes. `0`: no limit.")
    workers: Whole = Field(default=0, ge=0, le=256, description="Parallel processes. `0`: one per core.")


class Training(_Part):
    """Candidate models and their evaluation."""

    candidates: dict[Name, dict[str, Any]] = Field(
        min_length=1, description="Name and options of each candidate: docs/reference/candidates.md"
    )
    folds: Whole = Field(default=3, ge=2, le=20, description="Folds of the grouped cross-validation")
    seed: Whole = Field(default=7, ge=0, le=2**31, description="Random seed of the training")
    retention_days: Real = Field(
        default=30,
        ge=3,
        le=36_500,
        description="Days after which maintenance deletes a frozen training set that no registered version was trained on",
    )
    minimum: Minimum = Minimum()
    search: Search = Search()


class Gates(_Part):
    """Conditions for a promotion, and for serving."""

    improvement: Share = Field(
        default=0.0, description="Relative reduction of the champion's error that a challenger needs"
    )
    false_promotions: Share = Field(
        default=0.05,
        description="Maximum probability that, within a year, a model that is no better replaces the champion. `0`: only a person "
        "promotes.",
    )
    accuracy_allowance: Share = Field(
        default=0.01, description="Relative increase of the error that a cheaper form of the model may have"
    )
    unanswered_share: Share = Field(
        default=0.01,
        description="Maximum share of NaN or infinite answers among the last 10,000 of a version. Above it, a scorer "
        "withdraws the version, once it has at least 20 such answers from more than one device, or at least 100 from one "
        "device and no other answers.",
    )
    parity: Real = Field(
        default=1e-5,
        gt=0,
        description="Largest difference between ONNX and scikit-learn, relative to the range of the target",
    )


class Limits(_Part):
    """Limits of admission and of device state."""

    record_bytes: Whole = Field(default=65_536, ge=256, le=1_000_000, description="Largest size of a record, in bytes")
    skew_s: Real = Field(
        default=300, ge=0, le=1e9, description="Seconds by which the time of an event may be ahead of the broker's time"
    )
    lateness_s: Real = Field(
        default=604_800,
        ge=0,
        le=1e10,
        description="Gold takes an event that was refused as `late` if it is at most this late: broker's time minus event's "
        "time, in seconds.",
    )
    silence_s: Real = Field(
        default=2_592_000, gt=0, le=1e10, description="Seconds of silence after which a device loses its state"
    )
    jump: Real | None = Field(
        default=None,
        ge=1,
        le=1e11,
        description="Largest step of `seq` and `run` from the newest record of the device; with `order: ts`, of the time in "
        "seconds. A record beyond it is far. A far record is refused: as `jump` above the newest record, as `late` below it. The "
        "third far record in a row is admitted if the last two each lie above the one before, by at most the limit. "
        "Without this key: 1,000,000 for `seq` and `run`, and 31,536,000 (a year) for the time.",
    )
    devices: Whole = Field(
        default=1_000_000,
        ge=1,
        description="Devices whose state is kept, an equal share in each partition. A full partition evicts the device that was "
        "silent longest.",
    )


class Quality(_Part):
    """Shares above which a gate fails or warns."""

    refused_share: Share = Field(
        default=0.1,
        description="Refused records, as a share. Above it the gate of silver fails. Scorers exit with code 7 if many devices "
        "cause the refusals: docs/reference/exit-codes.md. Scorers do not count late and duplicate events.",
    )
    null_share: Share = Field(
        default=0.2,
        description="Nulls of a nullable reading, as a share of the new rows. Above it the gate of silver fails.",
    )
    minimum_rows: Whole = Field(
        default=50,
        ge=1,
        le=1_000_000,
        description="With fewer new rows, a share fails no gate: the gate warns, or sets rows aside",
    )
    window_rows: Whole = Field(
        default=30, ge=2, le=10_000, description="Length of a window, in rows of one device, for the two shares below"
    )
    stuck_share: Share = Field(
        default=0.02,
        description="Share of the new windows in which a sensor stands still, minus its usual share: "
        "docs/how-it-works/data-quality.md. Above it the gate warns.",
    )
    shifted_share: Share = Field(
        default=0.05,
        description="Share of the new windows with an unusual mean of a sensor, minus its usual share: "
        "docs/how-it-works/data-quality.md. Above it the gate warns.",
    )


class Split(_Part):
    """Shares of the devices. They add up to 1. The hash of the device id assigns each device to one part.

    If you change the shares, some devices move to another part: docs/how-to/change-a-fleet-file.md.
    """

    train: Share = Field(default=0.7, description="Devices that train the model")
    validation: Share = Field(default=0.15, description="Devices that compare the candidates")
    calibration: Share = Field(
        default=0.0,
        description="Devices that calibrate the intervals. `0`: the intervals come from the cross-validation.",
    )
    test: Share = Field(
        default=0.15,
        description="Devices for the reported metrics and for promotion. No model is trained on them. Promotion needs "
        "five test devices. With 0.15, this takes about 34 devices.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Split:
        total = self.train + self.validation + self.calibration + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the shares add up to {total:g}, not 1")
        return self


class Schedule(_Part):
    """Schedules of the DAGs, as cron expressions in UTC."""

    ingest: str = Field(default="*/15 * * * *", description="Schedule of the DAG `<fleet>_ingest`")
    train: str = Field(default="0 3 * * *", description="Schedule of the DAG `<fleet>_train`")
    train_after_outcomes: Whole = Field(
        default=20,
        ge=1,
        description="New outcomes after which `<fleet>_train` trains before its schedule. The scheduled run trains with fewer new "
        "outcomes too, if any outcome is known.",
    )

    @field_validator("ingest", "train")
    @classmethod
    def _cron(cls, value: str) -> str:
        if len(value.split()) != 5:
            raise ValueError(f"{value!r} is not a cron expression of five fields")
        return value


class Topics(_Part):
    """Kafka settings of the topics of the fleet."""

    partitions: Whole = Field(
        default=4,
        ge=1,
        le=1_000,
        description="Partitions of a new topic. `aimaas topics grow` adds partitions to a topic that exists.",
    )
    partitioner: Literal["murmur2", "any"] = Field(
        default="murmur2",
        description="Partitioner of all producers. `murmur2` (`murmur2_random` in librdkafka, the Java default): a record of "
        "a new device in another partition is refused. `any`: such devices are only reported.",
    )
    replication: Whole = Field(default=1, ge=1, le=7, description="Replicas of each partition")
    retention_days: Real = Field(
        default=7, gt=0, le=36_500, description="Retention of events, predictions, alerts and dead letters, in days"
    )
    names: dict[
        Literal[
            "events", "outcomes", "predictions", "alerts", "commands", "models", "state", "journal", "model_status"
        ],
        Topic,
    ] = Field(
        default={},
        description="Names that replace `iot.<fleet>.<topic>`, for topics that exist: `events: plant.engines`",
    )


class FleetSpec(_Part):
    """The keys at the top of a fleet file."""

    fleet: Name = Field(description="Name of the fleet. The file has the same name, with `.yaml`.")
    version: Whole = Field(
        ge=1,
        description="Version of the file. Increase it with every change. Training sets and models store it; admission ignores it.",
    )
    description: str = Field(default="", description="Text for people")
    order: Literal["seq", "ts"] = Field(
        default="seq", description="Order of the events in a run: by the counter `seq`, or by the time `ts`"
    )
    settings: dict[Name, Reading] = Field(default={}, description="Readings that a person or a controller sets")
    sensors: dict[Name, Reading] = Field(min_length=1, description="Readings that the device measures")
    derived: dict[Name, str] = Field(
        default={}, description="Channels computed from readings: names, numbers, `+ - * /` and parentheses"
    )
    features: Features = Features()
    task: Annotated[RemainingUsefulLife | FailureWithin, Field(discriminator="kind", description="Prediction task")]
    training: Training
    gates: Gates = Gates()
    limits: Limits = Limits()
    quality: Quality = Quality()
    split: Split = Split()
    schedule: Schedule = Schedule()
    topics: Topics = Topics()
    rules: dict[Name, AlertRule] = Field(
        default={}, max_length=RULES, description="Alert rules by name: docs/how-to/define-alerts.md"
    )

    @model_validator(mode="after")
    def _consistent(self) -> FleetSpec:
        wrong = inconsistencies(self.model_dump())
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @property
    def readings(self) -> tuple[str, ...]:
        """Keys of an event's `readings`, in the column order of every matrix: settings, then sensors."""
        return (*self.settings, *self.sensors)

    @property
    def reading_specs(self) -> tuple[Reading, ...]:
        """The readings' declarations, in the order of `readings`."""
        return (*self.settings.values(), *self.sensors.values())

    @property
    def nullable(self) -> frozenset[str]:
        """The readings that a record may leave out or set to null."""
        return frozenset(n for n, r in zip(self.readings, self.reading_specs, strict=True) if r.nullable)

    @property
    def programs(self) -> tuple[Program, ...]:
        """Compiled derived channels, over `readings`."""
        return tuple(compile_expression(text, self.readings) for text in self.derived.values())

    @property
    def rule_values(self) -> tuple[str, ...]:
        """The names that a condition of an alert rule can use."""
        return values_of(self.readings, tuple(self.derived), self.task.kind == "remaining_useful_life")

    @property
    def prediction_unit(self) -> str:
        """Unit of the predictions: the task's unit, or `1` for a probability."""
        return prediction_unit(self.task.kind, self.task.unit)

    @property
    def devices_per_partition(self) -> int:
        """Number of devices whose state one partition keeps: its share of `limits.devices`, rounded up."""
        return -(-self.limits.devices // self.topics.partitions)

    @property
    def jump_run(self) -> int:
        """Largest difference between a record's `run` and the device's newest `run`: `limits.jump` with `order: seq`, else a
        default.
        """
        return _JUMP if self.order == "ts" else int(self.limits.jump or _JUMP)

    @property
    def jump_order(self) -> int:
        """Largest difference between a record's order (a counter, or microseconds) and the device's newest order."""
        return self.jump_run if self.order == "seq" else int((self.limits.jump or _JUMP_S) * 1e6)

    @property
    def order_units_per_step(self) -> float:
        """Number of steps of the stored order in one `task.unit`: 1 for a counter, microseconds for `ts`."""
        return 1.0 if self.order == "seq" else SECONDS_PER_UNIT[self.task.unit] * 1e6


_JUMP, _JUMP_S = 1_000_000, 31_536_000  # defaults of limits.jump: for a counter, and a year for a clock


def load_fleet(path: Path) -> FleetSpec:
    """Read one fleet file. Raises FleetFileError with one line for each mistake."""
    found, wrong = read_fleet_yaml(path)
    try:
        spec = FleetSpec.model_validate(found)
    except ValidationError as e:
        wrong += mistake_lines(path, [error for error in e.errors() if error["loc"]])
        wrong += [f"{path}: {line}" for line in inconsistencies(found)]
    if wrong:
        raise FleetFileError(wrong)
    return spec


def find_fleet(folder: Path, name: str) -> FleetSpec:
    """Load the fleet `name` from `<folder>/<name>.yaml`. Raises FleetFileError that lists the existing names."""
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise FleetFileError([f"{path}: no such fleet file; existing fleets: {known} (AIMAAS_FLEETS sets the folder)"])
    spec = load_fleet(path)
    if spec.fleet != name:
        raise FleetFileError([f"{path}: fleet: found {spec.fleet!r}, allowed {name!r}, the name of the file"])
    return spec
