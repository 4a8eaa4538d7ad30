"""The product's training, from a frozen training set to the form that ships."""

from __future__ import annotations

from typing import NamedTuple

from aimaas.fleet import FleetSpec
from aimaas.training.training_set import TrainingSet
from models.compression.choose import Shipped, compress
from models.export.export import export, parity
from models.families.candidates import candidates_of
from models.families.scikit import Estimator
from models.samples import Samples
from models.selection.select import cross_validate, fit_chosen, grouped_folds
from models.selection.trial_data import TrialData
from models.task import target_range


class Trained(NamedTuple):
    """The most accurate candidate, its plain export, and the shipped form."""

    estimator: Estimator
    plain: bytes
    shipped: Shipped


def exported(fleet: FleetSpec, estimator: Estimator, samples: Samples) -> bytes:
    """Return the plain export of an estimator, checked against it on the samples by the fleet file's gate."""
    content = export(estimator, samples.features.shape[1], target_range(fleet))
    equal = parity(content, estimator, samples.features, target_range(fleet))
    assert equal.max_rel <= fleet.gates.parity, f"the export differs from the model by {equal.max_rel}"
    return content


def train(fleet: FleetSpec, frozen: TrainingSet) -> Trained:
    """Cross-validate the fleet's candidates, train the best on all rows, export it with its gate, and compress it."""
    training, validation = (Samples.of(frozen.rows.of(name)) for name in ("train", "validation"))
    whole, candidates = Samples.of(frozen.rows), candidates_of(fleet)
    seed = fleet.training.seed
    folds = grouped_folds(training, fleet.training.folds, seed, False)
    trial_data = TrialData(training, validation, folds, target_range(fleet), seed)
    tried = cross_validate(candidates, trial_data, False)
    chosen = min(tried, key=lambda t: t.report.validation)
    estimator = fit_chosen(candidates, chosen.report.name, whole, seed, chosen.report.weights)
    plain = exported(fleet, estimator, whole)
    return Trained(estimator, plain, compress(trial_data, chosen, estimator, whole, fleet.gates.accuracy_allowance))
