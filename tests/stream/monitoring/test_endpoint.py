"""The scorer's HTTP page: what each path answers, and what becomes of its port."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from aimaas.errors import EndpointError
from stream.monitoring.endpoint import Endpoint
from stream.monitoring.health import Health
from stream.monitoring.metrics import ScorerMetrics

HOST = "127.0.0.1"


class Served:
    """An endpoint whose health a test sets."""

    def __init__(self) -> None:
        self.health, registry = Health(), CollectorRegistry()
        ScorerMetrics("turbofan", registry).health_from(lambda: self.health)
        self.endpoint = Endpoint(HOST, 0, registry, lambda: self.health)

    def get(self, path: str) -> tuple[int, str, bytes]:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.endpoint.port}{path}", timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as e:
            return e.code, e.headers["Content-Type"], e.read()

    def report(self, path: str) -> tuple[int, Any]:
        status, kind, body = self.get(path)
        assert kind == "application/json"
        return status, json.loads(body)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.endpoint.close()


def test_metrics_come_in_prometheus_text(served: Served) -> None:
    status, kind, body = served.get("/metrics")

    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert b'aimaas_ready{fleet="turbofan"} 1.0' in body


def test_a_well_scorer_is_green_on_both_paths(served: Served) -> None:
    assert served.report("/healthz") == served.report("/readyz") == (200, {"ok": True, "reasons": []})


def test_a_stalled_scorer_is_red_on_both_paths_and_says_why(served: Served) -> None:
    served.health = Health(stalled=("the loop has not run for 31 s",))

    told = (503, {"ok": False, "reasons": ["the loop has not run for 31 s"]})
    assert served.report("/healthz") == served.report("/readyz") == told
    assert b'aimaas_live{fleet="turbofan"} 0.0' in served.get("/metrics")[2]


def test_a_scorer_that_waits_is_red_on_readyz_only(served: Served) -> None:
    served.health = Health(waiting=("no model serves yet",))

    assert served.report("/healthz") == (200, {"ok": True, "reasons": []})
    assert served.report("/readyz") == (503, {"ok": False, "reasons": ["no model serves yet"]})


def test_another_path_is_not_found_and_says_which_there_are(served: Served) -> None:
    assert served.report("/") == (404, {"paths": ["/metrics", "/healthz", "/readyz"]})


def test_a_client_that_says_nothing_keeps_nobody_waiting(served: Served) -> None:
    with socket.create_connection((HOST, served.endpoint.port)):
        assert served.report("/healthz")[0] == 200


def test_a_port_that_is_taken_is_one_line_that_says_what_to_do(served: Served) -> None:
    port = served.endpoint.port
    with pytest.raises(EndpointError, match=rf"^cannot serve metrics at {HOST}:{port} \(Address already in use\): .*"):
        Endpoint(HOST, port, CollectorRegistry(), Health)


def test_a_port_that_cannot_be_is_refused_likewise() -> None:
    with pytest.raises(EndpointError, match="ports go from 0 to 65535"):
        Endpoint(HOST, 70_000, CollectorRegistry(), Health)


def test_a_host_that_is_none_is_refused_likewise() -> None:
    with pytest.raises(EndpointError, match=r"nowhere\.invalid"):
        Endpoint("nowhere.invalid", 0, CollectorRegistry(), Health)


def test_a_closed_endpoint_frees_its_port_for_the_next() -> None:
    with Endpoint(HOST, 0, CollectorRegistry(), Health) as first:
        port = first.port

    with Endpoint(HOST, port, CollectorRegistry(), Health) as second:
        assert second.port == port
