"""The fleet file: all that one device type needs, in one YAML file.

`load_fleet` reads and checks it; every mistake is one line: file, key, what was found, what is allowed. Everything else (event
schema, expectations, feature plan, ONNX input, topic names) is derived from the `FleetSpec` it returns.
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
from aimaas.expression import Program, compile_expression
from aimaas.fleet_consistency import inconsistencies
from aimaas.fleet_yaml import read_fleet_yaml
from aimaas.mistakes import mistake_lines
from aimaas.units import SECONDS_PER_UNIT, prediction_unit

NAME = r"^[a-z][a-z0-9_]{0,39}$"
Name = Annotated[str, Field(pattern=NAME)]
# a number in quotes, or true, is a mistake, not a number
Whole = Annotated[int, Field(strict=True)]
Real = Annotated[float, Field(strict=True)]
Share = Annotated[Real, Field(ge=0, le=1)]
Physical = Annotated[Real, Field(ge=-1e30, le=1e30)]  # far within float32, so that no reading overflows in the kernel
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


WINDOW, FIRST, REGIMES = (2, 512), 64, 32  # bounds of `features`, which a model's plan keeps too


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


def _rising(limits: tuple[float, ...]) -> tuple[float, ...]:
    if list(limits) != sorted(set(limits)):
        raise ValueError(f"{list(limits)} must rise")
    return limits


class Reading(_Part):
    """One number of an event: a sensor or an operating setting."""

    name: str = Field(min_length=1, description="what a person calls it")
    unit: str = Field(description="unit of the values, `1` where there is none")
    range: Annotated[tuple[Physical, Physical], AfterValidator(_rising)] = Field(
        description="physically possible values, both ends included"
    )
    nullable: bool = Field(default=False, description="whether a record may say null, or leave it out")
    fill: Literal["previous"] | Physical | None = Field(
        default=None, description="how a null is filled: the device's previous value (else mid-range), or a number"
    )
    command: tuple[Real, Real] | None = Field(
        default=None, description="settings only: bounds within which a command may change it"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Reading:
        low, high = self.range
        wrong = ["a nullable reading needs fill: previous, or a number"] if self.nullable and self.fill is None else []
        if self.command and not low <= self.command[0] < self.command[1] <= high:
            wrong.append(f"command {list(self.command)} must rise and lie within range {list(self.range)}")
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @property
    def fill_value(self) -> float:
        """What replaces a null where there is no previous value."""
        return self.fill if isinstance(self.fill, float) else (self.range[0] + self.range[1]) / 2


class Features(_Part):
    """What the kernel computes of a device's last readings."""

    windows: Annotated[tuple[Annotated[Whole, Field(ge=WINDOW[0], le=WINDOW[1])], ...], AfterValidator(_rising)] = (
        Field(default=(), description="rows of the rolling means; the largest also gives deviation and slope")
    )
    first: Whole = Field(
        default=0, ge=0, le=FIRST, description="distance from the mean of the run's first rows; 0 for none"
    )
    regimes: Whole = Field(default=1, ge=1, le=REGIMES, description="at most so many operating regimes are told apart")

    @model_validator(mode="after")
    def _consistent(self) -> Features:
        if self.first and not self.windows:
            raise ValueError("first needs windows")
        return self


class RemainingUsefulLife(_Part):
    """Regression: how long a device still runs, capped."""

    kind: Literal["remaining_useful_life"] = Field(description="the task")
    unit: str = Field(
        description="what one step of the order is: cycles, or with order: ts seconds, minutes, hours, days"
    )
    cap: Real = Field(gt=0, description="longer lives count as this, in `unit`")


class FailureWithin(_Part):
    """Classification: the probability of a failure within the horizon."""

    kind: Literal["failure_within"] = Field(description="the task")
    unit: str = Field(description="what one step of the order is, as for remaining useful life")
    horizon: Real = Field(ge=0, description="in `unit`; the event itself counts")


class Minimum(_Part):
    """Below these, training is refused."""

    devices: Whole = Field(default=10, ge=2, description="devices with labelled rows")
    rows: Whole = Field(default=200, ge=10, description="labelled rows")
    failures: Whole = Field(default=5, ge=1, description="runs that ended in a failure")


class Search(_Part):
    """Search the candidates' settings before each training if trials or minutes are above 0; see docs/how-to/tune-a-model.md."""

    trials: Whole = Field(default=0, ge=0, description="settings to try, of all candidates together; 0: no such bound")
    minutes: Real = Field(default=0, ge=0, le=10_080, description="to try settings for; 0: no such bound")
    workers: Whole = Field(default=0, ge=0, le=256, description="processes that try settings; 0: one for each core")


