"""Records in the journal from which offset the scorer's fleet file applies, before it judges any record by it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from aimaas.admission.journal import read_journal
from aimaas.admission.judges_by_offset import Judges, RuleBook
from aimaas.admission.rule_log import RulesFrom
from aimaas.fleet import FleetSpec
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.records.exclusive_writer import ExclusiveWriter, Write

log = logger("scorer.rules")
_RIVAL = "another scorer with the same --instance took over: give every scorer its own --instance"


class Rules:
    """The rules of the partitions that are assigned to a scorer."""

    def __init__(self, settings: Settings, fleet: FleetSpec, consumer: Any, instance: str, topic: str) -> None:
        """`consumer` is the group's: entries are fenced by its membership. `topic` is the label of the events topic."""
        self._settings, self._fleet, self._consumer, self._topic = settings, fleet, consumer, topic
        self._work = f"{instance}-rules"

    def take_up(self, positions: Mapping[int, int], committed: Mapping[int, int]) -> dict[int, Judges]:
        """Return the judges of partitions in which all offsets before `positions` are answered. Raises KafkaError.

        `committed` are offsets that the group may be given: its own, or the positions if it has none.

        1. read the journal; 2. if its newest rules are not this fleet file's, append from where these apply; 3. read the
        journal again, since claims of the lake may precede the new entry.
        """
        found = read_journal(self._settings, self._fleet).rules
        entries = found.by_scorer(self._fleet, self._topic, positions, datetime.now(UTC))
        if entries:
            if not self._append(entries, committed):
                log.warning(
                    "the group reassigned the partitions: the next owner writes which rules apply",
                    partitions=sorted(positions),
                )
            found = read_journal(self._settings, self._fleet).rules
        book = RuleBook(self._fleet, found.versions)
        timelines = {p: found.timeline(self._topic, p) for p in positions}
        later = {p: t.since[-1].offset for p, t in timelines.items() if t.since and t.since[-1].offset > positions[p]}
        if entries or later:
            log.info("rules of the fleet file", digest=book.digest, topic=self._topic, begin_later_at=later)
        return {p: book.judges(timeline) for p, timeline in timelines.items()}

    def _append(self, entries: list[RulesFrom], committed: Mapping[int, int]) -> bool:
        """Append as the owner of the partitions. False if the group has given them to another member."""
        names = topic_names(self._fleet)
        writes = [Write(names.journal, e.topic.encode(), msgspec.json.encode(e), (), 0) for e in entries]
        offsets = {p: committed[p] for entry in entries for p in entry.offsets}
        with ExclusiveWriter(self._settings, self._fleet, self._work, "say the rules", _RIVAL) as writer:
            return writer.write_as_member(writes, names.events, offsets, self._consumer.consumer_group_metadata())
