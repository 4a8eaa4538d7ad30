"""Fit and features of histories by the product's own kernel, without Spark."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.kernel.features import kernel_of
from aimaas.kernel.fit import Fit, channel_matrix, finish, moments
from aimaas.kernel.plan import FeaturePlan, plan_of
from aimaas.kernel.regimes import find_regimes
from aimaas.kernel.state import DeviceState
from stream.devices.histories import Float64, Histories, Int64


def fit_of(plan: FeaturePlan, rows: Float64, seed: int) -> Fit:
    """Return the fit of readings (n, R), NaN for missing ones."""
    regimes = find_regimes(plan, rows, seed)
    shift = np.nanmean(channel_matrix(plan, rows), axis=0)
    return finish(regimes, [moments(plan, regimes, shift, rows)])


def features_of(
    fleet: FleetSpec, fit: Fit, histories: Histories, order: Int64 | None = None
) -> npt.NDArray[np.float32]:
    """Return features (m, F) of the rows `order` (m,), by default all, as the scorer computes them; each device's rows in order."""
    state = DeviceState.of(fleet)
    slots = state.slots(list(histories.devices))[histories.device]
    begins = np.ones(len(histories), np.bool_)
    begins[1:] = (np.diff(histories.device) != 0) | (np.diff(histories.run) != 0)
    at = np.arange(len(histories)) if order is None else order
    kernel = kernel_of(plan_of(fleet), fit)
    return kernel.advance(state, slots[at], histories.values[at].astype(np.float32), begins[at])
