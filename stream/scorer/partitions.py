"""The partitions that a scorer owns, shared by its steps."""

from __future__ import annotations

from dataclasses import dataclass, field

from aimaas.admission.judges_by_offset import Judges
from stream.alerts.table import AlertTable
from stream.state.partition import PartitionState


@dataclass
class Partitions:
    """State, judges and alert tables by partition. The topics do not hold the position of the `unsaved` ones yet.

    A fleet without alert rules has no tables.

    Only the loop's thread uses it.
    """

    states: dict[int, PartitionState] = field(default_factory=dict)
    judges: dict[int, Judges] = field(default_factory=dict)
    alerts: dict[int, AlertTable] = field(default_factory=dict)
    unsaved: set[int] = field(default_factory=set)

    def drop(self, partitions: list[int]) -> None:
        """Forget partitions that have another owner now."""
        for p in partitions:
            self.states.pop(p, None)
            self.judges.pop(p, None)
            self.alerts.pop(p, None)
