"""A counter or clock that runs wild harms its device for a few records only: what lies far off is refused until more confirm it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.admission.judge import Judge, Reason
from aimaas.fleet import FleetSpec
from aimaas.kernel.state import DeviceState
from aimaas.records.events import MAX_RUN, MAX_SEQ, encode_event

TS = datetime(2026, 11, 23, 10, tzinfo=UTC)
YEAR_S = 31_536_000
Key = tuple[int, int]  # run and seq, or run and seconds after TS


def fleet(order: str = "seq", **limits: Any) -> FleetSpec:
    return FleetSpec.model_validate({
        "fleet": "pump", "version": 1, "order": order, "sensors": {"x": {"name": "x", "unit": "1", "range": [0, 100]}},
        "features": {"windows": [2]}, "task": {"kind": "remaining_useful_life", "unit": "hours", "cap": 9},
        "training": {"candidates": {"ridge": {}}}, "limits": {"skew_s": 1e9, **limits},
    })  # fmt: skip


def event(spec: FleetSpec, key: Key) -> bytes:
    run, order = key
    seq, ts = (order, TS) if spec.order == "seq" else (0, TS + timedelta(seconds=order))
    return encode_event("pump", "d", run, seq, ts, {"x": 1.0})


class Walk:
    """What the judge says of one device's records, in batches cut at `places`."""

    def __init__(self, spec: FleetSpec, keys: list[Key], places: list[int] | None = None) -> None:
        judge, self.state = Judge(spec), DeviceState.of(spec)
        self.labels: list[str] = []
        self.resets: list[bool] = []
        self.moved: list[bool] = []
        self.details: list[str] = []
        for begin, end in pairwise(places or [0, len(keys)]):
            part = keys[begin:end]
            batch = judge.decode([b"d"] * len(part), [event(spec, key) for key in part])
            judge.order(batch, np.full(len(part), int(TS.timestamp() * 1e3), np.int64), self.state)
            self.labels += [Reason(r).label for r in batch.reason]
            self.resets += batch.reset.tolist()
            self.moved += batch.moved.tolist()
            self.details += [batch.detail.get(i, "") for i in range(len(part))]

    @property
    def packed(self) -> bytes:
        return self.state.pack(0)


FAR = 5_000_000


@pytest.mark.parametrize(
    ("seqs", "expected"),
    [
        ([1, MAX_SEQ, 2, 3], "a j a a"),
        ([1, MAX_SEQ, MAX_SEQ, MAX_SEQ, 2], "a j j j a"),  # sent again, it confirms nothing
        ([1, FAR, FAR + 1, FAR + 2, FAR + 3, 2], "a j j A a l"),
        ([1, FAR, FAR + 2, FAR + 1, FAR + 2, FAR + 3], "a j j j j A"),  # rising from the one that fell
        (
            [1, FAR, FAR + 1, 2, FAR + 2, FAR + 3, FAR + 4],
            "a j j a j j A",
        ),  # an ordinary record shows that it was wrong
        ([1, FAR, 1, FAR + 1, FAR + 2], "a j d j A"),  # one sent again shows nothing
        ([1, FAR, 2 * FAR, 3 * FAR, 3 * FAR + 1, 3 * FAR + 2], "a j j j j A"),  # each step is a jump of its own
        ([1, 1_000_001, 1_000_002], "a a a"),
        ([0, 1_000_001, 1], "a j a"),
        ([MAX_SEQ, 1, 2, 3, 4], "a l l A a"),  # the first record was absurd
        ([MAX_SEQ, 1, 2, 2, 1, 2, 3], "a l l l l l A"),
        ([MAX_SEQ - 1, 1, 2, MAX_SEQ, 3, 4, 5], "a l l a l l A"),
        ([FAR, FAR - 1, FAR - 1_000_000, FAR - 999_999, FAR - 999_998], "a l l l l"),  # late, but near
    ],
)
def test_a_counter_that_lies_far_off_is_refused_until_three_rising_records_confirm_it(
    seqs: list[int], expected: str
) -> None:
    assert told(Walk(fleet(), [(0, seq) for seq in seqs])) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([(0, 1), (MAX_RUN, 1), (0, 2)], "a j a"),
        ([(MAX_RUN, 1), (0, 1), (0, 2), (0, 3), (0, 4)], "a l l A a"),
        ([(MAX_RUN, MAX_SEQ), (0, 1), (0, 2), (0, 3), (0, 4)], "a l l A a"),
        ([(0, 1), (FAR, 1), (FAR, 2), (FAR + 1, 1), (FAR + 1, 2)], "a j j A a"),
        ([(0, FAR), (1, 1), (1, 2)], "a A a"),  # counters begin again with a run
        ([(0, 7), (1, FAR), (1, 8)], "a j A"),  # no run begins so far off
        ([(3, 9), (2, 9), (1, 9), (0, 9), (0, 10)], "a l l l l"),
    ],
)
def test_the_run_is_bounded_like_the_counter(keys: list[Key], expected: str) -> None:
    assert told(Walk(fleet(), keys)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0, 2 * YEAR_S, 1], "a j a"),
        ([0, YEAR_S, YEAR_S + 1], "a a a"),
        ([-40 * YEAR_S, 0, 1, 2, 3], "a j j A a"),  # a clock that was not set
        ([20 * YEAR_S, 0, 1, 2, 3], "a l l A a"),  # ahead of all others, and yet within skew_s
    ],
)
def test_a_clock_is_bounded_in_seconds(seconds: list[int], expected: str) -> None:
    assert told(Walk(fleet("ts"), [(0, s) for s in seconds])) == expected


