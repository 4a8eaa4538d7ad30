"""Keys, pace, HEAD, encodings and callers who leave."""

from __future__ import annotations

import gzip
import json
import socket
import time

import pytest
from prometheus_client import generate_latest

from aimaas.errors import ServiceError
from stream.service.access.keys import Keys, Pace, keys_of
from stream.service.problems import Problem
from tests.stream.service.conftest import Served, Serving, metric, wait_until

BODY = {"events": [{"readings": {"o": 1, "a": 1, "b": 2, "n": 1}}]}
GETS = ["/healthz", "/readyz", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/pump", "/v2/models/pump/ready",
        "/openapi.json", "/docs"]  # fmt: skip


@pytest.mark.parametrize("path", GETS)
def test_head_is_answered_as_get_without_the_body(served: Served, path: str) -> None:
    get, head = served.call(path), served.call(path, method="HEAD")

    assert (head.status, head.text) == (get.status, "")
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/metrics":
        assert head.headers["content-length"] == get.headers["content-length"]


def test_head_of_a_path_without_get_says_what_is_allowed(served: Served) -> None:
    answer = served.call("/predict", method="HEAD")

    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "GZip", "x" * 500])
def test_a_compressed_body_is_refused_with_its_encoding(served: Served, coding: str) -> None:
    answer = served.call("/predict", gzip.compress(json.dumps(BODY).encode()), content_encoding=coding)

    assert (answer.status, answer.json["type"]) == (415, "urn:aimaas:problem:encoded-body")
    assert coding[:80] in answer.json["detail"]
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_a_body_that_is_said_to_be_as_it_is_is_read(served: Served, coding: str) -> None:
    assert served.call("/predict", BODY, content_encoding=coding).status == 200


def test_a_caller_who_leaves_is_no_failure_of_the_service(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as served:
        for begun in (b"", b'{"events": ['):
            with socket.create_connection(("127.0.0.1", served.port)) as connection:
                head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n"
                connection.sendall(head + begun)
                time.sleep(0.2)
        wait_until(
            lambda: (
                'path="/predict"} 2.0' in generate_latest(served.metrics.registry).decode().replace('code="499",', "")
            )
        )

    assert 'code="500"' not in generate_latest(served.metrics.registry).decode()
    assert "Exception" not in caplog.text


def test_each_of_several_keys_opens_and_no_other(serving: Serving) -> None:
    with serving(api_key="first, second,,") as served:
        codes = [
            served.call("/predict", BODY, x_api_key=key).status for key in ("first", "second", "first,second", "", ",")
        ]

    assert codes == [200, 200, 401, 401, 401]


def test_a_list_without_a_key_lets_nobody_start_an_open_service() -> None:
    assert keys_of(None) is None
    with pytest.raises(ServiceError, match="holds no key"):
        keys_of(" , ")


def test_each_key_has_a_pace_of_its_own_and_is_told_when_to_come_again(serving: Serving) -> None:
    with serving(api_key="a,b", rate=0.1, burst=2) as served:
        first = [served.call("/predict", BODY, x_api_key="a") for _ in range(3)]
        other = served.call("/predict", BODY, x_api_key="b")
        health = served.call("/healthz")

    assert [answer.status for answer in first] == [200, 200, 429]
    assert first[2].json["type"] == "urn:aimaas:problem:too-many-requests"
    assert 1 <= int(first[2].headers["retry-after"]) <= 10
    assert (other.status, health.status) == (200, 200)


def test_the_pace_gives_a_request_back_for_each_part_of_a_second() -> None:
    now = [100.0]
    pace = Pace(4, 2, lambda: now[0])

    def passed() -> int:
        count = 0
        try:
            while count < 100:
                pace.check(1)
                count += 1
        except Problem as e:
            assert e.headers["Retry-After"] == "1"
        return count

    counts = [passed()]
    for later in (0.25, 0.5, 1_000):
        now[0] += later
        counts.append(passed())

    assert counts == [2, 1, 2, 2]


def test_without_keys_an_address_has_the_pace() -> None:
    pace, keys = Pace(1, 1, lambda: 0.0), Keys(None)

    pace.check(keys.caller(b"", "10.0.0.1"))
    pace.check(keys.caller(b"", "10.0.0.2"))
    with pytest.raises(Problem, match="more than 1 requests a second"):
        pace.check(keys.caller(b"made up", "10.0.0.1"))


def test_the_files_of_the_page_are_sent_to_a_few_at_a_time(serving: Serving) -> None:
    with serving() as served:
        held = []
        for _ in range(30):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            one.settimeout(10)
            one.connect(("127.0.0.1", served.port))
            one.sendall(b"GET /docs/files/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 8)
            held.append(one)
        wait_until(lambda: served.call("/docs/files/swagger-ui.css").status == 503)
        for one in held:
            one.close()
        wait_until(lambda: served.call("/docs/files/swagger-ui.css").status == 200)


def test_a_model_of_the_same_version_and_other_bytes_has_other_answers(served: Served) -> None:
    from dataclasses import replace

    before = served.predictor.served
    assert before is not None
    one = served.call("/predict", BODY).json["prediction"]
    served.predictor._served = replace(before, sha256="other")
    hits = metric(served, "cache_hits_total")
    again = served.call("/predict", BODY).json["prediction"]
    served.predictor._served = before

    assert again == one
    assert metric(served, "cache_hits_total") == hits


def test_a_key_is_never_logged(
    serving: Serving, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(api_key="very-secret") as served:
        for path in ("/predict", "/nowhere"):
            served.call(path, BODY, x_api_key="very-secret")
            served.call(path, BODY, x_api_key="also-secret")
        answer = served.call("/predict", BODY, x_api_key="also-secret")

    told = answer.text + caplog.text + "".join(capfd.readouterr()) + generate_latest(served.metrics.registry).decode()
    assert "secret" not in told
