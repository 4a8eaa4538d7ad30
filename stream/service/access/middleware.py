"""The outermost ASGI layer: checks the key, the rate, the body's size and time, and counts every response."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.service.access.keys import Keys, Pace, keys_of
from stream.service.metrics import ServiceMetrics
from stream.service.options import ServiceOptions
from stream.service.problems import Problem

DOCS_FILES = "/docs/files"  # scripts and styles of the OpenAPI page
_OPEN = ("/docs", "/openapi.json", "/metrics", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
_DIGITS = 15  # of a plausible size
_DOCS_AT_ONCE = 8  # the files are large, and a client that does not read them holds the memory
OTHER = "other"  # the path of requests that no route answers


class AccessMiddleware:
    """Guards an application; `api_key` is one key or several with commas between, None allows any caller."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics, options: ServiceOptions, api_key: str | None) -> None:
        self._app, self._metrics, self._most, self._body_s = app, metrics, options.body_bytes, options.body_s
        self._keys, self._pace = Keys(keys_of(api_key)), Pace(options.rate, options.burst)
        self._docs = 0  # files of the page that are being sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, code, is_head = time.perf_counter(), 500, scope["method"] == "HEAD"
        if is_head:  # answered as GET without the body, on every path that has a GET
            scope = {**scope, "method": "GET"}

        async def counted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        try:
            self._check(scope)
            await self._answer(scope, _bounded(receive, self._most, self._body_s), counted)
        except Problem as e:
            await e.response(scope["path"])(scope, receive, counted)
        finally:
            path = getattr(scope.get("route"), "path", OTHER)
            self._metrics.request(path, code, time.perf_counter() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith(f"{DOCS_FILES}/"):
            await self._app(scope, receive, send)
            return
        if self._docs >= _DOCS_AT_ONCE:
            detail = f"{_DOCS_AT_ONCE} files of the page are already being sent: try again in 1 s"
            raise Problem(503, "overloaded", detail, headers={"Retry-After": "1", "Connection": "close"})
        self._docs += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._docs -= 1

    def _check(self, scope: Scope) -> None:
        """Raise Problem for a wrong key, too many requests, a declared body size above the limit, or a compressed body."""
        given, length, coding = b"", b"", b""
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                given = value
            elif name == b"content-length":
                length = value
            elif name == b"content-encoding":
                coding = value
        if not _is_open(scope["path"]):
            self._pace.check(self._keys.caller(given, str((scope.get("client") or ("",))[0])))
        if length.isdigit() and (len(length) > _DIGITS or int(length) > self._most):
            raise too_large(length[:_DIGITS].decode(), self._most)
        if coding.strip().lower() not in (b"", b"identity"):
            raise _encoded(coding)


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(f"{DOCS_FILES}/")


def _bounded(receive: Receive, most: int, limit_s: float) -> Receive:
    """Return the body, counted as it arrives. Ends it at the size limit or at the time limit."""
    read, more, until = 0, True, asyncio.get_running_loop().time() + limit_s

    async def bounded() -> Any:
        nonlocal read, more
        if not more:
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise _too_slow(read, limit_s) from None
        more = message.get("more_body", False)
        read += len(message.get("body", b""))
        if read > most:
            raise too_large(read, most)
        return message

    return bounded


def _too_slow(read: int, limit_s: float) -> Problem:
    detail = f"only {read} bytes of the body arrived within {limit_s:g} s: send it faster, or fewer instances"
    return Problem(408, "body-too-slow", detail, headers={"Connection": "close"})


def _encoded(coding: bytes) -> Problem:
    found = coding[:80].decode("ascii", "backslashreplace")
    detail = f"header Content-Encoding: found {found!r}, allowed: identity; send the body as it is"
    return Problem(415, "encoded-body", detail, headers={"Accept-Encoding": "identity", "Connection": "close"})


def too_large(found: int | str, most: int) -> Problem:
    """Return the problem of a body of this many bytes or more."""
    detail = f"the body has {found} bytes or more, allowed are {most}: send fewer instances per request"
    return Problem(413, "body-too-large", detail, headers={"Connection": "close"})
