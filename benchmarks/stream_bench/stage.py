"""Where a stream benchmark plays: a broker of its own, a temporary home, and copies of the turbofan fleet's file.

Every round scores the same input under fresh output topics. The events name their fleet, so all copies keep its name; what a round
must not inherit, topics are renamed for and the group is deleted for.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from confluent_kafka import KafkaException
from confluent_kafka import KafkaError as ClientError

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kafka import ANSWER_LIMIT_S, admin, create_topics, delete_topics
from aimaas.settings import Settings, read_settings
from aimaas.topics import TopicSpec, topic_names, topic_specs
from local.broker import start_broker
from local.jars import fetch_jars

ROOT = Path(__file__).resolve().parents[2]
_FLEET = ROOT / "fleets" / "turbofan.yaml"
_GROUP_LIMIT_S = 30.0  # a member that was killed stays in its group until its session times out


@dataclass(frozen=True)
class Part:
    """One contender's round: the fleet file it runs with, in a folder of its own."""

    settings: Settings
    fleet: FleetSpec
    folder: Path


@dataclass(frozen=True)
class Stage:
    """A running broker and a folder for everything that the benchmark writes."""

    settings: Settings
    folder: Path
    broker_pid: int
    partitions: int

    def fleet(self, **names: str) -> FleetSpec:
        """The turbofan fleet with this stage's partitions; `names` renames topics (events, predictions, state, models)."""
        plain = load_fleet(_FLEET).model_dump(mode="json", exclude_none=True)
        return FleetSpec.model_validate(plain | {"topics": {"partitions": self.partitions, "names": names}})

    def create(self, fleet: FleetSpec) -> None:
        """Create the topics of a fleet that are missing."""
        create_topics(self.settings, topic_specs(fleet))

    def create_plain(self, *names: str) -> None:
        """Create topics for contenders that know no fleet, with the settings of a predictions topic."""
        fleet = self.fleet()
        like = next(spec for spec in topic_specs(fleet) if spec.name == topic_names(fleet).predictions)
        create_topics(self.settings, [TopicSpec(n, self.partitions, like.replication, like.config) for n in names])

    @contextmanager
    def part(self, tag: str, **names: str) -> Iterator[Part]:
        """A fleet file whose predictions, state and group are new; `names` renames further topics. Topics go at the end."""
        fresh = {kind: f"bench.{tag}.{kind}" for kind in ("predictions", "state")}
        fleet = self.fleet(**fresh, **names)
        folder = self.folder / tag
        folder.mkdir()
        (folder / f"{fleet.fleet}.yaml").write_text(yaml.safe_dump(fleet.model_dump(mode="json", exclude_none=True), sort_keys=False))
        self.create(fleet)
        try:
            yield Part(self.settings, fleet, folder)
        finally:
            delete_topics(self.settings, fresh.values())
            self.delete_group(f"aimaas-{fleet.fleet}")

    def drop(self, names: Sequence[str]) -> None:
        """Delete topics."""
        delete_topics(self.settings, names)

    def delete_group(self, group: str) -> None:
        """Let a consumer group begin anew; waits (30 s) until its last member has left."""
        client, limit = admin(self.settings), time.monotonic() + _GROUP_LIMIT_S
        while True:
            try:
                client.delete_consumer_groups([group], request_timeout=ANSWER_LIMIT_S)[group].result(ANSWER_LIMIT_S)
                return
            except KafkaException as e:
                if e.args[0].code() == ClientError.GROUP_ID_NOT_FOUND:
                    return
                passing = e.args[0].code() == ClientError.NON_EMPTY_GROUP or e.args[0].retriable()
                if not passing or time.monotonic() > limit:
                    raise
            time.sleep(0.1)


@contextmanager
def open_stage(partitions: int) -> Iterator[Stage]:
    """Start a broker on a free port in a temporary folder; both are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="aimaas-bench-") as name:
        folder = Path(name)
        broker = start_broker(folder / "kafka", fetch_jars(read_settings().jars))
        try:
            environ = {"AIMAAS_HOME": name, "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
            yield Stage(read_settings(environ), folder, broker.pid, partitions)
        finally:
            broker.kill()
