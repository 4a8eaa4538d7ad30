"""Whatever stands in a model's metadata, it is either refused in one line or makes a kernel that runs."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.errors import ModelRefusedError
from aimaas.fleet import FleetSpec
from aimaas.fleet.expression import ADD, MAX_DEPTH, MAX_STEPS, NEGATE, NUMBER, READING, Program
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan, plan_of
from aimaas.kernel.state import DeviceState
from aimaas.kernel.widening import kernel_for
from aimaas.model.artefact import METADATA_KEY, FormTried, ModelMetadata, encode_metadata
from aimaas.model.artefact_check import MOST_BYTES, check_metadata, width_of
from aimaas.model.intervals import Bounds, Intervals
from aimaas.model.loaded import metadata_of

READINGS = {"name": "x", "unit": "1", "range": [-100, 100]}
FLEET = FleetSpec.model_validate(
    {
        "fleet": "pump",
        "version": 1,
        "settings": {"speed": READINGS, "load": READINGS},
        "sensors": {"heat": {**READINGS, "nullable": True, "fill": "previous"}, "noise": READINGS},
        "derived": {"power": "speed * load", "ratio": "-heat / (noise + 2)"},
        "features": {"windows": [3, 6], "first": 2, "regimes": 3},
        "task": {"kind": "remaining_useful_life", "unit": "cycles", "cap": 40},
        "training": {"candidates": {"cnn": {}}},
    }
)
PLAN = plan_of(FLEET)
C, F = len(PLAN.channels), len(PLAN.feature_names)
FIT = Fit(((0.0, 1.0), (2.0, 3.0)), (1.0, 0.5), ((1.0,) * C,) * 2, ((0.1,) * C,) * 2)
INTERVALS = Intervals(0.9, (10.0,), (-2.0, -3.0), (2.0, 3.0), 12, "calibration")
VALID = ModelMetadata(
    "pump", 1, "remaining_useful_life", "cycles", "cnn", PLAN, FIT, (0.0, 40.0), "", "d" * 64, 7, "1", {"rmse": 1.5},
    INTERVALS, (0.0,) * F, "plain", {"plain": FormTried(1.0, 100, 2.0)},
)  # fmt: skip


def refusal(metadata: ModelMetadata | str) -> str:
    text = metadata if isinstance(metadata, str) else encode_metadata(metadata)
    with pytest.raises(ModelRefusedError) as caught:
        metadata_of({METADATA_KEY: text}, "model x")
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def run_kernel(metadata: ModelMetadata) -> None:
    """A whole window of one device, and an empty batch."""
    plan = metadata.plan
    state = DeviceState(plan.readings, plan.window, plan.first)
    kernel = kernel_for(plan, metadata.fit, plan)
    rows = np.linspace(-50, 50, (plan.window + 2) * len(plan.readings), dtype=np.float32)
    rows = rows.reshape(-1, len(plan.readings))
    begins = np.zeros(len(rows), np.bool_)
    features = kernel.advance(state, np.repeat(state.slots(["d"]), len(rows)), rows, begins)
    assert features.shape == (len(rows), width_of(plan)) == (len(rows), len(plan.feature_names))
    if metadata.intervals is not None:
        Bounds(metadata.intervals, metadata.target_range).of(np.array([0, 1e9], np.float32))


def test_valid_metadata_passes_and_its_kernel_runs() -> None:
    assert metadata_of({METADATA_KEY: encode_metadata(VALID)}, "x") == VALID
    run_kernel(VALID)


def plan(**changes: Any) -> ModelMetadata:
    return msgspec.structs.replace(VALID, plan=msgspec.structs.replace(PLAN, **changes))


def fit(**changes: Any) -> ModelMetadata:
    return msgspec.structs.replace(VALID, fit=msgspec.structs.replace(FIT, **changes))


def program(codes: list[int], values: list[float] | None = None) -> ModelMetadata:
    made = Program(tuple(codes), tuple(values or [0.0] * len(codes)))
    return plan(programs=(made, PLAN.programs[1]))


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (plan(settings=5), "5 settings of 4 readings"),
        (plan(settings=-1), "settings"),
        (plan(readings=("speed", "speed", "heat", "noise")), "occurs twice"),
        (plan(derived=("power", "heat")), "occurs twice"),
        (plan(readings=("speed", "load", "heat", "A.b")), "must be valid in a fleet file"),
        (plan(fill_values=(0.0,)), "number of fills must equal"),
        (plan(fill_previous=()), "number of fills must equal"),
        (plan(fill_values=(0.0, 0.0, 0.0, 1e300)), "fill_values: a number is not finite"),
        (plan(windows=(6, 3)), "must increase"),
        (plan(windows=(3, 3)), "must increase"),
        (plan(windows=(1, 6)), "between 2 and 512"),
        (plan(windows=(3, 513), sequence=0), "between 2 and 512"),
        (plan(first=65), "between 0 and 64"),
        (plan(windows=(), sequence=0), "first needs windows"),
        (plan(sequence=5), "sequence"),
        (plan(max_regimes=0), "max_regimes"),
        (plan(max_regimes=33), "max_regimes"),
        (plan(max_regimes=1), "2 regimes, the plan allows 1 to 1"),
        (plan(programs=()), "0 programs for 2"),
        (program([READING] * 400_000), f"allowed are {MAX_STEPS}"),
        (program([READING] * (MAX_DEPTH + 1) + [ADD] * MAX_DEPTH), "operands wait"),
        (program([]), "leaves 0 values"),
        (program([READING, READING]), "leaves 2 values"),
        (program([ADD]), "with 0 operands"),
        (program([READING, ADD, READING]), "with 1 operands"),
        (program([NEGATE]), "a sign without an operand"),
        (program([READING], [4.0]), "no reading 4"),
        (program([READING], [-1.0]), "no reading -1"),
        (program([READING], [0.5]), "no reading 0.5"),
        (program([NUMBER, 7]), "operation 7"),
        (program([READING], [0.0, 0.0]), "1 codes, 2 values"),
        (fit(centres=(), means=(), scales=()), "0 regimes"),
        (fit(centres=((0.0,) * 3,) * 2), "centres of the fit must be 2 × 2"),
        (fit(weights=(1.0,)), "weights of the fit"),
        (fit(means=((1.0,) * C, (1.0,) * (C - 1))), "means of the fit"),
        (fit(scales=((0.1,) * C,)), "scales of the fit"),
        (fit(weights=(1.0, 1e39)), "weights: a number"),
        (fit(slopes=(((0.0,) * C,) * 2,)), "for 2 regimes"),
        (fit(slopes=(((0.0,) * C,),) * 2), f"slopes of the fit must be 2 × {C}"),
        (fit(slopes=(((0.0,) * (C - 1),) * 2,) * 2), f"slopes of the fit must be 2 × {C}"),
        (fit(slopes=(((math.nan,) * C,) * 2,) * 2), "no usable metadata"),
        (fit(slopes=(((1e39,) * C,) * 2,) * 2), "slopes: a number"),
        (msgspec.structs.replace(VALID, target_range=(1.0, 1.0)), "target_range"),
        (msgspec.structs.replace(VALID, typical=(0.0,)), "typical"),
        (msgspec.structs.replace(VALID, unit="x" * 3_000), "text of more than"),
        (msgspec.structs.replace(VALID, metrics={"x" * 3_000: 1.0}), "text of more than"),
        (msgspec.structs.replace(VALID, intervals=msgspec.structs.replace(INTERVALS, coverage=1.5)), "coverage"),
        ("", "no usable metadata"),
        ("null", "no usable metadata"),
        ("[" * 5_000, "no usable metadata"),
        (" " * (MOST_BYTES + 1), "characters, allowed are"),
    ],
)  # fmt: skip
def test_metadata_that_does_not_fit_together_is_refused(broken: ModelMetadata | str, says: str) -> None:
    assert says in refusal(broken)


def test_the_number_of_features_is_known_without_their_names() -> None:
    for changes in ({}, {"first": 0}, {"sequence": 0}, {"windows": (), "first": 0, "sequence": 0}, {"derived": ()}):
        made: FeaturePlan = msgspec.structs.replace(PLAN, **changes)
        assert width_of(made) == len(made.feature_names)


def test_every_plan_that_a_fleet_file_gives_passes() -> None:
    deepest = "+".join(["speed"] * (MAX_STEPS // 2))
    changed = FleetSpec.model_validate({**FLEET.model_dump(mode="json"), "derived": {"deep": deepest}})
    made = plan_of(changed)
    channels = len(made.channels)
    flat = Fit(((0.0, 0.0),), (0.0, 0.0), ((0.0,) * channels,), ((0.0,) * channels,))
    check_metadata(msgspec.structs.replace(VALID, plan=made, fit=flat, typical=None))


Path = tuple[Any, ...]
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.text(max_size=5), st.sampled_from(["speed", "heat", "1e999", "é" * 5_000]),
    st.integers(-3, 700), st.sampled_from([2**31, 2**63, -(2**63), 10**400, 1e300, -1e39, 0.5, 1e-320]),
    st.lists(st.integers(0, 6), max_size=40), st.lists(st.lists(st.floats(-1, 1), max_size=4), max_size=3), st.just({}),
)  # fmt: skip


def paths(value: Any, at: Path = ()) -> list[Path]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(p for name, part in inner for p in paths(part, (*at, name)))]


PLACES = paths(json.loads(encode_metadata(VALID)))[1:]


def mutate(value: Any, place: Path, how: str, other: Any) -> None:
    """Replace, remove or double what stands at a place; nothing where a former mutation took the place away."""
    for name in place[:-1]:
        if not isinstance(value, dict | list) or name not in (value if isinstance(value, dict) else range(len(value))):
            return
        value = value[name]
    name = place[-1]
    if not isinstance(value, dict | list) or name not in (value if isinstance(value, dict) else range(len(value))):
        return
    if how == "replace":
        value[name] = other
    elif how == "remove":
        del value[name]
    elif isinstance(value, list):
        value.insert(name, value[name])


@settings(max_examples=400)
@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), st.sampled_from(["replace", "remove", "double"]), ANYTHING),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_metadata_mutated_anywhere_is_refused_or_runs(mutations: list[tuple[Path, str, Any]]) -> None:
    value = json.loads(encode_metadata(VALID))
    for place, how, other in mutations:
        mutate(value, place, how, other)
    try:
        found = metadata_of({METADATA_KEY: json.dumps(value)}, "x")
    except ModelRefusedError as e:
        assert len(str(e).splitlines()) == 1
    else:
        run_kernel(found)
