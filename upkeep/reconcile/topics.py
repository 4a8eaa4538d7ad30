"""Reads Kafka's records of one day of a topic, for `aimaas reconcile`: offsets, sources of predictions, and dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from aimaas.fleet import FleetSpec
from aimaas.kafka import begin_offsets, end_offsets, kafka_errors
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_of
from stream.records.dead_letters import Source, header_list, source_of
from stream.records.predictions import BACKFILL_TYPE
from stream.state.log_reader import LogReader, Span
from upkeep.dead_letters.letters import letter_of
from upkeep.dead_letters.log import CLOCKS_MS
from upkeep.reconcile.account import NONE, Codes, Logged, Refusals, codes_of, has_code


class TopicDay:
    """The records of one topic with a broker time from `begin` on and before `end`, and the scorer's results for them.

    `labels` are the labels of all topics that had its name, oldest first; Kafka's records are of the last one.
    """

    def __init__(
        self, settings: Settings, fleet: FleetSpec, labels: Sequence[str], begin: datetime, end: datetime
    ) -> None:
        self._settings, self._fleet, self._topic = settings, fleet, topic_of(labels[0])
        self._makings = {label: n for n, label in enumerate(labels)}
        self._begin_ms, self._end_ms = (int(at.timestamp() * 1e3) for at in (begin, end))

    def read(self) -> Logged:
        """Read all. Raises KafkaError."""
        names = topic_names(self._fleet)
        whole: set[str] = set()
        sent = self._sent(whole)
        if self._topic != names.events:
            return Logged(sent, whole=frozenset(whole))
        predicted, by_batch = self._predicted(names.predictions, whole)
        return Logged(sent, predicted, by_batch, self._letters(names.dead_letters, whole), frozenset(whole))

    def _sent(self, whole: set[str]) -> Codes:
        with kafka_errors(self._settings, f"read {self._topic}"), LogReader(self._settings, self._fleet) as reader:
            ends = end_offsets(self._settings, self._topic)
            begins = reader.spans(self._topic, ends, self._begin_ms)
            until = reader.spans(self._topic, ends, self._end_ms)
            spans = {p: Span(span.begin, until[p].begin) for p, span in begins.items()}
            now = len(self._makings) - 1
            if now == 0 and self._is_whole(self._topic, spans):
                whole.add("sent")
            read = reader.read(self._topic, spans)
            return _joined(codes_of(p, [m.offset() for m in found], now) for p, found in read)

    def _predicted(self, topic: str, whole: set[str]) -> tuple[Codes, Codes]:
        found, by_batch = [], []
        for messages in self._since(topic, "predicted", whole):
            named = [
                (dict(header_list(m) or ()).get("ce_type"), source) for m in messages if (source := self._source(m))
            ]
            found.append(self._codes([source for _, source in named]))
            by_batch.append(self._codes([source for kind, source in named if kind == BACKFILL_TYPE.encode()]))
        return _joined(found), _joined(by_batch)

    def _source(self, prediction: Any) -> Source | None:
        """Return the event of a prediction, a record of the topic."""
        source = source_of(prediction)
        return source if source is not None and self._is_mine(source) else None

    def _is_mine(self, source: Source) -> bool:
        return source.topic in self._makings and has_code(source.partition, source.offset)

    def _codes(self, sources: list[Source]) -> Codes:
        makings = [self._makings[source.topic] for source in sources]
        return codes_of([source.partition for source in sources], [source.offset for source in sources], makings)

    def _letters(self, topic: str, whole: set[str]) -> Refusals:
        mine = [
            (letter.source, letter.reason)
            for messages in self._since(topic, "letters", whole)
            for m in messages
            if (letter := letter_of(m)) is not None and self._is_mine(letter.source)
        ]
        return Refusals(self._codes([source for source, _ in mine]), np.array([reason for _, reason in mine], np.str_))

    def _since(self, topic: str, what: str, whole: set[str]) -> Iterator[list[Any]]:
        """Return the committed records of a topic that may be about the day: all records younger than its begin."""
        ends = end_offsets(self._settings, topic)
        with kafka_errors(self._settings, f"read {topic}"), LogReader(self._settings, self._fleet) as reader:
            spans = reader.spans(topic, ends, max(self._begin_ms - CLOCKS_MS, 0))
            if self._is_whole(topic, spans):
                whole.add(what)
            for _, messages in reader.read(topic, spans):
                yield messages

    def _is_whole(self, topic: str, spans: Mapping[int, Span]) -> bool:
        """Return whether retention has deleted nothing of the spans: an older record is still there, or there was none."""
        begin = begin_offsets(self._settings, topic)
        return all(begin[p] == 0 or span.begin > begin[p] for p, span in spans.items())


def _joined(parts: Iterable[Codes]) -> Codes:
    return np.concatenate([NONE, *parts])
