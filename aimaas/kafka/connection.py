"""Finds out why a Kafka cluster cannot be reached: a separate client connects and reports the cause.

librdkafka's calls only time out; callbacks and the client's log report the cause. librdkafka has one message for all faults of
certificates, so Python's TLS looks for the fault.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from aimaas.errors import SettingsError
from aimaas.kafka.certificates import client_certificate_fault, server_fault, speaks_tls
from aimaas.kafka.rights import user_of
from aimaas.settings import kafka_variable

_CLOSED = 3  # a listener that closes this many connections in a row at once has another protocol
_POLL_S = 0.05
_PROTOCOLS = "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
_TIMES = re.compile(r"\s*\(after \d+ms in state \w+\)")

_quiet = logging.getLogger("aimaas.kafka.settings")
_quiet.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Cause:
    """The fault and the remedy, without a full stop. `lasts`: the fault stays until a person acts, so waiting does not help."""

    text: str
    lasts: bool


@cache
def check_settings(given: frozenset[tuple[str, str]]) -> None:
    """Raise SettingsError if librdkafka refuses these settings. It checks them when a client is created, without a connection."""
    try:
        AdminClient({"logger": _quiet, **dict(given)})
    except KafkaException as e:
        said = e.args[0].str()
        named = said.replace("SASL mechanism", "sasl.mechanism")  # its default may be missing in this build
        name = max((n for n in {"sasl.mechanism", *dict(given)} if n in named), key=len, default="…")
        allowed = _PROTOCOLS if name == "security.protocol" else "a value that librdkafka's CONFIGURATION.md allows"
        raise SettingsError(f"{kafka_variable(name)}: {said}; use {allowed}") from None


def why_unreachable(kafka: Mapping[str, str], limit_s: float) -> Cause | None:
    """Connect with these librdkafka settings. Return None if the cluster answers, else the cause.

    A lasting cause is returned at once; a broker that is down gets `limit_s` to come back. Raises SettingsError.
    """
    check_settings(frozenset(kafka.items()))
    heard = _Heard(kafka)
    client = AdminClient(
        {**kafka, "logger": heard.logger, "error_cb": heard.error, "reconnect.backoff.max.ms": 500, "log_level": 6}
    )
    limit = time.monotonic() + limit_s
    answer = client.describe_cluster(request_timeout=max(limit_s, 1.0))
    while not answer.done() and heard.lasting is None and time.monotonic() < limit:
        client.poll(_POLL_S)
    if answer.done() and answer.exception() is None:
        return None
    client.poll(0)
    return heard.lasting or Cause(heard.newest or f"{kafka['bootstrap.servers']} does not answer", lasts=False)


class _Heard:
    """The reports of a client's callbacks."""

    def __init__(self, kafka: Mapping[str, str]) -> None:
        self._kafka, self._closed = kafka, 0
        self.newest: str | None = None
        self.lasting: Cause | None = None
        self.logger = logging.Logger("aimaas.connection", logging.DEBUG)
        self.logger.addHandler(_Lines(self._line))

    def error(self, error: Any) -> None:
        """librdkafka's error callback."""
        if error.code() == ClientError._ALL_BROKERS_DOWN:
            return
        self.newest = plain(error.str())
        text = lasting_cause(self._kafka, error.code(), self.newest)
        if text is not None:
            self.lasting = Cause(text, lasts=True)

    def _line(self, line: str) -> None:
        """Take a line of the client's log, which alone shows that a listener closes every connection."""
        if "Disconnected" not in line or "SSL_HANDSHAKE" in line:
            self._closed = 0 if "FAIL" in line else self._closed
            return
        self._closed += 1
        if self._closed == _CLOSED and self.lasting is None:
            cause = _closed_at_once(self._kafka, has_answered="state UP" in line)
            self.newest, self.lasting = cause.text, cause if cause.lasts else None


class _Lines(logging.Handler):
    def __init__(self, take: Any) -> None:
        super().__init__()
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the line on."""
        self._take(record.getMessage())


def plain(said: str) -> str:
    """librdkafka's message without the address at its beginning and the times at its end."""
    return _TIMES.sub("", re.sub(r"^\S+://\S+: |^\S+:\d+/\S+: ", "", said))


def lasting_cause(kafka: Mapping[str, str], code: int, said: str) -> str | None:
    """The fault of the settings that an error of a connection shows; None for an error that may go away by itself."""
    protocol = kafka.get("security.protocol", "PLAINTEXT")
    if "mechanism" in said and ("handshake failed" in said or "nsupported" in said):
        offered = said.partition("supported mechanisms: ")[2]
        return (
            f"the broker does not support the SASL mechanism {_mechanism(kafka)}{f', but {offered}' if offered else ''}: "
            f"set {kafka_variable('sasl.mechanism')}"
        )
    if code in (ClientError._AUTHENTICATION, ClientError.SASL_AUTHENTICATION_FAILED):
        return _login_refused(kafka, said)
    if "PLAINTEXT broker listener" in said or "wrong version number" in said:
        return (
            f"the listener does not use TLS: {kafka_variable('security.protocol')} is {protocol}; use "
            f"{protocol.replace('SSL', 'PLAINTEXT')}, or the port of a TLS listener"
        )
    if "alert" in said:
        return client_certificate_fault(kafka) or (
            f"the broker does not accept this client's certificate ({said.rpartition('::')[2]}): set "
            f"{kafka_variable('ssl.certificate.location')} to a certificate of an authority that the broker trusts"
        )
    if code == ClientError._SSL or "certificate verify failed" in said:
        return server_fault(kafka) or f"TLS: {said}"
    return None


def _login_refused(kafka: Mapping[str, str], said: str) -> str:
    if "sasl.username" in kafka:
        return (
            f"the broker refuses the login of user {user_of(kafka)!r} ({said.removeprefix('SASL authentication error: ')}): "
            f"{kafka_variable('sasl.username')} or {kafka_variable('sasl.password')} is wrong"
        )
    return f"the broker refuses the login of this client ({said}): check the AIMAAS_KAFKA_SASL_… variables"


def _closed_at_once(kafka: Mapping[str, str], has_answered: bool) -> Cause:
    """The cause if a listener closes every connection. If it `has_answered`, it belongs to a broker; else it may be a proxy."""
    protocol = kafka.get("security.protocol", "PLAINTEXT")
    name = kafka_variable("security.protocol")
    if "SSL" not in protocol.upper() and speaks_tls(kafka):
        text = f"the listener uses TLS, this client does not: {name} is {protocol}; use SSL or SASL_SSL"
        return Cause(text, lasts=True)
    text = f"the listener closes every connection at once: {name} is {protocol}, which does not match the listener"
    return Cause(text if has_answered else f"{text}, or there is no broker behind it", lasts=has_answered)


def _mechanism(kafka: Mapping[str, str]) -> str:
    return kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms", "GSSAPI"))
