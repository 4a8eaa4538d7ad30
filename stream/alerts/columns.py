"""The values that conditions of alert rules use, as columns over the admitted rows of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.fleet.expression import evaluate
from stream.model.load import Model
from stream.records.predictions import Part

Float64 = npt.NDArray[np.float64]


def columns_of(
    names: Sequence[str], part: Part, answers: npt.NDArray[np.float32], model: Model, fleet: FleetSpec
) -> Mapping[str, Float64]:
    """Return (n,) values by name for the n admitted rows of `part`; NaN where the event or the model has no value.

    `answers` (n,) are the model's. Readings are those that the device sent: a null that `fill` replaces for the model is NaN
    here. A part of older rules lacks the readings that were added since.
    """
    values = part.batch.values[part.batch.admitted]
    given = {name: values[:, at] for at, name in enumerate(part.readings)}
    missing = np.full(len(values), np.nan)
    known = {**given, "prediction": _finite(answers.astype(np.float64))}
    if {"lower", "upper"}.intersection(names):
        known["lower"], known["upper"] = _bounds(answers, model)
    found = {name: known.get(name, missing) for name in names}
    derived = {name: program for name, program in zip(fleet.derived, fleet.programs, strict=True) if name in found}
    if derived:
        rows = np.column_stack([given.get(name, missing) for name in fleet.readings])
        found |= {name: _finite(evaluate(program, rows)) for name, program in derived.items()}
    return found


def _finite(values: npt.NDArray[np.floating]) -> Float64:
    """Return the values, NaN for infinite ones: a division by zero is no value."""
    return np.where(np.isfinite(values), values, np.nan)


def _bounds(answers: npt.NDArray[np.float32], model: Model) -> tuple[Float64, Float64]:
    lower, upper = (np.array(bound, np.float64) for bound in model.interval(np.nan_to_num(answers)))
    unanswered = ~np.isfinite(answers)
    lower[unanswered], upper[unanswered] = np.nan, np.nan
    return lower, upper
