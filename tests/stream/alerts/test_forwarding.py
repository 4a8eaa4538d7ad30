"""Alerts reach a webhook that was down, and a real Alertmanager: each at least once, none shown twice."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests

from aimaas.errors import SettingsError
from aimaas.fleet.alert_rules import AlertRule
from aimaas.records.alerts import Alert, SavedRule, encode_alert, encode_saved
from stream.alerts.episodes import Ground, fired, resolved
from stream.alerts.forwarding import forward
from stream.alerts.receivers import Alertmanager, Receiver, Webhook, as_prometheus, place_of
from stream.state.records import rules_record
from tests.stream.conftest import LIMIT_S, Line

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
RULE = AlertRule(when="s2 > 1", summary="{device_id} is hot", labels={"team": "a"}, severity="critical")


def firing(line: Line, n: int) -> Alert:
    ground = Ground(0, n, NOW, f"{line.names.events}/0/{n}", 20.5, "3", {})
    return fired(line.fleet, "hot", RULE, f"d-{n}", f"hot:{ground.source}", int(time.time() * 1e3), ground)


def send(line: Line, alerts: Sequence[Alert]) -> None:
    line.send([(a.device_id.encode(), encode_alert(a)) for a in alerts], line.names.alerts)


class Hook:
    """A webhook that answers 503 while `down`, and notes what it accepted."""

    def __init__(self) -> None:
        self.down, self.refused = False, 0
        self.accepted: list[tuple[str, Alert]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.refused += hook.down
                if not hook.down:
                    key = self.headers["Idempotency-Key"]
                    hook.accepted.append((key, msgspec.json.decode(body, type=Alert)))
                self.send_response(503 if hook.down else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


@contextmanager
def forwarding(line: Line, make: Callable[[Sequence[Alert]], Receiver], name: str = "test") -> Iterator[None]:
    stop, ready, failure = threading.Event(), threading.Event(), []

    def made(firing: Sequence[Alert]) -> Receiver:
        ready.set()  # the place in the topic is known
        return make(firing)

    def run() -> None:
        try:
            forward(line.settings, line.fleet, name, made, stop)
        except Exception as e:  # noqa: BLE001 - handed to the test
            failure.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(LIMIT_S)
        yield
    finally:
        stop.set()
        thread.join(LIMIT_S)
    assert not thread.is_alive()
    assert not failure, failure


def await_that(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


@pytest.mark.broker
def test_a_webhook_that_was_down_gets_every_alert_and_a_new_run_repeats_none(line: Line, hook: Hook) -> None:
    make = lambda _: Webhook(hook.url)  # noqa: E731
    past = [firing(line, n) for n in range(3)]
    send(line, past)
    with forwarding(line, make):  # the first run begins with what fires then, and nothing fires
        send(line, [firing(line, 10)])
        await_that(lambda: bool(hook.accepted))
        hook.down = True
        new = [firing(line, n) for n in range(20, 30)]
        send(line, [*new, *(resolved(a, datetime.now(UTC), "clear") for a in new)])
        await_that(lambda: hook.refused > 1)
        hook.down = False
        await_that(lambda: len({key for key, _ in hook.accepted}) == 21)
    send(line, [firing(line, 40)])
    with forwarding(line, make):
        await_that(lambda: len({key for key, _ in hook.accepted}) == 22)

    assert {key for key, _ in hook.accepted}.isdisjoint(a.id for a in past)
    assert all(key == alert.id for key, alert in hook.accepted)
    counts = Counter(key for key, _ in hook.accepted)
    assert counts.total() <= 22 + 1  # a record whose answer was lost may come again
    for alert in new:
        its = [a.status for _, a in hook.accepted if a.alert_id == alert.alert_id]
        assert its == ["firing", "resolved"]


@pytest.mark.broker
def test_the_first_run_begins_with_the_alerts_that_fire(line: Line, hook: Hook) -> None:
    alert = firing(line, 5)
    saved = rules_record(alert.device_id, encode_saved({"hot": SavedRule("d", 2, 0, 0, alert)}))
    line.send([(saved.key, saved.value)], line.names.state)
    with forwarding(line, lambda _: Webhook(hook.url)):
        await_that(lambda: bool(hook.accepted))
    assert [key for key, _ in hook.accepted] == [alert.id]


@pytest.fixture
def alertmanager(tmp_path: Path, free_port: int) -> Iterator[str]:
    """Debian's Alertmanager; its address."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("needs Debian's package prometheus-alertmanager")
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    process = subprocess.Popen(
        [program, f"--config.file={config}", f"--storage.path={tmp_path}", f"--web.listen-address=127.0.0.1:{free_port}",
         "--cluster.listen-address="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{free_port}"
    try:
        await_that(lambda: is_up(url))
        yield url
    finally:
        process.terminate()
        process.wait(10)


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/-/ready", timeout=5).ok
    except requests.RequestException:
        return False


def shown(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{url}/api/v2/alerts", timeout=10).json()
    return found


@pytest.mark.broker
def test_alertmanager_shows_each_alert_once_until_it_is_resolved(line: Line, alertmanager: str) -> None:
    alerts = [firing(line, n) for n in range(5)]
    with forwarding(line, partial(Alertmanager, alertmanager)):
        send(line, alerts)
        await_that(lambda: len(shown(alertmanager)) == 5)
        send(line, [resolved(a, datetime.now(UTC), "clear") for a in alerts[:3]])
        await_that(lambda: len(shown(alertmanager)) == 2)

    left = shown(alertmanager)
    assert {a["labels"]["device_id"] for a in left} == {"d-3", "d-4"}
    assert left[0]["labels"] | {"device_id": ""} == {
        "alertname": "hot", "device_id": "", "fleet": line.fleet.fleet, "severity": "critical", "team": "a",
    }  # fmt: skip
    assert left[0]["annotations"]["summary"].endswith("is hot")


def test_an_alert_that_fires_is_sent_again_each_minute_and_ends_four_minutes_after_the_last_time(
    monkeypatch: pytest.MonkeyPatch, hook: Hook
) -> None:
    fleet = type("Fleet", (), {"fleet": "f", "order": "seq"})()
    alert = fired(fleet, "hot", RULE, "d", "hot:e/0/1", 0, Ground(0, 1, NOW, "e/0/1", 1.0, "1", {}))
    sent: list[Any] = []
    monkeypatch.setattr("stream.alerts.receivers._post", lambda *_, json: sent.append(json))
    receiver = Alertmanager("http://host:9093", [alert])
    for seconds in (0, 30, 60, 90, 121):
        receiver.keep_alive(NOW + timedelta(seconds=seconds))
    receiver.deliver([resolved(alert, NOW + timedelta(seconds=130), "clear")], NOW)
    receiver.keep_alive(NOW + timedelta(seconds=300))

    assert [one[0]["endsAt"] for one in sent] == [
        "2026-12-01T12:04:00Z", "2026-12-01T12:05:00Z", "2026-12-01T12:06:01Z", "2026-12-01T12:02:10Z",
    ]  # fmt: skip
    assert json.dumps(as_prometheus(alert, NOW))


@pytest.mark.parametrize("url", ["", "host:9093", "ftp://host", "https://", "http://host:port", "http://[::1"])
def test_an_address_that_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="no URL such as"):
        place_of(url)
    assert place_of("https://user:secret@host:8443/path?token=x") == "https://host:8443"
