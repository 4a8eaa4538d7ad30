"""Accounts for every record of a day: compares each sent record with its results, by coordinates. Plain functions of plain data.

A record is a code, `partition * 2**44 + offset` in its topic. So a day of ten million is an array of 80 MB, and a
comparison of two tables takes a second. After the n-th time that a topic was created again, its partitions begin at `n *
2**12`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from aimaas.records.refusal_reasons import Reason

Codes = npt.NDArray[np.int64]

NONE: Codes = np.zeros(0, np.int64)
_PARTITION = 2**44  # offsets below it are exact
_MAKING = 2**12  # most partitions of a topic; it may be created again 127 times
_UNANSWERED = Reason.NO_PREDICTION.label
_SHOWN = 3  # ranges of offsets that a gap names


def codes_of(partition: npt.ArrayLike, offset: npt.ArrayLike, making: npt.ArrayLike = 0) -> Codes:
    """Return codes (n,) of records by partition (n,), offset (n,) and the number of times that the topic was created again (n,)."""
    placed = np.asarray(partition, np.int64) + np.asarray(making, np.int64) * _MAKING
    return placed * _PARTITION + np.asarray(offset, np.int64)


def has_code(partition: int, offset: int) -> bool:
    """Return whether a record can have these coordinates, which come from a header that any sender may write."""
    return partition < _MAKING and offset < _PARTITION


def place_of(code: int) -> tuple[int, int]:
    """Return partition and offset of a code; the partition is the code's own."""
    return divmod(int(code), _PARTITION)


@dataclass(frozen=True)
class Refusals:
    """Refused records, each with its reason: codes (n,) and reasons (n,) as text."""

    codes: Codes = field(default_factory=lambda: NONE)
    reasons: npt.NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, "U16"))

    def of(self, *reasons: str) -> Codes:
        """Return the codes of records with one of the reasons."""
        return self.codes[np.isin(self.reasons, reasons)]

    def but(self, *reasons: str) -> Refusals:
        """Return the records with none of the reasons."""
        kept = ~np.isin(self.reasons, reasons)
        return Refusals(self.codes[kept], self.reasons[kept])


@dataclass(frozen=True)
class Landed:
    """The lake's records of a topic's day. `gold` is None for a topic that makes no rows of gold.

    `set_aside` are admitted records that an expectation keeps out of gold; `copies` maps the code of a replayed record to
    its original's code.
    """

    bronze: Codes = field(default_factory=lambda: NONE)
    admitted: Codes = field(default_factory=lambda: NONE)
    quarantined: Refusals = field(default_factory=Refusals)
    set_aside: Codes = field(default_factory=lambda: NONE)
    gold: Codes | None = None
    copies: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Logged:
    """Kafka's records of a topic's day. `whole` names which of `sent`, `predicted`, `letters` retention has not touched.

    `predicted` are the codes that predictions name, of this day or not, once for each prediction. `by_batch` are the codes
    among them whose prediction no scorer made.
    """

    sent: Codes = field(default_factory=lambda: NONE)
    predicted: Codes = field(default_factory=lambda: NONE)
    by_batch: Codes = field(default_factory=lambda: NONE)
    letters: Refusals = field(default_factory=Refusals)
    whole: frozenset[str] = frozenset({"sent", "predicted", "letters"})


@dataclass(frozen=True)
class Gap:
    """Records in a place where they must not be, or missing in a place where they must be, and what to do."""

    what: str
    codes: Codes
    todo: str = ""

    def __str__(self) -> str:
        """Return one line: the number, the finding, the records, and what to do."""
        return f"{len(self.codes)} {self.what}: {_stretches(self.codes)}" + (f"; {self.todo}" if self.todo else "")


