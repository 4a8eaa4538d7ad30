"""Reports how a scorer continues its partitions: to the fleet's journal, to the log and to Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from aimaas.admission.journal import MADE_ANEW, Gap, append_to_journal
from aimaas.fleet import FleetSpec
from aimaas.logs import logger
from aimaas.settings import Settings
from stream.scorer.monitor import Monitor
from stream.state.events_topic import EventsTopic
from stream.state.resume import BEFORE_START, UNRESTORED, Resumption

log = logger("scorer")


def tell(
    settings: Settings, fleet: FleetSpec, topic: EventsTopic, resumed: Mapping[int, Resumption], monitor: Monitor
) -> None:
    """Report the resumptions. The journal comes first, so that no kill hides a gap. The journal counts a repeated entry once."""
    gaps = gaps_of(topic, resumed, datetime.now(UTC))
    append_to_journal(settings, fleet, gaps)
    for gap in gaps:
        say = log.warning if gap.why == BEFORE_START else log.error
        say(_SAID[gap.by], topic=gap.topic, partition=gap.partition, first=gap.first, last=gap.last, why=gap.why)
    anew = sorted(p for p, r in resumed.items() if r.left is not None)
    if anew:
        log.error(
            "the topic was created again: devices start with empty state",
            topic=topic.name,
            label=topic.label,
            partitions=anew,
        )
    lost = sum(len_of(r) for r in resumed.values() if r.why != BEFORE_START)
    monitor.resumed(lost, sum(r.unrestored.end - r.unrestored.begin for r in resumed.values()), len(anew))


_SAID = {"scorer": "events are not scored", "state": "answered events are missing in the state of their devices"}


def len_of(resumed: Resumption) -> int:
    """Return the number of lost offsets."""
    return resumed.lost.end - resumed.lost.begin


def gaps_of(topic: EventsTopic, resumed: Mapping[int, Resumption], now: datetime) -> list[Gap]:
    """Return the journal's entries: offsets no scorer reads, answered offsets that the state lacks, the rest of a deleted topic."""
    found = []
    for p, r in sorted(resumed.items()):
        if r.left is not None:
            topic_id, position = r.left
            label = topic.journal.label(topic.name, topic_id)
            found.append(Gap(label, p, position, None, MADE_ANEW, "scorer", now))
        if len_of(r):
            found.append(Gap(topic.label, p, r.lost.begin, r.lost.end - 1, r.why, "scorer", now))
        if r.unrestored.end > r.unrestored.begin:
            found.append(Gap(topic.label, p, r.unrestored.begin, r.unrestored.end - 1, UNRESTORED, "state", now))
    return found
