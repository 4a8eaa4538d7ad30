"""The service as a process, on a real broker: it follows the champion, says what the stream says, and stops when asked."""

from __future__ import annotations

import http.client
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aimaas.errors import ServiceError
from aimaas.kafka import delete_topics
from aimaas.topics import topic_specs
from local import ports
from stream.service.server import listen
from tests.stream.conftest import SILENT_ABOVE, Line
from tests.stream.monitoring.test_seen_from_outside import Page
from tests.stream.service.test_hostile import attack

pytestmark = pytest.mark.broker

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 60.0


class Process:
    """`aimaas serve` for the line's fleet."""

    def __init__(self, line: Line, port: int, call: Any, options: list[str], **environment: str) -> None:
        self.port, self._call, self.log = port, call, line.folder / "service.log"
        program = [sys.executable, "-m", "cli", "serve", "--fleet", line.fleet.fleet, "--port", str(port)]
        program += options
        given = {
            "AIMAAS_HOME": str(line.settings.home), "AIMAAS_FLEETS": str(line.folder), "PATH": "/usr/bin:/bin",
            "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": line.settings.bootstrap_servers, **environment,
        }  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(program, env=given, stdout=log, stderr=log, cwd=ROOT)

    def call(self, path: str, body: Any = None) -> Any:
        return self._call(self.port, path, body)

    def wait_for_model(self, version: str) -> None:
        limit = time.monotonic() + LIMIT_S
        while self._served() != version:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < limit, self.log.read_text()
            time.sleep(0.05)

    def _served(self) -> str | None:
        try:
            answer = self.call("/readyz")
        except OSError:
            return None
        return answer.json["model_version"] if answer.status == 200 else None

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


@pytest.fixture
def service(line: Line, free_port: int, call_http: Any) -> Iterator[Any]:
    started: list[Process] = []

    def start(port: int = free_port, options: list[str] | None = None, **environment: str) -> Process:
        started.append(Process(line, port, call_http, options or [], **environment))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(10)


