"""Checks a plan and a fit before the kernel computes with them.

The kernel's compiled code does not check its arrays: a program that leaves its stack, or a fit with another shape, would read
and write anywhere. So both are checked as strictly as a fleet file, wherever they come from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from aimaas.fleet import FIRST, NAME, REGIMES, WINDOW
from aimaas.fleet.expression import BINARY, MAX_DEPTH, MAX_STEPS, NEGATE, NUMBER, READING, Program
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan

MOST_FEATURES = 250_000
_LARGEST = 3.4e38  # within float32
_NAME = re.compile(NAME)


class MetadataError(ValueError):
    """Metadata with which no model can be served; the message names the fault."""


def width_of(plan: FeaturePlan) -> int:
    """The number of features of the plan, computed without their names."""
    channels = len(plan.readings) - plan.settings + len(plan.derived)
    blocks = len(plan.windows) + 2 + (plan.first > 0) if plan.windows else 1
    return channels * (blocks + plan.sequence) + plan.settings + bool(plan.windows)


def check_plan(plan: FeaturePlan) -> None:
    """Raise MetadataError unless the kernel can run the plan: a plan of the form that a fleet file gives."""
    readings, derived = len(plan.readings), len(plan.derived)
    names = (*plan.readings, *plan.derived)
    must(
        all(_NAME.fullmatch(name) for name in names),
        "names of readings and derived channels must be valid in a fleet file",
    )
    must(len(set(names)) == len(names), "a name occurs twice among readings and derived channels")
    must(0 <= plan.settings <= readings, f"{plan.settings} settings of {readings} readings")
    must(readings + derived > plan.settings, "no channel: neither a sensor nor a derived channel")
    must(
        len(plan.fill_values) == readings == len(plan.fill_previous),
        "the number of fills must equal the number of readings",
    )
    check_numbers("fill_values", plan.fill_values)
    _check_windows(plan)
    must(len(plan.programs) == derived, f"{len(plan.programs)} programs for {derived} derived channels")
    for name, program in zip(plan.derived, plan.programs, strict=True):
        _check_program(f"derived channel {name}", program, readings)
    must(width_of(plan) <= MOST_FEATURES, f"{width_of(plan)} features, allowed are {MOST_FEATURES}")


def _check_windows(plan: FeaturePlan) -> None:
    least, most = WINDOW
    must(all(least <= w <= most for w in plan.windows), f"windows must be between {least} and {most}")
    must(list(plan.windows) == sorted(set(plan.windows)), "windows must increase")
    must(0 <= plan.first <= FIRST, f"first must be between 0 and {FIRST}")
    must(not plan.first or bool(plan.windows), "first needs windows")
    must(1 <= plan.max_regimes <= REGIMES, f"max_regimes must be between 1 and {REGIMES}")
    must(
        plan.sequence in (0, plan.window) and (not plan.sequence or bool(plan.windows)),
        "sequence must be 0 or the window",
    )


def _check_program(where: str, program: Program, readings: int) -> None:
    """Follow the stack of a program: enough operands for each operation, at most the kernel's stack size, one value at the end."""
    must(
        len(program.codes) == len(program.values), f"{where}: {len(program.codes)} codes, {len(program.values)} values"
    )
    must(len(program.codes) <= MAX_STEPS, f"{where}: {len(program.codes)} steps, allowed are {MAX_STEPS}")
    check_numbers(where, program.values, math.inf)
    depth = 0
    for code, value in zip(program.codes, program.values, strict=True):
        if code == READING:
            must(value.is_integer() and 0 <= value < readings, f"{where}: no reading {value:g}")
            depth += 1
        elif code == NUMBER:
            depth += 1
        elif code == NEGATE:
            must(depth >= 1, f"{where}: a sign without an operand")
        else:
            must(code in BINARY and depth >= 2, f"{where}: operation {code} with {depth} operands")
            depth -= 1
        must(depth <= MAX_DEPTH, f"{where}: more than {MAX_DEPTH} operands wait at once")
    must(depth == 1, f"{where}: leaves {depth} values instead of one")


def check_fit(plan: FeaturePlan, fit: Fit) -> None:
    """Raise MetadataError unless the fit has the shape of a checked plan, and finite numbers."""
    regimes, channels = len(fit.centres), len(plan.channels)
    must(1 <= regimes <= plan.max_regimes, f"{regimes} regimes, the plan allows 1 to {plan.max_regimes}")
    _check_matrix("centres", fit.centres, regimes, plan.settings)
    _check_matrix("weights", (fit.weights,), 1, plan.settings)
    _check_matrix("means", fit.means, regimes, channels)
    _check_matrix("scales", fit.scales, regimes, channels)
    must(len(fit.slopes) in (0, regimes), f"slopes of the fit must be absent, or for {regimes} regimes")
    for slopes in fit.slopes:
        _check_matrix("slopes", slopes, plan.settings, channels)
    check_numbers("explained", () if fit.explained is None else (fit.explained,))


def _check_matrix(name: str, rows: Sequence[Sequence[float]], height: int, width: int) -> None:
    shaped = len(rows) == height and all(len(row) == width for row in rows)
    must(shaped, f"{name} of the fit must be {height} × {width}")
    check_numbers(name, (number for row in rows for number in row))


def check_numbers(name: str, numbers: Iterable[float], largest: float = _LARGEST) -> None:
    """Raise MetadataError unless all are finite and none is larger than `largest`, because the kernel computes with float32."""
    must(
        all(math.isfinite(n) and abs(n) <= largest for n in numbers),
        f"{name}: a number is not finite or beyond float32",
    )


def must(holds: bool, otherwise: str) -> None:
    """Raise MetadataError with the message `otherwise`, unless the condition `holds`."""
    if not holds:
        raise MetadataError(otherwise)
