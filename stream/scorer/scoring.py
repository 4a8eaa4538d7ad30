"""One batch: judged, put into the state of its devices, and answered by one run of the model over all partitions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.admission import Judge, Reason
from aimaas.fleet import FleetSpec
from aimaas.topics import TopicNames
from stream.model.load import Model
from stream.records.dead_letters import dead_letter, original_of
from stream.records.predictions import Part, predictions_of
from stream.scorer.outbox import Outbox
from stream.state.partition import PartitionState, records_of

Groups = Mapping[int, Sequence[Any]]  # partition -> messages of confluent-kafka, in order


@dataclass(frozen=True)
class Scored:
    """A batch with its answers."""

    model: Model
    at: datetime
    parts: list[Part]

    def reasons(self) -> npt.NDArray[np.int64]:
        """Records by reason, indexed by `Reason`."""
        counts = np.zeros(len(Reason), np.int64)
        for part in self.parts:
            counts += np.bincount(part.batch.reason, minlength=len(Reason))
        return counts

    def newest_refusal(self) -> str:
        """The last record that was refused, in words."""
        for part in reversed(self.parts):
            refused = np.flatnonzero(part.batch.reason)
            if len(refused):
                i = int(refused[-1])
                where = f"partition {part.partition}, offset {part.records.offsets[i]}"
                return f"{where}: {Reason(part.batch.reason[i]).label}: {part.batch.detail[i]}"
        return "of none in this batch"


def by_partition(messages: Sequence[Any], states: Mapping[int, PartitionState]) -> dict[int, list[Any]]:
    """Messages that are ours and not done yet, by partition in order: a rebalance may leave others in a batch."""
    found: dict[int, list[Any]] = defaultdict(list)
    for message in messages:
        found[message.partition()].append(message)
    ours = {p: group for p, group in found.items() if p in states}
    for p, group in ours.items():
        position = states[p].position
        if group[0].offset() < position:
            ours[p] = [m for m in group if m.offset() >= position]
    return {p: group for p, group in ours.items() if group}


def score_batch(groups: Groups, states: Mapping[int, PartitionState], judge: Judge, model: Model) -> Scored:
    """Judge the messages, advance their devices and with them the partitions' positions, and run the model once."""
    work = []
    for p, messages in groups.items():
        records = records_of(messages)
        batch, features = states[p].advance(judge, model.kernel, records)
        work.append((p, messages, records, batch, features))
    every = np.concatenate([features for *_, features in work])
    answers = model.predict(every) if len(every) else np.zeros(0, np.float32)
    ends = np.cumsum([len(features) for *_, features in work])[:-1]
    parts = [Part(*of[:4], part) for of, part in zip(work, np.split(answers, ends), strict=True)]
    return Scored(model, datetime.now(UTC), parts)


def write_batch(scored: Scored, outbox: Outbox, names: TopicNames, fleet: FleetSpec) -> None:
    """Produce a prediction for each admitted record and a dead letter for each other, in the partition that the record has.

    So a device's predictions stay in order whoever partitions the events.
    """
    for part in scored.parts:
        sources = sources_of(part, names.events)
        predictions = predictions_of(part, sources, scored.model, scored.at)
        outbox.produce(names.predictions, part.partition, predictions)
        letters = [
            dead_letter(part.messages[i], Reason(part.batch.reason[i]), part.batch.detail[i], fleet)
            for i in np.flatnonzero(part.batch.reason).tolist()
        ]
        outbox.produce(names.dead_letters, part.partition, [(m.key, m.value, m.headers) for m in letters])


def sources_of(part: Part, topic: str) -> list[str]:
    """`topic/partition/offset` of each record; of a dead letter that was sent again, those of the original."""
    here = f"{topic}/{part.partition}/"
    sources = [f"{here}{offset}" for offset in part.records.offsets.tolist()]
    for i in with_headers(part.messages):
        if (original := original_of(part.messages[i], topic)) is not None:
            sources[i] = str(original)
    return sources


def with_headers(messages: Sequence[Any]) -> list[int]:
    """Places of the messages that have headers; few do, and to ask each of them alone would cost more than the rest."""
    try:
        return [i for i, message in enumerate(messages) if message.headers()]
    except UnicodeDecodeError:  # a device may name its headers by any bytes
        return list(range(len(messages)))
