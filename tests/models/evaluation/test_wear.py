"""The speed of wear is told by the length of lives that were seen to fail."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from aimaas.training.rows import Rows
from models.evaluation.wear import SPEEDS, life_lengths, thirds

CAP = 20.0


def rows(*lives: tuple[str, int, Sequence[float], float | None], scale: float = 1.0) -> Rows:
    """Rows at the moments of each life: device, run, moments, and when it failed, None where it goes on."""
    device, run, order, label = [], [], [], []
    for name, number, moments, failure in lives:
        for at in moments:
            device.append(name)
            run.append(number)
            order.append(at * scale)
            label.append(CAP if failure is None else min(failure - at, CAP))
    n = len(order)
    return Rows(
        np.array(device, object), np.array(run), np.array(order, np.int64), np.full(n, "test", object),
        np.array(label, np.float32), np.zeros((n, 1), np.float32),
    )  # fmt: skip


def test_a_life_lasts_from_its_first_row_to_its_failure_also_where_the_label_is_capped() -> None:
    found = rows(("a", 0, range(0, 50, 10), 45), ("b", 0, [3, 5], 9))
    assert life_lengths(found, CAP, 1.0) == pytest.approx([45] * 5 + [6] * 2, abs=1e-4)


def test_a_life_that_goes_on_has_no_length_and_takes_none_of_the_next_device() -> None:
    found = rows(("a", 0, [0, 10], None), ("b", 0, [0, 10], 15), ("b", 1, [20, 30], None))
    lengths = life_lengths(found, CAP, 1.0)
    assert np.isnan(lengths[[0, 1, 4, 5]]).all()
    assert lengths[[2, 3]] == pytest.approx([15, 15], abs=1e-4)


def test_lives_of_one_run_that_failed_twice_are_told_apart_in_any_unit_of_the_order() -> None:
    found = rows(("a", 0, [0, 10, 20, 40], 40), ("a", 0, [41, 45, 50], 55), scale=3_600_000_000)
    assert life_lengths(found, CAP, 3_600_000_000) == pytest.approx([40] * 4 + [14] * 3, abs=1e-4)


def test_a_third_of_the_lives_are_fast_and_their_rows_do_not_count() -> None:
    lives = [(f"d{i}", 0, range(0, 10 * (i + 1), 2), 10 * (i + 1)) for i in range(9)]
    found = rows(*lives, ("alive", 0, [0, 5], None))
    speed = thirds(found, life_lengths(found, CAP, 1.0))
    of = {name: SPEEDS[speed[found.device_id == name][0]] for name, *_ in lives}
    assert list(of.values()) == ["fast"] * 3 + ["middle"] * 3 + ["slow"] * 3
    assert set(speed[found.device_id == "alive"]) == {-1}


def test_few_lives_have_no_thirds() -> None:
    found = rows(*[(f"d{i}", 0, [0, 5], 10 + i) for i in range(5)])
    assert set(thirds(found, life_lengths(found, CAP, 1.0))) == {-1}
    assert life_lengths(found.at(slice(0, 0)), CAP, 1.0).shape == (0,)
