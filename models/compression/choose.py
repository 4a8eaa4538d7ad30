"""The form in which the chosen candidate ships: the cheapest form within the fleet file's allowance of accuracy.

Only the chosen candidate is tried in other forms: all forms of all candidates would take longer than the training itself. The
rehearsal uses the candidate's first fold. Every form of that fold's model predicts the devices that the fold held out and the
validation devices, which neither the model nor the form has seen. The cost is counted (models/compression/cost.py), never timed,
so the same data gives the same bytes; measured times are shown beside it. If the winning form fails its later checks
(models/compression/shipped.py), the next cheapest form is built, and at last the plain export.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import msgspec
import numpy as np

from aimaas.errors import GateFailedError
from aimaas.model.artefact import FormTried
from aimaas.training.report import FormReport
from models.compression.cost import BATCHES, cost_of
from models.compression.forms import PLAIN, Build, Source, forms_of
from models.compression.shipped import Made, cannot_be_made, make
from models.compression.trial_data import answers_of, beside_each_other, source_of
from models.evaluation.evaluate import error_of
from models.export.export import Float32
from models.export.plain_session import cut_differently, interleaved_times, open_session, run_session
from models.families.scikit import Estimator
from models.samples import Samples
from models.selection.select import Tried, one_each
from models.selection.trial_data import TrialData
from models.weights import joined

NOT_ACCURATE, WITHIN, SHIPS = "not accurate enough", "within the allowance", "ships"
NOT_FINITE = "predictions are not finite"
_DEPENDS = "predictions depend on the batch"
_TIMED_ROWS = max(BATCHES)


@dataclass(frozen=True)
class Unseen:
    """Predictions of the first fold's model for its held-out rows and for the validation rows.

    Each part is predicted in the form that the other part would have chosen, so no form is chosen by the rows that it predicts.
    `form` belongs to the validation rows.
    """

    held_out: Float32
    validation: Float32
    form: str


@dataclass(frozen=True)
class Shipped:
    """The file that ships, its form, all forms that were tried, and held-out predictions of fold models in that form."""

    content: bytes
    form: str
    forms: list[FormReport]
    tried: Tried
    unseen: Unseen

    @property
    def counted(self) -> dict[str, FormTried]:
        """The reports of the forms without measured times, which differ between trainings."""
        return {
            f.name: FormTried(f.error, f.bytes, f.cost_us)
            for f in self.forms
            if f.error is not None and f.cost_us is not None
        }


@dataclass(frozen=True)
class Rehearsed:
    """A form of the first fold's model: its file or the reason why there is none, and its held-out and validation predictions."""

    name: str
    content: bytes
    held_out: Float32
    validation: Float32
    refused: str = ""


def compress(trial_data: TrialData, chosen: Tried, estimator: Estimator, samples: Samples, allowance: float) -> Shipped:
    """Choose a form for `estimator`, the chosen candidate trained on all its `samples`, and build it.

    Raises GateFailedError if the predictions of every form depend on the batch.
    """
    final, source = (
        Source(estimator, samples, trial_data.target_range, trial_data.seed),
        source_of(trial_data, chosen, 0),
    )
    forms = forms_of(source)
    rehearsed = beside_each_other(
        [partial(_rehearse, trial_data, source, name, build) for name, build in forms.items()]
    )
    classify = hasattr(estimator, "predict_proba")
    reports = _judged(trial_data, rehearsed, classify, allowance)
    by_name, said = {r.name: r for r in rehearsed}, dict[str, str]()
    left = {r.name: r for r in reports if r.verdict in (WITHIN, NOT_ACCURATE)}
    costs = {name: r.cost_us or 0.0 for name, r in left.items()}
    unseen = unseen_forms(trial_data, [by_name[name] for name in left], costs, classify, allowance)
    while left:
        name = _cheapest(left, allowance)
        if name == PLAIN:
            made, tried = Made(final.plain, []), chosen
        else:
            first = by_name[name]
            made = make(trial_data, chosen, (source, first.content), final, forms[name], allowance)
            answers = [(first.held_out, first.validation), *made.answers]
            tried = chosen if made.refused else _in_form(trial_data, chosen, answers)
        said[name] = made.refused or SHIPS
        if not made.refused:
            verdicts = [msgspec.structs.replace(r, verdict=said.get(r.name, r.verdict)) for r in reports]
            return Shipped(made.content, name, verdicts, tried, unseen)
        del left[name]
    raise GateFailedError(
        f"no form can ship: {'; '.join(f'{n}: {why}' for n, why in said.items())}; nothing was shipped"
    )


