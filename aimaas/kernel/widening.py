"""Serves an older model after readings were added to the fleet file: its plan is laid out for the wider state, with the same bits.

Readings that the model does not know have no effect: a setting has no weight in the distance to regimes, a sensor has scale 0, and
its features are left out of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.fleet.expression import READING, Program
from aimaas.kernel.features import Kernel, kernel_of
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan

T = TypeVar("T")


def lacks(plan: FeaturePlan, present: FeaturePlan) -> str | None:
    """Why state with the `present` plan's readings cannot serve `plan`; None if it has all of them, in the same order."""
    s, p = plan.settings, present.settings
    for mine, there in ((plan.readings[:s], present.readings[:p]), (plan.readings[s:], present.readings[p:])):
        if [name for name in there if name in mine] != list(mine):
            return f"the plan reads {', '.join(plan.readings)}; the fleet declares {', '.join(present.readings)}"
    return None


def kernel_for(plan: FeaturePlan, fit: Fit, present: FeaturePlan) -> Kernel:
    """The kernel of a plan on state with the readings of `present`, which `lacks` nothing of it."""
    if plan.readings == present.readings:
        return kernel_of(plan, fit)
    at = [present.readings.index(name) for name in plan.readings]
    wide = msgspec.structs.replace(
        plan,
        readings=present.readings,
        fill_values=_put(plan.fill_values, at, present.fill_values),
        fill_previous=_put(plan.fill_previous, at, present.fill_previous),
        settings=present.settings,
        programs=tuple(_moved(program, at) for program in plan.programs),
    )
    settings = at[: plan.settings]
    channels = [wide.channels.index(name) for name in plan.channels]
    none, flat = (0.0,) * wide.settings, (0.0,) * len(wide.channels)
    laid_out = Fit(
        tuple(_put(centre, settings, none) for centre in fit.centres),
        _put(fit.weights, settings, none),
        tuple(_put(means, channels, flat) for means in fit.means),
        tuple(_put(scales, channels, flat) for scales in fit.scales),
        tuple(
            _put([_put(slope, channels, flat) for slope in slopes], settings, (flat,) * wide.settings)
            for slopes in fit.slopes
        ),
    )
    there = {name: i for i, name in enumerate(wide.feature_names)}
    kept: npt.NDArray[np.int64] = np.array([there[name] for name in plan.feature_names], np.int64)
    return kernel_of(wide, laid_out, kept)


def _put(values: Sequence[T], at: Sequence[int], into: Sequence[T]) -> tuple[T, ...]:
    """Return `into` with the `values` at the positions `at`."""
    found = list(into)
    for place, value in zip(at, values, strict=True):
        found[place] = value
    return tuple(found)


def _moved(program: Program, at: Sequence[int]) -> Program:
    """Return a derived channel's program with its readings at the positions `at`."""
    values = tuple(
        float(at[int(value)]) if code == READING else value
        for code, value in zip(program.codes, program.values, strict=True)
    )
    return replace(program, values=values)
