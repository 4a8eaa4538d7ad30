"""The outcome of one expectation in words: passed, set aside, warning or failed, with the allowed and the observed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

OUTCOMES = ("failed", "warning", "set aside", "passed")
"""From the worst to the best. `set aside`: rows failed within the limit, and gold leaves them out."""

_EXAMPLES = 5


@dataclass(frozen=True)
class Judged:
    """One expectation of a page: `allowed` is Great Expectations' sentence, `examples` are values that failed."""

    outcome: str
    subject: str
    allowed: str
    observed: str
    examples: str
    severity: str
    expectation: str


def judged(result: Any, spans: Mapping[str, tuple[float, float]]) -> Judged:
    """A result of Great Expectations in words; `spans` are the lowest and highest values of the judged columns."""
    config = result.expectation_config
    subject = config.kwargs.get("column") or ", ".join(config.kwargs.get("column_list", [])) or _pair(config.kwargs)
    severity = config.meta["severity"]
    return Judged(
        _outcome(result, severity), subject, _allowed(result), _observed(result, spans.get(subject)), _examples(result), severity,
        config.type,
    )  # fmt: skip


def _pair(kwargs: Mapping[str, Any]) -> str:
    return ", ".join(str(kwargs[k]) for k in ("column_A", "column_B") if k in kwargs) or "table"


def _outcome(result: Any, severity: str) -> str:
    if not result.success:
        return "warning" if severity == "warning" else "failed"
    return "set aside" if severity == "quarantine" and result.result.get("unexpected_count") else "passed"


def _allowed(result: Any) -> str:
    """The allowed values, in the words of Great Expectations' own renderer."""
    from great_expectations.render import AtomicPrescriptiveRendererType
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    for block in InlineRenderer(render_object=result).get_rendered_content():
        if block.name == AtomicPrescriptiveRendererType.SUMMARY and getattr(block.value, "template", None):
            given = {name: _plain(of["value"]) for name, of in (block.value.params or {}).items()}
            words = Template(block.value.template).safe_substitute(given)
            return words.replace("greater than or equal to", "≥").replace("less than or equal to", "≤")
    return str(result.expectation_config.type)


def _plain(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _observed(result: Any, span: tuple[float, float] | None) -> str:
    """The number of failing rows and the values of the column; the value of a table as a whole; or why there is none."""
    found = result.result
    if (rows := found.get("element_count")) is not None and "unexpected_count" in found:
        if rows == 1 and span is not None:  # the run as a whole
            return f"{span[0]:.4g}"
        values = "" if span is None else f"; values {span[0]:.6g} to {span[1]:.6g}"
        return f"{found['unexpected_count']:,} of {rows:,} rows fail{values}"
    if "observed_value" in found:
        value = found["observed_value"]
        return f"{value:,}" if isinstance(value, int) else str(value)
    return "could not be computed: " + _reason(result.exception_info or {})


def _reason(info: Mapping[str, Any]) -> str:
    entries = [info, *(v for v in info.values() if isinstance(v, dict))]
    messages = [str(e["exception_message"]) for e in entries if e.get("exception_message")]
    return messages[0].splitlines()[0] if messages else "no reason was given"


def _value(value: Any) -> str:
    """A value as text; the values of several columns in brackets."""
    if isinstance(value, tuple | list):
        return f"({', '.join(_value(v) for v in value)})"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(v)}" for name, v in value.items())
    return _plain(float(value)) if isinstance(value, float) else str(value)


def _examples(result: Any) -> str:
    failed = result.result.get("partial_unexpected_list") or []
    if result.result.get("element_count") == 1:
        return ""
    seen = list(dict.fromkeys(_value(value) for value in failed))
    return ", ".join(seen[:_EXAMPLES]) + (" …" if len(seen) > _EXAMPLES else "")