def instances(events: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    """One instance for each device: all its events, as they went to the topic."""
    by_device: dict[bytes, list[Any]] = {}
    for key, value in events:
        by_device.setdefault(key, []).append(msgspec.json.decode(value))
    return [{"events": of_one} for of_one in by_device.values()]


def test_it_says_what_the_stream_says_takes_a_new_champion_and_stops_when_asked(line: Line, service: Any) -> None:
    line.champion(version="1")
    events = line.events(devices=4)
    line.send(events)
    line.score_all(len(events))
    newest = {p["device_id"]: p for p in (msgspec.json.decode(r.value or b"") for r in line.predictions())}
    asked = {"instances": instances(events)}
    devices = [one["events"][0]["device_id"] for one in asked["instances"]]

    running = service()
    running.wait_for_model("1")
    first = running.call("/predict", asked).json
    line.champion(version="2", sequence=2, factor=2.0)
    running.wait_for_model("2")
    second = running.call("/predict", asked).json

    assert first["prediction"] == [newest[d]["prediction"] for d in devices]
    assert (first["model_version"], first["unit"]) == ("1", newest[devices[0]]["unit"])
    assert second["model_version"] == "2"
    assert second["prediction"] != first["prediction"]
    assert 'model_version="2"} 1.0' in running.call("/metrics").text
    line.announce(line.announcement("3", 3, b"torn"))
    limit = time.monotonic() + LIMIT_S
    while f'aimaas_models_refused_total{{fleet="{line.fleet.fleet}"}} 1.0' not in running.call("/metrics").text:
        assert time.monotonic() < limit, running.log.read_text()
    assert running.stop() == 0
    assert "service stopped" in running.log.read_text()
    assert "Traceback" not in running.log.read_text()


def test_it_waits_for_its_first_champion_and_asks_for_the_key(line: Line, service: Any) -> None:
    running = service(AIMAAS_API_KEY="k", AIMAAS_LOG_FORMAT="json")
    wait_until_it_answers(running)
    assert running.call("/readyz").status == 503
    line.champion(version="5")
    running.wait_for_model("5")
    assert running.call("/predict", {"events": []}).status == 401
    assert running.stop() == 0


def test_a_model_that_gives_too_few_answers_is_withdrawn_and_the_next_champion_serves(line: Line, service: Any) -> None:
    line.champion(version="1", silent=True)
    running = service()
    running.wait_for_model("1")
    (one,) = instances(line.events(devices=1)[:30])
    asked = [{"events": [e | {"readings": e["readings"] | {"o1": SILENT_ABOVE + 5}}]} for e in one["events"]]

    first = running.call("/predict", {"instances": asked})
    limit = time.monotonic() + LIMIT_S
    while running.call("/readyz").status == 200:
        assert time.monotonic() < limit, running.log.read_text()
    refused = running.call("/predict", {"instances": asked})
    metrics = running.call("/metrics").text
    line.champion(version="2", sequence=2)
    running.wait_for_model("2")

    assert (first.status, first.json["type"]) == (422, "urn:aimaas:problem:no-prediction")
    assert (refused.status, refused.json["type"]) == (503, "urn:aimaas:problem:no-model")
    assert f'aimaas_models_withdrawn_total{{fleet="{line.fleet.fleet}"}} 1.0' in metrics
    assert running.call("/predict", {"instances": asked}).status == 200
    assert running.stop() == 0


def test_health_has_a_port_of_its_own_and_stays_green_beside_800_slow_connections(line: Line, service: Any) -> None:
    line.champion(version="1")
    health = ports.free_port()
    running = service(options=["--health-port", str(health)])
    page = Page(health)
    assert page.wait_for("/readyz", 200) == {"ok": True, "reasons": []}

    with attack("slow", running.port, 800):
        time.sleep(3)
        took = []
        for _ in range(20):
            began = time.monotonic()
            assert (page.get("/healthz")[0], page.get("/readyz")[0]) == (200, 200)
            took.append(time.monotonic() - began)
        assert "aimaas_http_connections_closed_total" in page.get("/metrics")[1].decode()
        (one,) = instances(line.events(devices=1)[:3])
        assert running.call("/predict", one).status == 200
        assert running.call("/healthz").status == 200

    assert statistics.median(took) < 2
    head = http.client.HTTPConnection("127.0.0.1", health, timeout=LIMIT_S)
    head.request("HEAD", "/healthz")
    assert (head.getresponse().status, running.stop()) == (200, 0)


def test_it_speaks_tls_and_asks_for_the_certificates_that_a_ca_signed(line: Line, service: Any, tmp_path: Path) -> None:
    line.champion(version="1")
    cert, key = self_signed(tmp_path)
    running = service(options=["--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(cert)])
    trusted = ssl.create_default_context(cafile=str(cert))
    limit = time.monotonic() + LIMIT_S
    while "service listens" not in running.log.read_text():
        assert time.monotonic() < limit, running.log.read_text()
        time.sleep(0.05)

    with pytest.raises(OSError):
        get_tls(running.port, trusted)
    trusted.load_cert_chain(cert, key)
    assert get_tls(running.port, trusted) == 200
    assert running.stop() == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"], "cannot serve TLS with nowhere.pem"),
        (["--tls-cert", "nowhere.pem"], "TLS needs both --tls-cert and --tls-key"),
    ],
)
def test_files_that_are_no_certificate_are_one_clear_line(
    line: Line, service: Any, options: list[str], says: str
) -> None:
    running = service(options=options)

    assert running.process.wait(LIMIT_S) != 0
    assert says in running.log.read_text()
    assert "Traceback" not in running.log.read_text()


def get_tls(port: int, context: ssl.SSLContext) -> int:
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=LIMIT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    finally:
        connection.close()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Certificate and key of localhost, in PEM."""
    secret, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )  # fmt: skip
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(secret.private_bytes(serialization.Encoding.PEM, *plain))
    return cert, key


def wait_until_it_answers(running: Process) -> None:
    limit = time.monotonic() + LIMIT_S
    while True:
        try:
            running.call("/healthz")
            return
        except OSError:
            assert time.monotonic() < limit, running.log.read_text()
            time.sleep(0.05)


def test_a_taken_port_is_one_clear_line(service: Any, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        running = service(free_port)
        assert running.process.wait(LIMIT_S) == 1
    (line,) = running.log.read_text().splitlines()
    assert line.startswith(
        f"error: cannot listen on 127.0.0.1 port {free_port}: Address already in use; stop the process"
    )


def test_without_the_fleets_topics_it_ends_with_what_to_do(line: Line, service: Any) -> None:
    delete_topics(line.settings, [spec.name for spec in topic_specs(line.fleet)])
    running = service()
    assert running.process.wait(LIMIT_S) == 1
    (line_,) = running.log.read_text().splitlines()
    where = line.settings.bootstrap_servers
    assert line_.endswith(f"no such topic at {where}; create the fleet's topics with `aimaas topics create`")


def test_an_address_that_is_not_here_is_refused() -> None:
    with pytest.raises(ServiceError, match=r"cannot listen on 192\.0\.2\.1 port 0"):
        listen("192.0.2.1", 0)
    with pytest.raises(ServiceError, match=r"cannot listen on no\.such\.host\.invalid"):
        listen("no.such.host.invalid", 0)
    with listen("::1", 0) as listener:
        assert listener.family == socket.AF_INET6
