"""The load generator, as a separate process: connections that each ask again as soon as they have an answer.

A bare protocol on uvloop. It costs some 20 µs a request, so the service is measured, not the generator. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

_HEAD = b"POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: "


class Connection(asyncio.Protocol):
    """Asks until `until`, and notes the time when each answer was complete."""

    def __init__(self, bodies: Iterator[bytes], until: float, seconds: list[float]) -> None:
        self._bodies, self._until, self._seconds = bodies, until, seconds
        self._buffer = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Send the first request."""
        self._transport = transport
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; an answer that is missing is an error."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the service closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Take an answer when it is complete, and ask again."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0 or len(self._buffer) < head + 4 + _length(self._buffer[:head]):
            return
        now = time.perf_counter()
        if not self._buffer.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(ConnectionError(self._buffer.decode(errors="replace")))
            return
        self._seconds.append(now - self._asked)
        self._buffer = b""
        if now < self._until:
            self._ask()
        else:
            self.done.set_result(None)
            self._transport.close()

    def _ask(self) -> None:
        body = next(self._bodies)
        self._asked = time.perf_counter()
        self._transport.write(b"%b%d\r\n\r\n%b" % (_HEAD, len(body), body))


def _length(head: bytes) -> int:
    at = head.lower().index(b"content-length:") + 15
    return int(head[at:].split(b"\r\n", 1)[0])


def never_twice(bodies: list[bytes], first: int) -> Iterator[bytes]:
    """Repeat the same instances, each time with other bytes: none is in the cache, all cost the same."""
    for n, body in zip(itertools.count(first), itertools.cycle(bodies)):
        yield b'{"n":%d,%b' % (n, body[1:])


async def measure(port: int, connections: int, seconds: float, bodies: Iterator[bytes]) -> list[float]:
    """Return the seconds of each request."""
    loop, found = asyncio.get_running_loop(), list[float]()
    until = time.perf_counter() + seconds
    open_ = [
        await loop.create_connection(lambda: Connection(bodies, until, found), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for _, connection in open_))
    return found


def main() -> None:
    """Run once, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bodies", type=Path, help="one JSON body a line")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--cold", action="store_true", help="no body twice")
    given = parser.parse_args()
    lines = given.bodies.read_bytes().splitlines()
    bodies = never_twice(lines, time.time_ns()) if given.cold else itertools.cycle(lines)
    began = time.perf_counter()
    ms = np.array(uvloop.run(measure(given.port, given.connections, given.seconds, bodies))) * 1e3
    took = time.perf_counter() - began
    p50, p99 = np.percentile(ms, [50, 99])
    print(
        json.dumps(
            {"requests_s": len(ms) / took, "p50_ms": p50, "p99_ms": p99, "cpu_share": time.process_time() / took}
        )
    )


if __name__ == "__main__":
    main()
