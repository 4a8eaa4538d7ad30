"""A limit on the time in which a request's head must come; uvicorn has none, so dripping callers would hold every descriptor."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def head_within(limit_s: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, which closes a connection whose request's head is not whole after `limit_s`."""

    class HeadWithin(HttpToolsProtocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._came()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._waiting is None:
                self._wait()

        def on_headers_complete(self) -> None:
            self._came()
            super().on_headers_complete()

        def _wait(self) -> None:
            self._waiting = self.loop.call_later(limit_s, self.transport.abort)

        def _came(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

    return HeadWithin
