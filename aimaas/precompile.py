"""Compile the kernel and the judge once (`python -m aimaas.precompile`): numba caches the result on disk for every later process.

Without it the first process on a new machine takes some ten seconds longer, and so does each of Spark's first workers.
"""

from __future__ import annotations

import numpy as np

from aimaas.admission.judge import Judge
from aimaas.alerts.machine import precompile as precompile_rules
from aimaas.fleet import FleetSpec
from aimaas.kernel.features import kernel_of
from aimaas.kernel.fit import finish, moments
from aimaas.kernel.plan import plan_of
from aimaas.kernel.regimes import find_regimes
from aimaas.kernel.state import DeviceState
from aimaas.records.events import encode_event
from aimaas.records.nesting import SHALLOW_BYTES, is_too_deep

_FLEET = {
    "fleet": "precompile",
    "version": 1,
    "settings": {"a": {"name": "a", "unit": "1", "range": [0, 10]}},
    "sensors": {"b": {"name": "b", "unit": "1", "range": [0, 10]}},
    "derived": {"c": "a + b"},
    "features": {"windows": [2, 4], "first": 2, "regimes": 2},
    "task": {"kind": "remaining_useful_life", "unit": "cycles", "cap": 10},
    "training": {"candidates": {"ridge": {}}},
}


def main() -> None:
    """Judge one event and compute its features, which runs all compiled functions. All fleets have the same types."""
    from datetime import UTC, datetime

    fleet = FleetSpec.model_validate(_FLEET)
    plan, rows = plan_of(fleet), np.array([[1.0, 2.0], [3.0, 4.0]])
    regimes = find_regimes(plan, rows, 0)
    fit = finish(regimes, [moments(plan, regimes, np.zeros(2), rows)])
    at = datetime(2026, 1, 1, tzinfo=UTC)
    state, judge = DeviceState.of(fleet), Judge(fleet)
    batch = judge.decode([b"d"], [encode_event("precompile", "d", 0, 1, at, {"a": 1.0, "b": 2.0})])
    judge.order(batch, np.array([int(at.timestamp() * 1e3)], np.int64), state)
    is_too_deep(b"[" * 2 * SHALLOW_BYTES)
    precompile_rules()
    kernel_of(plan, fit).advance(state, batch.slots, batch.values.astype(np.float32), batch.reset)


if __name__ == "__main__":
    main()
