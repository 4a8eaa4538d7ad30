"""The steps that all demos share: a stack, histories, trainings, the comparison of outputs with inputs."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import msgspec
import yaml

from aimaas.errors import StackError
from aimaas.fleet import FleetSpec
from aimaas.kafka import read_all
from aimaas.lake import read_table
from aimaas.lake.quarantine import EXPECTATION
from aimaas.records.events import Announcement, Prediction
from aimaas.settings import Settings
from aimaas.topics import topic_names
from local.demo.account import Account, reckon
from local.demo.narrator import Narrator
from local.demo.report import Places
from local.demo.traffic import Sent, send_history
from local.demo.watch import Chain
from local.stack import Stack, start_stack, stop_stack
from stream.devices.histories import Histories

_YEARLY = "0 0 1 1 *"
_ERRORS = "__connect.errors."

Refused = tuple[int, int, str]  # source partition, source offset, reason


@dataclass
class Demo:
    """The state of one demo."""

    fleet: FleetSpec
    stack: Stack
    narrator: Narrator
    sent: list[Sent] = field(default_factory=list)
    champions: list[Announcement] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """Settings with the addresses of the stack."""
        return self.stack.settings

    def send_history(self, histories: Histories, bad_per_reason: int) -> None:
        """Send events and outcomes at full speed, bad records among them."""
        title = f"{len(histories):,} events of {len(histories.devices)} devices to Kafka"
        with self.narrator.stage(f"history_{len(self.sent) + 1}", title, len(histories)) as s:
            sent = send_history(self.settings, self.fleet, histories, bad_per_reason, lambda done, _: s.move(done))
            s.say(f"{sum(sent.refused.values())} bad records among them")
        self.sent.append(sent)

    def train(self, name: str, limit_s: float) -> Announcement:
        """Run the DAGs until there is a new champion.

        If the second model is not significantly better, the demo promotes it by hand and says so.
        """
        after = self.champions[-1].sequence if self.champions else -1
        with self.narrator.stage(name, f"Airflow: ingest, prepare, train ({name})") as s:
            chain = Chain.begin(self.stack.airflow, self.fleet)
            trained = chain.await_training(self.settings, after, limit_s, s.say)
            found, how = trained.announced, ""
            if found is None:
                if not self.champions:
                    raise StackError(f"the first model does not serve: {trained.reason}; see {self.stack.airflow.url}")
                found, how = promote_by_hand(self.settings, self.fleet, trained.version), f", by hand: {trained.reason}"
            s.say(f"version {found.version} is champion{how}")
        self.narrator.seconds |= {f"{name}.{task}": seconds for task, seconds in chain.seconds().items()}
        self.champions.append(found)
        return found


@contextmanager
def running_stack(settings: Settings, fleet: FleetSpec, narrator: Narrator) -> Iterator[Stack]:
    """Start a stack in a new folder. It is stopped with all its processes in any case."""
    stop_stack(settings)  # a killed demo may have left processes
    shutil.rmtree(settings.home, ignore_errors=True)
    write_fleet(settings, fleet)
    with narrator.stage("start", "start Kafka, Airflow and the registry"):
        stack = start_stack(settings, [fleet])
    try:
        yield stack
    finally:
        with narrator.stage("stop", "stop everything"):
            stack.stop()


def promote_by_hand(settings: Settings, fleet: FleetSpec, version: str) -> Announcement:
    """Promote and announce a version, as `aimaas models promote` does."""
    from aimaas.registry.versions import set_champion
    from models.promotion.announce import announce

    set_champion(settings, fleet, version)
    said = announce(settings, fleet)
    assert said is not None  # noqa: S101 - the champion was just set
    return said


def write_fleet(settings: Settings, fleet: FleetSpec) -> None:
    """Write the fleet file for the demo's Airflow, with yearly schedules: the demo itself starts each run."""
    settings.fleets.mkdir(parents=True, exist_ok=True)
    spec = fleet.model_dump(mode="json", exclude_unset=True)
    spec["schedule"] = {**spec.get("schedule", {}), "ingest": _YEARLY, "train": _YEARLY}
    (settings.fleets / f"{fleet.fleet}.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))


def reckon_topics(demo: Demo) -> Account:
    """Read all predictions and dead letters as a consumer does, and compare them with the events sent."""
    with demo.narrator.stage("reckon", "read all topics and compare"):
        names = topic_names(demo.fleet)
        decode = msgspec.json.Decoder(Prediction).decode
        predictions = [decode(r.value or b"") for r in read_all(demo.settings, names.predictions)]
        dead = dead_letters(demo.settings, names.dead_letters)
        refused: Counter[str] = Counter()
        for sent in demo.sent:
            refused.update(sent.refused)
        valid = {event for sent in demo.sent for event in sent.truth}
        account = reckon(
            valid, [(p.device_id, p.run, p.seq) for p in predictions], Counter(r for *_, r in dead), refused
        )
        return replace(account, quarantine_differs=len(dead ^ quarantined(demo.settings, demo.fleet)))


def dead_letters(settings: Settings, topic: str) -> set[Refused]:
    """Return source partition, offset and reason of every dead letter."""
    found = (r.headers for r in read_all(settings, topic))
    return {
        (int(h[f"{_ERRORS}partition"]), int(h[f"{_ERRORS}offset"]), h[f"{_ERRORS}exception.class.name"].decode())
        for h in found
    }


def quarantined(settings: Settings, fleet: FleetSpec) -> set[Refused]:
    """Return source partition, offset and reason of every event that the lake refused."""
    rows = read_table(
        settings, fleet.fleet, "quarantine", columns=["topic", "partition", "offset", "reason"]
    ).to_pylist()
    events = topic_names(fleet).events
    return {
        (r["partition"], r["offset"], r["reason"]) for r in rows if r["topic"] == events and r["reason"] != EXPECTATION
    }


def places_of(demo: Demo) -> Places:
    """Return where to look further. The stack is stopped by then, so this includes the command that starts it again."""
    home, airflow = demo.settings.home, demo.stack.airflow
    again = f"AIMAAS_HOME={os.path.relpath(home)} .venv/bin/aimaas up --fleet {demo.fleet.fleet}"
    return Places(
        airflow=f"{airflow.url} after `{again} --airflow-port {airflow.port}`; with --show-secrets it prints the login",
        mlflow=f"{demo.settings.mlflow_tracking_uri}; the same command serves its pages",
        data_docs=demo.settings.data_docs,
        logs=home,
    )


def parity_of(demo: Demo) -> float:
    """Return the largest difference between an exported champion and scikit-learn, from its report."""
    from aimaas.registry.versions import show_model

    models = [show_model(demo.settings, demo.fleet, c.version) for c in demo.champions]
    return max(float(m["metrics"]["parity_max_rel"]) for m in models)
