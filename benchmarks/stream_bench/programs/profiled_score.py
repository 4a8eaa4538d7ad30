"""`aimaas score` with a clock around every step: `profiled_score.py FILE score --fleet …` writes seconds by step to FILE.

Time inside a nested step counts for the nested step. `fetch` is the consumer's calls that return events. `wait` is the loop's
wait for its writer. `rest` is the time of the loop's thread between fetches outside all steps. The writer's thread does
`inference`, `encode`, `produce` and `commit` and runs beside the loop's thread, so the steps do not add up to an event's time.
A clock costs a fifth of a microsecond; only `produce` has one for each event.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

_clock = time.perf_counter


class Clocks:
    """Seconds by step, `events` fetched, and the time of the consuming thread between its fetches."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._local = threading.local()
        self._busy_since: float | None = None
        self._within = 0.0

    def timed(self, step: str, call: Callable[..., Any]) -> Any:
        """Return the function with a clock."""

        def clocked(*args: Any, **kwargs: Any) -> Any:
            outer, self._local.inner = getattr(self._local, "inner", 0.0), 0.0
            begin = _clock()
            try:
                return call(*args, **kwargs)
            finally:
                took = _clock() - begin
                self.spent[step] += took - self._local.inner
                self._local.inner = outer + took

        return clocked

    def fetched(self, call: Callable[..., Any]) -> Any:
        """Return the consumer's `consume` with a clock. An empty wait for events is no step."""

        def clocked(consumer: Any, *args: Any, **kwargs: Any) -> Any:
            begin = _clock()
            if self._busy_since is not None:
                self.spent["work"] += begin - self._busy_since - (getattr(self._local, "inner", 0.0) - self._within)
            found = call(consumer, *args, **kwargs)
            end = _clock()
            if found:
                if not self.spent["events"]:  # earlier steps were the warm-up
                    self.spent.clear()
                self.spent["fetch"] += end - begin
                self.spent["events"] += len(found)
            self._busy_since = end if found else None
            self._within = getattr(self._local, "inner", 0.0)
            return found

        return clocked


def main() -> None:
    """Install the clocks, run the command line, write the times."""
    import confluent_kafka

    from aimaas.admission.judge import Judge
    from aimaas.kernel.features import Kernel

    clocks, into = Clocks(), Path(sys.argv.pop(1))

    class Consumer(confluent_kafka.Consumer):  # type: ignore[misc]
        consume = clocks.fetched(confluent_kafka.Consumer.consume)

    class Producer(confluent_kafka.Producer):  # type: ignore[misc]
        produce = clocks.timed("produce", confluent_kafka.Producer.produce)
        poll = clocks.timed("produce", confluent_kafka.Producer.poll)
        commit_transaction = clocks.timed("commit", confluent_kafka.Producer.commit_transaction)
        send_offsets_to_transaction = clocks.timed("commit", confluent_kafka.Producer.send_offsets_to_transaction)

    confluent_kafka.Producer = Producer
    from stream.model import load as models
    from stream.scorer import scoring
    from stream.scorer.group import assignment
    from stream.scorer.output.writer import Writer

    assignment.Consumer = Consumer  # type: ignore[attr-defined]
    Judge.decode = clocks.timed("decode", Judge.decode)  # type: ignore[method-assign]
    Judge.order = clocks.timed("judge", Judge.order)  # type: ignore[method-assign]
    Kernel.advance = clocks.timed("features", Kernel.advance)  # type: ignore[method-assign]
    models.Model.predict = clocks.timed("inference", models.Model.predict)  # type: ignore[method-assign]
    Writer._wait_for = clocks.timed("wait", Writer._wait_for)  # type: ignore[method-assign]
    encode = scoring.predictions_of  # type: ignore[attr-defined]
    scoring.predictions_of = clocks.timed("encode", lambda *given: list(encode(*given)))  # type: ignore[attr-defined]
    from cli.app import main as run

    try:
        run()
    finally:
        into.write_text(json.dumps(clocks.spent))


if __name__ == "__main__":
    main()
