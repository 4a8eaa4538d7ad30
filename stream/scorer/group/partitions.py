"""The partitions that a scorer owns, as its steps share them."""

from __future__ import annotations

from dataclasses import dataclass, field

from aimaas.admission.judges_by_offset import Judges
from stream.state.partition import PartitionState


@dataclass
class Partitions:
    """State and judges by partition, and `unsaved` ones: the topics do not hold their position yet. For the loop's thread only."""

    states: dict[int, PartitionState] = field(default_factory=dict)
    judges: dict[int, Judges] = field(default_factory=dict)
    unsaved: set[int] = field(default_factory=set)

    def drop(self, partitions: list[int]) -> None:
        """Forget partitions that belong to others now."""
        for p in partitions:
            self.states.pop(p, None)
            self.judges.pop(p, None)
