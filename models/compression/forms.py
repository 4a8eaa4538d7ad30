"""The forms in which a model may ship, each built from the trained model and the rows that it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from models.compression.graphs import in_int8, is_neural, optimised
from models.compression.smaller import has_networks, has_trees, pruned, student_network, student_trees
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


def forms_of(source: Source) -> dict[str, Build]:
    """Return the forms to try, by name: nothing is smaller than a linear model, and only networks have layers."""
    forms: dict[str, Build] = {PLAIN: lambda s: s.plain, "optimised": lambda s: s.optimised}
    neural, trees = is_neural(source.plain), has_trees(source.estimator)
    if neural:
        forms["int8"] = lambda s: s.int8(s.plain)
    if has_networks(source.estimator):
        forms["pruned_networks"] = lambda s: optimised(s.exported(pruned(s.estimator, s.samples, s.seed)))
    if trees:
        forms["student_boosting"] = lambda s: s.boosted_student()
    if neural or trees:
        for name, hidden in _STUDENTS.items():
            forms[name] = lambda s, h=hidden: optimised(s.student(h))  # type: ignore[misc]
    return forms