def without(erased: Codes, lake: Landed, log: Logged) -> tuple[Landed, Logged]:
    """Return both accounts without the records that were erased on purpose."""
    if not len(erased):
        return lake, log
    gone = set(erased.tolist())
    copies = {copy: original for copy, original in lake.copies.items() if copy not in gone and original not in gone}
    return (
        Landed(
            _but(lake.bronze, erased),
            _but(lake.admitted, erased),
            _refused_but(lake.quarantined, erased),
            _but(lake.set_aside, erased),
            None if lake.gold is None else _but(lake.gold, erased),
            copies,
        ),
        replace(
            log,
            sent=_but(log.sent, erased),
            predicted=_but(log.predicted, erased),
            by_batch=_but(log.by_batch, erased),
            letters=_refused_but(log.letters, erased),
        ),
    )


def _but(codes: Codes, erased: Codes) -> Codes:
    return codes[~np.isin(codes, erased)]


def _refused_but(found: Refusals, erased: Codes) -> Refusals:
    kept = ~np.isin(found.codes, erased)
    return Refusals(found.codes[kept], found.reasons[kept])


def counts_of(lake: Landed, log: Logged) -> dict[str, int | None]:
    """Count the day's records at each stage; None for stages that the topic does not have.

    `no_prediction` is set if there are any.
    """
    mine = np.union1d(lake.bronze, log.sent)
    events = lake.gold is not None
    unanswered = len(np.intersect1d(mine, log.letters.of(_UNANSWERED)))
    counts = {
        "sent": len(log.sent) if "sent" in log.whole else len(mine),
        "landed": len(np.unique(lake.bronze)),
        "admitted": len(np.unique(lake.admitted)),
        "quarantined": len(np.unique(lake.quarantined.codes)),
        "in_gold": None if lake.gold is None else len(np.unique(lake.gold)),
        "predicted": len(np.intersect1d(mine, _predicted(lake, log))) if events else None,
        "dead_lettered": len(np.intersect1d(mine, log.letters.codes)) if events else None,
    }
    return counts | ({"no_prediction": unanswered} if unanswered else {})


def gaps_of(fleet: str, lake: Landed, log: Logged) -> list[Gap]:
    """Return the contradictions of the account; empty if there are none."""
    found = [*_lake_gaps(fleet, lake, log)]
    if lake.gold is not None:
        found += [*_gold_gaps(fleet, lake, lake.gold), *_prediction_gaps(fleet, lake, log), *_letter_gaps(lake, log)]
    return [gap for gap in found if len(gap.codes)]


def _lake_gaps(fleet: str, lake: Landed, log: Logged) -> list[Gap]:
    judged = np.union1d(lake.admitted, lake.quarantined.codes)
    ingest = f"run the DAG {fleet}_ingest"
    return [
        Gap("sent and not landed", _less(log.sent, lake.bronze), ingest),
        Gap("landed and not on the topic", _less(lake.bronze, log.sent) if "sent" in log.whole else NONE),
        Gap("landed twice", _twice(lake.bronze)),
        Gap("landed and neither admitted nor quarantined", _less(lake.bronze, judged), ingest),
        Gap("admitted or quarantined but not landed", _less(judged, lake.bronze)),
        Gap("both admitted and quarantined", np.intersect1d(lake.admitted, lake.quarantined.codes)),
        Gap("admitted twice", _twice(lake.admitted)),
        Gap("quarantined twice", _twice(lake.quarantined.codes)),
    ]


def _gold_gaps(fleet: str, lake: Landed, gold: Codes) -> list[Gap]:
    """Return gaps in gold: it must hold the admitted records, and the late records that were put in their place later."""
    late = lake.quarantined.of(Reason.LATE.label)
    return [
        Gap(
            "admitted and not in gold",
            _less(_less(lake.admitted, lake.set_aside), gold),
            f"run the DAG {fleet}_prepare; `aimaas gate show` says whether a gate holds them back",
        ),
        Gap("in gold and not admitted", _less(_less(gold, lake.admitted), late)),
        Gap(
            "set aside by an expectation and still in gold",
            np.intersect1d(gold, lake.set_aside),
            f"run the DAG {fleet}_prepare, which rebuilds gold without them",
        ),
        Gap("in gold twice", _twice(gold)),
    ]


