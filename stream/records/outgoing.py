"""The form of an outgoing record, from the scorer to its transactions."""

from __future__ import annotations

from collections.abc import Sequence

Headers = Sequence[tuple[str, str | bytes | None]] | None
Outgoing = tuple[bytes | None, bytes | None, Headers]  # key, value, headers
