"""Compares two versions on the same frozen test rows."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from aimaas.errors import RegistryError
from aimaas.fleet import FailureWithin, FleetSpec
from aimaas.registry.versions import load_artefact, show_model
from aimaas.settings import Settings
from aimaas.training.folders import place_of
from aimaas.training.training_set import read_training_set
from models.evaluation.evaluate import metrics_of
from models.export.export import run_onnx
from models.promotion.kinds import differ, kind_of
from models.promotion.promote import features_for, metadata_of

_PART = re.compile(r"_(low|high)$|_(rul|regime|band)_|^validation_(?!rmse$|log_loss$)")
Metrics = dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """Metrics of both by name; None if one was not measured. `digest` belongs to the training set of the test rows."""

    versions: tuple[str, str]
    candidates: tuple[str, str]
    digest: str
    rows: str
    metrics: dict[str, tuple[float | None, float | None]]

    def headlines(self) -> dict[str, tuple[float | None, float | None]]:
        """Return metrics of all rows, without resampling intervals and metrics of parts of the rows."""
        return {name: pair for name, pair in self.metrics.items() if not _PART.search(name)}

    def as_json(self) -> dict[str, Any]:
        """Return plain data for programs."""
        return asdict(self)


def compare(settings: Settings, fleet: FleetSpec, first: str, second: str) -> Comparison:
    """Compare two registered versions.

    If they were trained on the same training set, their reports cover the same test rows and are shown. Otherwise both predict the
    test rows of the later version's training set: a device's split is permanent, so neither has learned from them.
    Raises RegistryError for an unknown version and for versions of different kinds, LakeError if the later training set or its
    gold is gone.
    """
    shown = [show_model(settings, fleet, version) for version in (first, second)]
    _check_kinds(settings, fleet, first, second)
    if shown[0]["digest"] == shown[1]["digest"]:
        found, digest, rows = [_reported(s) for s in shown], shown[0]["digest"], "reported on the test rows of both"
    else:
        later = max(shown, key=lambda s: int(s["version"]))
        found, digest = _measured(settings, fleet, later, shown), later["digest"]
        rows = f"both predict the test rows of version {later['version']}"
    names = list(dict.fromkeys(name for metrics in found for name in metrics))
    return Comparison(
        (first, second), (shown[0]["candidate"], shown[1]["candidate"]), digest, rows,
        {name: (found[0].get(name), found[1].get(name)) for name in names},
    )  # fmt: skip


def _check_kinds(settings: Settings, fleet: FleetSpec, first: str, second: str) -> None:
    one, other = (metadata_of(load_artefact(settings, fleet, version)) for version in (first, second))
    if differ(one, other):
        raise RegistryError(
            f"version {first} predicts another target ({kind_of(one)}) than version {second} ({kind_of(other)}): "
            "their errors cannot be compared; `aimaas models show` has the metrics of each"
        )


def _reported(shown: dict[str, Any]) -> Metrics:
    """Return the report's metrics without metrics of single candidates and folds, whose names have a dot."""
    return {name: value for name, value in shown["metrics"].items() if "." not in name}


def _measured(
    settings: Settings, fleet: FleetSpec, later: dict[str, Any], shown: list[dict[str, Any]]
) -> list[Metrics]:
    frozen = read_training_set(place_of(settings, later["training_set"]))
    test, classify = frozen.rows.of("test"), isinstance(fleet.task, FailureWithin)
    contents = [load_artefact(settings, fleet, s["version"]) for s in shown]
    return [
        metrics_of(
            test.label, run_onnx(content, features_for(settings, fleet, content, frozen)), classify, test.sample_weight
        )
        for content in contents
    ]
