"""How the HTTP service works: the sizes that bound what a caller can make it hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServiceOptions:
    """Bounds of the service. `batch_rows` counts events and feature rows that are scored at once; a request is never cut."""

    body_bytes: int = 1_048_576
    instances: int = 1_000  # in one request
    queue: int = 256  # requests that wait for the model
    batch_rows: int = 8_192
    cache: int = 10_000  # predictions that are remembered; 0 for none
    connections: int = 800  # open at once; Linux gives a process 1,024 descriptors by default
    head_s: float = 10.0  # for a request's head to come, from the opening of the connection or the head's first byte
    body_s: float = 30.0  # for a request's body to come
    stall_s: float = 30.0  # a batch that runs for longer makes the service unwell
