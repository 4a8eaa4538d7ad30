"""Promotion: a challenger becomes champion when it errs less than the champion on the same test devices.

Both are asked about the same labelled rows: those of the test devices in the challenger's training set. The champion reads features
of its own plan and fit, so they are computed again from gold's raw rows by the same kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aimaas.artefact import METADATA_KEY, ModelMetadata, decode_metadata
from aimaas.errors import LakeError, RegistryError
from aimaas.features import Float32, kernel_of
from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.lake import read_table
from aimaas.lifetimes import lives_of
from aimaas.registry import Champion, load_artefact, set_challenger, set_champion, settle, show_model
from aimaas.settings import Settings
from aimaas.state import DeviceState
from aimaas.training_set import Rows, TrainingSet, read_training_set
from models.evaluate import error_name, error_of
from models.export import run_onnx


@dataclass(frozen=True)
class Promotion:
    """What came of a comparison; the errors are on the same test rows, `champion_error` is None where there was no champion."""

    promoted: bool
    reason: str
    version: str
    challenger_error: float
    champion_error: float | None
    sequence: int


def promote(settings: Settings, fleet: FleetSpec, version: str) -> Promotion:
    """Compare a version with the champion and make it champion if it passes `gates.improvement`.

    The first champion must err less than always saying the mean. Raises RegistryError where another promotion came in between.
    """
    champion = settle(settings, fleet)
    shown = show_model(settings, fleet, version)
    frozen = read_training_set(settings.home / shown["training_set"])
    test, classify = frozen.rows.of("test"), isinstance(fleet.task, FailureWithin)
    error = error_of(test.label, run_onnx(load_artefact(settings, fleet, version), test.features), classify)
    if champion is not None and champion.version == version:
        return Promotion(False, f"version {version} is the champion already", version, error, error, champion.sequence)
    set_challenger(settings, fleet, version)
    if champion is None:
        other, bar = None, float(shown["metrics"][f"baseline_{error_name(classify)}"])
    else:
        content = load_artefact(settings, fleet, champion.version)
        other = error_of(test.label, run_onnx(content, champion_features(settings, fleet, content, frozen)), classify)
        bar = other * (1 - fleet.gates.improvement)
    reason = reason_for(error_name(classify), error, bar, champion, fleet.gates.improvement)
    if not error < bar:
        return Promotion(False, reason, version, error, other, champion.sequence if champion else 0)
    made = set_champion(settings, fleet, version, champion, compare=True)
    set_challenger(settings, fleet, None)
    return Promotion(True, reason, version, error, other, made.sequence)


def reason_for(name: str, error: float, bar: float, champion: Champion | None, improvement: float) -> str:
    """One line that says why a challenger with this error was promoted or not; it must be below `bar`."""
    against = f"champion version {champion.version}" if champion else "always saying the mean"
    gate = f", an improvement of {improvement:.1%} included" if champion and improvement else ""
    verdict = "below" if error < bar else "not below"
    return f"{name} {error:.5g} on the test devices is {verdict} {bar:.5g} of {against}{gate}"


def champion_features(settings: Settings, fleet: FleetSpec, content: bytes, frozen: TrainingSet) -> Float32:
    """Features (n, F) of the training set's test rows as the model in `content` wants them."""
    metadata, test = metadata_of(content), frozen.rows.of("test")
    if (metadata.plan.hash, metadata.fit.id) == (frozen.info.plan.hash, frozen.info.fit.id):
        return test.features
    return recomputed(settings, fleet, metadata, frozen.info.gold_version, test)


def metadata_of(content: bytes) -> ModelMetadata:
    """The metadata inside an ONNX file that we exported."""
    import onnx

    props = onnx.load_model_from_string(content).metadata_props
    texts = {entry.key: entry.value for entry in props}
    if METADATA_KEY not in texts:
        raise RegistryError("the champion's ONNX file has no metadata of ours; promote another version by hand")
    return decode_metadata(texts[METADATA_KEY])


def recomputed(settings: Settings, fleet: FleetSpec, metadata: ModelMetadata, version: int, test: Rows) -> Float32:
    """Features of the test rows, by the kernel over all of gold's rows of their devices."""
    import pyarrow.dataset as ds

    plan = metadata.plan
    columns = ["device_id", "run", "order", "broker_ts", *plan.readings]
    gold = read_table(settings, fleet.fleet, "gold", columns, ds.field("split") == "test", version)
    gold = gold.sort_by([(name, "ascending") for name in ("device_id", "run", "order")]).combine_chunks()
    begins = np.concatenate([np.zeros(0, np.bool_), *(lives_of(fleet, batch).begins for batch in gold.to_batches())])
    ids, run, order = (gold[name].to_pylist() for name in ("device_id", "run", "order"))
    state = DeviceState(plan.readings, plan.window, plan.first)
    readings = np.stack([gold[name].to_numpy().astype(np.float32) for name in plan.readings], axis=1)
    features = kernel_of(plan, metadata.fit).advance(state, state.slots(ids), readings, begins)
    wanted = set(zip(test.device_id, test.run.tolist(), test.order.tolist(), strict=True))
    kept = np.array([key in wanted for key in zip(ids, run, order, strict=True)], np.bool_)
    if kept.sum() != len(test):
        raise LakeError(f"gold version {version} lacks test rows of the training set made of it; train again")
    labelled: Float32 = features[kept]
    return labelled
