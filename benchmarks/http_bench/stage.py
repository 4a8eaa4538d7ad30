"""The environment of the benchmark: a broker, the turbofan fleet's topics, a champion of 200 trees, and `aimaas serve`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from confluent_kafka import Producer
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from aimaas.fleet import FleetSpec, find_fleet
from aimaas.kafka import create_topics, producer_config
from aimaas.kernel.features import kernel_of
from aimaas.kernel.fit import channel_matrix, finish, moments
from aimaas.kernel.plan import plan_of
from aimaas.kernel.regimes import find_regimes
from aimaas.kernel.state import DeviceState
from aimaas.model.artefact import ModelMetadata, sha256
from aimaas.records.events import Announcement
from aimaas.settings import Settings, read_settings
from aimaas.topics import topic_names, topic_specs
from local.broker import start_broker
from local.install.jars import fetch_jars
from local.ports import free_port
from models.export.export import export, stamp
from stream.devices.histories import Histories, truth
from stream.devices.simulator import simulate

ROOT = Path(__file__).resolve().parents[2]
_LIMIT_S = 60.0


@contextmanager
def service(trees: int) -> Iterator[tuple[FleetSpec, int]]:
    """Run a service that is ready; yield the fleet and the port. Everything is deleted at the end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left
    with tempfile.TemporaryDirectory(prefix="aimaas-bench-") as name:
        broker = start_broker(Path(name) / "kafka", fetch_jars(read_settings().jars))
        try:
            environ = {"AIMAAS_HOME": name, "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
            settings = read_settings({**environ, "AIMAAS_FLEETS": str(ROOT / "fleets")})
            fleet = find_fleet(settings.fleets, "turbofan")
            create_topics(settings, topic_specs(fleet))
            _announce(settings, fleet, _champion(fleet, Path(settings.mlflow_artifacts), trees))
            with _process(fleet, environ) as port:
                yield fleet, port
        finally:
            broker.process.kill()


def _champion(fleet: FleetSpec, folder: Path, trees: int) -> Announcement:
    """Train boosted trees on simulated devices by the pipeline's own parts."""
    plan, histories = plan_of(fleet), simulate(fleet, 60, 7, 900_000)
    regimes = find_regimes(plan, histories.values, 7)
    centre = channel_matrix(plan, histories.values).mean(axis=0)
    fit = finish(regimes, [moments(plan, regimes, centre, histories.values)])
    state, begins = DeviceState.of(fleet), _begins(histories)
    slots = state.slots(histories.devices)[histories.device]
    features = kernel_of(plan, fit).advance(state, slots, histories.values.astype(np.float32), begins)
    labels = truth(histories, fleet)
    known = np.isfinite(labels)
    trained = HistGradientBoostingRegressor(max_iter=trees, early_stopping=False, random_state=7)
    with threadpool_limits(1):  # on a busy machine its threads wait for each other for minutes
        trained.fit(features[known], labels[known])
    assert fleet.task.kind == "remaining_useful_life"
    about = ModelMetadata(
        fleet.fleet, fleet.version, fleet.task.kind, fleet.task.unit, "boosting", plan, fit, (0, fleet.task.cap),
        "simulated", "none", 7, "none", {},
    )  # fmt: skip
    content = stamp(export(trained, len(plan.feature_names), (0, fleet.task.cap)), about)
    path = folder / "champion.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Announcement("champion", "1", 1, str(path), sha256(content), plan.hash, fit.id, datetime.now(UTC))


def _begins(histories: Histories) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    begins = np.ones(len(histories), np.bool_)
    begins[1:] = (np.diff(histories.device) != 0) | (np.diff(histories.run) != 0)
    return begins


def _announce(settings: Settings, fleet: FleetSpec, champion: Announcement) -> None:
    producer = Producer(producer_config(settings))
    producer.produce(topic_names(fleet).models, msgspec.json.encode(champion), b"champion")
    assert producer.flush(15) == 0, "the announcement did not reach the broker"


@contextmanager
def _process(fleet: FleetSpec, environ: dict[str, str]) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "cli", "serve", "--fleet", fleet.fleet, "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environ}, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + _LIMIT_S
        while not _is_ready(port):
            assert process.poll() is None, "the service ended while it started"
            assert time.monotonic() < limit, f"the service was not ready after {_LIMIT_S:g} s"
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(_LIMIT_S)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False


def bodies(fleet: FleetSpec, count: int, events: int) -> list[bytes]:
    """Return `count` bodies of one instance each: the last `events` events of a device at some time of its life."""
    histories = simulate(fleet, max(1, count // 50), 11)
    rows = [dict(zip(fleet.readings, row, strict=True)) for row in histories.values.tolist()]
    whole = [i for i in range(events, len(rows)) if histories.device[i - events] == histories.device[i]]
    step = max(1, len(whole) // count)
    return [
        msgspec.json.encode({"events": [{"readings": row} for row in rows[i - events + 1 : i + 1]]})
        for i in whole[::step][:count]
    ]