class Training(_Part):
    """Candidate models and how they are compared. A candidate's mapping goes to its builder in models/candidates.py."""

    candidates: dict[Name, dict[str, Any]] = Field(
        min_length=1, description="name and options of each; docs/reference/candidates.md lists them"
    )
    folds: Whole = Field(default=3, ge=2, le=20, description="of the grouped cross-validation")
    seed: Whole = Field(default=7, ge=0, le=2**31, description="of every random choice in training")
    refit_growth: Real = Field(
        default=0,
        ge=0,
        description="share by which the training rows may grow while regimes, means and scales are kept; 0: taken anew each time",
    )
    retention_days: Real = Field(
        default=30,
        ge=3,
        le=36_500,
        description="how long a frozen training set is kept that no registered version learned from",
    )
    minimum: Minimum = Minimum()
    search: Search = Search()


class Gates(_Part):
    """What a challenger must pass before it serves."""

    improvement: Share = Field(default=0.0, description="share by which its error must be below the champion's")
    false_promotions: Share = Field(
        default=0.05,
        description="share of the years in which a model that is no better may replace the champion by chance",
    )
    accuracy_allowance: Share = Field(
        default=0.01, description="share by which the form that ships may err more than the most accurate one"
    )
    unanswered_share: Share = Field(
        default=0.01,
        description="of a served model's last 10,000 answers, NaN or infinite: a scorer withdraws the version (20 at least)",
    )
    parity: Real = Field(default=1e-5, gt=0, description="largest ONNX difference, relative to the target's range")

    @model_validator(mode="before")
    @classmethod
    def _without_confidence(cls, given: Any) -> Any:
        if isinstance(given, dict) and "confidence" in given:
            raise ValueError("confidence is replaced by false_promotions, a share of the years: leave confidence out")
        return given


class Limits(_Part):
    """Bounds that admission, state and the stream keep."""

    record_bytes: Whole = Field(default=65_536, ge=256, le=1_000_000, description="largest record, in bytes")
    skew_s: Real = Field(default=300, ge=0, le=1e9, description="an event's time may be so far ahead of broker time")
    lateness_s: Real = Field(
        default=604_800, ge=0, le=1e10, description="a late event is merged into the corrected view so long"
    )
    silence_s: Real = Field(default=2_592_000, gt=0, le=1e10, description="a device silent for longer loses its state")
    jump: Real | None = Field(
        default=None,
        ge=1,
        le=1e11,
        description="a device's `seq` and `run`, with `order: ts` its time in seconds, may differ by so much from its newest "
        "record; farther off, records are refused until three rising ones in a row confirm it; if left out 1,000,000, "
        "with `order: ts` 31,536,000 (a year) and 1,000,000 for `run`",
    )
    devices: Whole = Field(
        default=1_000_000,
        ge=1,
        description="devices whose state is kept, an equal share in each partition; beyond it the longest-silent are forgotten",
    )


class Quality(_Part):
    """Shares above which the gates stop a run, or warn."""

    refused_share: Share = Field(
        default=0.1,
        description="of the records, not admitted: stops the gate of silver, and the scorer where many devices are to blame",
    )
    null_share: Share = Field(default=0.2, description="of a nullable reading, null: stops")
    minimum_rows: Whole = Field(
        default=50, ge=1, le=1_000_000, description="fewer new rows stop no run by a share: they warn, or are set aside"
    )
    window_rows: Whole = Field(
        default=30, ge=2, le=10_000, description="rows of a device that are looked at together for the shares below"
    )
    stuck_share: Share = Field(
        default=0.02, description="of the new windows, a sensor not moving that usually does: warns"
    )
    shifted_share: Share = Field(
        default=0.05, description="of the new windows, a sensor's mean far from the usual ones: warns"
    )


class Split(_Part):
    """Shares of the devices; a permanent hash of the device id decides."""

    train: Share = Field(default=0.7, description="the model learns from these")
    validation: Share = Field(default=0.15, description="candidates are picked on these")
    calibration: Share = Field(default=0.0, description="kept for intervals; with 0 these come from cross-validation")
    test: Share = Field(default=0.15, description="reported on, never learned from")

    @model_validator(mode="after")
    def _whole(self) -> Split:
        total = self.train + self.validation + self.calibration + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the shares add up to {total:g}, not 1")
        return self


class Schedule(_Part):
    """When the DAGs run."""

    ingest: str = Field(default="*/15 * * * *", description="cron expression")
    train: str = Field(default="0 3 * * *", description="cron expression")
    train_after_outcomes: Whole = Field(default=20, ge=1, description="a run trains when so many new outcomes are in")

    @field_validator("ingest", "train")
    @classmethod
    def _cron(cls, value: str) -> str:
        if len(value.split()) != 5:
            raise ValueError(f"{value!r} is no cron expression of five fields")
        return value


