"""The kernel against its docstring's formulas in plain numpy, and what must not change its bits."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.errors import StateError
from aimaas.fleet.expression import compile_expression, evaluate
from aimaas.kernel.features import kernel_of
from aimaas.kernel.fit import Fit, Regimes
from aimaas.kernel.plan import FeaturePlan
from aimaas.kernel.state import DeviceState
from aimaas.kernel.widening import kernel_for

READINGS = ("o1", "o2", "a", "b", "c")
Matrix = npt.NDArray[Any]


def plan(windows: tuple[int, ...] = (2, 5, 8), first: int = 3, **changes: Any) -> FeaturePlan:
    given: dict[str, Any] = {
        "readings": READINGS, "fill_values": (0.0, 0.0, 1.0, 2.0, 3.0), "fill_previous": (False, False, True, False, False),
        "settings": 2, "derived": ("power",), "programs": (compile_expression("a * b - -c / 2", READINGS),),
        "windows": windows, "first": first, "max_regimes": 3,
    }  # fmt: skip
    return FeaturePlan(**{**given, **changes})


def fit(regimes: int = 3, channels: int = 4) -> Fit:
    r = np.random.default_rng(regimes)
    rows = [
        tuple(map(tuple, r.random((regimes, n)).astype(np.float32).astype(float).tolist()))
        for n in (2, channels, channels)
    ]
    return Fit(rows[0], (1.0, 2.0), rows[1], rows[2])


def with_slopes(f: Fit) -> Fit:
    slopes = np.random.default_rng(9).normal(size=(len(f.centres), 2, len(f.means[0]))).astype(np.float32)
    return msgspec.structs.replace(f, slopes=tuple(tuple(map(tuple, of)) for of in slopes.astype(float).tolist()))


@dataclass
class Events:
    devices: list[str]
    rows: Matrix
    resets: Matrix

    def part(self, begin: int, end: int) -> "Events":
        return Events(self.devices[begin:end], self.rows[begin:end], self.resets[begin:end])


def events(n: int, seed: int = 0, devices: int = 4, nulls: bool = True) -> Events:
    r = np.random.default_rng(seed)
    rows = r.random((n, len(READINGS))).astype(np.float32)
    if nulls:
        rows[:, 2:][r.random((n, 3)) < 0.1] = np.nan
    return Events([f"d{i}" for i in r.integers(0, devices, n)], rows, r.random(n) < 0.03)


def advanced(state: DeviceState, p: FeaturePlan, f: Fit, e: Events) -> Matrix:
    return kernel_of(p, f).advance(state, state.slots(e.devices), e.rows, e.resets)


def by_formula(p: FeaturePlan, f: Fit, e: Events) -> Matrix:
    """Features as the kernel's docstring says, one row at a time from the device's whole run."""
    regimes = Regimes(np.array(f.centres, np.float32), np.array(f.weights, np.float32))
    runs: dict[str, list[Matrix]] = {}
    features = []
    for device, row, reset in zip(e.devices, e.rows, e.resets, strict=True):
        run = runs[device] = [] if reset else runs.get(device, [])
        previous = np.array(p.fill_previous) & bool(run)
        run.append(np.where(np.isnan(row), np.where(previous, run[-1] if run else row, p.fill_values), row))
        raw = np.array(run, np.float32)
        channels = np.column_stack([raw[:, p.settings :], *(evaluate(g, raw.astype(np.float64)) for g in p.programs)])
        g = regimes.assign(raw[:, : p.settings])
        slopes = np.array(f.slopes).reshape(-1, 2, channels.shape[1])
        beside = raw[:, :2] - np.array(f.centres)[g]
        lines = np.einsum("ns,nsc->nc", beside, slopes[g]) if len(slopes) else 0
        z = (channels - lines - np.array(f.means)[g]) * np.array(f.scales)[g]
        rows = np.maximum(
            np.arange(len(z) - p.sequence, len(z)), max(len(z) - p.window, 0)
        )  # the oldest again before it
        vector = _of_run(p, z) + [raw[-1, : p.settings]] + ([[len(z)]] if p.windows else [])
        features.append(np.concatenate([*vector, z[rows].ravel()]))
    return np.array(features)


def _of_run(p: FeaturePlan, z: Matrix) -> list[Matrix]:
    if not p.windows:
        return [z[-1]]
    held, half = z[-p.window :], p.window // 2
    older = held[:-half]
    slope = held[-half:].mean(axis=0) - older.mean(axis=0) if len(older) else np.zeros(z.shape[1])
    means = [z[-w:].mean(axis=0) for w in p.windows]
    from_first = [means[0] - z[: p.first].mean(axis=0)] if p.first else []
    return [*means, held.std(axis=0), slope, *from_first]


@pytest.mark.parametrize(
    ("windows", "first", "sequence"), [((2, 5, 8), 3, 0), ((3,), 0, 3), ((7,), 5, 0), ((), 0, 0), ((2, 5, 8), 3, 8)]
)
@pytest.mark.parametrize("f", [fit(1), fit(3), with_slopes(fit(1)), with_slopes(fit(3))])
def test_features_are_those_of_the_formulas(windows: tuple[int, ...], first: int, sequence: int, f: Fit) -> None:
    p, e = plan(windows, first, sequence=sequence), events(300)
    found = advanced(DeviceState(READINGS, p.window, first), p, f, e)
    assert found.shape == (300, len(p.feature_names))
    np.testing.assert_allclose(found, by_formula(p, f, e), atol=1e-5)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 120), max_size=8), st.integers(0, 5), st.sampled_from([0, 8]))
def test_any_cut_into_batches_gives_the_same_bits_of_features_and_state(
    cuts: list[int], seed: int, sequence: int
) -> None:
    p, f, e = plan(sequence=sequence), with_slopes(fit()), events(120, seed)
    whole, parts = DeviceState(READINGS, 8, 3), DeviceState(READINGS, 8, 3)
    expected = advanced(whole, p, f, e)
    places = [0, *sorted(cuts), 120]
    found = [advanced(parts, p, f, e.part(a, b)) for a, b in pairwise(places)]
    assert np.concatenate(found).tobytes() == expected.tobytes()
    assert {d: whole.pack(s) for d, s in whole.devices} == {d: parts.pack(s) for d, s in parts.devices}


def test_packing_and_unpacking_between_batches_gives_the_same_bits() -> None:
    p, f, e = plan(), fit(), events(200)
    expected = advanced(DeviceState(READINGS, 8, 3), p, f, e)
    state, found = DeviceState(READINGS, 8, 3), []
    for i in range(0, 200, 40):
        found.append(advanced(state, p, f, e.part(i, i + 40)))
        restored = DeviceState(READINGS, 8, 3)
        for device, slot in state.devices:
            restored.unpack(device, state.pack(slot))
        state = restored
    assert np.concatenate(found).tobytes() == expected.tobytes()


def test_another_fit_is_served_from_the_same_state_at_once() -> None:
    p, e = plan(), events(200)
    expected = advanced(DeviceState(READINGS, 8, 3), p, fit(2), e)
    state = DeviceState(READINGS, 8, 3)
    advanced(state, p, fit(3), e.part(0, 100))
    assert advanced(state, p, fit(2), e.part(100, 200)).tobytes() == expected[100:].tobytes()


def test_state_with_more_rows_than_the_plan_needs_gives_the_same_bits() -> None:
    p, f, e = plan((2, 5), 2), fit(), events(200)
    exact, larger = (advanced(DeviceState(READINGS, w, k), p, f, e) for w, k in ((5, 2), (9, 4)))
    assert exact.tobytes() == larger.tobytes()


def test_first_rows_that_state_never_held_are_left_out() -> None:
    small, large, e = plan(first=2), plan(first=3), events(10, devices=1, nulls=False)
    e.resets[:] = False
    state, grown = DeviceState(READINGS, 8, 2), DeviceState(READINGS, 8, 3)
    advanced(state, small, fit(), e.part(0, 5))
    grown.unpack("d0", state.pack(0))
    expected = advanced(state, small, fit(), e.part(5, 10))
    assert advanced(grown, large, fit(), e.part(5, 10)).tobytes() == expected.tobytes()


def test_a_null_takes_the_previous_value_of_the_run_or_the_given_number() -> None:
    p = plan((), 0, derived=(), programs=())
    f = Fit(((0.0, 0.0),), (1.0, 1.0), ((0.0,) * 3,), ((1.0,) * 3,))
    rows = np.array([[0, 0, 5, 6, 7], [0, 0, np.nan, np.nan, 7], [0, 0, np.nan, 6, 7]], np.float32)
    e = Events(["d"] * 3, rows, np.array([True, False, True]))
    found = advanced(DeviceState(READINGS, 1, 0), p, f, e)
    assert found[:, :3].tolist() == [[5, 6, 7], [5, 2, 7], [1, 6, 7]]


def test_a_derived_channel_that_a_filled_null_makes_infinite_counts_as_ordinary() -> None:
    p = plan((), 0, programs=(compile_expression("a / (b - 2)", READINGS),))
    rows = np.array([[0, 0, 1, np.nan, 0]], np.float32)
    found = advanced(DeviceState(READINGS, 1, 0), p, fit(), Events(["d"], rows, np.array([True])))
    assert found[0, 3] == 0


def test_state_that_cannot_give_the_plan_is_refused() -> None:
    with pytest.raises(StateError, match="the plan looks at 8 rows"):
        advanced(DeviceState(READINGS, 5, 3), plan(), fit(), events(1))


@pytest.mark.parametrize("change", ["float64", "narrow", "short", "list", "slot"])
def test_arrays_of_another_kind_are_refused_by_name(change: str) -> None:
    state, rows, slots = DeviceState(READINGS, 8, 3), np.zeros((2, 5), np.float32), np.zeros(2, np.int64)
    given: Any = {"float64": rows.astype(float), "narrow": rows[:, :4], "short": rows[:1], "list": rows.tolist()}.get(
        change, rows
    )
    if change == "slot":
        slots[1] = 10_000
    with pytest.raises(TypeError, match="slots lie" if change == "slot" else "rows must be an array of float32"):
        kernel_of(plan(), fit()).advance(state, slots, given, np.zeros(2, np.bool_))


def test_read_only_and_strided_rows_are_taken() -> None:
    e = events(20)
    strided = np.repeat(e.rows, 2, axis=0)[::2]
    strided.flags.writeable = False
    expected = advanced(DeviceState(READINGS, 8, 3), plan(), fit(), e)
    found = advanced(DeviceState(READINGS, 8, 3), plan(), fit(), Events(e.devices, strided, e.resets))
    assert found.tobytes() == expected.tobytes()


def test_a_plan_with_the_window_has_a_hash_of_its_own_and_its_vector_is_that_of_the_plan_without() -> None:
    p, whole, e = plan(), plan(sequence=8), events(60)
    assert whole.hash != p.hash
    assert whole.vector_only == p
    assert whole.feature_names[: len(p.feature_names)] == p.feature_names
    assert whole.feature_names[-4:] == ("a.back_0", "b.back_0", "c.back_0", "power.back_0")
    with_window = advanced(DeviceState(READINGS, 8, 3), whole, fit(), e)
    without = advanced(DeviceState(READINGS, 8, 3), p, fit(), e)
    assert np.array_equal(with_window[:, : without.shape[1]], without)


@pytest.mark.parametrize("f", [fit(), with_slopes(fit())])
def test_state_that_holds_more_readings_gives_the_same_bits(f: Fit) -> None:
    p, e = plan(), events(200)
    expected = advanced(DeviceState(READINGS, 8, 3), p, f, e)
    wider = ("o0", "o1", "o2", "a", "b", "c", "d")
    present = plan(
        readings=wider, fill_values=(0.0,) * 7, fill_previous=(False,) * 7, settings=3, derived=(), programs=()
    )
    rows = np.column_stack([np.full(200, 7.0), e.rows, np.full(200, 9.0)]).astype(np.float32)
    state = DeviceState(wider, 8, 3)
    found = kernel_for(p, f, present).advance(state, state.slots(e.devices), rows, e.resets)
    assert found.tobytes() == expected.tobytes()
