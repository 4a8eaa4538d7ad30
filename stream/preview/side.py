"""Judges recorded events by one fleet file, as a scorer would: reasons, features, and the admitted rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aimaas.admission.judge import Judge
from aimaas.fleet import FleetSpec
from aimaas.kafka import Record
from aimaas.kernel.features import kernel_of
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan, plan_of
from aimaas.kernel.state import DeviceState
from aimaas.labels.lifetimes import NEVER, labels
from aimaas.records.events import Outcome

Int64 = npt.NDArray[np.int64]
Lives = dict[tuple[str, int], list[tuple[int, bool]]]  # (device, run) -> order and whether it failed, of each outcome


@dataclass
class Judgement:
    """n judged records: `reason` (n,), `detail` by place, the places (m,) of the `admitted` ones with `features` (m, F)."""

    reason: npt.NDArray[np.int8]
    detail: dict[int, str]
    admitted: Int64
    features: npt.NDArray[np.float32]


@dataclass
class Rows:
    """The admitted rows so far: place among all records, device, run and order key of each."""

    place: list[Int64] = field(default_factory=list)
    device: list[str] = field(default_factory=list)
    run: list[Int64] = field(default_factory=list)
    order: list[Int64] = field(default_factory=list)


class Side:
    """One of the two fleet files. Devices begin without a history, in any partition."""

    def __init__(self, fleet: FleetSpec, checks_partition: bool) -> None:
        self.fleet, self.plan = fleet, plan_of(fleet)
        self.rows = Rows()
        self._judge, self._kernel = Judge(fleet), kernel_of(self.plan, plain_fit(self.plan))
        self._states: dict[int, DeviceState] = {}
        self._checks_partition = checks_partition

    def judge(self, partition: int, records: Sequence[Record], first: int) -> Judgement:
        """Judge the next records of a partition; `first` is the place of the first among all records."""
        state = self._states.setdefault(partition, DeviceState.of(self.fleet))
        batch = self._judge.decode([r.key for r in records], [r.value for r in records])
        broker_ms = np.array([r.timestamp_ms for r in records], np.int64)
        self._judge.order(batch, broker_ms, state, partition=partition if self._checks_partition else None)
        rows = batch.admitted
        self._note(first + batch.at[rows], [batch.device_ids[r] for r in rows], batch.run[rows], batch.order[rows])
        values = batch.values[rows].astype(np.float32)
        features = self._kernel.advance(state, batch.slots[rows], values, batch.reset[rows])
        return Judgement(batch.reason, batch.detail, batch.at[rows], features)

    def _note(self, place: Int64, device: list[str], run: Int64, order: Int64) -> None:
        self.rows.place.append(place)
        self.rows.device += device
        self.rows.run.append(run)
        self.rows.order.append(order)

    def labels(self, outcomes: Sequence[Outcome]) -> tuple[Int64, npt.NDArray[np.float64]]:
        """Return places (m,) of the admitted rows and their labels (m,), NaN for unknown labels."""
        ends, r = _ends(self.fleet, outcomes), self.rows
        place, run, order = (np.concatenate([np.zeros(0, np.int64), *parts]) for parts in (r.place, r.run, r.order))
        newest, failure, end = (np.full(len(order), NEVER) for _ in range(3))
        for key, rows in _by_run(r.device, run).items():
            _fill(order, rows, ends.get(key, []), newest, failure, end)
        return place, labels(self.fleet, order, newest, failure, end)


def plain_fit(plan: FeaturePlan) -> Fit:
    """Return a fit that leaves the channels unchanged: one regime, mean 0, scale 1."""
    channels = len(plan.channels)
    settings = (0.0,) * plan.settings
    return Fit((settings,), settings, ((0.0,) * channels,), ((1.0,) * channels,))


def _ends(fleet: FleetSpec, outcomes: Sequence[Outcome]) -> Lives:
    """Return the ends of the lives of each run, ascending; of outcomes with one order key a failure counts."""
    found: dict[tuple[str, int], dict[int, bool]] = {}
    for o in outcomes:
        order = o.seq if fleet.order == "seq" else round(o.ts.timestamp() * 1e6)
        ends = found.setdefault((o.device_id, o.run), {})
        ends[order] = ends.get(order, False) or o.kind == "failed"
    return {key: sorted(ends.items()) for key, ends in found.items()}


def _by_run(device: Sequence[str], run: Int64) -> Mapping[tuple[str, int], Int64]:
    places: dict[tuple[str, int], list[int]] = {}
    for i, key in enumerate(zip(device, run.tolist(), strict=True)):
        places.setdefault(key, []).append(i)
    return {key: np.array(rows, np.int64) for key, rows in places.items()}


def _fill(
    order: Int64, rows: Int64, ends: Sequence[tuple[int, bool]], newest: Int64, failure: Int64, end: Int64
) -> None:
    """Fill in the ends of the lives for one run's rows; see `aimaas.labels.lifetimes.labels`."""
    life = np.searchsorted(np.array([o for o, _ in ends], np.int64), order[rows])
    for number in np.unique(life).tolist():
        mine = rows[life == number]
        newest[mine] = order[mine].max()
        if number < len(ends):
            at, failed = ends[number]
            (failure if failed else end)[mine] = at
