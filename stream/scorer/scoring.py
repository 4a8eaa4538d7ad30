"""Judges one batch and puts it into the state of its devices; then answers it by one run of the model and writes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.admission.judge import Reason
from aimaas.admission.judges_by_offset import Judges
from aimaas.fleet import FleetSpec
from aimaas.logs import logger
from aimaas.topics import TopicNames
from stream.alerts.table import Acts, AlertTable
from stream.model.answers import Answered, AnswerWatch
from stream.model.load import Model
from stream.records.dead_letters import DeadLetter, claims_copy, dead_letter, original_of
from stream.records.predictions import Part, predictions_of, unanswered_of
from stream.scorer.output.transaction import Transactions
from stream.state.partition import PartitionState, records_of

log = logger("scorer")

Groups = Mapping[int, Sequence[Any]]  # partition -> messages of confluent-kafka, in order


@dataclass(frozen=True)
class Judged:
    """A batch that waits for the answers of `model`."""

    model: Model
    parts: list[Part]
    answered: Answered = field(default_factory=Answered)

    def __len__(self) -> int:
        return sum(len(part.messages) for part in self.parts)

    def newest_refusal(self) -> str:
        """Return the last record that was refused, in words."""
        for part in reversed(self.parts):
            refused = np.flatnonzero(part.batch.reason)
            if len(refused):
                i = int(refused[-1])
                where = f"partition {part.partition}, offset {part.records.offsets[i]}"
                return f"{where}: {Reason(part.batch.reason[i]).label}: {part.batch.detail[i]}"
        return "none in this batch"


def by_partition(messages: Sequence[Any], states: Mapping[int, PartitionState]) -> dict[int, list[Any]]:
    """Return the messages of owned partitions that are not done yet, by partition and in order.

    A batch may hold messages of other partitions after a rebalance. An offset that is done already, or that comes twice,
    was fetched before a rebalance or a rewind: it is passed over and logged. A hole between offsets is no gap, because
    transaction markers take offsets. If retention deletes unread records, the consumer raises an error.
    """
    found: dict[int, list[Any]] = defaultdict(list)
    for message in messages:
        found[message.partition()].append(message)
    ours = {p: group for p, group in found.items() if p in states}
    for p, group in ours.items():
        ours[p] = _rising(p, group, states[p].position)
    return {p: group for p, group in ours.items() if group}


def _rising(partition: int, messages: list[Any], position: int) -> list[Any]:
    """Return the messages from `position` on with rising offsets."""
    offsets = np.array([m.offset() for m in messages], np.int64)
    highest = np.maximum.accumulate(np.concatenate(([position - 1], offsets[:-1])))
    is_new = offsets > highest
    if is_new.all():
        return messages
    back = np.flatnonzero(~is_new)
    log.warning(
        "offsets went back: skipped", partition=partition, offset=int(offsets[back[0]]), records=len(back), position=position
    )  # fmt: skip
    return [messages[i] for i in np.flatnonzero(is_new).tolist()]


def judge_batch(
    groups: Groups, states: Mapping[int, PartitionState], judges: Mapping[int, Judges], model: Model
) -> Judged:
    """Judge the messages, advance their devices and the partitions' positions.

    Where the rules of a partition change within the batch, its messages become two parts.
    """
    parts = []
    for p, messages in groups.items():
        whole = records_of(messages)
        for judge, stretch in judges[p].parts(whole.offsets):
            records = whole.only(range(len(whole))[stretch]) if len(whole) > stretch.stop - stretch.start else whole
            batch, features = states[p].advance(judge, model.kernel, records)
            parts.append(Part(p, messages[stretch], records, batch, features, judge.fleet.readings))
    return Judged(model, parts)


def _answers(judged: Judged) -> npt.NDArray[np.float32]:
    """Return the model's answers (n,) to the admitted rows of all parts, by one run."""
    every = np.concatenate([part.features for part in judged.parts])
    return judged.model.predict(every) if len(every) else np.zeros(0, np.float32)


def write_batch(
    judged: Judged,
    names: TopicNames,
    label: str,
    fleet: FleetSpec,
    watch: AnswerWatch,
    sources: Callable[[Part], list[str]],
    alerts: Mapping[int, AlertTable],
    transactions: Transactions,
) -> None:
    """Produce a prediction for each answered record and a dead letter for each other record, in the record's own partition.

    So a device's predictions stay in order with any partitioner. `alerts`, the tables by partition, add what fires and
    resolves. `label` is the events topic's label, `watch` counts the answers, `sources` is the result of `sources_of`.
    """
    answers, scored_at = _answers(judged), datetime.now(UTC)
    all_finite = bool(np.isfinite(answers).all())
    without: list[bytes | None] = []  # the keys of records without an answer
    ends = np.cumsum([len(part.features) for part in judged.parts])[:-1]
    for part, its in zip(judged.parts, np.split(answers, ends), strict=True):
        coordinates = sources(part)
        records = predictions_of(part, its, coordinates, judged.model, scored_at)
        transactions.produce(names.predictions, part.partition, records)
        if part.partition in alerts:
            acts = alerts[part.partition].act(part, its, coordinates, judged.model)
            write_acts(acts, names, part.partition, transactions)
        unanswered = {} if all_finite else unanswered_of(part, its, judged.model)
        without += [part.records.keys[i] for i in unanswered]
        letters = _dead_letters(part, unanswered, fleet, label)
        transactions.produce(names.dead_letters, part.partition, [(m.key, m.value, m.headers) for m in letters])
    judged.answered.without = len(without)
    watch.count(judged.model.sequence, len(answers), without)


def write_acts(acts: Acts, names: TopicNames, partition: int, transactions: Transactions) -> None:
    """Produce alerts, and the state of their rules."""
    transactions.produce(names.alerts, partition, acts.alerts)
    transactions.produce(names.state, partition, [(key, value, None) for key, value in acts.state])


def _dead_letters(part: Part, unanswered: Mapping[int, str], fleet: FleetSpec, label: str) -> list[DeadLetter]:
    """Return the letters of refused records and of records without an answer, in the order of the records."""
    whys = {i: (Reason(part.batch.reason[i]), part.batch.detail[i]) for i in np.flatnonzero(part.batch.reason).tolist()}
    if unanswered:
        whys = dict(sorted((whys | {i: (Reason.NO_PREDICTION, why) for i, why in unanswered.items()}).items()))
    return [dead_letter(part.messages[i], reason, detail, fleet, label) for i, (reason, detail) in whys.items()]


def sources_of(
    part: Part,
    topic: str,
    replay_key: str | None = None,
    unproven: Callable[[], None] = lambda: None,
    label: str | None = None,
) -> list[str]:
    """Return `label/partition/offset` of each record.

    A dead letter that a replay with the `replay_key` sent again has the coordinates of its original. `label` is the label
    of `topic`, by default its name. `unproven` is called for each record that claims to be such a copy without proof.
    """
    here = f"{label or topic}/{part.partition}/"
    sources = [f"{here}{offset}" for offset in part.records.offsets.tolist()]
    for i in with_headers(part.messages):
        message = part.messages[i]
        if (original := original_of(message, topic, replay_key)) is not None:
            sources[i] = str(original)
        elif claims_copy(message):
            unproven()
    return sources


def with_headers(messages: Sequence[Any]) -> list[int]:
    """Return the places of the messages that have headers.

    Few messages have them, and asking each message alone would cost more than all other steps.
    """
    try:
        return [i for i, message in enumerate(messages) if message.headers()]
    except UnicodeDecodeError:  # a device may name its headers by any bytes
        return list(range(len(messages)))