class Topics(_Part):
    """Kafka settings of this fleet's topics; a name overrides `iot.<fleet>.<topic>`."""

    partitions: Whole = Field(
        default=4, ge=1, le=1_000, description="`aimaas topics grow` gives more once the topics are there"
    )
    partitioner: Literal["murmur2", "any"] = Field(
        default="murmur2",
        description="how all producers choose a device's partition: `murmur2` (`murmur2_random` in librdkafka, the default of "
        "Java's client): a record of a new device elsewhere is refused; `any`: such devices are only reported",
    )
    replication: Whole = Field(default=1, ge=1, le=7, description="copies of each partition")
    retention_days: Real = Field(default=7, gt=0, le=36_500, description="how long events and predictions are kept")
    names: dict[
        Literal[
            "events", "outcomes", "predictions", "alerts", "commands", "models", "state", "journal", "model_status"
        ],
        Topic,
    ] = Field(default={}, description="`events: plant.engines` and so on, for topics that exist under another name")


class FleetSpec(_Part):
    """One fleet file, checked."""

    fleet: Name = Field(description="the file's own name without `.yaml`")
    version: Whole = Field(ge=1, description="raise it with each change of meaning")
    description: str = Field(default="", description="for people")
    order: Literal["seq", "ts"] = Field(default="seq", description="what orders the events of a run")
    settings: dict[Name, Reading] = Field(
        default={}, description="how the device is run: set by people or a controller"
    )
    sensors: dict[Name, Reading] = Field(min_length=1, description="what the device measures")
    derived: dict[Name, str] = Field(
        default={}, description="channels by arithmetic over readings: names, numbers, + - * / and parentheses"
    )
    features: Features = Features()
    task: Annotated[RemainingUsefulLife | FailureWithin, Field(discriminator="kind", description="what is predicted")]
    training: Training
    gates: Gates = Gates()
    limits: Limits = Limits()
    quality: Quality = Quality()
    split: Split = Split()
    schedule: Schedule = Schedule()
    topics: Topics = Topics()
    rules: list[dict[str, Any]] = Field(
        default=[], max_length=0, description="reserved: predictions into alerts and commands"
    )

    @model_validator(mode="after")
    def _consistent(self) -> FleetSpec:
        wrong = inconsistencies(self.model_dump())
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @property
    def readings(self) -> tuple[str, ...]:
        """Keys of an event's `readings`, in the order of every matrix: settings, then sensors."""
        return (*self.settings, *self.sensors)

    @property
    def reading_specs(self) -> tuple[Reading, ...]:
        """The readings' declarations, in the order of `readings`."""
        return (*self.settings.values(), *self.sensors.values())

    @property
    def nullable(self) -> frozenset[str]:
        """The readings that a record may say null for, or leave out."""
        return frozenset(n for n, r in zip(self.readings, self.reading_specs, strict=True) if r.nullable)

    @property
    def programs(self) -> tuple[Program, ...]:
        """Compiled derived channels, over `readings`."""
        return tuple(compile_expression(text, self.readings) for text in self.derived.values())

    @property
    def prediction_unit(self) -> str:
        """Unit of the predictions: that of the task, `1` for a probability."""
        return prediction_unit(self.task.kind, self.task.unit)

    @property
    def devices_per_partition(self) -> int:
        """Devices that one partition of the events keeps state of: its share of `limits.devices`, rounded up."""
        return -(-self.limits.devices // self.topics.partitions)

    @property
    def jump_run(self) -> int:
        """How far `run` may lie from that of the device's newest record: `limits.jump` where it counts."""
        return _JUMP if self.order == "ts" else int(self.limits.jump or _JUMP)

    @property
    def jump_order(self) -> int:
        """How far the stored order (a counter, or microseconds) may lie from that of the device's newest record."""
        return self.jump_run if self.order == "seq" else int((self.limits.jump or _JUMP_S) * 1e6)

    @property
    def order_units_per_step(self) -> float:
        """How many steps of the stored order make one `task.unit`: 1 for a counter, microseconds for `ts`."""
        return 1.0 if self.order == "seq" else SECONDS_PER_UNIT[self.task.unit] * 1e6


_JUMP, _JUMP_S = 1_000_000, 31_536_000  # a counter, and a clock's year, where limits.jump is left out


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
    """The fleet called `name`, from `<folder>/<name>.yaml`. Raises FleetFileError with the names there are."""
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise FleetFileError([f"{path}: no such fleet file; fleets here: {known} (AIMAAS_FLEETS names the folder)"])
    spec = load_fleet(path)
    if spec.fleet != name:
        raise FleetFileError([f"{path}: fleet: found {spec.fleet!r}, allowed {name!r}, the file's own name"])
    return spec
