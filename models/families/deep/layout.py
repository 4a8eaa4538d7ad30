"""How the kernel's row is laid out for a network: the feature vector, then the window."""

from __future__ import annotations

from dataclasses import dataclass

from aimaas.kernel.plan import FeaturePlan


@dataclass(frozen=True)
class Layout:
    """The first `vector` of F features are the feature vector, the others `rows` rows of `channels` channels, oldest first."""

    vector: int
    rows: int
    channels: int

    @classmethod
    def of(cls, plan: FeaturePlan) -> Layout:
        """Return the layout of a plan that asks for the window."""
        return cls(len(plan.vector_names), plan.sequence, len(plan.channels))