def test_the_limit_is_the_fleet_files() -> None:
    assert told(Walk(fleet(jump=5), [(0, 1), (0, 6), (0, 12), (6, 7), (5, 7)])) == "a a j j A"
    assert told(Walk(fleet("ts", jump=60), [(0, 0), (0, 60), (0, 121), (70, 61)])) == "a a j A"
    assert told(Walk(fleet(jump=1e11), [(0, 1), (0, 10**11), (MAX_RUN, 0)])) == "a a A"
    assert told(Walk(fleet("ts", jump=1e11), [(0, 0), (0, 25 * YEAR_S)])) == "a a"


def test_the_sentence_says_how_far_the_device_is_and_what_would_confirm_the_jump() -> None:
    assert Walk(fleet(), [(0, 1), (0, MAX_SEQ)]).details[1] == (
        f"run 0, seq {MAX_SEQ} is more than limits.jump above the device's newest: run 0, 1; the third increasing record "
        "in a row is admitted"
    )


def told(walk: Walk) -> str:
    """One letter for each record: admitted (A where a run begins, but for the first), jump, late, duplicate or conflict."""
    begins = [False, *walk.resets[1:]]
    return " ".join(label[0].upper() if reset else label[0] for label, reset in zip(walk.labels, begins, strict=True))


@st.composite
def walks(draw: Any) -> list[Key]:
    """Records of one device, with steps near the limit of 10, far off, and to the ends of what a counter holds."""
    step = st.sampled_from([1, 1, 1, 0, -1, 9, 10, 11, -10, -11, 40, -40])
    run, seq, keys = 0, draw(st.sampled_from([0, 5, MAX_SEQ])), []
    for by_seq, by_run, ends in draw(
        st.lists(st.tuples(step, st.sampled_from([0, 0, 0, 0, 1, -1, 20]), st.integers(0, 30)), max_size=40)
    ):
        run, seq = min(max(run + by_run, 0), MAX_RUN), min(max(seq + by_seq, 0), MAX_SEQ)
        keys.append({0: (MAX_RUN, MAX_SEQ), 1: (0, MAX_SEQ), 2: (MAX_RUN, 0)}.get(ends, (run, seq)))
    return keys


def plain_walk(keys: list[Key], most: int) -> list[str]:
    """The rule, in Python: what becomes of each record, and whether it begins a run."""
    found: list[str] = []
    seen: list[Key] = []
    rising: list[Key] = []
    for key in keys:
        newest = seen[-1] if seen else None
        above = newest is None or key > newest
        signs = 1 if above else -1
        far = newest is not None and any(signs * (a - b) > most for a, b in zip(key, newest, strict=True))
        if newest is None or (above and not far):
            found.append("A" if newest is None or key[0] != newest[0] else "a")
        elif not above and key in seen[-8:]:
            found.append("d")
            continue
        else:
            found.append("j" if above else "l")
            if not far or (rising and key == rising[-1]):
                continue
            goes_on = rising and key > rising[-1] and all(a - b <= most for a, b in zip(key, rising[-1], strict=True))
            rising = [*rising, key] if goes_on else [key]
            if len(rising) < 3:
                continue
            found[-1] = "A"
        rising = []
        seen.append(key)
    return found


@settings(max_examples=300)
@given(walks(), st.lists(st.integers(0, 40), max_size=6))
def test_verdicts_and_state_are_those_of_a_plain_walk_however_the_records_are_cut(
    keys: list[Key], cuts: list[int]
) -> None:
    n, spec = len(keys), fleet(jump=10)
    whole, parts = Walk(spec, keys), Walk(spec, keys, [0, *sorted(min(c, n) for c in cuts), n])
    begins = [label[0].upper() if reset else label[0] for label, reset in zip(whole.labels, whole.resets, strict=True)]
    assert begins == plain_walk(keys, 10)
    assert (parts.labels, parts.resets, parts.details) == (whole.labels, whole.resets, whole.details)
    assert not keys or parts.packed == whole.packed


@settings(max_examples=100)
@given(walks())
def test_just_the_rows_that_moved_change_what_is_kept_of_a_device(keys: list[Key]) -> None:
    spec = fleet(jump=10)
    states = [Walk(spec, keys[:n]).packed if n else b"" for n in range(len(keys) + 1)]
    assert Walk(spec, keys).moved == [a != b for a, b in pairwise(states)]
