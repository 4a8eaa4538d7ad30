"""Runs are counted and ended alike, wherever the parts of a table are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.replay.cells.mistakes import Mistakes
from stream.replay.mapping.schema import Mapping, OutcomeSource
from stream.replay.rows import EVENT, OUTCOME, Rows, empty_rows
from stream.replay.runs import Runs, joined, order_of

FAILED, RETIRED = 1, 3
LONG = Mapping.model_validate(
    {"fleet": "f", "device": "d", "ts": "t", "long": {"tag": "g", "value": "x"}, "readings": {"a": "A", "b": "B"}}
)


def made(cells: list[tuple[int, int, int, int]]) -> Rows:
    """Rows in order, from (device, run, what, ending)."""
    rows = empty_rows(len(cells), 2)
    for i, (device, run, what, ending) in enumerate(sorted(cells, key=lambda c: c[:2])):
        rows[i]["device"], rows[i]["run"], rows[i]["what"], rows[i]["ending"] = device, run, what, ending
        rows[i]["row"] = i
    return rows


def walked(rows: Rows, cuts: list[int]) -> Rows:
    parts = np.split(rows, sorted(c % (len(rows) + 1) for c in cuts))
    runs = Runs(OutcomeSource(last_row="retired"), count_seq=True, count_time=True)
    found = np.concatenate([rows[:0], *runs.walk(parts)])
    assert (runs.rows, runs.events) == (len(rows), int((rows["what"] == EVENT).sum()))
    return found


CELL = st.tuples(
    st.integers(0, 3), st.integers(0, 2), st.sampled_from([EVENT, EVENT, OUTCOME]), st.sampled_from([0, 0, 1])
)


@settings(max_examples=80)
@given(cells=st.lists(CELL, max_size=40), cuts=st.lists(st.integers(0, 50), max_size=6))
def test_the_cut_into_parts_makes_no_difference(cells: list[tuple[int, int, int, int]], cuts: list[int]) -> None:
    rows = made(cells)
    assert walked(rows, cuts).tobytes() == walked(rows, []).tobytes()


def test_events_count_from_one_in_each_run_and_a_run_without_an_outcome_ends_at_its_last_row() -> None:
    found = walked(
        made([(0, 0, EVENT, 0), (0, 0, EVENT, FAILED), (0, 1, EVENT, 0), (1, 0, EVENT, 0), (1, 0, EVENT, 0)]), []
    )
    assert found["seq"].tolist() == [1, 2, 1, 1, 2]
    assert found["time"].tolist() == [0, 1, 2, 0, 1]
    assert found["ending"].tolist() == [0, FAILED, RETIRED, 0, RETIRED]


def test_an_outcome_of_a_table_of_its_own_has_the_place_of_the_event_before_it() -> None:
    found = walked(made([(0, 0, EVENT, 0), (0, 0, OUTCOME, FAILED), (0, 0, EVENT, 0), (1, 0, OUTCOME, FAILED)]), [])
    assert found["seq"].tolist() == [1, 1, 2, 0]
    assert found["ending"].tolist() == [0, FAILED, 0, FAILED]


@settings(max_examples=50)
@given(
    cells=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)), unique=True, max_size=12),
    cuts=st.lists(st.integers(0, 20), max_size=4),
)
def test_values_of_one_device_and_time_become_one_row(cells: list[tuple[int, int, int]], cuts: list[int]) -> None:
    rows = empty_rows(len(cells), 2)
    for i, (device, time, reading) in enumerate(sorted(cells)):
        rows[i]["device"], rows[i]["time"], rows[i]["row"] = device, time, i
        rows[i]["values"][reading] = 10 * device + time
    parts = np.split(rows, sorted(c % (len(rows) + 1) for c in cuts))

    wide = np.concatenate([rows[:0], *joined(parts, LONG, Path("f.csv"), Mistakes())])

    keys = [(int(r["device"]), int(r["time"])) for r in wide]
    assert keys == sorted({cell[:2] for cell in cells})
    for row, (device, time) in zip(wide, keys, strict=True):
        there = [(device, time, reading) in cells for reading in (0, 1)]
        np.testing.assert_array_equal(row["values"], np.where(there, 10 * device + time, np.nan))


def test_rows_are_sorted_by_seq_where_it_is_recorded() -> None:
    assert order_of(LONG)[2] == "time"
    assert order_of(LONG.model_copy(update={"seq": "n"}))[2] == "seq"


def test_contradicting_values_are_counted_in_a_check() -> None:
    rows = empty_rows(3, 2)
    rows["values"][:, 0] = [1, 2, 3]
    rows["time"] = [0, 0, 1]
    mistakes = Mistakes(counting=True)
    wide = np.concatenate(list(joined([rows], LONG, Path("f.csv"), mistakes)))
    assert (len(wide), mistakes.rows) == (1, 1)
    assert "found 1 and 2, allowed: one value" in str(next(iter(mistakes.refused.values())))
    assert pytest.approx(wide["values"][0, 0]) == 3
