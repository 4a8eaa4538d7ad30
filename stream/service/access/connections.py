"""Limits connections: uvicorn limits neither the head of a request nor a response that the client does not read.

While all places are taken, the connection that has waited longest for a whole request gives way to a new one. Connections
that never sent a whole request go first. So callers that hold connections open take no place from callers that send
requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stream.service.options import ServiceOptions
from stream.service.problems import MEDIA_TYPE, Problem

# the reasons for closing a connection
CLOSED = HEAD, READER, ROOM, SIZE = ("slow_head", "slow_reader", "no_room", "head_too_large")
Closed = Callable[[str], None]


class Waiting:
    """Connections without a whole request, in the order of their waiting; those that never had one are separate."""

    def __init__(self) -> None:
        self._strangers: dict[Any, None] = {}
        self._known: dict[Any, None] = {}

    def add(self, connection: Any, known: bool) -> None:
        """Add a connection that waits from now on; `known` if it had a whole request before."""
        (self._known if known else self._strangers)[connection] = None

    def remove(self, connection: Any) -> None:
        """Remove a connection that has a whole request or is closed."""
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)

    def longest(self) -> Any:
        """Return the connection that gives way; None if all have a whole request."""
        return next(iter(self._strangers), None) or next(iter(self._known), None)


class _HeadTooLargeError(Exception):
    """Ends the parsing of a head; never reaches a user."""


def bounded(options: ServiceOptions, closed: Closed) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol with the limits of one service; `closed` is called with the reason for closing a connection."""

    class Bounded(_Bounded):
        _options, _all_waiting, _closed = options, Waiting(), staticmethod(closed)

    return Bounded


class _Bounded(HttpToolsProtocol):
    _options: ServiceOptions
    _all_waiting: Waiting
    _closed: Closed
    _answering: Any = None
    _head_timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None
    _field_bytes = 0  # of the present head, as far as it is parsed
    # bytes of the present request outside its body: its head, then heads of chunks and trailers
    _other_bytes = 0
    _body_bytes = 0  # of all requests
    _begins = False  # whether a request begins in the present data

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._all_waiting.add(self, known=False)
        self._head_timer = self.loop.call_later(self._options.head_s, self._end, HEAD)
        if len(self.connections) > self._options.connections and (longest := self._all_waiting.longest()) is not None:
            longest._end(ROOM)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_waiting.remove(self)
        self._let_go()
        self._head_came()
        self._reader_came()
        super().connection_lost(exc)

    def _end(self, why: str) -> None:
        """Close without an answer."""
        self._all_waiting.remove(self)
        self.connections.discard(self)  # its place is free at once
        self._closed(why)
        self._let_go()
        self.transport.abort()

    def _let_go(self) -> None:
        """Stop the writing of the present answer: uvicorn does not stop it if other requests follow in the pipeline."""
        if self._answering is not None:
            self._answering.disconnected = True

    def data_received(self, data: bytes) -> None:
        """Parse, and end a head or trailers that are too long.

        Data in which a request begins is not counted: its share is unknown.
        """
        self._begins, body_bytes = False, self._body_bytes
        super().data_received(data)
        if self._begins or self.transport.is_closing():
            return
        self._other_bytes += len(data) - (self._body_bytes - body_bytes)
        if self._head_timer is not None and self._other_bytes > self._options.head_bytes:
            self._refuse_head()
        elif self._other_bytes > self._options.body_bytes:  # a chunk with a body of one byte has five others
            self._end(SIZE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._other_bytes = self._field_bytes = 0
        self._begins = True
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._options.head_s, self._end, HEAD)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def _count(self, size: int) -> None:
        self._field_bytes += size
        if self._is_too_large():
            raise _HeadTooLargeError

    def _is_too_large(self) -> bool:
        return self._field_bytes > self._options.head_bytes or len(self.headers or ()) > self._options.headers

    def on_headers_complete(self) -> None:
        self._head_came()
        self._other_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer 400: the head is too large, or the data is no HTTP."""
        if self._head_timer is not None and self._is_too_large():
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def on_message_complete(self) -> None:
        self._all_waiting.remove(self)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        is_last = self.cycle.response_complete  # not an answer with others in the pipeline behind it
        if is_last and self.cycle.more_body:  # a body that is not read any more may have no end
            self.transport.close()
        super().on_response_complete()
        if is_last:
            self._all_waiting.add(self, known=True)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader_timer = self.loop.call_later(self._options.answer_s, self._end, READER)

    def resume_writing(self) -> None:
        self._reader_came()
        super().resume_writing()

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _reader_came(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _refuse_head(self) -> None:
        self._closed(SIZE)
        allowed = f"{self._options.head_bytes} bytes and {self._options.headers} header fields"
        body = Problem(431, "head-too-large", f"the head of the request is too large; allowed are {allowed}").body("/")
        head = (
            f"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
