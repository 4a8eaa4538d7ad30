"""The alert tables of the partitions that a scorer owns: from the topics, and on when no event comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from aimaas.alerts.rules import AlertRules
from aimaas.fleet import FleetSpec
from aimaas.records.alerts import EVICTED, TOPIC_CREATED_AGAIN, decode_saved
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.alerts.table import AlertTable
from stream.scorer.group.silence import SilenceWatch
from stream.scorer.output.commits import Commits
from stream.scorer.output.transaction import Transactions
from stream.scorer.partitions import Partitions
from stream.scorer.scoring import write_acts
from stream.state.topic import Restored


class Alerting:
    """Keeps `owned.alerts`. Only the loop's thread calls it, also within the callbacks of a rebalance."""

    def __init__(self, settings: Settings, fleet: FleetSpec, owned: Partitions, commits: Commits) -> None:
        self._fleet, self._names, self._owned, self._commits = fleet, topic_names(fleet), owned, commits
        self._rules = AlertRules(fleet)
        self._silence = SilenceWatch(settings, self._names.events) if len(self._rules.silence_ms) else None
        self._restored: set[int] = set()  # partitions whose table has records that no event caused

    def take_up(self, restored: Restored) -> None:
        """Make the tables of restored partitions. Raises StateError. A partition needs none if no rule is or was there."""
        for p, state in restored.states.items():
            saved = {device_id: decode_saved(device_id, value) for device_id, value in state.saved_rules.items()}
            state.saved_rules = {}
            self._owned.alerts.pop(p, None)
            if len(self._rules) or saved:
                gone = EVICTED if restored.resumed[p].left is None else TOPIC_CREATED_AGAIN
                now = datetime.now(UTC)
                table = AlertTable.restored(self._rules, self._fleet, state.devices, saved, now, gone)
                self._owned.alerts[p] = table
                if table.has_news:
                    self._restored.add(p)

    def between_batches(self, now: float, wall_ms: int) -> None:
        """Write what a restore resolved, and fire for devices that were silent for too long in a quiet partition.

        `now` is in monotonic seconds, `wall_ms` the present time. Blocks while the writer has three tasks. Raises
        TransactionAbortedError.
        """
        tables = self._owned.alerts
        for p in self._restored & tables.keys():
            self._write(p, lambda: None)
        self._restored.clear()
        if not len(self._rules):  # all that was left of removed rules is written
            tables.clear()
        if self._silence is None:
            return
        deadlines = {p: at for p, table in tables.items() if (at := table.next_deadline_ms()) is not None}
        positions = {p: state.position for p, state in self._owned.states.items()}
        for p, upto_ms in self._silence.read_up_to(now, wall_ms, deadlines, positions).items():
            if p in tables:
                self._write(p, partial(tables[p].pass_time, upto_ms))

    def _write(self, partition: int, advance: Callable[[], None]) -> None:
        table = self._owned.alerts[partition]

        def work(transactions: Transactions) -> None:
            advance()
            write_acts(table.take(), self._names, partition, transactions)

        self._commits.write([partition], work, 1)
