"""Promotion: a challenger becomes champion if its error on the same test devices is lower than the champion's, and not by chance.

The file that ships is compared, on devices that neither model has learned from: the labelled rows of the test devices in the
challenger's training set. The champion needs features of its own plan and fit, so the kernel computes them again from gold's raw
rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aimaas.errors import LakeError, RegistryError
from aimaas.fleet import FleetSpec
from aimaas.kernel.features import Float32, kernel_of
from aimaas.kernel.state import DeviceState
from aimaas.labels.lifetimes import lives_of
from aimaas.lake import read_table
from aimaas.model.artefact import METADATA_KEY, ModelMetadata, decode_metadata
from aimaas.registry.versions import (
    Champion,
    load_artefact,
    note_not_promoted,
    set_challenger,
    set_champion,
    show_model,
    still_vetoed,
    sync_champion,
    veto_of,
)
from aimaas.settings import Settings
from aimaas.training.folders import place_of
from aimaas.training.rows import Rows
from aimaas.training.training_set import TrainingSet, read_training_set
from models.evaluation.evaluate import error_name, error_of
from models.evaluation.paired_test import Comparison, compare
from models.export.export import run_onnx
from models.export.measure import classifies
from models.promotion.kinds import differ, kind_of
from models.promotion.looks import Look, take_look
from models.weights import mean as weighted_mean

FEWEST_DEVICES = 5  # the spread of fewer devices means nothing, for a first champion too


@dataclass(frozen=True)
class Promotion:
    """The result of a comparison; errors are on the same test rows, `champion_error` is None without a comparison.

    `p_value` belongs to the test against `gates.improvement`, None without a comparison.
    """

    promoted: bool
    reason: str
    version: str
    challenger_error: float
    champion_error: float | None
    p_value: float | None
    sequence: int


def promote(settings: Settings, fleet: FleetSpec, version: str) -> Promotion:
    """Compare a version with the champion and make it champion if it passes `gates.improvement`, and not by chance.

    The first champion is compared with always predicting the mean. A vetoed version, and one of another kind than the champion,
    are not promoted. The version's page in MLflow shows the result. Raises RegistryError if another promotion came in between.
    """
    found = _promote(settings, fleet, version)
    if not found.promoted:
        note_not_promoted(settings, fleet, version, found.reason)
    return found


def _promote(settings: Settings, fleet: FleetSpec, version: str) -> Promotion:
    champion = sync_champion(settings, fleet)
    shown = show_model(settings, fleet, version)
    frozen = read_training_set(place_of(settings, shown["training_set"]))
    content = load_artefact(settings, fleet, version)
    answers = run_onnx(content, features_for(settings, fleet, content, frozen))
    test, sequence = frozen.rows.of("test"), champion.sequence if champion else 0
    mine = error_of(test.label, answers, classifies(fleet), test.sample_weight)
    if champion is not None and champion.version == version:
        return Promotion(False, f"version {version} is the champion already", version, mine, mine, None, sequence)
    if (veto := veto_of(settings, fleet, version)) is not None:
        why = f"version {version} is {still_vetoed(veto, fleet.fleet, version)}"
        return Promotion(False, why, version, mine, None, None, sequence)
    set_challenger(settings, fleet, version)
    serving = load_artefact(settings, fleet, champion.version) if champion else None
    if champion and serving and (other_kind := why_not_compared(fleet, version, content, champion, serving)):
        return Promotion(False, other_kind, version, mine, None, None, sequence)
    found = compare_with(settings, fleet, frozen, answers, serving)
    passed, reason = judged(settings, fleet, version, found, champion)
    other = found.champion if champion else None
    if not passed:
        return Promotion(False, reason, version, found.challenger, other, found.p_value, sequence)
    made = set_champion(settings, fleet, version, champion, compare=True, why=reason)
    set_challenger(settings, fleet, None)
    return Promotion(True, reason, version, found.challenger, other, found.p_value, made.sequence)


def why_not_compared(fleet: FleetSpec, version: str, content: bytes, champion: Champion, serving: bytes) -> str | None:
    """Why the file `content` cannot be compared with the champion's file `serving`: their kinds differ. None if it can."""
    challenger, other = metadata_of(content), metadata_of(serving)
    if not differ(challenger, other):
        return None
    return (
        f"version {version} predicts another target ({kind_of(challenger)}) than champion version {champion.version} "
        f"({kind_of(other)}), so their errors cannot be compared; a person decides: "
        f"`aimaas models promote {version} --fleet {fleet.fleet}`"
    )


