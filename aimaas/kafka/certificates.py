"""Finds the fault of a certificate with Python's TLS, because librdkafka only says that it could not verify it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from aimaas.settings import kafka_variable

_TIMEOUT_S = 2.0
_EXPIRED, _NOT_YET, _OTHER_HOST = 10, 9, (62, 64)  # OpenSSL's X509_V_ERR_…


def servers(kafka: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Host and port of each bootstrap server."""
    for server in kafka["bootstrap.servers"].split(","):
        host, _, port = server.rpartition("://")[2].strip().rpartition(":")
        if port.isdigit():
            yield host.strip("[]"), int(port)


def server_fault(kafka: Mapping[str, str]) -> str | None:
    """Why the certificate of a bootstrap server is not accepted; None if all are."""
    try:
        context = _context(kafka)
    except (OSError, ssl.SSLError) as e:
        return f"{kafka_variable('ssl.ca.location')} names a file without a certificate ({e})"
    for host, port in servers(kafka):
        try:
            _shake_hands(context, host, port)
        except ssl.SSLCertVerificationError as e:
            return _said(e, f"{host}:{port}")
        except OSError:
            continue
    return None


def _said(error: ssl.SSLCertVerificationError, where: str) -> str:
    if error.verify_code == _EXPIRED:
        return f"the certificate of {where} has expired: renew it on the broker"
    if error.verify_code == _NOT_YET:
        return f"the certificate of {where} is not valid yet: check the clocks of broker and client"
    if error.verify_code in _OTHER_HOST:
        return (
            f"the certificate of {where} is for another host ({error.verify_message.rstrip('.')}): set "
            f"{kafka_variable('bootstrap.servers')} to a name in the certificate, or give the broker a certificate for this host"
        )
    return (
        f"the certificate of {where} is signed by an authority that this client does not trust ({error.verify_message}): "
        f"set {kafka_variable('ssl.ca.location')} to the PEM file of that authority"
    )


def speaks_tls(kafka: Mapping[str, str]) -> bool:
    """Whether a bootstrap server answers a TLS client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for host, port in servers(kafka):
        try:
            _shake_hands(context, host, port)
            return True
        except OSError:
            continue
    return False


def client_certificate_fault(kafka: Mapping[str, str]) -> str | None:
    """The fault of the client's own certificate, as far as its file shows it."""
    path = kafka.get("ssl.certificate.location")
    name = kafka_variable("ssl.certificate.location")
    if path is None:
        if any(kafka.get(n) for n in ("ssl.certificate.pem", "ssl.keystore.location")):
            return None
        return f"the broker asks for a client certificate: set {name} and {kafka_variable('ssl.key.location')}"
    from cryptography import x509

    until = x509.load_pem_x509_certificate(Path(path).read_bytes()).not_valid_after_utc
    return (
        f"the client certificate {path} ({name}) has expired on {until:%Y-%m-%d}" if until < datetime.now(UTC) else None
    )


def _context(kafka: Mapping[str, str]) -> ssl.SSLContext:
    place = kafka.get("ssl.ca.location")
    folder = place is not None and Path(place).is_dir()
    context = ssl.create_default_context(
        cafile=None if folder else place, capath=place if folder else None, cadata=kafka.get("ssl.ca.pem")
    )
    context.check_hostname = kafka.get("ssl.endpoint.identification.algorithm", "https") == "https"
    return context


def _shake_hands(context: ssl.SSLContext, host: str, port: int) -> None:
    with socket.create_connection((host, port), _TIMEOUT_S) as plain:
        plain.settimeout(_TIMEOUT_S)
        with context.wrap_socket(plain, server_hostname=host):
            return
