"""The journal of a fleet: the facts that all readers of its topics share, so that they read the topics in the same way.

`iot.<fleet>.journal` has one partition and is only appended to. A `TopicSeen` names the id under which Kafka holds a topic: a
topic that was deleted and created again has another id, and its offsets begin at 0 again. A `Gap` names offsets that a reader
never read. `RulesFrom` and `Claim` decide which rules judge each offset (`aimaas/admission/rule_log.py`). `Journal.of` folds the
entries in the order of the log, so all readers get the same result.

Coordinates of records are `label/partition/offset`. The label of a topic's first id is the topic's name. The label of a later id
is `<name>@<first 8 characters of the id>`, so coordinates stay unique after a topic is created again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from aimaas.admission.rule_log import KIND, Claim, Rejudged, RuleLog, RulesFrom
from aimaas.fleet import FleetSpec
from aimaas.kafka import begin_offsets, end_offsets, read_between
from aimaas.kafka.topic_ids import topic_ids
from aimaas.kafka.writing import write_records
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_of

Reader = Literal["scorer", "land", "state"]

_SHOWN = 200

MADE_ANEW = "the topic was deleted and created again"  # the `why` of a gap

log = logger("journal")


class TopicSeen(msgspec.Struct, frozen=True, tag_field=KIND, tag="topic_seen"):
    """Kafka holds `topic` under `id`. A repeated entry changes nothing."""

    topic: str
    id: str
    at: datetime


class Gap(msgspec.Struct, frozen=True, tag_field=KIND, tag="gap"):
    """Offsets `first` to `last` of a partition that the reader `by` never read; `topic` is a label.

    A gap by `state` holds offsets that the scorer answered, but that the device state lacks.

    `last` is None if the number of records is unknown, because the topic was deleted.
    """

    topic: str
    partition: int
    first: int
    last: int | None
    why: str
    by: Reader
    at: datetime

    @property
    def events(self) -> int | None:
        """Number of offsets; None if it is unknown."""
        return None if self.last is None else self.last - self.first + 1


Entry = TopicSeen | Gap | RulesFrom | Claim | Rejudged
_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in (TopicSeen, Gap, RulesFrom, Claim, Rejudged))


@dataclass(frozen=True, slots=True)
class Journal:
    """The folded entries of a journal."""

    ids: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # the ids of each topic, in the order in which they were seen
    gaps: tuple[Gap, ...] = ()  # in the order of the log, without repeats
    rules: RuleLog = field(default_factory=RuleLog)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Journal:
        """Fold the entries, in the order of the log."""
        ids: dict[str, tuple[str, ...]] = {}
        gaps: dict[tuple[Any, ...], Gap] = {}
        rules: list[RulesFrom | Claim | Rejudged] = []
        for entry in entries:
            if isinstance(entry, TopicSeen):
                seen = ids.get(entry.topic, ())
                ids[entry.topic] = seen if entry.id in seen else (*seen, entry.id)
            elif isinstance(entry, Gap):
                gaps.setdefault((entry.topic, entry.partition, entry.first, entry.last, entry.by), entry)
            else:
                rules.append(entry)
        return cls(ids, tuple(gaps.values()), RuleLog.of(rules))

    def knows(self, topic: str, topic_id: str) -> bool:
        """Whether the journal has seen this id of the topic."""
        return topic_id in self.ids.get(topic, ())

    def label(self, topic: str, topic_id: str) -> str:
        """The label of the topic in coordinates while it had this id."""
        seen = self.ids.get(topic, ())
        return topic if not seen or topic_id == seen[0] else f"{topic}@{topic_id[:8]}"

    def labels(self, topic: str, now: str | None = None) -> tuple[str, ...]:
        """The labels of all ids of the topic, oldest first; the topic's name if the journal has seen none.

        `now` is the topic's present id, which the journal may not have seen yet. Its label comes last.
        """
        seen = [i for i in self.ids.get(topic, ()) if i != now] + ([] if now is None else [now])
        return tuple(self.label(topic, i) for i in seen) or (topic,)

    def gaps_of(self, topic: str, by: Reader | None = None) -> tuple[Gap, ...]:
        """The gaps of a topic under all its ids; with `by` the gaps of one reader."""
        return tuple(g for g in self.gaps if topic_of(g.topic) == topic and by in (None, g.by))


def decode_entry(value: bytes | None) -> Entry | None:
    """Decode one entry; None for an entry of a later release. Raises msgspec.MsgspecError (a ValueError) if it is no entry."""
    raw: dict[str, Any] = msgspec.json.decode(value or b"", type=dict[str, Any])
    kind = raw.get(KIND)
    if isinstance(kind, str) and kind not in _KINDS:
        return None
    entry: Entry = msgspec.convert(raw, type=Entry, str_keys=True)  # partitions are keys, which JSON holds as strings
    return entry


def read_journal(settings: Settings, fleet: FleetSpec) -> Journal:
    """Read the fleet's journal. Records that are no entries are logged and skipped. Raises KafkaError.

    Reads up to the last written entry, and waits for the transactions that are open before it, so no entry can appear later in
    front of the entries that were read.
    """
    topic = topic_names(fleet).journal
    entries: list[Entry] = []
    end = end_offsets(settings, topic, "read_uncommitted")
    for record in read_between(settings, topic, begin_offsets(settings, topic), end):
        try:
            entry = decode_entry(record.value)
        except (ValueError, RecursionError) as e:
            said = repr((record.value or b"")[:_SHOWN])
            log.error("not a journal entry", topic=topic, offset=record.offset, value=said, error=str(e)[:_SHOWN])
            continue
        if entry is not None:
            entries.append(entry)
    return Journal.of(entries)


def label_now(settings: Settings, fleet: FleetSpec, topic: str) -> str:
    """The label of the topic's present id, whether the journal has seen the id or not. Raises KafkaError."""
    return read_journal(settings, fleet).label(topic, topic_ids(settings, [topic])[topic])


def append_to_journal(settings: Settings, fleet: FleetSpec, entries: Iterable[Entry]) -> None:
    """Append entries; returns when the broker has them. Raises KafkaError."""
    topic, written = topic_names(fleet).journal, list(entries)
    if not written:
        return
    records = [(entry.topic.encode(), msgspec.json.encode(entry)) for entry in written]
    write_records(settings, topic, records, f"append to {topic}")


def note_topics(settings: Settings, fleet: FleetSpec, topics: Iterable[str], now: datetime) -> Journal:
    """Append the present ids of these topics that the journal lacks, and return the journal with them. Raises KafkaError."""
    ids, journal = topic_ids(settings, list(topics)), read_journal(settings, fleet)
    new = [TopicSeen(topic, found, now) for topic, found in ids.items() if not journal.knows(topic, found)]
    append_to_journal(settings, fleet, new)
    return read_journal(settings, fleet) if new else journal