def compare_with(
    settings: Settings, fleet: FleetSpec, frozen: TrainingSet, answers: Float32, serving: bytes | None
) -> Comparison:
    """Compare predictions (n,) for the test rows with the champion file's, or with the mean label of the learned rows."""
    test = frozen.rows.of("test")
    if serving is None:
        learned = frozen.rows.of("train", "validation")
        mean = weighted_mean(learned.label, learned.sample_weight)
        other = np.full(len(test), mean, np.float32)
    else:
        other = run_onnx(serving, features_for(settings, fleet, serving, frozen))
    improvement = 0.0 if serving is None else fleet.gates.improvement
    return compare(test.label, answers, other, test.device_id, classifies(fleet), improvement, test.sample_weight)


def judged(
    settings: Settings, fleet: FleetSpec, version: str, found: Comparison, champion: Champion | None
) -> tuple[bool, str]:
    """Return whether a challenger is promoted, and the reason as one line.

    With enough devices this takes a look at the champion.
    """
    if found.devices < FEWEST_DEVICES:
        what = f"to compare with champion version {champion.version}" if champion else "for a first champion"
        return False, (
            f"there are {found.devices} test devices, but at least {FEWEST_DEVICES} are needed {what}; wait for more devices, "
            f"raise split.test, or promote by hand: `aimaas models promote {version} --fleet {fleet.fleet}`"
        )
    return verdict(fleet, found, take_look(settings, fleet, version, champion), champion)


def verdict(fleet: FleetSpec, found: Comparison, look: Look, champion: Champion | None) -> tuple[bool, str]:
    """Return whether a challenger passes at this look, and the reason as one line."""
    name, improvement = error_name(classifies(fleet)), fleet.gates.improvement
    bar = found.champion * (1 - improvement) if champion else found.champion
    against = (
        f"the error of champion version {champion.version}" if champion else "the error of always predicting the mean"
    )
    gate = f" less {improvement:.1%} (gates.improvement)" if champion and improvement else ""
    below, sure = found.challenger < bar, found.p_value < look.level
    reason = (
        f"{name} {found.challenger:.5g} on the test devices is {'below' if below else 'not below'} {bar:.5g}, {against}{gate}; "
        f"p = {found.p_value:.2g} over {found.devices} devices, and look {look.number} needs p below {look.level:.2g} "
        "(gates.false_promotions)"
    )
    return below and sure, reason


def features_for(settings: Settings, fleet: FleetSpec, content: bytes, frozen: TrainingSet) -> Float32:
    """Return features (n, F) of the training set's test rows, as the model in `content` reads them."""
    metadata, test = metadata_of(content), frozen.rows.of("test")
    if metadata.fit.id == frozen.info.fit.id and metadata.plan == frozen.info.plan:
        return test.features
    if metadata.fit.id == frozen.info.fit.id and metadata.plan == frozen.info.plan.vector_only:
        return frozen.vector_only.rows.of("test").features
    return recomputed(settings, fleet, metadata, frozen.info.gold_version, test)


def metadata_of(content: bytes) -> ModelMetadata:
    """Return the metadata inside an ONNX file that aimaas exported."""
    import onnx

    props = onnx.load_model_from_string(content).metadata_props
    texts = {entry.key: entry.value for entry in props}
    if METADATA_KEY not in texts:
        raise RegistryError("the champion's ONNX file has no aimaas metadata; promote another version by hand")
    return decode_metadata(texts[METADATA_KEY])


def recomputed(settings: Settings, fleet: FleetSpec, metadata: ModelMetadata, version: int, test: Rows) -> Float32:
    """Return features of the test rows, computed by the kernel from all rows of their devices in gold."""
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
        raise LakeError(
            f"gold version {version} lacks test rows of the training set that was frozen from it; train again"
        )
    labelled: Float32 = features[kept]
    return labelled
