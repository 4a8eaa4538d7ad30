"""The settings of a scorer: sizes and times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScorerOptions:
    """Settings of a scorer. `state_share`: bytes of state records for each byte of input."""

    batch: int = 1_000
    commit_interval_ms: int = 100
    transaction_events: int = 20_000
    transaction_timeout_ms: int = 10_000
    session_timeout_ms: int = 10_000
    state_share: float = 0.5
    settle_s: float = 30.0  # a device that is silent for this long gets its snapshot when the stream is quiet
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None  # of /metrics, /healthz and /readyz; 0 takes any free port, None serves none
