"""What a model's metadata must be before anything is computed with it: plan, programs, fit and numbers that fit together.

The kernel's compiled code trusts its arrays, as C does: a program that leaves its stack, or a fit of another shape, would write
anywhere. So what travels inside a model is checked as strictly as a fleet file, whoever trained it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from aimaas.artefact import ModelMetadata
from aimaas.expression import BINARY, MAX_DEPTH, MAX_STEPS, NEGATE, NUMBER, READING, Program
from aimaas.fit import Fit
from aimaas.fleet import FIRST, NAME, REGIMES, WINDOW
from aimaas.intervals import Intervals
from aimaas.plan import FeaturePlan

MOST_BYTES = 16 * 1024**2  # of the metadata as JSON
MOST_FEATURES = 250_000
MOST_BANDS = 10_000
_MOST_CHARACTERS = 2_000  # of any text
_LARGEST = 3.4e38  # within float32
_NAME = re.compile(NAME)


class MetadataError(ValueError):
    """Metadata that no model can be served by; the message says what is wrong."""


def check_metadata(metadata: ModelMetadata) -> None:
    """Raise MetadataError for the first thing that is wrong; returns only where kernel and bounds can be made of it."""
    _check_plan(metadata.plan)
    _check_fit(metadata.plan, metadata.fit)
    _check_range(metadata.target_range)
    if metadata.typical is not None:
        _must(len(metadata.typical) == width_of(metadata.plan), "typical must hold one number for each feature")
        _check_numbers("typical", metadata.typical)
    if metadata.intervals is not None:
        _check_intervals(metadata.intervals)
    _check_texts(metadata)
    _check_numbers("metrics", metadata.metrics.values(), math.inf)
    _check_numbers("forms", (n for f in metadata.forms.values() for n in (f.error, f.cost_us)), math.inf)


def width_of(plan: FeaturePlan) -> int:
    """How many features the plan gives, without making their names."""
    channels = len(plan.readings) - plan.settings + len(plan.derived)
    blocks = len(plan.windows) + 2 + (plan.first > 0) if plan.windows else 1
    return channels * (blocks + plan.sequence) + plan.settings + bool(plan.windows)


def _check_plan(plan: FeaturePlan) -> None:
    readings, derived = len(plan.readings), len(plan.derived)
    names = (*plan.readings, *plan.derived)
    _must(
        all(_NAME.fullmatch(name) for name in names),
        "readings and derived channels must have the names of a fleet file",
    )
    _must(len(set(names)) == len(names), "a name stands twice among readings and derived channels")
    _must(0 <= plan.settings <= readings, f"{plan.settings} settings of {readings} readings")
    _must(readings + derived > plan.settings, "no channel: neither a sensor nor a derived one")
    _must(len(plan.fill_values) == readings == len(plan.fill_previous), "fills must be as many as readings")
    _check_numbers("fill_values", plan.fill_values)
    _check_windows(plan)
    _must(len(plan.programs) == derived, f"{len(plan.programs)} programs for {derived} derived channels")
    for name, program in zip(plan.derived, plan.programs, strict=True):
        _check_program(f"derived channel {name}", program, readings)
    _must(width_of(plan) <= MOST_FEATURES, f"{width_of(plan)} features, allowed are {MOST_FEATURES}")


def _check_windows(plan: FeaturePlan) -> None:
    least, most = WINDOW
    _must(all(least <= w <= most for w in plan.windows), f"windows must lie within {least} and {most}")
    _must(list(plan.windows) == sorted(set(plan.windows)), "windows must rise")
    _must(0 <= plan.first <= FIRST, f"first must lie within 0 and {FIRST}")
    _must(not plan.first or bool(plan.windows), "first needs windows")
    _must(1 <= plan.max_regimes <= REGIMES, f"max_regimes must lie within 1 and {REGIMES}")
    _must(
        plan.sequence in (0, plan.window) and (not plan.sequence or bool(plan.windows)),
        "sequence must be 0 or the window",
    )


def _check_program(where: str, program: Program, readings: int) -> None:
    """Follow the operands that wait: at least what an operation takes, at most what the kernel's stack holds, one at the end."""
    _must(
        len(program.codes) == len(program.values), f"{where}: {len(program.codes)} codes, {len(program.values)} values"
    )
    _must(len(program.codes) <= MAX_STEPS, f"{where}: {len(program.codes)} steps, allowed are {MAX_STEPS}")
    _check_numbers(where, program.values, math.inf)
    depth = 0
    for code, value in zip(program.codes, program.values, strict=True):
        if code == READING:
            _must(value.is_integer() and 0 <= value < readings, f"{where}: no reading {value:g}")
            depth += 1
        elif code == NUMBER:
            depth += 1
        elif code == NEGATE:
            _must(depth >= 1, f"{where}: a sign without an operand")
        else:
            _must(code in BINARY and depth >= 2, f"{where}: operation {code} with {depth} operands")
            depth -= 1
        _must(depth <= MAX_DEPTH, f"{where}: more than {MAX_DEPTH} operands wait at once")
    _must(depth == 1, f"{where}: leaves {depth} values instead of one")


def _check_fit(plan: FeaturePlan, fit: Fit) -> None:
    regimes, channels = len(fit.centres), len(plan.channels)
    _must(1 <= regimes <= plan.max_regimes, f"{regimes} regimes, the plan allows 1 to {plan.max_regimes}")
    _check_matrix("centres", fit.centres, regimes, plan.settings)
    _check_matrix("weights", (fit.weights,), 1, plan.settings)
    _check_matrix("means", fit.means, regimes, channels)
    _check_matrix("scales", fit.scales, regimes, channels)


def _check_matrix(name: str, rows: Sequence[Sequence[float]], height: int, width: int) -> None:
    shaped = len(rows) == height and all(len(row) == width for row in rows)
    _must(shaped, f"{name} of the fit must be {height} × {width}")
    _check_numbers(name, (number for row in rows for number in row))


def _check_range(target_range: tuple[float, float]) -> None:
    _check_numbers("target_range", target_range)
    _must(target_range[0] < target_range[1], f"target_range {list(target_range)} must rise")


def _check_intervals(intervals: Intervals) -> None:
    """Their own constructor has checked how the parts fit together."""
    _must(len(intervals.lower) <= MOST_BANDS, f"intervals of {len(intervals.lower)} bands, allowed are {MOST_BANDS}")
    _check_numbers("intervals", (*intervals.edges, *intervals.lower, *intervals.upper))
    _must(0 < intervals.coverage < 1, f"intervals with a coverage of {intervals.coverage:g}")
    _must(intervals.devices >= 0, "intervals of fewer than no devices")


def _check_texts(metadata: ModelMetadata) -> None:
    texts = [value for name in metadata.__struct_fields__ if isinstance(value := getattr(metadata, name), str)]
    texts += [*metadata.metrics, *metadata.forms, *([metadata.intervals.source] if metadata.intervals else [])]
    _must(all(len(text) <= _MOST_CHARACTERS for text in texts), f"a text of more than {_MOST_CHARACTERS} characters")


def _check_numbers(name: str, numbers: Iterable[float], largest: float = _LARGEST) -> None:
    """All finite, and none larger than `largest`: float32 holds what the kernel computes with."""
    _must(
        all(math.isfinite(n) and abs(n) <= largest for n in numbers),
        f"{name}: a number is not finite or beyond float32",
    )


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise MetadataError(otherwise)
