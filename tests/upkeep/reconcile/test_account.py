"""A day that adds up, and every way in which it may not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from upkeep.reconcile.account import Landed, Logged, Refusals, codes_of, counts_of, gaps_of, has_code, place_of

GOOD = codes_of([0] * 6 + [1] * 4, [0, 1, 2, 4, 5, 6, 0, 1, 2, 3])  # offset 3 is a marker
BAD = codes_of([0, 1], [7, 4])
REFUSED = Refusals(BAD, np.array(["late", "schema"]))
ALL = np.concatenate([GOOD, BAD])
LAKE = Landed(bronze=ALL, admitted=GOOD, quarantined=REFUSED, gold=GOOD)
LOG = Logged(sent=ALL, predicted=GOOD, letters=REFUSED)


def told(lake: Landed, log: Logged) -> list[str]:
    return [gap.what for gap in gaps_of("mill", lake, log)]


def test_a_day_that_adds_up_has_no_gap() -> None:
    assert told(LAKE, LOG) == []
    assert counts_of(LAKE, LOG) == {
        "sent": 12, "landed": 12, "admitted": 10, "quarantined": 2, "in_gold": 10, "predicted": 10, "dead_lettered": 2,
    }  # fmt: skip


def without(codes: Any, *places: int) -> Any:
    return np.delete(codes, places)


def doubled(codes: Any) -> Any:
    return np.append(codes, codes[:1])


@pytest.mark.parametrize(
    ("lake", "log", "gaps"),
    [
        ({"bronze": without(ALL, 0)}, {}, ["sent and not landed", "admitted or quarantined but not landed"]),
        ({}, {"sent": without(ALL, 0)}, ["landed and not on the topic"]),
        ({"bronze": doubled(ALL)}, {}, ["landed twice"]),
        ({"admitted": without(GOOD, 3), "gold": without(GOOD, 3)}, {}, ["landed and neither admitted nor quarantined"]),
        ({"admitted": doubled(GOOD)}, {}, ["admitted twice"]),
        ({"gold": without(GOOD, 5)}, {}, ["admitted and not in gold"]),
        ({"gold": np.append(GOOD, BAD[1])}, {}, ["in gold and not admitted"]),
        ({"gold": doubled(GOOD)}, {}, ["in gold twice"]),
        ({"set_aside": GOOD[:1]}, {}, ["set aside by an expectation and still in gold"]),
        ({}, {"predicted": without(GOOD, 1, 2)}, ["admitted and not predicted"]),
        ({}, {"predicted": doubled(GOOD)}, ["predicted twice"]),
        ({}, {"predicted": np.append(GOOD, BAD[0])}, ["predicted although refused and never replayed"]),
        ({}, {"letters": Refusals(BAD[:1], REFUSED.reasons[:1])}, ["quarantined without a dead letter"]),
        ({}, {"letters": Refusals(BAD, REFUSED.reasons[::-1])}, ["refused by stream and lake for different reasons"]),
        (
            {},
            {"letters": Refusals(np.append(BAD, GOOD[0]), np.append(REFUSED.reasons, "skew"))},
            ["dead-lettered and admitted by the lake"],
        ),
    ],
)  # fmt: skip
def test_each_gap_has_its_name(lake: dict[str, Any], log: dict[str, Any], gaps: list[str]) -> None:
    assert told(replace(LAKE, **lake), replace(LOG, **log)) == gaps


def test_late_records_that_were_put_in_their_place_belong_in_gold() -> None:
    assert told(replace(LAKE, gold=np.append(GOOD, BAD[0])), LOG) == []


def test_rows_that_an_expectation_set_aside_are_not_missed_in_gold() -> None:
    assert told(replace(LAKE, set_aside=GOOD[:2], gold=GOOD[2:]), LOG) == []


def test_a_replayed_copy_is_predicted_under_its_originals_name() -> None:
    copy = codes_of([0], [8])
    lake = replace(
        LAKE,
        bronze=np.append(ALL, copy),
        admitted=np.append(GOOD, copy),
        gold=np.append(GOOD, copy),
        copies={int(copy[0]): int(BAD[1])},
    )
    log = replace(LOG, sent=np.append(ALL, copy), predicted=np.append(GOOD, BAD[1]))

    assert told(lake, log) == []
    assert told(lake, replace(log, predicted=GOOD)) == ["admitted and not predicted"]


def test_a_refused_event_that_was_scored_by_batch_is_no_gap() -> None:
    assert told(LAKE, replace(LOG, predicted=np.append(GOOD, BAD[0]), by_batch=BAD[:1])) == []


UNANSWERED = Refusals(np.append(BAD, GOOD[:2]), np.append(REFUSED.reasons, ["no_prediction"] * 2))


def test_an_admitted_event_that_the_model_has_no_answer_for_is_no_gap_and_is_counted() -> None:
    log = replace(LOG, predicted=GOOD[2:], letters=UNANSWERED)

    assert told(LAKE, log) == []
    assert counts_of(LAKE, log) == counts_of(LAKE, LOG) | {"predicted": 8, "dead_lettered": 4, "no_prediction": 2}


def test_a_replay_by_batch_gives_an_unanswered_event_its_one_prediction() -> None:
    replayed = replace(LOG, predicted=GOOD, by_batch=GOOD[:2], letters=UNANSWERED)

    assert told(LAKE, replayed) == []
    assert told(LAKE, replace(replayed, by_batch=GOOD[:1])) == [
        "predicted by a scorer and dead-lettered as no_prediction"
    ]


def test_an_event_without_an_answer_that_the_lake_refuses_is_a_gap() -> None:
    letters = Refusals(BAD, np.array(["late", "no_prediction"]))

    assert told(LAKE, replace(LOG, letters=letters)) == ["quarantined without a dead letter"]


def test_what_retention_deleted_is_not_missed() -> None:
    nothing = np.zeros(0, np.int64)

    assert told(LAKE, Logged(nothing, nothing, whole=frozenset())) == []
    assert counts_of(LAKE, Logged(nothing, nothing, whole=frozenset()))["sent"] == 12


def test_a_gap_names_its_records_by_stretches_of_offsets_and_says_what_to_do() -> None:
    (gap,) = gaps_of("mill", replace(LAKE, gold=without(GOOD, 0, 1, 2, 7)), LOG)

    assert str(gap) == (
        "4 admitted and not in gold: partition 0 offset 0 to 2, partition 1 offset 1; run the DAG mill_prepare; "
        "`aimaas gate show` says whether a gate holds them back"
    )


def test_outcomes_have_no_gold_and_no_predictions() -> None:
    lake, log = replace(LAKE, gold=None), Logged(sent=ALL)

    assert told(lake, log) == []
    assert counts_of(lake, log)["predicted"] is None


def test_coordinates_beyond_what_a_code_holds_have_none() -> None:
    largest = 2**12 - 1, 2**44 - 1

    assert has_code(*largest)
    assert place_of(int(codes_of(*largest))) == largest
    assert not has_code(2**12, 0)
    assert not has_code(0, 2**44)


def test_records_of_a_topic_that_was_made_anew_have_codes_of_their_own() -> None:
    old, new = codes_of([0, 1], [5, 5]), codes_of([0, 1], [5, 5], 1)

    assert not set(old.tolist()) & set(new.tolist())
    lake = Landed(bronze=np.concatenate([old, new]), admitted=np.concatenate([old, new]), gold=None)
    (gap,) = gaps_of("mill", lake, Logged(sent=np.concatenate([new, new + 1]), whole=frozenset()))
    assert (
        "sent and not landed: partition 0 offset 6 (of the topic after it was created again, no. 1), partition 1 offset 6"
        in str(gap)
    )
