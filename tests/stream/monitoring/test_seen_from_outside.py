"""A scorer at work, as Prometheus and a supervisor see it: over HTTP, against what the topics hold."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aimaas.admission.judge import Reason
from aimaas.errors import EndpointError
from aimaas.kafka import read_all
from stream.monitoring.endpoint import Endpoint
from tests.stream.conftest import Line

pytestmark = pytest.mark.broker

LIMIT_S = 60.0


class Page:
    """What a scorer serves at a port of this machine."""

    def __init__(self, port: int) -> None:
        self._where = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(self._where + path, timeout=10) as answer:  # noqa: S310 - a page of this machine
                return answer.status, answer.read()
        except urllib.error.HTTPError as e:
            return e.code, e.read()
        except urllib.error.URLError:
            return 0, b""  # not served yet

    def wait_for(self, path: str, status: int) -> Any:
        limit = time.monotonic() + LIMIT_S
        while (found := self.get(path))[0] != status:
            assert time.monotonic() < limit, found
            time.sleep(0.05)
        return json.loads(found[1])

    def samples(self) -> dict[str, float]:
        """Values by name and what is told apart beside the fleet, such as `aimaas_dead_letters_total late`."""
        found = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1].decode()):
            for sample in family.samples:
                apart = [v for k, v in sample.labels.items() if k != "fleet"]
                found[" ".join([sample.name, *apart])] = sample.value
        return found

    def wait_until(self, wanted: dict[str, float]) -> dict[str, float]:
        """The samples, once these of them are as wanted."""
        limit = time.monotonic() + LIMIT_S
        while wanted.items() - (found := self.samples()).items():
            assert time.monotonic() < limit, dict(wanted.items() - found.items())
            time.sleep(0.05)
        return found


def test_what_is_scored_refused_and_left_to_read_is_told_as_the_topics_have_it(line: Line, free_port: int) -> None:
    line.champion(version="7")
    events, page = line.events(devices=3), Page(free_port)
    line.send([*events, events[-1], (b"e-1", b"{")])

    with line.scorer(metrics_port=free_port):
        line.wait_for(len(events), 2)
        found = page.wait_until(
            {"aimaas_predictions_total 7": len(events), "aimaas_lag_events": 0, "aimaas_devices": 3}
        )
        snapshots = [
            r
            for r in read_all(line.settings, line.names.state)
            if (r.key or b"")[:1] != b"\xff" and len(r.value or b"") > 8
        ]
        assert page.wait_for("/readyz", 200) == {"ok": True, "reasons": []}

    assert found["aimaas_events_total"] == len(events) + 2
    assert found["aimaas_latency_seconds_count"] == len(events)
    told = {reason.label: found.get(f"aimaas_dead_letters_total {reason.label}") for reason in Reason}
    assert {reason: n for reason, n in told.items() if n} == {"duplicate": 1, "unparsable": 1}
    assert (found["aimaas_partitions"], found["aimaas_model_info 7"], found["aimaas_ready"]) == (2, 1, 1)
    assert found["aimaas_snapshots_total"] == len(snapshots) > 0
    assert found["aimaas_transactions_total"] == found["aimaas_transaction_seconds_count"] > 0


def test_a_scorer_without_a_champion_is_live_and_becomes_ready_with_one(line: Line, free_port: int) -> None:
    page = Page(free_port)
    with line.scorer(metrics_port=free_port):
        assert "no model serves yet" in page.wait_for("/readyz", 503)["reasons"]
        assert page.get("/healthz")[0] == 200

        line.champion()

        page.wait_for("/readyz", 200)


def test_a_scorer_for_whom_no_partition_is_left_is_ready_to_step_in(line: Line, free_port: int) -> None:
    line.champion()
    page = Page(free_port)
    with line.scorer("0"), line.scorer("1"), line.scorer("2", metrics_port=free_port):
        page.wait_for("/readyz", 200)


def test_a_refused_model_is_counted_while_the_one_before_serves_on(line: Line, free_port: int) -> None:
    line.champion(version="1", sequence=1)
    page = Page(free_port)
    with line.scorer(metrics_port=free_port):
        page.wait_for("/readyz", 200)
        torn = line.announcement("2", 2, b"no model")
        line.announce(torn)

        page.wait_until({"aimaas_models_refused_total": 1, "aimaas_model_info 1": 1, "aimaas_ready": 1})


def test_a_restored_state_is_told_with_what_was_read(line: Line, free_port: int) -> None:
    line.champion()
    line.send(line.events(devices=2)[:50])
    line.score_all(50)
    page = Page(free_port)
    with line.scorer(metrics_port=free_port):
        found = page.wait_until({"aimaas_devices": 2})

    assert found["aimaas_restore_bytes"] > 0
    assert found["aimaas_restore_seconds"] > 0


def test_a_port_that_is_taken_ends_the_scorer_with_one_line(line: Line) -> None:
    from prometheus_client import CollectorRegistry

    from stream.monitoring.health import Health

    with (
        Endpoint("127.0.0.1", 0, CollectorRegistry(), Health) as taken,
        pytest.raises(EndpointError, match="give another --metrics-port"),
        line.scorer(metrics_port=taken.port),
    ):
        pass
