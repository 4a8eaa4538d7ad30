"""Hostile callers, as a separate process: connections of one kind to a port of this machine, for some seconds.

`heads` send headers without end, `slow` send a byte of a head each second, `readers` ask for a large file and do not read it. A
connection that the service closes is opened again at once, at most `--reconnects` times a second in all. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
from collections import Counter
from contextlib import suppress

_CHUNK = b"a" * 65_536
_HEAD = b"POST /predict HTTP/1.1\r\nHost: hostile\r\nX-Endless: "
_ASK = b"GET /docs/files/swagger-ui-bundle.js HTTP/1.1\r\nHost: hostile\r\n\r\n"


class Budget:
    """At most this many connections a second, and the remaining time."""

    def __init__(self, a_second: float, until: float) -> None:
        self._pause_s, self._next, self.until = 1 / a_second, 0.0, until
        self.counts: Counter[str] = Counter()

    @property
    def is_over(self) -> bool:
        """Return whether the time is up."""
        return time.monotonic() >= self.until

    async def wait(self) -> None:
        """Wait until a connection is allowed."""
        self._next = max(self._next, time.monotonic()) + self._pause_s
        await asyncio.sleep(max(self._next - self._pause_s - time.monotonic(), 0))


async def hold(kind: str, port: int, budget: Budget) -> None:
    """Run one hostile caller: it connects again whenever it is closed."""
    while not budget.is_over:
        await budget.wait()
        budget.counts["connections"] += 1
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(max(budget.until - time.monotonic(), 0.01)):
                await _once(kind, port)


async def _once(kind: str, port: int) -> None:
    loop, one = asyncio.get_running_loop(), socket.socket()
    one.setblocking(False)
    if kind == "readers":
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    try:
        await loop.sock_connect(one, ("127.0.0.1", port))
        await {"heads": _heads, "slow": _slow, "readers": _readers}[kind](loop, one)
    finally:
        one.close()


async def _heads(loop: asyncio.AbstractEventLoop, one: socket.socket) -> None:
    await loop.sock_sendall(one, _HEAD)
    while True:
        await loop.sock_sendall(one, _CHUNK)


async def _slow(loop: asyncio.AbstractEventLoop, one: socket.socket) -> None:
    await loop.sock_sendall(one, _HEAD)
    while True:
        await asyncio.sleep(1)
        await loop.sock_sendall(one, b"a")


async def _readers(loop: asyncio.AbstractEventLoop, one: socket.socket) -> None:
    await loop.sock_sendall(one, _ASK)
    while True:  # writing a byte a second shows whether the service still holds the connection
        await asyncio.sleep(1)
        if not await loop.sock_recv(one, 1):
            return


async def attack(kind: str, port: int, connections: int, seconds: float, reconnects: float) -> Counter[str]:
    """Hold this many connections for this time; return counts of the attempts."""
    budget = Budget(reconnects, time.monotonic() + seconds)
    await asyncio.gather(*(hold(kind, port, budget) for _ in range(connections)))
    return budget.counts


def main() -> None:
    """Run once, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("heads", "slow", "readers"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--reconnects", type=float, default=1_000, help="a second, over all connections")
    given = parser.parse_args()
    if not 0 < given.connections <= 2_000 or not 0 < given.seconds <= 120:
        parser.error("at most 2,000 connections for 120 s")
    print(json.dumps(asyncio.run(attack(**vars(given)))))


if __name__ == "__main__":
    main()
