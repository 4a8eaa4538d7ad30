"""The form that was chosen is made of the final model and of the other folds' models, and held to what was said of it."""

from __future__ import annotations

import copy
import re
from functools import cache

import numpy as np
import pytest

from aimaas.training.report import CandidateReport
from models.compression import choose
from models.compression.choose import compress
from models.compression.forms import Build, Source
from models.export.export import run_onnx
from models.families.candidates import candidates_of, predict
from models.families.mean import mean_of
from models.families.scikit import Estimator
from models.selection.select import Tried, cross_validate, fit_chosen, grouped_folds
from models.selection.trial_data import TrialData
from tests.models.compression.test_forms import RANGE, samples
from tests.models.conftest import pump_fleet

CANDIDATES = {"ridge": {}, "boosting": {"trees": 24}, "trees": {"trees": 12}, "stack": {}}
MEMBERS = ("ridge", "boosting", "trees")


@cache
def fitted() -> tuple[TrialData, dict[str, Tried], dict[str, Estimator]]:
    """Three folds' models, and the final ones, of single candidates."""
    fleet = pump_fleet({name: CANDIDATES[name] for name in MEMBERS})
    given = samples()
    training, validation = given.at(np.arange(600)), given.at(np.arange(600, 800))
    candidates = candidates_of(fleet)
    data = TrialData(training, validation, grouped_folds(training, 3, 7, False), RANGE, 7)
    tried = cross_validate(candidates, data, False)
    finals = {name: fit_chosen(candidates, name, given, 7) for name in MEMBERS}
    return data, {t.report.name: t for t in tried}, finals


def stack(*by_fold: tuple[str, ...], final: tuple[str, ...]) -> tuple[Tried, Estimator]:
    """A stack whose members are others in each fold, as where a weight falls below the least one."""
    _, tried, finals = fitted()
    of_folds = [mean_of([(m, tried[m].estimators[i]) for m in names]) for i, names in enumerate(by_fold)]
    report = CandidateReport("stack", [1.0] * 3, 1.0, 0.0)
    held_out = np.empty(600)
    for (_, at), model in zip(fitted()[0].folds, of_folds, strict=True):
        held_out[at] = np.clip(predict(model, fitted()[0].training.features[at]), *RANGE)
    validation = np.stack([predict(m, fitted()[0].validation.features) for m in of_folds])
    return Tried(report, held_out, validation.mean(axis=0), tuple(of_folds), validation), mean_of(
        [(m, finals[m]) for m in final]
    )


def test_a_stack_whose_members_differ_between_folds_ships_the_form_that_was_judged() -> None:
    trial_data = fitted()[0]
    chosen, final = stack(("ridge", "boosting"), ("boosting", "trees"), ("boosting", "ridge"), final=("boosting",))
    found = compress(trial_data, chosen, final, samples(), 0.5)
    rows = samples().features
    answers = run_onnx(found.content, rows)
    assert np.std(answers - np.clip(predict(final, rows), *RANGE)) < np.std(samples().targets) / 3
    assert [f.name for f in found.forms if f.verdict == "ships"] == [found.form]


def cheap(s: Source) -> bytes:
    """Always the mean."""
    ridge = copy.deepcopy(fitted()[2]["ridge"])
    ridge[-1].coef_[:] = 0
    return s.exported(ridge)


def late_failure(s: Source) -> bytes:
    if len(s.samples) == len(samples()):
        raise IndexError("list index out of range")
    return s.plain


def other_in_the_end(s: Source) -> bytes:
    return cheap(s) if len(s.samples) == len(samples()) else s.plain


def worse_in_later_folds(s: Source) -> bytes:
    first = fitted()[0].folds[0][0]
    same = len(s.samples) == len(first) and np.array_equal(s.samples.features, fitted()[0].training.features[first])
    return s.plain if same or len(s.samples) == len(samples()) else cheap(s)


@pytest.mark.parametrize(
    ("build", "verdict"),
    [
        (late_failure, r"cannot be built \(list index out of range\)"),
        (other_in_the_end, "differs from the plain export by .* of the target's range, but by .* in the first fold"),
        (worse_in_later_folds, "not accurate enough in the other folds"),
    ],
)
def test_a_form_that_does_not_hold_in_the_end_what_it_promised_gives_way_to_the_next(
    build: Build, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial_data, tried, finals = fitted()
    monkeypatch.setattr(choose, "cost_of", lambda content: 1.0)  # of forms that are alike the first goes first
    for others, ships in ({"second": lambda s: s.plain}, "second"), ({}, "plain"):
        forms = {"first": build, **others, "plain": lambda s: s.plain}
        monkeypatch.setattr(choose, "forms_of", lambda source, forms=forms: forms)
        found = compress(trial_data, tried["boosting"], finals["boosting"], samples(), 0.01)
        assert found.form == ships
        verdicts = {f.name: f.verdict for f in found.forms}
        assert re.match(verdict, verdicts["first"]) and verdicts[ships] == "ships"
        plain = Source(finals["boosting"], samples(), RANGE, 7).plain
        assert found.content == plain
