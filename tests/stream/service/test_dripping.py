"""Callers that drip their requests, or only hold connections, take neither descriptors for ever nor the health of the service."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n"


def connect(served: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), timeout=10)


def answer(connection: socket.socket) -> bytes:
    """All that comes until the service closes the connection."""
    parts = []
    try:
        while part := connection.recv(4_096):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.mark.parametrize("sent", [b"", b"POST /predict HT", HEAD[:-2]])
def test_a_connection_whose_head_does_not_come_is_closed(serving: Any, sent: bytes) -> None:
    with serving(head_s=0.2) as served, connect(served) as connection:
        connection.sendall(sent)

        assert answer(connection) == b""
        assert served.call("/healthz").status == 200


def test_the_head_of_a_later_request_has_its_limit_too(serving: Any) -> None:
    with serving(head_s=0.5) as served, connect(served) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he")

        assert answer(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [HEAD, HEAD + b'{"instances"'])
def test_a_body_that_does_not_come_whole_is_a_problem_and_closes_the_connection(serving: Any, sent: bytes) -> None:
    with serving(body_s=0.2) as served, connect(served) as connection:
        connection.sendall(sent)

        found = answer(connection)

    assert found.startswith(b"HTTP/1.1 408 ")
    assert b"urn:aimaas:problem:body-too-slow" in found
    assert b"within 0.2 s" in found


def test_beyond_its_connections_the_service_refuses_and_serves_again_when_they_are_closed(serving: Any) -> None:
    with serving(connections=3) as served:
        held = [connect(served) for _ in range(3)]
        refused = served.call("/healthz").status
        for one in held:
            one.close()

        assert refused == 503
        limit = time.monotonic() + 10
        while served.call("/healthz").status != 200:
            assert time.monotonic() < limit
