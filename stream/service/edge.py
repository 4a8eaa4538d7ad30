"""The outermost layer: API key, size and time of the body, and a count of every answer. Plain ASGI: it costs a few microseconds."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream.service.metrics import ServiceMetrics
from stream.service.options import ServiceOptions
from stream.service.problems import Problem

DOCS_FILES = "/docs/files"  # scripts and styles of the OpenAPI page
_OPEN = ("/docs", "/openapi.json", "/metrics", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready")
_DIGITS = 15  # of a size that anyone may mean
OTHER = "other"  # the path of requests that no route answers


class Edge:
    """Guards an application; `api_key` None lets anyone in."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics, options: ServiceOptions, api_key: str | None) -> None:
        self._app, self._metrics, self._most, self._body_s = app, metrics, options.body_bytes, options.body_s
        self._api_key = None if api_key is None else api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; anything but HTTP goes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, code = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, _bounded(receive, self._most, self._body_s), counted)
        except Problem as e:
            await e.response(scope["path"])(scope, receive, counted)
        finally:
            path = getattr(scope.get("route"), "path", OTHER)
            self._metrics.request(path, code, time.perf_counter() - began)

    def _check(self, scope: Scope) -> None:
        """Raise Problem where the key is wrong, or the body is said to be too large."""
        given, length = b"", b""
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                given = value
            elif name == b"content-length":
                length = value
        if self._api_key and not _is_open(scope["path"]) and not hmac.compare_digest(given, self._api_key):
            found = "another one" if given else "none"
            detail = f"header X-API-Key: found {found}, allowed: the key that the service was started with"
            raise Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "ApiKey"})
        if length.isdigit() and (len(length) > _DIGITS or int(length) > self._most):
            raise too_large(length[:_DIGITS].decode(), self._most)


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(f"{DOCS_FILES}/")


def _bounded(receive: Receive, most: int, limit_s: float) -> Receive:
    """The same body, until there is too much of it, counted as it comes, or its time is over."""
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
    detail = (
        f"the body has not come whole within {limit_s:g} s, but {read} bytes of it: send it faster, or fewer instances"
    )
    return Problem(408, "body-too-slow", detail, headers={"Connection": "close"})


def too_large(found: int | str, most: int) -> Problem:
    """The problem of a body of so many bytes or more."""
    detail = f"the body has {found} bytes or more, allowed are {most}: send fewer instances at once"
    return Problem(413, "body-too-large", detail, headers={"Connection": "close"})
