"""How the HTTP service works: the sizes that bound what a caller can make it hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aimaas.errors import ServiceError


@dataclass(frozen=True)
class Tls:
    """Files in PEM: the service's certificate and its key, and whose signature callers' certificates need, if they need one."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True)
class ServiceOptions:
    """Bounds of the service. `batch_rows` counts events and feature rows that are scored at once; a request is never cut."""

    body_bytes: int = 1_048_576
    instances: int = 1_000  # in one request
    rate: float = 0.0  # requests a second of each key, or of each address where none is asked for; 0 for any number
    burst: int = 100  # of them at once
    queue: int = 256  # requests that wait for the model
    batch_rows: int = 8_192
    cache: int = 10_000  # predictions that are remembered; 0 for none
    connections: int = 800  # open at once; Linux gives a process 1,024 descriptors by default
    head_bytes: int = 16_384  # of a request's head
    headers: int = 100  # fields of it
    head_s: float = 10.0  # for a request's head to come, from the opening of the connection or the head's first byte
    body_s: float = 30.0  # for a request's body to come
    answer_s: float = 30.0  # for an answer to be read, as far as it does not fit the buffers of the network
    stall_s: float = 30.0  # a batch that runs for longer, or a loop that stands still so long, makes the service unwell
    health_host: str = "127.0.0.1"
    health_port: int | None = None  # of /healthz, /readyz and /metrics apart; 0 takes any free one, None has none
    tls: Tls | None = None


def tls_of(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    """What a person asked for; None without TLS. Raises ServiceError where a part is missing."""
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise ServiceError("TLS needs both --tls-cert and --tls-key")
    return Tls(certificate, key, client_ca)
