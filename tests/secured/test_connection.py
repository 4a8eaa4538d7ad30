"""What stops a connection is told by its cause, on a broker of TLS and SASL listeners: each within some seconds."""

from __future__ import annotations

import socketserver
import threading
import time
from pathlib import Path

import pytest

from aimaas.errors import KafkaLastingError
from aimaas.kafka import check_broker, end_offsets
from aimaas.kafka.connection import why_unreachable
from aimaas.settings import Settings, read_settings
from tests.secured.certificates import signed
from tests.secured.secured_broker import SecuredBroker

pytestmark = pytest.mark.broker
LIMIT_S = 10.0


def settings_of(home: Path, variables: dict[str, str]) -> Settings:
    return read_settings({"AIMAAS_HOME": str(home), **variables})


def without_login(secured: SecuredBroker, listener: str, protocol: str) -> dict[str, str]:
    given = secured.variables("device", listener)
    return {k: v for k, v in given.items() if "SASL" not in k} | {"AIMAAS_KAFKA_SECURITY_PROTOCOL": protocol}


def test_who_has_the_right_password_is_let_in(secured: SecuredBroker, tmp_path: Path) -> None:
    assert check_broker(settings_of(tmp_path, secured.variables("device"))) == 1


def test_who_has_a_certificate_is_let_in(secured: SecuredBroker, tmp_path: Path) -> None:
    certificate, key = signed(secured.authority, tmp_path, "gateway")
    mine = {"AIMAAS_KAFKA_SSL_CERTIFICATE_LOCATION": str(certificate), "AIMAAS_KAFKA_SSL_KEY_LOCATION": str(key)}
    assert check_broker(settings_of(tmp_path, without_login(secured, "CERTIFIED", "SSL") | mine)) == 1


CASES = {
    "wrong password": "AIMAAS_KAFKA_SASL_USERNAME or AIMAAS_KAFKA_SASL_PASSWORD is wrong",
    "unknown user": "refuses the login of user 'nobody'",
    "wrong mechanism": "SCRAM-SHA-256, but SCRAM-SHA-512,PLAIN: set AIMAAS_KAFKA_SASL_MECHANISM",
    "unknown authority": "does not trust .*: set AIMAAS_KAFKA_SSL_CA_LOCATION to the PEM file",
    "expired": "certificate of 127.0.0.1:.* has expired: renew it on the broker",
    "elsewhere": "is for another host",
    "plain client": "uses TLS, this client does not: AIMAAS_KAFKA_SECURITY_PROTOCOL is SASL_PLAINTEXT",
    "plain listener": "does not use TLS: AIMAAS_KAFKA_SECURITY_PROTOCOL is SASL_SSL; use SASL_PLAINTEXT",
    "no login": "AIMAAS_KAFKA_SECURITY_PROTOCOL is SSL, which does not match the listener",
    "no certificate": "asks for a client certificate: set AIMAAS_KAFKA_SSL_CERTIFICATE_LOCATION",
    "expired certificate": "client certificate .*gateway.crt .* has expired on",
}


def variables(secured: SecuredBroker, case: str, folder: Path) -> dict[str, str]:
    right = secured.variables("device")
    if case == "expired certificate":
        certificate, key = signed(secured.authority, folder, "gateway", expired=True)
        mine = {"AIMAAS_KAFKA_SSL_CERTIFICATE_LOCATION": str(certificate), "AIMAAS_KAFKA_SSL_KEY_LOCATION": str(key)}
        return without_login(secured, "CERTIFIED", "SSL") | mine
    return {
        "wrong password": secured.variables("device", password="wrong"),
        "unknown user": secured.variables("nobody"),
        "wrong mechanism": right | {"AIMAAS_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"},
        "unknown authority": right | {"AIMAAS_KAFKA_SSL_CA_LOCATION": str(secured.stranger.path)},
        "expired": secured.variables("device", "EXPIRED"),
        "elsewhere": secured.variables("device", "ELSEWHERE"),
        "plain client": right | {"AIMAAS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"},
        "plain listener": secured.variables("device", "OPEN") | {"AIMAAS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
        "no login": without_login(secured, "ROLES", "SSL"),
        "no certificate": without_login(secured, "CERTIFIED", "SSL"),
    }[case]


@pytest.mark.parametrize("case", CASES)
def test_what_stops_a_client_is_one_line_that_names_the_cause_and_the_variable(
    secured: SecuredBroker, tmp_path: Path, case: str
) -> None:
    settings, began = settings_of(tmp_path, variables(secured, case, tmp_path)), time.monotonic()

    with pytest.raises(KafkaLastingError, match=CASES[case]) as raised:
        end_offsets(settings, "iot.mill.events")

    assert time.monotonic() - began < LIMIT_S
    assert "\n" not in str(raised.value)
    assert "right-2f7b" not in str(raised.value)


def test_a_broker_that_is_away_may_come_back() -> None:
    cause = why_unreachable({"bootstrap.servers": "127.0.0.1:1"}, 1.0)
    assert cause is not None
    assert not cause.lasts
    assert "Connection refused" in cause.text


def test_a_proxy_without_a_broker_behind_it_may_get_one() -> None:
    class Closing(socketserver.BaseRequestHandler):
        def handle(self) -> None: ...

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Closing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cause = why_unreachable({"bootstrap.servers": f"127.0.0.1:{server.server_address[1]}"}, 2.0)
        server.shutdown()

    assert cause is not None
    assert not cause.lasts


def test_a_topic_that_the_user_may_not_read_is_told_with_the_command_that_grants_it(
    secured: SecuredBroker, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, secured.variables("device"))
    where = f"--bootstrap-server {settings.bootstrap_servers} --command-config client.properties"
    granted = f"kafka-acls {where} --add --allow-principal User:device --operation Read --topic iot.mill.events"
    with pytest.raises(KafkaLastingError, match=granted):
        end_offsets(settings, "iot.mill.events")
