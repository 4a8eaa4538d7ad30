"""Checks that there is enough data to train, of the right kind: each refusal names the missing data and its amount."""

from __future__ import annotations

import numpy as np

from aimaas.errors import TrainingRefusedError
from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.kernel.plan import plan_of
from aimaas.training.rows import Rows
from aimaas.training.training_set import TrainingSet
from models.evaluation.conformal import FEWEST_DEVICES


def check_training_set(fleet: FleetSpec, training_set: TrainingSet) -> None:
    """Raise TrainingRefusedError with a line for each problem."""
    _check_same_plan(fleet, training_set)
    problems = [
        *_below_minimum(fleet, training_set),
        *_empty_splits(fleet, training_set.rows),
        *_one_label(fleet, training_set.rows),
        *_unusable_values(training_set),
    ]
    if problems:
        where = f"training of {fleet.fleet} refused"
        raise TrainingRefusedError("\n".join(f"{where}: {problem}" for problem in problems))


def _check_same_plan(fleet: FleetSpec, training_set: TrainingSet) -> None:
    found, wanted = training_set.info.plan.hash, plan_of(fleet).hash
    if training_set.info.fleet != fleet.fleet or found != wanted:
        raise TrainingRefusedError(
            f"{training_set.folder}: made for fleet {training_set.info.fleet!r} with plan {found}, the fleet file of "
            f"{fleet.fleet!r} gives plan {wanted}; run the fleet's prepare step again"
        )


def _below_minimum(fleet: FleetSpec, training_set: TrainingSet) -> list[str]:
    minimum, counts = fleet.training.minimum, training_set.info.splits.values()
    found = {
        "devices": (sum(c.devices for c in counts), minimum.devices),
        "rows": (sum(c.rows for c in counts), minimum.rows),
        "failures": (sum(c.failures for c in counts), minimum.failures),
    }
    return [
        f"{have} labelled {what}, at least {need} needed (training.minimum.{what}); wait for more data"
        for what, (have, need) in found.items()
        if have < need
    ]


def _empty_splits(fleet: FleetSpec, rows: Rows) -> list[str]:
    needed = {"train": 2 * fleet.training.folds, "validation": 1, "test": 1}
    if fleet.split.calibration and not isinstance(fleet.task, FailureWithin):
        needed["calibration"] = FEWEST_DEVICES
    devices = {name: len(set(rows.of(name).device_id)) for name in needed}
    return [
        f"{devices[name]} {name} devices with labels, at least {least} needed"
        f"{' for training.folds' if name == 'train' else ''}; wait for more devices, or change the shares of split"
        for name, least in needed.items()
        if devices[name] < least
    ]


def _one_label(fleet: FleetSpec, rows: Rows) -> list[str]:
    """Refuse rows of only one label: without both labels, the recognition of failures cannot be measured."""
    if not isinstance(fleet.task, FailureWithin):
        return []
    labels = {name: rows.of(name).label for name in ("validation", "test")}
    return [
        f"{int(found.sum())} of the {len(found)} rows of {name} devices lie before a failure, but at least one such row and one "
        "other row are needed; wait for more outcomes, or change the shares of split"
        for name, found in labels.items()
        if len(found) and (found == found[0]).all()
    ]


def _unusable_values(training_set: TrainingSet) -> list[str]:
    rows, problems = training_set.rows, _constant(training_set)
    names = training_set.info.plan.feature_names
    for i in np.flatnonzero(~np.isfinite(rows.features).all(axis=0))[:3]:
        bad = int((~np.isfinite(rows.features[:, i])).sum())
        problems.append(
            f"feature {names[i]} is not finite in {bad} of {len(rows)} rows; check the range of its readings"
        )
    learned = rows.of("train").label
    if not np.isfinite(rows.label).all():
        problems.append(f"{int((~np.isfinite(rows.label)).sum())} labels are not finite; run the gold step again")
    elif len(learned) and (learned == learned[0]).all():
        problems.append(f"all {len(learned)} labels of the training devices are {learned[0]:g}; wait for more outcomes")
    return problems


def _constant(training_set: TrainingSet) -> list[str]:
    """Refuse channels that are all constant: then there is nothing to learn. A single constant channel does no harm."""
    plan, learned = training_set.info.plan, training_set.rows.of("train").features
    of_channels = [i for i, name in enumerate(plan.feature_names) if "." in name]  # the others are settings and the age
    values = learned[:, of_channels]
    if not len(values) or not (values == values[0]).all():
        return []
    return [
        f"all {len(plan.channels)} sensors and derived channels ({', '.join(plan.channels[:5])}) are constant in the "
        f"{len(values)} rows of the training devices; check the readings that the devices send"
    ]
