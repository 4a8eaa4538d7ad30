"""What Grafana and the alerts ask, asked of a real Prometheus that scrapes what a scorer exports."""

from __future__ import annotations

import json
import math
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from prometheus_client import CollectorRegistry, start_http_server

from aimaas.admission.judge import Reason
from local.ports import HOST, free_port
from local.supervision.processes import start_process
from stream.monitoring.health import Health
from stream.monitoring.metrics import ScorerMetrics
from tests.deploy.test_monitoring import ALERTS, PROMETHEUS, panels

WAIT_S = 60
INTERVAL = "10s"  # what Grafana puts in the place of $__rate_interval, at this scrape interval
Ask = Callable[[str], list[Any]]


def at_work(metrics: ScorerMetrics) -> None:
    """One transaction of a scorer, with an event that is refused, and everything else that is counted."""
    now = time.time()
    judged = np.array([Reason.ADMITTED, Reason.ADMITTED, Reason.DUPLICATE], dtype=np.int8)
    metrics.batch_scored([judged], [np.full(3, int(now * 1e3) - 20, np.int64)], "1")
    metrics.commit_started()
    metrics.committed(0.006, now, 2)
    metrics.aborted()
    metrics.floods.inc()
    metrics.strays.inc()
    metrics.unproven.inc()
    metrics.models_seen(refused=1, passed_over=1)
    metrics.resumed(1, 1, 1)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Ask Prometheus, once it has scraped a scorer at work more than once."""
    if not shutil.which("prometheus"):
        pytest.skip("no Prometheus here: `apt-get install prometheus` has it")
    folder, port, scraped = tmp_path_factory.mktemp("prometheus"), free_port(), free_port()
    registry = CollectorRegistry()
    metrics = ScorerMetrics("turbofan", registry)
    metrics.health_from(Health)
    metrics.model_changed("1", time.time() - 60)
    metrics.restored(0.5, 1_000, 10)
    metrics.state_held(3, 30_000)
    metrics.lag_seen(4, 2)
    server, thread = start_http_server(scraped, HOST, registry)
    configured = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(PROMETHEUS / "alerts.yml")],
        "scrape_configs": [{"job_name": "scorer", "static_configs": [{"targets": [f"{HOST}:{scraped}"]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configured))
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    running = start_process([*command, f"--web.listen-address={HOST}:{port}"], name="prometheus", folder=folder)
    try:
        wait_for_scrapes(port, metrics, folder)
        yield lambda query: asked(port, query)
    finally:
        running.kill()
        server.shutdown()
        thread.join()


def wait_for_scrapes(port: int, metrics: ScorerMetrics, folder: Path) -> None:
    """Work until Prometheus has seen the counts rise."""
    deadline = time.monotonic() + WAIT_S
    while True:
        at_work(metrics)
        try:
            found = asked(port, f"rate(aimaas_transactions_total[{INTERVAL}]) > 0 and aimaas_transactions_total > 3")
        except OSError:  # not up yet
            found = []
        if found:
            return
        assert time.monotonic() < deadline, (folder / "prometheus.log").read_text()[-2_000:]
        time.sleep(0.2)  # scrapes come once a second


def asked(port: int, query: str) -> list[Any]:
    """What an instant query answers."""
    page = f"http://{HOST}:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(page, timeout=10) as answer:
        found = json.load(answer)
    assert found["status"] == "success", found
    result: list[Any] = found["data"]["result"]
    return result


def test_every_query_of_the_dashboard_has_an_answer_for_a_fleet_at_work(ask: Ask) -> None:
    queries = [target["expr"] for panel in panels() for target in panel["targets"]]
    assert len(queries) > 20
    for query in queries:
        found = ask(query.replace("$__rate_interval", INTERVAL).replace("$fleet", "turbofan"))
        assert found, query
        assert all(one["metric"]["fleet"] == "turbofan" for one in found), query
        assert all(math.isfinite(float(one["value"][1])) for one in found), query


def test_every_alert_is_a_query_and_those_fire_whose_cause_is_there(ask: Ask) -> None:
    firing = {rule["alert"] for rule in ALERTS if ask(rule["expr"])}
    assert {"DeadLettersHigh", "DevicesFlood", "ModelRefused", "AnnouncementPassedOver", "EventsLost"} <= firing
    assert firing.isdisjoint({"ScorerDown", "ScorerStalled", "ScorerNotReady", "LagHigh"})
