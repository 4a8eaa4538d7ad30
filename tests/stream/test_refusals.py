"""The limit on dead letters: what counts, what survives, and that nothing drains the topic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.admission import Reason
from aimaas.errors import DeadLetterLimitError
from stream.state.refusals import AT_LEAST, BUCKET_MS, WINDOW_MS, RefusalWindow, check_limit


def window(*reasons: Reason, at_ms: int = 0) -> RefusalWindow:
    made = RefusalWindow()
    made.count(np.full(len(reasons), at_ms, np.int64), np.array(reasons, np.int8))
    return made


def bad(refused: int, judged: int) -> RefusalWindow:
    return window(*[Reason.SCHEMA] * refused, *[Reason.ADMITTED] * (judged - refused))


def test_records_that_are_late_or_come_twice_count_as_neither_judged_nor_refused() -> None:
    made = window(Reason.LATE, Reason.DUPLICATE, Reason.CONFLICT, Reason.ADMITTED)

    assert (made.judged, made.refused) == (2, 1)


@pytest.mark.parametrize(
    ("refused", "judged", "stops"),
    [
        (AT_LEAST - 1, AT_LEAST - 1, False),  # too few to say anything
        (AT_LEAST, 10 * AT_LEAST, False),  # at the limit
        (AT_LEAST + 1, 10 * AT_LEAST, True),
    ],
)
def test_a_share_above_the_limit_stops(refused: int, judged: int, stops: bool) -> None:
    windows = [bad(refused - refused // 2, judged // 2), bad(refused // 2, judged - judged // 2)]  # of two partitions
    if not stops:
        check_limit(windows, 0.1, "t", "of this")
        return
    with pytest.raises(
        DeadLetterLimitError, match=f"t: {refused} of the last {judged} records were refused .*because of this"
    ):
        check_limit(windows, 0.1, "t", "of this")


def test_what_is_older_than_the_window_by_the_brokers_clock_counts_no_more() -> None:
    made = bad(5, 9)

    made.count(np.array([WINDOW_MS - 1], np.int64), np.zeros(1, np.int8))
    assert (made.judged, made.refused) == (10, 5)
    made.count(np.array([WINDOW_MS + BUCKET_MS], np.int64), np.zeros(1, np.int8))
    assert (made.judged, made.refused) == (2, 0)


def test_nothing_is_to_be_written_while_nothing_is_refused() -> None:
    made = window(Reason.ADMITTED, Reason.LATE)

    assert not made.changed


Records = st.lists(st.tuples(st.integers(0, 3 * WINDOW_MS), st.sampled_from(list(Reason))), max_size=40)


@given(Records, st.integers(0, 40))
def test_counts_are_the_same_however_records_are_cut_into_batches_and_read_back(
    records: list[tuple[int, Reason]], cut: int
) -> None:
    records.sort()  # the broker's clock goes on
    ms, reasons = np.array([r[0] for r in records], np.int64), np.array([r[1] for r in records], np.int8)
    whole, parts = RefusalWindow(), RefusalWindow()
    whole.count(ms, reasons)

    parts.count(ms[:cut], reasons[:cut])
    parts = RefusalWindow.unpack(parts.pack())
    parts.count(ms[cut:], reasons[cut:])

    assert parts.buckets == whole.buckets
