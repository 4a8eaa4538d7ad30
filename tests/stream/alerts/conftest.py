"""A partition of a small fleet with alert rules, without Kafka: events go in, alerts and state records come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np

from aimaas.admission.judge import Judge
from aimaas.alerts.rules import AlertRules
from aimaas.fleet import FleetSpec
from aimaas.kernel.features import kernel_of
from aimaas.kernel.plan import plan_of
from aimaas.records.alerts import Alert, SavedRules, decode_saved
from aimaas.records.events import encode_event
from stream.alerts.table import AlertTable
from stream.model.load import Model
from stream.records.predictions import Part
from stream.state.partition import PartitionState, Records
from stream.state.records import RULES
from tests.stream.conftest import fit_for

_alert = msgspec.json.Decoder(Alert)


class Sent(NamedTuple):
    """An event: the model answers its `reading` times 10; NaN stands for an event without an answer."""

    device: str
    reading: float
    broker_ms: int


def fleet_with(rules: Mapping[str, Any], **limits: Any) -> FleetSpec:
    return FleetSpec.model_validate(
        {
            "fleet": "presses",
            "version": 1,
            "sensors": {"load": {"name": "load", "unit": "1", "range": [-1e6, 1e6], "nullable": True, "fill": 0}},
            "derived": {"double": "load * 2"},
            "task": {"kind": "remaining_useful_life", "unit": "cycles", "cap": 10},
            "training": {"candidates": {"ridge": {}}},
            "rules": rules,
            "limits": limits,
            "topics": {"partitions": 1, "partitioner": "any"},
        }
    )


class Answering:
    """A model of which a table reads the version and the interval."""

    version = "7"

    def interval(self, answers: Any) -> tuple[list[float], list[float]]:
        return (answers - 5).tolist(), (answers + 5).tolist()


@dataclass
class Partition:
    """One partition of the fleet; `restart` takes memory from what the state topic would hold."""

    fleet: FleetSpec
    alerts: list[Alert] = field(default_factory=list)
    topic: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = PartitionState.empty(self.fleet, 0, 0)
        self._kernel = kernel_of(plan := plan_of(self.fleet), fit_for(plan))
        self._seq: dict[str, int] = {}
        self.restart()

    def restart(self, fleet: FleetSpec | None = None) -> None:
        self.fleet = fleet or self.fleet
        self._rules, now = AlertRules(self.fleet), datetime(2026, 12, 1, tzinfo=UTC)
        self.table = AlertTable.restored(self._rules, self.fleet, self.state.devices, self.saved(), now)
        self._keep()

    def saved(self) -> dict[str, SavedRules]:
        return {(d := key[len(RULES) :].decode()): decode_saved(d, value) for key, value in self.topic.items()}

    def send(self, sent: Sequence[Sent]) -> None:
        """Put events into the state and through the rules, in one batch."""
        values = [self._encoded(one) for one in sent]
        first = self.state.position
        records = Records(
            [one.device.encode() for one in sent], values, np.arange(first, first + len(sent)),
            np.array([one.broker_ms for one in sent], np.int64),
        )  # fmt: skip
        judge = Judge(self.fleet)
        batch, features = self.state.advance(judge, self._kernel, records)
        part = Part(0, [], records, batch, features, judge.fleet.readings)
        answers = (batch.values[batch.admitted, 0] * 10).astype(np.float32)
        sources = [f"iot.presses.events/0/{offset}" for offset in records.offsets]
        self._note(self.table.act(part, answers, sources, cast(Model, Answering())))

    def pass_time(self, now_ms: int) -> None:
        self.table.pass_time(now_ms)
        self._keep()

    def _keep(self) -> None:
        self._note(self.table.take())

    def _note(self, acts: Any) -> None:
        self.alerts += [_alert.decode(value) for _, value, _ in acts.alerts]
        for key, value in acts.state:
            if value is None:
                del self.topic[key]  # fails if a deletion is written for nothing
            else:
                self.topic[key] = value

    def _encoded(self, one: Sent) -> bytes:
        seq = self._seq[one.device] = self._seq.get(one.device, -1) + 1
        at = datetime.fromtimestamp(one.broker_ms / 1e3, UTC)
        reading = None if np.isnan(one.reading) else one.reading
        return encode_event(self.fleet.fleet, one.device, 0, seq, at, {"load": reading})
