"""Feature rows that no device has sent yet, at which an export is most likely to differ from its model.

Ends of the readings' physical ranges, nulls as they are filled, values exactly at the thresholds of trees and on both sides of
them, neighbours in float32, and noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.kernel.features import kernel_of
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan
from aimaas.kernel.state import DeviceState

Float32 = npt.NDArray[np.float32]

_THRESHOLDS = 1_000  # at most this many are tried, drawn by the seed
_ROWS = 300  # of each other kind
# operators that sum over features
_SUMS = {"Gemm", "MatMul", "LinearRegressor", "LinearClassifier", "Conv", "LSTM", "GRU"}


@dataclass(frozen=True)
class Probes:
    """Features (n, F) float32, all finite, and a description of each row.

    `reach` (n,) is how many times farther out than any real row a probe lies, at least 1. At the end of a physical range that may
    be thousands of times for a sensor that hardly moves. float32 is as much coarser there, so sums in another order differ as much
    more. Trees alone sum no features, and their predictions are bounded: their reach is 1 everywhere.
    """

    features: Float32
    names: Sequence[str]
    reach: Float32


def probes_of(content: bytes, fleet: FleetSpec, plan: FeaturePlan, fit: Fit, rows: Float32, seed: int) -> Probes:
    """Return probes of the model in the ONNX file `content`: real `rows` (n, F) that are changed in one feature or in all."""
    random = np.random.default_rng(seed)
    parts = [
        *_at_thresholds(content, plan, rows, random),
        ("a reading at the end of its range", _extremes(fleet, plan, fit)),
        ("a row whose features are the next larger float32", np.nextafter(_drawn(rows, random), np.float32(np.inf))),
        ("a row whose features are the next smaller float32", np.nextafter(_drawn(rows, random), np.float32(-np.inf))),
        ("zeros and the smallest float32", _smallest(rows.shape[1])),
        ("noise between the lowest and highest features", _noise(rows, random)),
    ]
    names = [f"{name} (number {i + 1} of {len(part)})" for name, part in parts for i in range(len(part))]
    features = np.concatenate([part.astype(np.float32) for _, part in parts])
    whole = np.isfinite(features).all(axis=1)
    kept = [name for name, good in zip(names, whole.tolist(), strict=True) if good]
    return Probes(features[whole], kept, _reach(features[whole], rows, content))


def _reach(features: Float32, rows: Float32, content: bytes) -> Float32:
    import onnx

    if _SUMS.isdisjoint(node.op_type for node in onnx.load_model_from_string(content).graph.node):
        return np.ones(len(features), np.float32)
    farthest = np.maximum(np.abs(rows).max(axis=0), 1)
    reach: Float32 = np.maximum((np.abs(features) / farthest).max(axis=1), 1)
    return reach


def thresholds(content: bytes) -> list[tuple[int, np.float32]]:
    """Return feature and threshold of every branch of the file's trees, each pair once."""
    import onnx

    found: set[tuple[int, float]] = set()
    for node in onnx.load_model_from_string(content).graph.node:
        if not node.op_type.startswith("TreeEnsemble"):
            continue
        of = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        branches = zip(of["nodes_modes"], of["nodes_featureids"], of["nodes_values"], strict=True)
        found |= {(feature, value) for mode, feature, value in branches if mode != b"LEAF"}
    return [(feature, np.float32(value)) for feature, value in sorted(found)]


def _at_thresholds(
    content: bytes, plan: FeaturePlan, rows: Float32, random: np.random.Generator
) -> list[tuple[str, Float32]]:
    """Return for each threshold a real row moved onto it, just below it and just above it."""
    found, parts = thresholds(content), []
    for i in random.permutation(len(found))[:_THRESHOLDS].tolist():
        feature, value = found[i]
        moved = np.repeat(rows[random.integers(len(rows))][None], 3, axis=0)
        moved[:, feature] = np.nextafter(value, np.float32(-np.inf)), value, np.nextafter(value, np.float32(np.inf))
        parts.append((f"{plan.feature_names[feature]} below, at and above the threshold {value:.9g}", moved))
    return parts


def _extremes(fleet: FleetSpec, plan: FeaturePlan, fit: Fit) -> Float32:
    """Return features of devices with readings at the ends of their ranges: one alone, all, all in turn; and with nulls."""
    low, high = np.array([r.range for r in fleet.reading_specs], np.float32).T
    middle = (low + high) / 2
    nullable = np.array([r.nullable for r in fleet.reading_specs])
    runs = [[np.where(np.arange(len(low)) == i, end, middle)] for i in range(len(low)) for end in (low, high)]
    runs += [[low], [high], [low, high] * plan.window, [middle, np.where(nullable, np.float32(np.nan), middle)]]
    readings = np.array([row for run in runs for row in run], np.float32)
    resets = np.array([i == 0 for run in runs for i in range(len(run))], np.bool_)
    state = DeviceState(plan.readings, plan.window, plan.first)
    slots = np.repeat(state.slots(["probe"]), len(readings))
    features: Float32 = kernel_of(plan, fit).advance(state, slots, readings, resets)
    return features


def _smallest(width: int) -> Float32:
    """Return rows of zeros, and of the smallest normal and subnormal numbers, of either sign."""
    known = np.finfo(np.float32)
    values = np.array([0, known.tiny, known.smallest_subnormal], np.float32)
    rows: Float32 = np.repeat(np.concatenate([values, -values])[:, None], width, axis=1)
    return rows


def _drawn(rows: Float32, random: np.random.Generator) -> Float32:
    drawn: Float32 = rows[random.integers(len(rows), size=_ROWS)]
    return drawn


def _noise(rows: Float32, random: np.random.Generator) -> Float32:
    low, high = rows.min(axis=0), rows.max(axis=0)
    noise: Float32 = (low + (high - low) * random.random((_ROWS, rows.shape[1]))).astype(np.float32)
    return noise
