"""The journal of a fleet whose lake has no broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aimaas.admission.rule_log import RuleLog
from aimaas.fleet import FleetSpec
from spark_jobs.admission.rule_claims import Entry, JudgedBy


@dataclass
class MemoryJournal:
    """A `RuleJournal` in memory."""

    entries: list[Entry] = field(default_factory=list)

    def read(self) -> RuleLog:
        return RuleLog.of(self.entries)

    def append(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


def by_file(fleet: FleetSpec) -> JudgedBy:
    """Everything by the fleet file as it is."""
    return JudgedBy.of(fleet, RuleLog())