def _prediction_gaps(fleet: str, lake: Landed, log: Logged) -> list[Gap]:
    replayed = np.array(sorted(set(lake.copies.values())), np.int64)
    refused = np.intersect1d(lake.quarantined.codes, log.predicted)
    unanswered = log.letters.of(_UNANSWERED)
    missing = _less(_less(lake.admitted, _predicted(lake, log)), unanswered) if "predicted" in log.whole else NONE
    mine = log.predicted[np.isin(log.predicted, np.union1d(lake.bronze, log.sent))]
    return [
        Gap("admitted and not predicted", missing, f"check that `aimaas score --fleet {fleet}` runs and keeps up"),
        Gap("predicted twice", _twice(mine)),
        Gap("predicted by a scorer and dead-lettered as no_prediction", _both(unanswered, log)),
        Gap("predicted although refused and never replayed", _less(_less(refused, log.by_batch), replayed)),
    ]


def _both(unanswered: Codes, log: Logged) -> Codes:
    """Return events without an answer that a scorer predicted all the same; predictions by batch are allowed."""
    codes, times = np.unique(log.predicted, return_counts=True)
    by_batch, batches = np.unique(log.by_batch, return_counts=True)
    times[np.searchsorted(codes, by_batch)] -= batches
    return np.intersect1d(unanswered, codes[times > 0])


def _letter_gaps(lake: Landed, log: Logged) -> list[Gap]:
    """Return gaps of letters: stream and lake must refuse the same records for the same reasons.

    Both admit events without an answer from the model.
    """
    ours, theirs = lake.quarantined, log.letters.but(_UNANSWERED)
    judged = np.union1d(lake.admitted, ours.codes)
    common, i, j = np.intersect1d(ours.codes, theirs.codes, return_indices=True)
    unlike = common[ours.reasons[i] != theirs.reasons[j]]
    missing = _less(ours.codes, theirs.codes) if "letters" in log.whole else NONE
    return [
        Gap("quarantined without a dead letter", missing),
        Gap("dead-lettered and admitted by the lake", _less(np.intersect1d(theirs.codes, judged), ours.codes)),
        Gap("refused by stream and lake for different reasons", unlike),
        Gap("dead-lettered twice", _twice(log.letters.codes[np.isin(log.letters.codes, judged)])),
    ]


def _predicted(lake: Landed, log: Logged) -> Codes:
    """Return the codes that have a prediction: their own, or their original's if they are copies."""
    known = set(log.predicted[np.isin(log.predicted, list(lake.copies.values()))].tolist()) if lake.copies else set()
    copies = [copy for copy, original in lake.copies.items() if original in known]
    return np.union1d(log.predicted, np.array(copies, np.int64))


def _less(these: Codes, those: Codes) -> Codes:
    return np.setdiff1d(these, those)


def _twice(codes: Codes) -> Codes:
    found, times = np.unique(codes, return_counts=True)
    return found[times > 1]


def _stretches(codes: Codes) -> str:
    """Return the first ranges of contiguous offsets, by partition."""
    ordered = np.unique(codes)
    cuts = [0, *(np.flatnonzero(np.diff(ordered) != 1) + 1).tolist(), len(ordered)]
    named = [
        _stretch(int(ordered[a]), int(ordered[b - 1])) for a, b in itertools.islice(itertools.pairwise(cuts), _SHOWN)
    ]
    return ", ".join(named) + (" and more" if len(cuts) - 1 > _SHOWN else "")


def _stretch(first: int, last: int) -> str:
    (partition, begin), (_, end) = place_of(first), place_of(last)
    making, partition = divmod(partition, _MAKING)
    where = f"partition {partition} offset {begin}" + (f" to {end}" if end > begin else "")
    return where + (f" (of the topic after it was created again, no. {making})" if making else "")
