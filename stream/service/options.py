"""The settings of the HTTP service: limits on what a caller can make it hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aimaas.errors import ServiceError


@dataclass(frozen=True)
class Tls:
    """Files in PEM: the service's certificate and its key, and the CA of callers' certificates, if callers need one."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True)
class ServiceOptions:
    """Limits of the service. `batch_rows` counts events and feature rows that are scored at once; a request is never split."""

    body_bytes: int = 1_048_576
    instances: int = 1_000  # in one request
    rate: float = 0.0  # requests a second of each key, or of each address if no key is required; 0 for any number
    burst: int = 100  # requests at once
    queue: int = 256  # requests that wait for the model
    batch_rows: int = 8_192
    cache: int = 10_000  # predictions that are remembered; 0 for none
    connections: int = 800  # open at once; Linux gives a process 1,024 descriptors by default
    head_bytes: int = 16_384  # of a request's head
    headers: int = 100  # fields of a request's head
    head_s: float = 10.0  # for a request's whole head, from the opening of the connection or the head's first byte
    body_s: float = 30.0  # for a request's whole body
    answer_s: float = 30.0  # for the client to read an answer, as far as it exceeds the buffers of the network
    stall_s: float = 30.0  # a batch that runs longer, or a loop that hangs this long, makes the service unwell
    health_host: str = "127.0.0.1"
    health_port: int | None = None  # of separate /healthz, /readyz and /metrics; 0: any free port, None: none
    tls: Tls | None = None


def tls_of(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    """Return the TLS files of the options; None without TLS. Raises ServiceError if a part is missing."""
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise ServiceError("TLS needs both --tls-cert and --tls-key")
    return Tls(certificate, key, client_ca)
