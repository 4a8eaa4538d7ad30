"""Callers that drip their requests, or only hold connections, take neither descriptors for ever nor the health of the service."""

from __future__ import annotations

import socket

import pytest

from tests.stream.service.conftest import Served, Serving, metric, wait_until

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n"


def connect(served: Served) -> socket.socket:
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
def test_a_connection_whose_head_does_not_come_is_closed(serving: Serving, sent: bytes) -> None:
    with serving(head_s=0.2) as served, connect(served) as connection:
        connection.sendall(sent)

        assert answer(connection) == b""
        assert served.call("/healthz").status == 200


def test_the_head_of_a_later_request_has_its_limit_too(serving: Serving) -> None:
    with serving(head_s=0.5) as served, connect(served) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he")

        assert answer(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [HEAD, HEAD + b'{"instances"'])
def test_a_body_that_does_not_come_whole_is_a_problem_and_closes_the_connection(serving: Serving, sent: bytes) -> None:
    with serving(body_s=0.2) as served, connect(served) as connection:
        connection.sendall(sent)

        found = answer(connection)

    assert found.startswith(b"HTTP/1.1 408 ")
    assert b"urn:aimaas:problem:body-too-slow" in found
    assert b"within 0.2 s" in found


def test_beyond_its_connections_those_that_asked_for_nothing_give_way_the_longest_first(serving: Serving) -> None:
    with serving(connections=3) as served:
        held = [connect(served) for _ in range(3)]
        assert served.call("/healthz").status == 200

        assert answer(held[0]) == b""  # closed for it
        held[1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer(held[1]).startswith(b"HTTP/1.1 200")
        assert metric(served, 'connections_closed_total{fleet="pump",reason="no_room"}') == 1
        for one in held:
            one.close()


def test_one_who_was_answered_before_keeps_the_place_longer_than_strangers(serving: Serving) -> None:
    with serving(connections=3) as served, connect(served) as known:
        ask(known)
        strangers = [connect(served) for _ in range(5)]
        wait_until(lambda: metric(served, 'connections_closed_total{fleet="pump",reason="no_room"}') >= 3)

        ask(known)
        for one in strangers:
            one.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: a\r\n" % i for i in range(101)) + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"X: a\r\n" * 102,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_head_that_is_too_large_is_refused_and_the_connection_closed(serving: Serving, head: bytes) -> None:
    with serving() as served, connect(served) as connection:
        connection.sendall(head)

        found = answer(connection)
        assert found.startswith(b"HTTP/1.1 431 ")
        assert b"urn:aimaas:problem:head-too-large" in found
        assert served.call("/healthz").status == 200


def test_headers_without_end_are_cut_off_after_a_bounded_number_of_bytes(serving: Serving) -> None:
    with serving() as served, connect(served) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Endless: ")
        sent = 0
        with pytest.raises(OSError):
            while sent < 100_000_000:
                connection.sendall(b"a" * 65_536)
                sent += 65_536

        assert sent < 100_000_000
        assert metric(served, 'connections_closed_total{fleet="pump",reason="head_too_large"}') == 1


@pytest.mark.parametrize("sent", [b"0\r\nX-Endless: ", b"5;extension=", b"0\r\n" + b"X: a\r\n" * 90])
def test_trailers_and_chunk_extensions_without_end_are_cut_off_too(serving: Serving, sent: bytes) -> None:
    with serving(body_bytes=100_000) as served, connect(served) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + sent)
        with pytest.raises(OSError):
            for _ in range(1_000):
                connection.sendall(b"a" * 65_536)

        assert metric(served, 'connections_closed_total{fleet="pump",reason="head_too_large"}') == 1
        assert served.call("/healthz").status == 200


def test_a_large_body_right_behind_its_head_is_no_large_head(serving: Serving) -> None:
    with serving() as served, connect(served) as connection:
        body = b'{"events": [' + b" " * 500_000 + b"]}"
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        for _ in range(2):
            connection.sendall(head + body)
            assert connection.recv(12) == b"HTTP/1.1 422"
            connection.recv(65_536)


def test_a_body_that_goes_on_after_the_answer_closes_the_connection(serving: Serving) -> None:
    with serving(api_key="k") as served, connect(served) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")

        assert answer(connection).startswith(b"HTTP/1.1 401")


def test_an_answer_that_nobody_reads_is_given_up(serving: Serving) -> None:
    with serving(answer_s=0.3) as served:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", served.port))
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 5_000)

        wait_until(lambda: metric(served, 'connections_closed_total{fleet="pump",reason="slow_reader"}') == 1)
        connection.close()


def ask(connection: socket.socket) -> None:
    """One request whose answer is read whole, on a connection that stays open."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(4_096).startswith(b"HTTP/1.1 200")
