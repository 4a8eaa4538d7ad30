"""The forms in which a model may ship, each built from the trained model and the rows that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from models.compression.graphs import in_half_precision, in_int8, is_neural, optimised
from models.compression.smaller import (
    fewer_trees,
    has_networks,
    has_trees,
    parts_of,
    pruned,
    student_network,
    student_trees,
)
from models.export.export import export
from models.families.scikit import Estimator
from models.samples import Samples

PLAIN = "plain"
_STUDENTS = {"student_128_64_32": (128, 64, 32), "student_64_32": (64, 32)}


@dataclass(frozen=True)
class Source:
    """A trained model, the samples that it was trained on, the target's range and a seed."""

    estimator: Estimator
    samples: Samples
    target_range: tuple[float, float]
    seed: int

    @cached_property
    def plain(self) -> bytes:
        """The model as skl2onnx exports it."""
        return self.exported(self.estimator)

    @cached_property
    def optimised(self) -> bytes:
        """The plain export, simplified."""
        return optimised(self.plain)

    def exported(self, estimator: Estimator, logits: bool = False) -> bytes:
        """Export any model of the same features as ONNX."""
        return export(estimator, self.samples.features.shape[1], self.target_range, logits)

    def student(self, hidden: tuple[int, ...]) -> bytes:
        """A network that learned from the model, as skl2onnx exports it."""
        student = student_network(self.estimator, self.samples, hidden, self.seed)
        return self.exported(student, self._classifies)

    def boosted_student(self) -> bytes:
        """A small boosting that learned from the model."""
        student = student_trees(self.estimator, self.samples, self.seed)
        return optimised(self.exported(student, self._classifies))

    def int8(self, content: bytes) -> bytes:
        """The layers of a file in int8, calibrated with the samples. Scalers stay: one int8 range cannot hold all raw inputs."""
        return in_int8(content, self.samples.features, self.seed)

    @property
    def _classifies(self) -> bool:
        return hasattr(self.estimator, "predict_proba")


Build = Callable[[Source], bytes]


def forms_of(source: Source, others: Sequence[Estimator] = ()) -> dict[str, Build]:
    """Return the forms to try, by name: nothing is smaller than a linear model, only networks have layers, only forests have trees.

    `others` are the other fold models of the candidate, from which the form must be built later. A stack leaves out members without
    weight, so one member alone is a form only if all models have it.
    """
    forms: dict[str, Build] = {PLAIN: lambda s: s.plain, "optimised": lambda s: s.optimised}
    for name in _distinct_members(source.estimator):
        if all(name in _members(other) for other in others):
            forms[f"only_{name}"] = lambda s, n=name: optimised(s.exported(_members(s.estimator)[n]))  # type: ignore[misc]
    neural, trees = is_neural(source.plain), has_trees(source.estimator)
    if neural:
        forms["fp16"] = lambda s: in_half_precision(s.optimised)
        forms["int8"] = lambda s: s.int8(s.plain)
    if has_networks(source.estimator):
        forms["pruned_networks"] = lambda s: optimised(s.exported(pruned(s.estimator, s.samples, s.seed)))
    if trees:
        for share in (2, 4):
            forms[f"trees_1_of_{share}"] = lambda s, k=share: optimised(s.exported(fewer_trees(s.estimator, 1 / k)))  # type: ignore[misc]
        forms["student_boosting"] = lambda s: s.boosted_student()
    if neural or trees:
        for name, hidden in _STUDENTS.items():
            forms[name] = lambda s, h=hidden: optimised(s.student(h))  # type: ignore[misc]
    return forms


def _distinct_members(estimator: Estimator) -> list[str]:
    """Return names of a blend's members; none if all are of one kind, because the best of those is best by chance."""
    members = _members(estimator)
    kinds = {frozenset(type(part) for part in parts_of(member)) for member in members.values()}
    return list(members) if len(kinds) > 1 else []


def _members(estimator: Estimator) -> dict[str, Estimator]:
    """Return the members of a blend by name; none for another model."""
    if not hasattr(estimator, "named_estimators"):
        return {}
    names = [name for name, _ in estimator.estimators]
    return dict(zip(names, estimator.estimators_, strict=True))
