"""The state of the alert rules on the devices of one partition.

Predictions, alerts and this state are written in one transaction. The state topic holds, for each device on which a rule is
not inactive, what `aimaas.records.alerts.SavedRule` says; it is written whenever it changes, because a restore could not
compute it again: it depends on the models that served. The writer's thread uses a table, batch after batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aimaas.alerts.machine import (
    FALLS_SILENT,
    FIRES,
    FIRING,
    INACTIVE,
    RESOLVES,
    advance_rules,
)
from aimaas.alerts.rules import AlertRules
from aimaas.fleet import FleetSpec
from aimaas.kernel.state import DeviceState, Forgotten
from aimaas.records.alerts import CLEARED, EVICTED, RETURNED, RULE_REMOVED, Alert, SavedRule, SavedRules, encode_saved
from stream.alerts.columns import columns_of
from stream.alerts.episodes import Ground, fired, outgoing, resolved, silent_ground, time_of
from stream.model.load import Model
from stream.records.predictions import Part
from stream.records.producing import Outgoing
from stream.state.records import StateRecord, rules_record

Int64 = npt.NDArray[np.int64]

_NEVER = 2**62


class Acts(NamedTuple):
    """Records for the alerts topic and for the state topic."""

    alerts: list[Outgoing]
    state: list[StateRecord]


class AlertTable:
    """State of R rules on the devices, by their slots in the partition's `DeviceState`."""

    def __init__(self, rules: AlertRules, fleet: FleetSpec, devices: DeviceState) -> None:
        """Start with no open alert; `devices` are the partition's, as of the position from which the table goes on."""
        self._rules, self._fleet = rules, fleet
        slots = len(devices.count)
        self._status = np.zeros((slots, len(rules)), np.int8)
        self._count, self._since_ms = (np.zeros((slots, len(rules)), np.int64) for _ in range(2))
        self._last = np.column_stack([devices.seen_ms, devices.run, devices.newest])
        self._device_ids = {slot: device_id for device_id, slot in devices.devices}
        self._open: dict[tuple[int, int], Alert] = {}
        self._saved: set[int] = set()  # slots with a record in the state topic
        self._acts = Acts([], [])
        self._watches_silence = bool(len(rules.silence_ms))
        self._clock_ms = int(devices.seen_ms.max(initial=0))  # newest broker time that was read
        self._scan_at_ms = 0 if self._watches_silence else _NEVER

    @classmethod
    def restored(
        cls,
        rules: AlertRules,
        fleet: FleetSpec,
        devices: DeviceState,
        saved: Mapping[str, SavedRules],
        now: datetime,
        gone: str = EVICTED,
    ) -> AlertTable:
        """Go on with what the state topic holds.

        An alert whose rule or whose device is gone is resolved at `now`; `gone` says why devices are. A rule that changed
        keeps an alert that fires, and counts anew otherwise.
        """
        table, slots = cls(rules, fleet, devices), dict(devices.devices)
        for device_id, its in saved.items():
            if device_id in slots:
                table._restore(slots[device_id], device_id, its, now)
            else:
                ended = [resolved(rule.alert, now, gone) for rule in its.values() if rule.alert]
                table._acts.alerts.extend(map(outgoing, ended))
                table._acts.state.append(rules_record(device_id, None))
        return table

    def _restore(self, slot: int, device_id: str, saved: SavedRules, now: datetime) -> None:
        self._saved.add(slot)
        for name, rule in saved.items():
            if name in self._rules.names:
                r = self._rules.names.index(name)
                same = rule.digest == self._rules.digests[r]
                if same:
                    at = slot, r
                    self._status[at], self._count[at], self._since_ms[at] = rule.status, rule.count, rule.since_ms
                elif rule.alert is not None:
                    self._status[slot, r] = FIRING
                if rule.alert is not None:
                    self._open[slot, r] = rule.alert
            elif rule.alert is not None:
                self._acts.alerts.append(outgoing(resolved(rule.alert, now, RULE_REMOVED)))
        if saved != self._saved_rules(slot):
            self._save(slot, device_id)

    @property
    def has_news(self) -> bool:
        """Return whether records wait that belong to no batch; `take` returns them."""
        return bool(self._acts.alerts or self._acts.state)

    @property
    def firing(self) -> dict[str, int]:
        """Return the number of alerts that fire, by rule. Any thread may ask."""
        found = dict.fromkeys(self._rules.names, 0)
        for _, r in list(self._open):
            found[self._rules.names[r]] += 1
        return found

    def act(self, part: Part, answers: npt.NDArray[np.float32], sources: list[str], model: Model) -> Acts:
        """Advance the rules by the admitted rows of `part`, with the model's `answers` (n,) to them; return what to write.

        `sources` are the coordinates of the part's records.
        """
        batch, rows = part.batch, part.batch.admitted
        columns = columns_of(self._rules.values, part, answers, model, self._fleet)
        clock_ms = np.maximum.accumulate(np.maximum(part.records.broker_ms, self._clock_ms))
        given = _Rows(part, rows, columns, answers, sources, model, clock_ms[batch.at[rows]])
        when, clear = self._rules.answers(columns, len(rows))
        done = 0
        for row, gone in batch.forgotten:
            end = int(np.searchsorted(rows, row))
            self._advance(given, slice(done, end), when, clear)
            self.pass_time(int(clock_ms[batch.at[row]]))
            self._evict(gone)
            done = end
        self._advance(given, slice(done, len(rows)), when, clear)
        self.pass_time(int(clock_ms.max(initial=self._clock_ms)))
        return self.take()

    def pass_time(self, now_ms: int) -> None:
        """Fire for the devices that were silent for too long at `now_ms`, up to which the partition was read."""
        self._clock_ms = max(self._clock_ms, now_ms)
        if now_ms < self._scan_at_ms:
            return
        last_ms, scan_at = self._last[:, 0], _NEVER
        due: list[tuple[int, str, int, int]] = []
        for r, silence_ms in enumerate(self._rules.silence_ms.tolist()):
            watched = np.flatnonzero((last_ms > 0) & (self._status[:, r] == INACTIVE))
            late = now_ms - last_ms[watched] > silence_ms
            for slot in watched[late].tolist():
                due.append((int(last_ms[slot]) + silence_ms, self._device_ids[slot], slot, r))
            if not late.all():
                scan_at = min(scan_at, int(last_ms[watched[~late]].min()) + silence_ms + 1)
        self._scan_at_ms = scan_at
        for _, device_id, slot, r in sorted(due):
            self._fall_silent(slot, device_id, r, self._last[slot])
            self._status[slot, r] = FIRING
            self._save(slot, device_id)

    def next_deadline_ms(self) -> int | None:
        """Return the broker time at which a device may be silent for too long; None if none can be."""
        return None if self._scan_at_ms == _NEVER else self._scan_at_ms

    def take(self) -> Acts:
        """Return the records to write, once."""
        acts, self._acts = self._acts, Acts([], [])
        return acts

    def _advance(self, batch: _Rows, span: slice, when: npt.NDArray[np.int8], clear: npt.NDArray[np.int8]) -> None:
        rows = batch.rows[span]
        if not len(rows):
            return
        slots = batch.part.batch.slots[rows]
        self._make_room(int(slots.max()) + 1)
        broker_ms = np.maximum(batch.part.records.broker_ms[batch.part.batch.at[rows]], 0)
        if self._watches_silence:
            self._scan_at_ms = min(self._scan_at_ms, int(broker_ms.min() + self._rules.silence_ms[0]) + 1)
            self._name(slots, batch.part.batch.device_ids, rows)
        mutated = np.zeros(len(rows), np.bool_)
        transitions = np.empty((2 * len(rows) * len(self._rules), 6), np.int64)
        found = advance_rules(
            slots, broker_ms, batch.clock_ms[span], batch.part.batch.run[rows], batch.part.batch.order[rows],
            np.ascontiguousarray(when[span]), np.ascontiguousarray(clear[span]),
            *self._rules.stretches, self._rules.silence_ms,
            self._status, self._count, self._since_ms, self._last, mutated, transitions,
        )  # fmt: skip
        for i, r, kind, *last in transitions[:found].tolist():
            self._transition(batch, span.start + i, int(slots[i]), r, kind, int(broker_ms[i]), last)
        changed = {int(slots[i]): batch.part.batch.device_ids[rows[i]] for i in np.flatnonzero(mutated).tolist()}
        for slot, device_id in changed.items():
            self._save(slot, device_id)

    def _transition(self, batch: _Rows, i: int, slot: int, r: int, kind: int, now_ms: int, last: list[int]) -> None:
        device_id = batch.part.batch.device_ids[batch.rows[i]]
        if kind == FIRES:
            ground, name = batch.ground(i), self._rules.names[r]
            alert_id = f"{name}:{ground.source}"
            self._fire(slot, r, fired(self._fleet, name, self._rules.specs[r], device_id, alert_id, now_ms, ground))
        elif kind == FALLS_SILENT:
            self._fall_silent(slot, device_id, r, np.array(last, np.int64))
        else:
            alert = self._open.pop((slot, r))
            reason = CLEARED if kind == RESOLVES else RETURNED
            self._acts.alerts.append(outgoing(resolved(alert, time_of(now_ms), reason, batch.ground(i))))

    def _fall_silent(self, slot: int, device_id: str, r: int, last: Int64) -> None:
        """Fire an alert of silence. Its id comes from the device's last event."""
        last_ms, run, order = last.tolist()
        name = self._rules.names[r]
        alert_id = f"{name}:{device_id}/{run}/{order}/{last_ms}"
        starts_ms, ground = last_ms + int(self._rules.silence_ms[r]), silent_ground(self._fleet, run, order)
        self._fire(slot, r, fired(self._fleet, name, self._rules.specs[r], device_id, alert_id, starts_ms, ground))

    def _fire(self, slot: int, r: int, alert: Alert) -> None:
        self._open[slot, r] = alert
        self._acts.alerts.append(outgoing(alert))

    def _evict(self, gone: Forgotten) -> None:
        """Resolve the alerts of evicted devices; their slots may be taken by others from now on."""
        for device_id, slot in zip(gone.device_ids, gone.slots.tolist(), strict=True):
            if slot >= len(self._status):
                continue
            for r in range(len(self._rules)):
                alert = self._open.pop((slot, r), None)
                if alert is not None:
                    self._acts.alerts.append(outgoing(resolved(alert, time_of(self._clock_ms), EVICTED)))
            self._status[slot], self._count[slot], self._since_ms[slot], self._last[slot] = 0, 0, 0, 0
            self._device_ids.pop(slot, None)
            self._save(slot, device_id)

    def _saved_rules(self, slot: int) -> SavedRules:
        found = {}
        for r in np.flatnonzero(self._status[slot]).tolist():
            at = slot, r
            found[self._rules.names[r]] = SavedRule(
                self._rules.digests[r], int(self._status[at]), int(self._count[at]), int(self._since_ms[at]), self._open.get(at)
            )  # fmt: skip
        return found

    def _save(self, slot: int, device_id: str) -> None:
        """Write the rules' state on a device; nothing if all are inactive and the topic holds nothing."""
        found = self._saved_rules(slot)
        if found:
            self._acts.state.append(rules_record(device_id, encode_saved(found)))
            self._saved.add(slot)
        elif slot in self._saved:
            self._acts.state.append(rules_record(device_id, None))
            self._saved.discard(slot)

    def _make_room(self, slots: int) -> None:
        more = slots - len(self._status)
        if more > 0:
            more = max(more, len(self._status) // 8)
            for name in ("_status", "_count", "_since_ms", "_last"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros((more, array.shape[1]), array.dtype)]))

    def _name(self, slots: Int64, device_ids: list[str], rows: Int64) -> None:
        """Note the ids of devices that are new."""
        for i in np.flatnonzero(self._last[slots, 0] == 0).tolist():
            self._device_ids[int(slots[i])] = device_ids[rows[i]]


class _Rows(NamedTuple):
    """The admitted rows of a part, with all that a record can name."""

    part: Part
    rows: Int64
    columns: Mapping[str, npt.NDArray[np.float64]]
    answers: npt.NDArray[np.float32]
    sources: list[str]
    model: Model
    clock_ms: Int64

    def ground(self, i: int) -> Ground:
        """Return the event of the admitted row i."""
        row = int(self.rows[i])
        event, answer = self.part.batch.events[row], float(self.answers[i])
        values = {name: float(column[i]) for name, column in self.columns.items()}
        return Ground(
            event.run, event.seq, event.ts, self.sources[int(self.part.batch.at[row])],
            answer if np.isfinite(answer) else None, self.model.version, values,
        )  # fmt: skip
