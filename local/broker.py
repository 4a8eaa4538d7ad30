"""A real single-node Kafka (KRaft: broker and controller in one process) for one machine, without containers.

All its files are in one folder: `server.properties`, `data/`, `kafka.log`. After a clean stop or a SIGKILL, a restart on the same
folder has the same ports and the same data.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from aimaas.errors import StackError
from local.install.jars import kafka_jars
from local.install.java import require_java
from local.ports import HOST, answers, free_port, is_free
from local.supervision.processes import ManagedProcess, find_process, start_program
from local.supervision.programs import Program

# as in Kafka's start script: short pauses of the collector
_COLLECTOR = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35")
READY_LIMIT_S = 180.0  # 5 s on an idle machine, 35 with six times the work it has cores for
_NAME = "kafka"
_CLUSTER_ID = "YWltYWFzLWxvY2FsLTAwMQ"
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    # the start prints each of some 300 settings at info
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaConfig=warn",
)

_PROPERTIES = """\
# written by local/broker.py when the folder was first used
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
# an undeclared topic must be an error, not a topic with wrong settings
auto.create.topics.enable=false
# one node: one replica of everything, and few partitions, which start quickly
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# after a crash the controller waits this long for the old broker before it lets the new one register
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
# an open transaction of a killed producer is aborted soon after its time-out, so that readers continue
transaction.abort.timed.out.transaction.cleanup.interval.ms=2000
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
log.cleaner.dedupe.buffer.size=33554432
"""


@dataclass
class Broker:
    """A running broker: clients connect to `bootstrap_servers`, `process` is its JVM."""

    folder: Path
    jars: Path
    port: int
    process: ManagedProcess

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of the broker."""
        return f"{HOST}:{self.port}"


def start_broker(folder: Path, jars: Path, port: int | None = None) -> Broker:
    """Start a broker on `folder` and wait until it serves (at most 180 s).

    A used folder keeps its port unless `port` is given; a new folder gets any free port. Raises StackError if the broker already
    runs, a port is taken, Java or the jars are missing, or the broker does not start.
    """
    folder = folder.absolute()
    if find_broker(folder, jars) is not None:
        raise StackError(f"a broker already runs on {folder}: stop it first")
    program = broker_program(folder, jars, port)
    listening = _ports(folder / "server.properties")[0]
    if not is_free(listening):
        raise StackError(f"port {listening} is taken: end the process that listens there, or start on another folder")
    broker = Broker(folder, jars, listening, start_program(program))
    _wait_until_ready(broker)
    return broker


def broker_program(folder: Path, jars: Path, port: int | None = None) -> Program:
    """Prepare `folder` (properties, with `port` if given, and data) and return the program of its broker.

    Raises StackError if Java or the jars are missing, or if the folder cannot be prepared.
    """
    folder = folder.absolute()
    java, classpath = require_java(), kafka_jars(jars)
    folder.mkdir(parents=True, exist_ok=True)
    properties = _ensure_properties(folder, port, runs=find_process(_NAME, folder) is not None)
    base = [java, "-cp", os.pathsep.join(map(str, classpath)), *_LOGGING]
    _format(base, properties)
    heap = ["-Xms256m", "-Xmx768m", "-XX:MaxDirectMemorySize=256m"]
    command = [*base[:1], *heap, *_COLLECTOR, *base[1:], "kafka.Kafka", str(properties)]
    return Program(_NAME, folder, tuple(command), port=_ports(properties)[0])


def find_broker(folder: Path, jars: Path) -> Broker | None:
    """Find the broker that runs on `folder`, no matter who started it; None if there is none."""
    folder = folder.absolute()
    process = find_process(_NAME, folder)
    properties = folder / "server.properties"
    if process is None or not properties.is_file():
        return None
    return Broker(folder, jars, _ports(properties)[0], process)


def properties_text(folder: Path, port: int | None = None) -> str:
    """Return the broker's settings on a new folder. To use others, write them to its `server.properties` before the start."""
    return _PROPERTIES.format(
        host=HOST, port=port or free_port(), controller_port=free_port(), data=folder.absolute() / "data"
    )


def kept_port(folder: Path) -> int | None:
    """Return the port of a used folder; None for a new one."""
    properties = folder / "server.properties"
    return _ports(properties)[0] if properties.is_file() else None


def _ensure_properties(folder: Path, port: int | None, *, runs: bool) -> Path:
    """Return the path of the properties. A new file is written; an existing one gets `port` if it is given.

    If another program has taken the controller's port, which only the broker uses, the controller gets a free one.
    """
    path = folder / "server.properties"
    if not path.is_file():
        path.write_text(properties_text(folder, port))
        return path
    text = path.read_text()
    old, controller = _ports(path)
    if port not in (None, old):
        text = text.replace(f"PLAINTEXT://{HOST}:{old}", f"PLAINTEXT://{HOST}:{port}")
    if not runs and not is_free(controller):
        text = text.replace(f"{HOST}:{controller}", f"{HOST}:{free_port()}")
    path.write_text(text)
    return path


def _ports(properties: Path) -> tuple[int, int]:
    """Return the ports of clients and of the controller as the file has them."""
    for line in properties.read_text().splitlines():
        if line.startswith("listeners="):
            first, second, *_ = line.split(",")
            return int(first.rsplit(":", 1)[1]), int(second.rsplit(":", 1)[1])
    raise StackError(f"{properties} has no listeners: delete the folder to create the broker again")


def _format(base: list[str], properties: Path) -> None:
    """Prepare the data folder; does nothing the second time."""
    if (properties.parent / "data" / "meta.properties").is_file():
        return
    log = properties.parent / "format.log"
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    tool = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties), "--ignore-formatted"]
    with log.open("w") as output:
        code = subprocess.run(
            [*base[:1], *quick, *base[1:], *tool], stdout=output, stderr=subprocess.STDOUT, timeout=120, check=False
        ).returncode
    if code != 0:
        raise StackError(f"the broker's folder {properties.parent} could not be prepared; the reason is in {log}")


def _wait_until_ready(broker: Broker) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        if not broker.process.is_alive():
            raise StackError(f"the broker ended during its start; the reason is at the end of {broker.process.log}")
        if answers(HOST, broker.port) and serves({"bootstrap.servers": broker.bootstrap_servers}):
            return
        time.sleep(0.1)
    broker.process.kill()
    raise StackError(f"the broker was not ready after {READY_LIMIT_S:.0f} s; see {broker.process.log}")


def serves(kafka: Mapping[str, str], timeout_s: float = 3.0) -> bool:
    """Return whether the cluster in these librdkafka settings answers within `timeout_s`."""
    quiet = logging.getLogger("aimaas.broker.probe")
    quiet.setLevel(logging.CRITICAL)
    admin = AdminClient({**kafka, "socket.timeout.ms": int(timeout_s * 1000)}, logger=quiet)
    try:
        return len(admin.list_topics(timeout=timeout_s).brokers) > 0
    except KafkaException:
        return False
