"""The rules that judged the input, for code that restores state without scoring."""

from __future__ import annotations

from collections.abc import Mapping

from aimaas.admission.journal import read_journal
from aimaas.admission.judges_by_offset import Judges, RuleBook
from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from stream.state.topic import TakeUp


def rules_so_far(settings: Settings, fleet: FleetSpec, topic: str) -> TakeUp:
    """Return the judges of partitions by the journal; `topic` is the label of the events topic. Raises KafkaError."""

    def judges(positions: Mapping[int, int]) -> dict[int, Judges]:
        found = read_journal(settings, fleet).rules
        book = RuleBook(fleet, found.versions)
        return {p: book.judges(found.timeline(topic, p)) for p in positions}

    return judges
