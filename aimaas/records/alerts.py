"""Alerts as records: one `firing` and one `resolved` record for each episode of an alert rule on one device."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from aimaas.errors import StateError

AlertStatus = Literal["firing", "resolved"]

CLEARED, RETURNED = "clear", "returned"
EVICTED, FORGOTTEN = "evicted", "forgotten"
RULE_REMOVED, TOPIC_CREATED_AGAIN = "rule removed", "topic created again"


class Alert(msgspec.Struct, frozen=True):
    """One record of an episode; `alert_id` names the episode, `id` this record. The key is the device.

    `run`, `seq`, `ts`, `source`, `prediction` and `model_version` belong to the event on which this record rests: the event
    that fired or resolved the alert; for silence, the last event of the device, without `source` and `prediction`.
    `starts_at` and `ends_at` are broker times. `reason` says why the alert was resolved.
    """

    id: str
    alert_id: str
    fleet: str
    device_id: str
    rule: str
    status: AlertStatus
    severity: str
    starts_at: datetime
    ends_at: datetime | None
    reason: str
    labels: dict[str, str]
    annotations: dict[str, str]
    run: int
    seq: int | None
    ts: datetime | None
    source: str | None
    prediction: float | None
    model_version: str | None


class SavedRule(msgspec.Struct, frozen=True, array_like=True):
    """What the state topic holds of one rule on one device; see `aimaas.alerts.machine` for status, count and since_ms."""

    digest: str
    status: int
    count: int
    since_ms: int
    alert: Alert | None


SavedRules = dict[str, SavedRule]  # by the name of the rule

_saved = msgspec.json.Decoder(SavedRules)
encode_alert = msgspec.json.Encoder().encode
encode_saved = encode_alert


def decode_saved(device_id: str, value: bytes) -> SavedRules:
    """Return the saved rules of a device. Raises StateError."""
    try:
        return _saved.decode(value)
    except msgspec.MsgspecError as e:
        raise StateError(
            f"the state of the alert rules on device {device_id!r} cannot be read ({e}): start the release that wrote it"
        ) from None
