"""The records of an alert's episode: when it fires, and when it is resolved."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from aimaas.fleet import FleetSpec
from aimaas.fleet.alert_rules import AlertRule
from aimaas.records.alerts import Alert, encode_alert
from stream.records.predictions import shared_headers
from stream.records.producing import Outgoing

EVENT_TYPE = "aimaas.alert"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Ground(NamedTuple):
    """The event on which a record rests. `values` are the values that a summary can name."""

    run: int
    seq: int | None
    ts: datetime | None
    source: str | None
    prediction: float | None
    model_version: str | None
    values: Mapping[str, float]


def time_of(ms: int) -> datetime:
    """Return the time of milliseconds since 1970, exactly."""
    return _EPOCH + timedelta(milliseconds=ms)


def silent_ground(fleet: FleetSpec, run: int, order: int) -> Ground:
    """Return the last event of a silent device, by what its state holds."""
    by_seq = fleet.order == "seq"
    ts = None if by_seq else _EPOCH + timedelta(microseconds=order)
    return Ground(run, order if by_seq else None, ts, None, None, None, {})


def fired(
    fleet: FleetSpec, name: str, rule: AlertRule, device_id: str, alert_id: str, starts_ms: int, ground: Ground
) -> Alert:
    """Return the `firing` record that begins an episode."""
    known: dict[str, Any] = {
        **ground.values, "fleet": fleet.fleet, "device_id": device_id, "rule": name, "run": ground.run, "seq": ground.seq or 0,
        "model_version": ground.model_version or "",
    }  # fmt: skip
    summary = rule.summary.format(**known) if rule.summary else ""
    return Alert(
        f"{alert_id}:firing", alert_id, fleet.fleet, device_id, name, "firing", rule.severity, time_of(starts_ms), None, "",
        dict(rule.labels), {"summary": summary} if summary else {},
        ground.run, ground.seq, ground.ts, ground.source, ground.prediction, ground.model_version,
    )  # fmt: skip


def resolved(alert: Alert, ends_at: datetime, reason: str, ground: Ground | None = None) -> Alert:
    """Return the `resolved` record that ends the episode of a `firing` record; it rests on the same event if none is given."""
    ended = msgspec.structs.replace(
        alert, id=f"{alert.alert_id}:resolved", status="resolved", ends_at=ends_at, reason=reason
    )
    if ground is None:
        return ended
    return msgspec.structs.replace(
        ended, run=ground.run, seq=ground.seq, ts=ground.ts, source=ground.source, prediction=ground.prediction,
        model_version=ground.model_version,
    )  # fmt: skip


def outgoing(alert: Alert) -> Outgoing:
    """Return the record of the alerts topic. Its time is the alert's, so that a replay of the log gives the same bytes."""
    headers = [*shared_headers(alert.fleet, alert.ends_at or alert.starts_at, EVENT_TYPE), ("ce_id", alert.id)]
    return alert.device_id.encode(), encode_alert(alert), headers
