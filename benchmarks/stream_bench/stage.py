"""The environment of a stream benchmark: a new broker, a temporary home, and copies of the turbofan fleet's file.

Every round scores to new output topics. The events name their fleet, so all copies of the file keep its name. So that a round
inherits nothing, topics are renamed and the group is deleted.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kafka import ANSWER_LIMIT_S, admin, create_topics, delete_topics
from aimaas.settings import Settings, read_settings
from aimaas.topics import TopicSpec, topic_names, topic_specs
from local.broker import find_broker, start_broker
from local.install.jars import fetch_jars

ROOT = Path(__file__).resolve().parents[2]
_FLEET = ROOT / "fleets" / "turbofan.yaml"
_PASSES = (ClientError.NON_EMPTY_GROUP, ClientError.GROUP_ID_NOT_FOUND, ClientError.NOT_COORDINATOR)
_GROUP_LIMIT_S = 60.0  # a killed member stays in its group until its session times out


@dataclass(frozen=True)
class Stage:
    """A running broker, and a folder for all files of the benchmark."""

    settings: Settings
    folder: Path
    partitions: int

    def fleet(self, **names: str) -> FleetSpec:
        """Return the turbofan fleet with this stage's partitions; `names` renames topics (events, predictions, state)."""
        plain = load_fleet(_FLEET).model_dump(mode="json", exclude_none=True)
        return FleetSpec.model_validate(plain | {"topics": {"partitions": self.partitions, "names": names}})

    def write_fleet(self, fleet: FleetSpec, tag: str) -> Path:
        """Write the fleet file into a new folder."""
        folder = self.folder / tag
        folder.mkdir()
        plain = fleet.model_dump(mode="json", exclude_none=True)
        (folder / f"{fleet.fleet}.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
        return folder

    @contextmanager
    def topics_of(self, fleet: FleetSpec, fresh: Sequence[str] = ()) -> Iterator[None]:
        """Create a fleet's missing topics; those in `fresh` are deleted at the end."""
        create_topics(self.settings, topic_specs(fleet))
        try:
            yield
        finally:
            delete_topics(self.settings, fresh)

    @contextmanager
    def topics(self, *names: str) -> Iterator[None]:
        """Create topics with the settings of a predictions topic, for contenders without a fleet; they are deleted at the end."""
        fleet = self.fleet()
        like = next(spec for spec in topic_specs(fleet) if spec.name == topic_names(fleet).predictions)
        create_topics(self.settings, [TopicSpec(n, self.partitions, like.replication, like.config) for n in names])
        try:
            yield
        finally:
            delete_topics(self.settings, names)

    @contextmanager
    def group(self, name: str) -> Iterator[None]:
        """Yield a consumer group that is deleted at the end, so that the next one of its name starts new."""
        yield
        client, limit = admin(self.settings), time.monotonic() + _GROUP_LIMIT_S
        while (code := _deletion(client, name)) not in (None, ClientError.GROUP_ID_NOT_FOUND):
            assert time.monotonic() < limit, f"group {name} still has members after {_GROUP_LIMIT_S:g} s: {code}"
            time.sleep(0.1)


def _deletion(client: object, group: str) -> int | None:
    """Try to delete a group; return the error's code, None if the group is gone."""
    try:
        client.delete_consumer_groups([group], request_timeout=ANSWER_LIMIT_S)[group].result(ANSWER_LIMIT_S)  # type: ignore[attr-defined]
    except KafkaException as e:
        if not (e.args[0].retriable() or e.args[0].code() in _PASSES):
            raise
        return int(e.args[0].code())
    return None


@contextmanager
def open_stage(partitions: int) -> Iterator[Stage]:
    """Start a broker on a free port in a temporary folder; both are deleted at the end, also after SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="aimaas-bench-") as name:
        folder, jars = Path(name), fetch_jars(read_settings().jars)
        try:
            broker = start_broker(folder / "kafka", jars)
            environ = {"AIMAAS_HOME": name, "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
            yield Stage(read_settings(environ), folder, partitions)
        finally:
            if left := find_broker(folder / "kafka", jars):  # also a broker that was interrupted while it started
                left.process.kill()