def _cheapest(left: Mapping[str, FormReport], allowance: float) -> str:
    errors = {name: r.error for name, r in left.items() if r.error is not None}
    return cheapest(errors, {name: r.cost_us or 0.0 for name, r in left.items()}, allowance)


def cheapest(errors: Mapping[str, float], costs: Mapping[str, float], allowance: float) -> str:
    """Return the cheapest form whose error is at most `allowance` (a share) above the smallest; if equal, the more accurate."""
    limit = min(errors.values()) * (1 + allowance)
    return min((name for name in errors if errors[name] <= limit), key=lambda name: (costs[name], errors[name]))


def _rehearse(trial_data: TrialData, source: Source, name: str, build: Build) -> Rehearsed:
    try:
        content = build(source)
        held_out, validation = answers_of(trial_data, content, 0)
    except Exception as e:  # noqa: BLE001 - onnxruntime's errors share no base class but this, and a form too many must not stop a training
        nothing = np.empty(0, np.float32)
        return Rehearsed(name, b"", nothing, nothing, cannot_be_made(e))
    depends = len(cut_differently(content, trial_data.validation.features)) > 0
    return Rehearsed(name, content, held_out, validation, _DEPENDS if depends else "")


def _judged(trial_data: TrialData, rehearsed: list[Rehearsed], classify: bool, allowance: float) -> list[FormReport]:
    """Return reports of all forms in their order, before one of them ships."""
    truth = np.concatenate([trial_data.training.targets[trial_data.folds[0][1]], trial_data.validation.targets])
    weights = joined(trial_data.training.weight[trial_data.folds[0][1]], trial_data.validation.weight)
    made = [r for r in rehearsed if r.content]
    errors = {r.name: error_of(truth, np.concatenate([r.held_out, r.validation]), classify, weights) for r in made}
    costs = {r.name: cost_of(r.content) for r in made}
    fit = {r.name: errors[r.name] for r in made if not r.refused and np.isfinite(errors[r.name])}
    if not fit:
        raise GateFailedError(
            "the predictions of every form depend on how many rows are scored at once; nothing was shipped"
        )
    limit = min(fit.values()) * (1 + allowance)
    rows = trial_data.validation.features[:_TIMED_ROWS]
    runs = {r.name: partial(run_session, open_session(r.content)) for r in made}
    one, many = (interleaved_times(runs, rows, batch) for batch in BATCHES)
    return [
        FormReport(
            r.name, errors.get(r.name), len(r.content), costs.get(r.name), one.get(r.name), many.get(r.name),
            r.refused or (NOT_FINITE if r.name not in fit else WITHIN if errors[r.name] <= limit else NOT_ACCURATE),
        )
        for r in rehearsed
    ]  # fmt: skip


def unseen_forms(
    trial_data: TrialData, fit: list[Rehearsed], costs: Mapping[str, float], classify: bool, allowance: float
) -> Unseen:
    """Choose among the forms that are `fit` to ship by each of the two parts alone; each choice predicts the other part."""
    held_out, by_name = trial_data.training.at(trial_data.folds[0][1]), {r.name: r for r in fit}

    def best(truth: Samples, said: Mapping[str, Float32]) -> Rehearsed:
        errors = {name: error_of(truth.targets, of, classify, truth.sample_weight) for name, of in said.items()}
        return by_name[cheapest(errors, costs, allowance)]

    of_validation = best(held_out, {r.name: r.held_out for r in fit})
    of_held_out = best(trial_data.validation, {r.name: r.validation for r in fit})
    return Unseen(of_held_out.held_out, of_validation.validation, of_validation.name)


def _in_form(trial_data: TrialData, chosen: Tried, answers: list[tuple[Float32, Float32]]) -> Tried:
    """Return the candidate with the predictions of its fold models in the form that ships."""
    held_out = np.empty(len(trial_data.training))
    for (_, at), (found, _) in zip(trial_data.folds, answers, strict=True):
        held_out[at] = found
    validation = one_each([v.astype(np.float64) for _, v in answers], trial_data.validation.devices)
    return replace(chosen, held_out=held_out, validation=validation)
