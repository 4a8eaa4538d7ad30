"""The journal of a fleet: what every reader of its topics must know to read them as the others do.

`iot.<fleet>.journal` has one partition and is only appended to. A `TopicSeen` names the id under which Kafka holds a topic: a
topic that was deleted and made anew has another one, and its offsets begin at 0 again. A `Gap` names offsets that nobody will read.
`RulesFrom` and `Claim` settle by which rules each offset is judged (`aimaas/admission/rule_log.py`). `Journal.of` folds the
entries in the order of the log, so that all readers come to the same.

Coordinates of records are `label/partition/offset`. The first id that the journal saw of a topic has the topic's name as its
label, a later one `<name>@<first 8 characters of the id>`, so coordinates stay unique when a topic is made anew.
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

MADE_ANEW = "the topic was deleted and created again"  # why of a gap

log = logger("journal")


class TopicSeen(msgspec.Struct, frozen=True, tag_field=KIND, tag="topic_seen"):
    """Kafka holds `topic` under `id`. Said again it changes nothing."""

    topic: str
    id: str
    at: datetime


class Gap(msgspec.Struct, frozen=True, tag_field=KIND, tag="gap"):
    """Offsets `first` to `last` of a partition that the reader `by` never read; `topic` is a label.

    By `state` are offsets that the scorer answered, and that the state of their devices lacks since.

    `last` is None where nobody can know how many records there were: the topic was deleted with them.
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
        """How many offsets; None where nobody can know."""
        return None if self.last is None else self.last - self.first + 1


Entry = TopicSeen | Gap | RulesFrom | Claim | Rejudged
_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in (TopicSeen, Gap, RulesFrom, Claim, Rejudged))


@dataclass(frozen=True, slots=True)
class Journal:
    """What the entries come to."""

    ids: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # of each topic, in the order in which they were seen
    gaps: tuple[Gap, ...] = ()  # in the order of the log, each once
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
        """Whether this id was seen of the topic."""
        return topic_id in self.ids.get(topic, ())

    def label(self, topic: str, topic_id: str) -> str:
        """The name in coordinates of what Kafka holds under this id."""
        seen = self.ids.get(topic, ())
        return topic if not seen or topic_id == seen[0] else f"{topic}@{topic_id[:8]}"

    def labels(self, topic: str, now: str | None = None) -> tuple[str, ...]:
        """The labels of all that the topic has been, oldest first; its plain name where nothing was seen of it.

        `now` is the id that it has, which the journal may not have seen yet: it is the last then.
        """
        seen = [i for i in self.ids.get(topic, ()) if i != now] + ([] if now is None else [now])
        return tuple(self.label(topic, i) for i in seen) or (topic,)

    def gaps_of(self, topic: str, by: Reader | None = None) -> tuple[Gap, ...]:
        """The gaps of a topic in all that it has been; with `by` of one reader."""
        return tuple(g for g in self.gaps if topic_of(g.topic) == topic and by in (None, g.by))


def decode_entry(value: bytes | None) -> Entry | None:
    """One entry; None for one of a later release. Raises msgspec.MsgspecError (which is a ValueError) for what is no entry."""
    raw: dict[str, Any] = msgspec.json.decode(value or b"", type=dict[str, Any])
    kind = raw.get(KIND)
    if isinstance(kind, str) and kind not in _KINDS:
        return None
    entry: Entry = msgspec.convert(raw, type=Entry, str_keys=True)  # partitions are keys
    return entry


def read_journal(settings: Settings, fleet: FleetSpec) -> Journal:
    """The fleet's journal as it stands now. What cannot be read is logged and passed over. Raises KafkaError.

    It is read up to the last entry that anybody has written, and waits for transactions that are open before that one: no entry can
    turn up later in front of what was read.
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
    """The label of what Kafka holds under the topic's name now, whether the journal has seen it or not. Raises KafkaError."""
    return read_journal(settings, fleet).label(topic, topic_ids(settings, [topic])[topic])


def append_to_journal(settings: Settings, fleet: FleetSpec, entries: Iterable[Entry]) -> None:
    """Append entries; returns when the broker has them. Raises KafkaError."""
    topic, written = topic_names(fleet).journal, list(entries)
    if not written:
        return
    records = [(entry.topic.encode(), msgspec.json.encode(entry)) for entry in written]
    write_records(settings, topic, records, f"append to {topic}")


def note_topics(settings: Settings, fleet: FleetSpec, topics: Iterable[str], now: datetime) -> Journal:
    """The journal once it has seen the ids that these topics have now; appends those that it lacks. Raises KafkaError."""
    ids, journal = topic_ids(settings, list(topics)), read_journal(settings, fleet)
    new = [TopicSeen(topic, found, now) for topic, found in ids.items() if not journal.knows(topic, found)]
    append_to_journal(settings, fleet, new)
    return read_journal(settings, fleet) if new else journal
