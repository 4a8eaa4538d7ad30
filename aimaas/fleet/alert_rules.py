"""The key `rules` of a fleet file: alert rules, each a condition that fires an alert of a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from aimaas.fleet.condition import Condition, compile_condition
from aimaas.fleet.durations import Stretch, duration_ms, stretch_of
from aimaas.fleet.expression import ExpressionError

LABELS = 20
IDENTITY = ("fleet", "device_id", "rule", "run", "seq", "model_version")  # a summary can name these beside the values
ANSWERS = ("prediction", "lower", "upper")


def _is_stretch(text: str) -> str:
    stretch_of(text)
    return text


def _is_duration(text: str) -> str:
    duration_ms(text)
    return text


StretchText = Annotated[str, AfterValidator(_is_stretch)]
DurationText = Annotated[str, AfterValidator(_is_duration)]
Label = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,62}$")]


class AlertRule(BaseModel):
    """An alert rule: a condition on the values of a device's events, or the silence of a device.

    Give `when` or `absent_for`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    when: str | None = Field(
        default=None,
        description="Condition that fires the alert: comparisons `< <= > >= == !=` of arithmetic over `prediction`, `lower`, "
        "`upper`, readings and derived channels, joined with `and`, `or` and `not`. An event that lacks one of the values "
        "changes nothing.",
    )
    for_: StretchText = Field(
        default="1 event",
        alias="for",
        description="The alert fires at the first event at which the condition was true for this long without a break: "
        "`3 events`, or a duration of broker time such as `10m`",
    )
    clear: str | None = Field(
        default=None,
        description="Condition that resolves the alert. Default: `when` is false. An alert does not resolve while `when` is true.",
    )
    keep_firing_for: StretchText = Field(
        default="1 event",
        description="The alert resolves at the first event at which the alert was clear for this long without a break",
    )
    absent_for: DurationText | None = Field(
        default=None,
        description="The alert fires if the device sent no admitted event for this duration of broker time. The next admitted "
        "event resolves it.",
    )
    severity: Literal["info", "warning", "critical"] = Field(default="warning", description="Severity of the alert")
    summary: str = Field(
        default="",
        max_length=500,
        description="Text for people. It can name `fleet`, `device_id`, `rule`, `run`, `seq`, `model_version` and, with `when`, "
        "every value that a condition can use: `{device_id}: {prediction:.0f} cycles left`",
    )
    labels: dict[Label, Annotated[str, Field(max_length=200)]] = Field(
        default={}, max_length=LABELS, description="Labels of the alert, for routing"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> AlertRule:
        if (self.when is None) == (self.absent_for is None):
            raise ValueError("give either when or absent_for")
        if self.absent_for is not None:
            unused = self.model_fields_set & {"for_", "clear", "keep_firing_for"}
            if unused:
                raise ValueError(f"{min(unused).rstrip('_')} belongs to when, not to absent_for")
        return self

    @property
    def fires_after(self) -> Stretch:
        """The stretch of true events that fires the alert."""
        return stretch_of(self.for_)

    @property
    def clears_after(self) -> Stretch:
        """The stretch of clear events that resolves the alert."""
        return stretch_of(self.keep_firing_for)

    @property
    def absent_ms(self) -> int | None:
        """Silence in milliseconds that fires the alert; None for a rule with a condition."""
        return None if self.absent_for is None else duration_ms(self.absent_for)


def values_of(readings: Sequence[str], derived: Sequence[str], has_bounds: bool) -> tuple[str, ...]:
    """Return the names that a condition can use."""
    return (*(ANSWERS if has_bounds else ANSWERS[:1]), *readings, *derived)


def conditions(rule: AlertRule, names: Sequence[str]) -> tuple[Condition | None, Condition | None]:
    """Return the compiled `when` and `clear`. Raises ExpressionError."""
    when, clear = (None if text is None else compile_condition(text, names) for text in (rule.when, rule.clear))
    return when, clear


def rule_mistakes(rules: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Yield a line for each mistake in the formulas and summaries of `rules`, the YAML data of the key."""
    for rule, given in rules.items():
        if not isinstance(given, Mapping):
            continue
        for key in ("when", "clear"):
            if isinstance(given.get(key), str):
                try:
                    compile_condition(given[key], names)
                except ExpressionError as e:
                    yield f"rules.{rule}.{key}: {e}"
        if isinstance(given.get("summary"), str):
            # a device that is silent has no values
            known = IDENTITY if given.get("absent_for") is not None else (*IDENTITY, *names)
            yield from (f"rules.{rule}.summary: {wrong}" for wrong in _summary_mistakes(given["summary"], known))


def _summary_mistakes(text: str, known: Sequence[str]) -> Iterator[str]:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as e:
        yield f"{text!r}: {e}; write {{{{ for a brace"
        return
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in known:
            yield f"{{{name}}} is not known; known are {', '.join(known)}"
        elif conversion or not _formats(name, spec or ""):
            yield f"{{{name}:{spec}}} cannot be formatted; write a format such as {{{name}:.1f}}"


def _formats(name: str, spec: str) -> bool:
    example: Any = "text" if name in ("fleet", "device_id", "rule", "model_version") else 1 if name in IDENTITY else 1.0
    try:
        return len(format(example, spec)) <= 100
    except (ValueError, TypeError, MemoryError):
        return False
