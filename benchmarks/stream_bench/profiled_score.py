"""`aimaas score` with a clock around every step: `profiled_score.py FILE score --fleet …` writes microseconds to FILE at the end.

The clocks themselves cost about a fifth of a microsecond a call; only `produce` is called once for each event.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

_spent: dict[str, float] = defaultdict(float)
_clock = time.perf_counter


def _timed(owner: Any, name: str, step: str, whole: Callable[[Any], Any] = lambda found: found) -> None:
    """Put a clock around `owner.name`; `whole` brings an iterator to its end inside of it."""
    call = getattr(owner, name, None)
    if call is None:
        return

    def timed(*args: Any, **kwargs: Any) -> Any:
        begin = _clock()
        try:
            return whole(call(*args, **kwargs))
        finally:
            _spent[step] += _clock() - begin

    setattr(owner, name, timed)


def _timed_gather(owner: Any) -> None:
    """Waiting for events that do not come is idleness, not fetching."""
    call = owner._gather

    def timed(self: Any) -> Any:
        begin = _clock()
        found = call(self)
        _spent["fetch" if found else "idle"] += _clock() - begin
        _spent["events"] += len(found)
        return found

    owner._gather = timed


def main() -> None:
    """Wrap the steps, run the command line, write what was spent."""
    import stream.loop as loop
    from aimaas.admission import Judge
    from aimaas.cli import main as run
    from aimaas.features import Kernel
    from stream.models import Model
    from stream.partition_state import PartitionState
    from stream.transaction import Transactions

    into = Path(sys.argv.pop(1))
    for owner, name, step in (
        (Judge, "decode", "decode"), (Judge, "_parse", "decode.parse"), (Judge, "_columns", "decode.columns"),
        (Judge, "_judge_values", "decode.judge_values"), (Judge, "_judge_names", "decode.judge_names"),
        (Judge, "order", "judge"), (Kernel, "advance", "features"), (Model, "predict", "inference"),
        (PartitionState, "_note_dirty", "note_dirty"), (PartitionState, "advance", "advance"),
        (Transactions, "produce", "produce"), (Transactions, "begin", "begin"), (Transactions, "poll", "poll"),
        (loop, "records_of", "columns"), (loop.Scorer, "commit", "commit"), (loop.Scorer, "_save", "commit.snapshots"),
        (loop.Scorer, "_by_partition", "by_partition"), (loop.Scorer, "_score", "score"), (loop.Scorer, "_turn", "turn"),
    ):  # fmt: skip
        _timed(owner, name, step)
    _timed(loop, "prediction_records", "encode", list)
    _timed_gather(loop.Scorer)
    started = loop.Scorer._warm_up

    def warm_up(self: Any) -> None:
        started(self)
        _spent.clear()

    loop.Scorer._warm_up = warm_up  # type: ignore[method-assign]
    try:
        run()
    finally:
        into.write_text(json.dumps(_spent))


if __name__ == "__main__":
    main()
