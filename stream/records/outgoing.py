"""The form of a record on its way out: what the scorer makes and an outbox takes."""

from __future__ import annotations

from collections.abc import Sequence

Headers = Sequence[tuple[str, str | bytes | None]] | None
Outgoing = tuple[bytes | None, bytes | None, Headers]  # key, value, headers
