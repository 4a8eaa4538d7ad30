"""`aimaas fleets try`: judges a fleet's newest events by its fleet file and by a changed one. It writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from aimaas.admission.rules import changes, rules_of
from aimaas.errors import FleetFileError
from aimaas.fleet import FleetSpec
from aimaas.kafka import Record, begin_offsets, end_offsets, read_all, read_between
from aimaas.records.events import Outcome
from aimaas.records.refusal_reasons import REASONS, Reason
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.preview.side import Judgement, Side

MOST = 1_000_000  # events that are read at once, because they lie in memory
_PIECE = 10_000
Decode = Callable[[Sequence[bytes | None], Sequence[bytes | None]], list[Outcome]]  # keys, values -> readable outcomes
Float64 = npt.NDArray[np.float64]


@dataclass
class Reasons:
    """Records refused for one reason by the present and by the changed file, and a record that only the changed file refuses so."""

    now: int = 0
    then: int = 0
    example: str = ""


@dataclass(frozen=True)
class LabelsOf:
    """Labels by one file: how many rows have one, and their mean (NaN without labels)."""

    rows: int
    mean: float


@dataclass
class Preview:
    """The differences. `values` has for each feature the share of common rows in which its value differs."""

    events: int
    rule_changes: list[str]
    refused: dict[Reason, Reasons] = field(default_factory=dict)
    newly_admitted: int = 0
    newly_refused: int = 0
    admitted: tuple[int, int] = (0, 0)
    labelled: tuple[LabelsOf, LabelsOf] | None = None
    other_labels: int = 0
    features: tuple[int, int] = (0, 0)
    new_features: list[str] = field(default_factory=list)
    gone_features: list[str] = field(default_factory=list)
    values: dict[str, float] = field(default_factory=dict)

    @property
    def is_same(self) -> bool:
        """Return whether these events show no difference; a changed rule may show on others."""
        reasons = all(told.now == told.then for told in self.refused.values())
        events = reasons and not (self.newly_admitted or self.newly_refused or self.other_labels)
        return events and not (self.new_features or self.gone_features or self.values)


def preview(settings: Settings, present: FleetSpec, changed: FleetSpec, last: int, decode: Decode) -> Preview:
    """Compare both files on about the `last` events of the topic, an equal share of each partition. Raises KafkaError."""
    records = newest_records(settings, topic_names(present).events, min(last, MOST))
    sent = read_all(settings, topic_names(present).outcomes)
    return compare(present, changed, records, decode([o.key for o in sent], [o.value for o in sent]))


def newest_records(settings: Settings, topic: str, last: int) -> list[Record]:
    """Return the newest records of each partition, at most `last` in all, by partition and offset."""
    begin, end = begin_offsets(settings, topic), end_offsets(settings, topic)
    share = -(-last // max(len(end), 1))
    return read_between(settings, topic, {p: max(begin.get(p, 0), e - share) for p, e in end.items()}, end)


def compare(present: FleetSpec, changed: FleetSpec, records: Sequence[Record], outcomes: Sequence[Outcome]) -> Preview:
    """Compare both files on records by partition and offset."""
    if present.fleet != changed.fleet:
        raise FleetFileError([f"fleet: found {changed.fleet!r}, allowed {present.fleet!r}, the running fleet"])
    same_topic = present.topics.partitions == changed.topics.partitions
    now, then = Side(present, same_topic), Side(changed, same_topic)
    found = Preview(len(records), changes(rules_of(present), rules_of(changed)))
    values, done = _Values(now, then), 0
    for partition, group in groupby(records, key=lambda r: r.partition):
        whole = list(group)
        for begin in range(0, len(whole), _PIECE):
            piece = whole[begin : begin + _PIECE]
            sides = now.judge(partition, piece, done), then.judge(partition, piece, done)
            _count(found, piece, *sides)
            values.add(*sides)
            done += len(piece)
    _compare_labels(found, now, then, outcomes)
    _compare_features(found, now, then, values)
    return found


def _count(found: Preview, piece: Sequence[Record], now: Judgement, then: Judgement) -> None:
    for which, judged in (("now", now), ("then", then)):
        for reason, count in enumerate(np.bincount(judged.reason, minlength=REASONS).tolist()):
            if reason != Reason.ADMITTED and count:
                told = found.refused.setdefault(Reason(reason), Reasons())
                setattr(told, which, getattr(told, which) + count)
    for i in np.flatnonzero((then.reason != now.reason) & (then.reason != Reason.ADMITTED)).tolist():
        told = found.refused[Reason(then.reason[i])]
        told.example = told.example or f"partition {piece[i].partition}, offset {piece[i].offset}: {then.detail[i]}"
    good_now, good_then = now.reason == Reason.ADMITTED, then.reason == Reason.ADMITTED
    found.newly_admitted += int((good_then & ~good_now).sum())
    found.newly_refused += int((good_now & ~good_then).sum())
    found.admitted = found.admitted[0] + int(good_now.sum()), found.admitted[1] + int(good_then.sum())


class _Values:
    """Counts for each common feature the rows, admitted by both files, in which its value differs."""

    def __init__(self, now: Side, then: Side) -> None:
        names, others = now.plan.vector_names, {n: i for i, n in enumerate(then.plan.vector_names)}
        self.names = [n for n in names if n in others]
        self._now = np.array([i for i, n in enumerate(names) if n in others], np.int64)
        self._then = np.array([others[n] for n in self.names], np.int64)
        self._other, self._rows = np.zeros(len(self.names), np.int64), 0

    def add(self, now: Judgement, then: Judgement) -> None:
        _, a, b = np.intersect1d(now.admitted, then.admitted, assume_unique=True, return_indices=True)
        left, right = now.features[a][:, self._now], then.features[b][:, self._then]
        self._other += ((left != right) & ~(np.isnan(left) & np.isnan(right))).sum(axis=0)
        self._rows += len(a)

    def shares(self) -> dict[str, float]:
        """Return the share of the differing rows, by feature, for features that have any."""
        counts = zip(self.names, self._other.tolist(), strict=True)
        return {name: count / self._rows for name, count in counts if count}


def _compare_features(found: Preview, now: Side, then: Side, values: _Values) -> None:
    before, after = now.plan.vector_names, then.plan.vector_names
    found.features = len(before), len(after)
    found.new_features = [n for n in after if n not in set(before)]
    found.gone_features = [n for n in before if n not in set(after)]
    found.values = values.shares()


def _compare_labels(found: Preview, now: Side, then: Side, outcomes: Sequence[Outcome]) -> None:
    (place, label), (other_place, other) = now.labels(outcomes), then.labels(outcomes)
    found.labelled = _told(label), _told(other)
    _, a, b = np.intersect1d(place, other_place, assume_unique=True, return_indices=True)
    left, right = label[a], other[b]
    found.other_labels = int(((left != right) & ~(np.isnan(left) & np.isnan(right))).sum())


def _told(label: Float64) -> LabelsOf:
    known = label[~np.isnan(label)]
    return LabelsOf(len(known), float(known.mean()) if len(known) else float("nan"))
