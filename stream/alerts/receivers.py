"""The receivers of alerts: a webhook, and Prometheus Alertmanager."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests

from aimaas.errors import SettingsError
from aimaas.records.alerts import Alert, encode_alert

_LIMIT_S = (5.0, 30.0)  # to connect, and to wait for an answer
_AT_ONCE = 500
RESEND_S = 60.0
_EXPIRES = 4  # an alert that is not sent again for this many times RESEND_S is over, as Prometheus sends them


class DeliveryError(Exception):
    """The receiver did not accept alerts; it must get them again. Never reaches a user."""


class Receiver(Protocol):
    """Takes alerts. `where` names it without its secrets."""

    where: str

    def deliver(self, alerts: Sequence[Alert], now: datetime) -> None:
        """Deliver records in their order; all of them again if it raised DeliveryError. Blocks for at most 35 s a request."""

    def keep_alive(self, now: datetime) -> None:
        """Do what the receiver needs although no record came. Raises DeliveryError."""


class Webhook:
    """Posts each record as JSON. A receiver knows a repeated one by its `Idempotency-Key`, the record's id."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url, self.where = url, place_of(url)
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def deliver(self, alerts: Sequence[Alert], now: datetime) -> None:
        """See `Receiver`."""
        for alert in alerts:
            headers = {"Content-Type": "application/json", "Idempotency-Key": alert.id}
            _post(self._session, self._url, self.where, data=encode_alert(alert), headers=headers)

    def keep_alive(self, now: datetime) -> None:
        """Do nothing."""


class Alertmanager:
    """Posts alerts to Alertmanager's API v2, and those that fire again and again, since it takes silence for their end.

    Alertmanager knows an alert by its labels, so a repeated one notifies nobody again.
    """

    def __init__(self, url: str, firing: Sequence[Alert]) -> None:
        """`firing` are the alerts that fire now."""
        self._url, self.where = f"{url.rstrip('/')}/api/v2/alerts", place_of(url)
        self._session = requests.Session()
        self._firing = {alert.alert_id: alert for alert in firing}
        self._sent_at: datetime | None = None

    def deliver(self, alerts: Sequence[Alert], now: datetime) -> None:
        """See `Receiver`."""
        self._send(alerts, now)
        for alert in alerts:
            if alert.status == "firing":
                self._firing[alert.alert_id] = alert
            else:
                self._firing.pop(alert.alert_id, None)

    def keep_alive(self, now: datetime) -> None:
        """Send the alerts that fire again, once a minute."""
        if self._sent_at is not None and (now - self._sent_at).total_seconds() < RESEND_S:
            return
        self._send(list(self._firing.values()), now)
        self._sent_at = now

    def _send(self, alerts: Sequence[Alert], now: datetime) -> None:
        for begin in range(0, len(alerts), _AT_ONCE):
            part = [as_prometheus(alert, now) for alert in alerts[begin : begin + _AT_ONCE]]
            _post(self._session, self._url, self.where, json=part)


def as_prometheus(alert: Alert, now: datetime) -> dict[str, Any]:
    """Return an alert as Alertmanager's API takes it. One that fires ends by itself if it is not sent again."""
    ends_at = alert.ends_at or now + timedelta(seconds=_EXPIRES * RESEND_S)
    identity = {"alertname": alert.rule, "fleet": alert.fleet, "device_id": alert.device_id, "severity": alert.severity}
    facts = {
        "alert_id": alert.alert_id, "run": str(alert.run),
        **{k: str(v) for k, v in (("seq", alert.seq), ("prediction", alert.prediction)) if v is not None},
    }  # fmt: skip
    return {
        "labels": {**alert.labels, **identity},
        "annotations": {**alert.annotations, **facts},
        "startsAt": _text(alert.starts_at),
        "endsAt": _text(ends_at),
    }


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def place_of(url: str) -> str:
    """Return scheme and host of a URL, which hold no secret. Raises SettingsError if it is no HTTP address."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("the receiver's address is no URL such as https://host:9093")
    return f"{parts.scheme}://{parts.hostname}{port}"


def _post(session: requests.Session, url: str, where: str, **body: Any) -> None:
    try:
        answer = session.post(url, timeout=_LIMIT_S, allow_redirects=False, **body)
    except requests.RequestException as e:
        raise DeliveryError(f"{where} cannot be reached: {type(e).__name__}") from None
    if not 200 <= answer.status_code < 300:
        raise DeliveryError(f"{where} answered {answer.status_code}: {answer.text[:200]!r}")
