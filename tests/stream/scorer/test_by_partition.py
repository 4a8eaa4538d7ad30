"""What of a batch is taken: each offset once, whatever a rebalance or a rewind left in the client's queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from stream.scorer import scoring
from stream.scorer.scoring import by_partition


@dataclass
class Message:
    at: int

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at


@dataclass
class State:
    position: int


@pytest.mark.parametrize(
    ("offsets", "position", "taken", "told"),
    [
        ([5, 6, 7], 5, [5, 6, 7], 0),
        ([8, 11], 5, [8, 11], 0),  # markers of transactions take offsets
        ([3, 4, 5, 6], 5, [5, 6], 2),
        ([5, 6, 7, 5, 6, 7, 8], 5, [5, 6, 7, 8], 3),
        ([0, 1, 2], 10_000, [], 3),
    ],
    ids=["in order", "holes", "done already", "fetched twice", "from before a reset"],
)
def test_an_offset_is_taken_once_and_one_that_went_back_is_told(
    offsets: list[int], position: int, taken: list[int], told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[int] = []

    class Log:
        def warning(self, _: str, **said: Any) -> None:
            records.append(said["records"])

    monkeypatch.setattr(scoring, "log", Log())
    states: Any = {0: State(position)}

    found = by_partition([Message(offset) for offset in offsets], states)

    assert [m.at for m in found.get(0, [])] == taken
    assert sum(records) == told
