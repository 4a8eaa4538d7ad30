"""A fleet of its own for each test that scores: topics on the real broker, tiny models, events, and a scorer to start."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from onnx import TensorProto, helper, numpy_helper

from aimaas.admission.judge import Judge, Reason
from aimaas.alerts.rules import AlertRules
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kafka import Record, admin, consumer_config, create_topics, delete_topics, producer_config, read_all
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan, plan_of
from aimaas.kernel.state import DeviceState
from aimaas.model.artefact import FILE_NAME, INPUT, METADATA_KEY, OUTPUT, ModelMetadata, encode_metadata, sha256
from aimaas.model.intervals import Intervals
from aimaas.records.events import Announcement
from aimaas.registry.signatures import signed
from aimaas.registry.versions import register
from aimaas.settings import Settings
from aimaas.topics import scorer_group, topic_names, topic_specs
from aimaas.training.report import CandidateReport, TrainReport, write_report
from stream.alerts.table import AlertTable
from stream.devices.producer import Encoder
from stream.devices.simulator import simulate
from stream.model.load import Model, load_model
from stream.records.predictions import Part, predictions_of, unanswered_of
from stream.scorer.options import ScorerOptions
from stream.scorer.rates import Totals
from stream.scorer.run import score
from stream.state.partition import PartitionState, Records
from tests.artefacts import note_as_tried, stored
from tests.conftest import FLEETS

LIMIT_S = 60.0
PARTITIONS = 2


def fit_for(plan: FeaturePlan) -> Fit:
    """One regime with plausible means and scales."""
    channels = len(plan.channels)
    means = tuple(float(x) for x in np.linspace(1, 600, channels))
    return Fit(((0.0,) * plan.settings,), (0.0,) * plan.settings, (means,), ((0.01,) * channels,))


def _silent(plan: FeaturePlan, setting: str, above: float) -> tuple[list[Any], list[Any]]:
    """Nodes and constants that make the answer NaN where a setting is above a number: the logarithm of what is left to it."""
    place = np.array([list(plan.feature_names).index(setting)], np.int64)
    nodes = [
        helper.make_node("Gather", [INPUT, "place"], ["setting"], axis=1),
        helper.make_node("Sub", ["limit", "setting"], ["left"]),
        helper.make_node("Log", ["left"], ["log"]),
        helper.make_node("Mul", ["log", "zero"], ["nothing"]),
        helper.make_node("Add", ["sum", "nothing"], [OUTPUT]),
    ]
    numbers = {"limit": np.array([above], np.float32), "zero": np.array([0], np.float32), "place": place}
    return nodes, [numpy_helper.from_array(number, name) for name, number in numbers.items()]


SILENT_ABOVE = 50.0  # kft: no simulated engine flies so high


def silencing(value: bytes) -> bytes:
    """The event, from an altitude at which a silent model says nothing."""
    event = msgspec.json.decode(value)
    event["readings"]["o1"] = SILENT_ABOVE + 5
    return msgspec.json.encode(event)


def tiny_model(
    fleet: FleetSpec,
    factor: float = 1.0,
    metadata_fleet: str | None = None,
    intervals: Intervals | None = None,
    silent: bool = False,
) -> bytes:
    """A weighted sum of the features, as an artefact: `factor` tells one version from another.

    A `silent` one answers NaN where the setting `o1` is above `SILENT_ABOVE`.
    """
    plan = plan_of(fleet)
    fit, width = fit_for(plan), len(plan.feature_names)
    weights = np.linspace(0.1, 1, width, dtype=np.float32)[:, None] * np.float32(factor)
    nodes, constants = _silent(plan, "o1", SILENT_ABOVE) if silent else ([], [])
    graph = helper.make_graph(
        [helper.make_node("MatMul", [INPUT, "weights"], ["sum" if silent else OUTPUT]), *nodes],
        "tiny",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(weights, "weights"), *constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    metadata = ModelMetadata(
        metadata_fleet or fleet.fleet, fleet.version, fleet.task.kind, fleet.task.unit, "tiny", plan, fit,
        (0.0, 1e9), "none", "none", 7, "test", {}, intervals,
    )  # fmt: skip
    helper.set_model_props(model, {METADATA_KEY: encode_metadata(metadata)})
    content: bytes = model.SerializeToString()
    return content


def register_model(settings: Settings, fleet: FleetSpec, folder: Path, content: bytes) -> str:
    """The version under which the registry has a file; `folder` takes what is registered."""
    trained = folder / sha256(content)[:8]
    trained.mkdir(parents=True)
    (trained / FILE_NAME).write_bytes(content)
    report = TrainReport(
        fleet=fleet.fleet, fleet_version=1, chosen="ridge", error="rmse", metrics={"rmse": 1.0}, splits={}, settings={},
        candidates=[CandidateReport("ridge", [1.0], 1.0, 0.1)], seed=7, training_set="x", digest="d", gold_version=0,
        plan=plan_of(fleet).hash, fit=fit_for(plan_of(fleet)).id, sha256=sha256(content), code_version="1", seconds=1.0,
    )  # fmt: skip
    write_report(trained, report)
    return register(settings, fleet, trained)


def without_time(prediction: bytes) -> dict[str, Any]:
    """A prediction without the time at which it was made."""
    return {k: v for k, v in msgspec.json.decode(prediction).items() if k != "scored_at"}


def source_and_reason(dead_letter: Record) -> tuple[str, str]:
    """The `topic/partition/offset` that a dead letter came from, and why it was refused."""
    prefix = "__connect.errors."
    errors = {k.removeprefix(prefix): v.decode() for k, v in dead_letter.headers.items() if k.startswith(prefix)}
    return f"{errors['topic']}/{errors['partition']}/{errors['offset']}", errors["exception.class.name"]


@dataclass
class Line:
    """One fleet between its topics."""

    settings: Settings
    fleet: FleetSpec
    folder: Path
    intervals: Intervals | None = None  # of its champions
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = topic_names(self.fleet)
        self.producer = Producer(producer_config(self.settings, message_max_bytes=20_000_000))

    def announcement(self, version: str, sequence: int, content: bytes) -> Announcement:
        path = stored(self.settings, f"{self.fleet.fleet}/{version}/{FILE_NAME}", content)
        plan = plan_of(self.fleet)
        return Announcement(
            "champion", version, sequence, str(path), sha256(content), plan.hash, fit_for(plan).id, datetime.now(UTC)
        )

    def announce(self, announcement: Announcement) -> None:
        """Announce as the announcer does: signed where the settings have a key."""
        made = signed(announcement, self.fleet.fleet, self.settings)
        self.send([(b"champion", msgspec.json.encode(made))], self.names.models)

    def champion(
        self, version: str = "1", sequence: int = 1, factor: float = 1.0, silent: bool = False
    ) -> Announcement:
        """Publish a tiny model as the champion."""
        content = tiny_model(self.fleet, factor, intervals=self.intervals, silent=silent)
        made = self.announcement(version, sequence, content)
        note_as_tried(self.settings, self.fleet, content)
        self.announce(made)
        return made

    def events(self, devices: int = 5, seed: int = 1, first_device: int = 0) -> list[tuple[bytes, bytes]]:
        """Events of simulated devices in the order of time, ending now."""
        histories = simulate(self.fleet, devices, seed, first_device)
        order = histories.in_time()
        now_us = int(time.time() * 1e6)
        return Encoder(self.fleet, histories).events(order, histories.times_us(now_us)[order])

    def send(self, records: Any, topic: str | None = None) -> list[tuple[int, int]]:
        """Produce records (key, value, headers, milliseconds since 1970), of which the last two may be left out.

        Returns their partitions and offsets, in the same order.
        """
        places: list[tuple[int, int]] = [(-1, -1)] * len(records)

        def place(i: int) -> Callable[[Any, Any], None]:
            def delivered(error: Any, message: Any) -> None:
                assert error is None, error
                places[i] = (message.partition(), message.offset())

            return delivered

        for i, (key, value, *rest) in enumerate(records):
            more = dict(zip(("headers", "timestamp"), rest, strict=False))
            self.producer.produce(topic or self.names.events, value, key, on_delivery=place(i), **more)
        assert self.producer.flush(LIMIT_S) == 0
        return places

    def predictions(self) -> list[Record]:
        return read_all(self.settings, self.names.predictions)

    def dead_letters(self) -> list[Record]:
        return read_all(self.settings, self.names.dead_letters)

    def scored(self) -> dict[str, dict[str, Any]]:
        """Predictions by `ce_id`, without `scored_at`; fails when an event has two."""
        found: dict[str, dict[str, Any]] = {}
        for record in self.predictions():
            source = record.headers["ce_id"].decode()
            assert source not in found, f"two predictions of {source}"
            found[source] = without_time(record.value or b"")
        return found

    def predictions_by_source(self) -> dict[str, list[dict[str, Any]]]:
        """All predictions of each event, without `scored_at`."""
        found: dict[str, list[dict[str, Any]]] = {}
        for record in self.predictions():
            found.setdefault(record.headers["ce_id"].decode(), []).append(without_time(record.value or b""))
        return found

    def letters(self) -> dict[str, str]:
        """Reasons of dead letters by their source; fails when a record has two."""
        found: dict[str, str] = {}
        for record in self.dead_letters():
            source, reason = source_and_reason(record)
            assert source not in found, f"two dead letters of {source}"
            found[source] = reason
        return found

    def in_one_go(self, model: Model, label: str | None = None) -> Iterator[tuple[Part, Any, list[str]]]:
        """All that the events topic holds, each partition judged and scored in one go: part, answers (n,), coordinates.

        `label` is the topic's, if it was made anew.
        """
        records = read_all(self.settings, self.names.events)
        for p in range(PARTITIONS):
            mine = [r for r in records if r.partition == p]
            columns = Records(
                [r.key for r in mine], [r.value for r in mine],
                np.array([r.offset for r in mine], np.int64), np.array([r.timestamp_ms for r in mine], np.int64),
            )  # fmt: skip
            batch, features = PartitionState.empty(self.fleet, p, 0).advance(Judge(self.fleet), model.kernel, columns)
            part = Part(p, mine, columns, batch, features, self.fleet.readings)
            yield part, model.predict(features), [f"{label or self.names.events}/{p}/{r.offset}" for r in mine]

    def undisturbed(self, announced: Announcement) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """What `scored` and `letters` must be for all that the events topic holds: each partition judged and scored in one go."""
        model = load_model(announced, self.fleet, self.settings)
        scored: dict[str, dict[str, Any]] = {}
        letters: dict[str, str] = {}
        for part, answers, sources in self.in_one_go(model):
            for _, value, headers in predictions_of(part, answers, sources, model, datetime.now(UTC)):
                scored[str(dict(headers or ())["ce_id"])] = without_time(value or b"")
            letters |= {sources[i]: Reason.NO_PREDICTION.label for i in unanswered_of(part, answers, model)}
            reason = part.batch.reason
            letters |= {sources[i]: Reason(reason[i]).label for i in np.flatnonzero(reason).tolist()}
        return scored, letters

    def undisturbed_alerts(
        self, announced: Announcement, label: str | None = None, silent: bool = False
    ) -> list[bytes]:
        """The alerts for the same run. With `silent`, every device falls silent afterwards."""
        model, found = load_model(announced, self.fleet, self.settings), []
        for part, answers, sources in self.in_one_go(model, label):
            table = AlertTable(AlertRules(self.fleet), self.fleet, DeviceState.of(self.fleet))
            acts = [table.act(part, answers, sources, model)]
            if silent:
                table.pass_time(2**60)
                acts.append(table.take())
            found += [value for act in acts for _, value, _ in act.alerts if value is not None]
        return found

    def wait_for(self, predictions: int, dead_letters: int = 0, limit_s: float = LIMIT_S, alerts: int = 0) -> None:
        """Return when so many predictions, dead letters and alerts can be read, at the latest."""
        wanted = {
            self.names.predictions: predictions, self.names.dead_letters: dead_letters, self.names.alerts: alerts
        }  # fmt: skip
        consumer = Consumer(consumer_config(self.settings, "waiting"))
        consumer.assign([TopicPartition(topic, p, 0) for topic in wanted for p in range(PARTITIONS)])
        limit = time.monotonic() + limit_s
        try:
            while any(left > 0 for left in wanted.values()):
                assert time.monotonic() < limit, f"still missing after {limit_s} s: {wanted}"
                for message in consumer.consume(1_000, 0.05):
                    wanted[message.topic()] -= message.error() is None
        finally:
            consumer.close()

    @contextmanager
    def scorer(self, instance: str = "0", ends_itself: bool = False, **options: Any) -> Iterator[Totals]:
        """A scorer in a thread; what it raised is raised at the end, else it has committed and left the group.

        One that is to end by itself is awaited before it is stopped.
        """
        stop, result, failure = threading.Event(), Totals(), []

        def run() -> None:
            try:
                done = score(self.settings, self.fleet, instance, ScorerOptions(**options), stop)
                result.__dict__.update(done.__dict__)
            except Exception as e:  # noqa: BLE001 - handed to the test below
                failure.append(e)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield result
        finally:
            if ends_itself:
                thread.join(LIMIT_S)
            stop.set()
            thread.join(LIMIT_S)
        assert not thread.is_alive()
        if failure:
            raise failure[0]

    def score_until_it_fails(self, **options: Any) -> None:
        """Run a scorer that is to end by itself; raises what it raised, and stops it where it has not."""
        stop = threading.Event()
        limit = threading.Timer(LIMIT_S, stop.set)
        limit.start()
        try:
            score(self.settings, self.fleet, "0", ScorerOptions(**options), stop)
        finally:
            limit.cancel()

    def group_offsets(self) -> dict[int, int]:
        """Where the group of scorers stands; negative where it has no offset."""
        client = admin(self.settings)
        places = [TopicPartition(self.names.events, p) for p in range(PARTITIONS)]
        asked = ConsumerGroupTopicPartitions(scorer_group(self.fleet), places)
        (future,) = client.list_consumer_group_offsets([asked]).values()
        return {tp.partition: tp.offset for tp in future.result(30).topic_partitions}

    def score_all(self, predictions: int, dead_letters: int = 0, **options: Any) -> Totals:
        """Run a scorer until so many predictions and dead letters are there, then stop it; what it did."""
        with self.scorer(**options) as done:
            self.wait_for(predictions, dead_letters)
        return done

    def start_process(
        self, instance: str = "0", *arguments: str, state_share: float | None = None
    ) -> subprocess.Popen[bytes]:
        """`aimaas score` as a process of its own; with `state_share` the same with this option."""
        program = "from cli.app import main; main()"
        if state_share is not None:
            changed = f"functools.partial(o.ScorerOptions, state_share={state_share})"
            program = f"import functools, stream.scorer.options as o; o.ScorerOptions = {changed}; {program}"
        return self.spawn([sys.executable, "-c", program], instance, *arguments)

    def spawn(self, command: list[str], instance: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Run `command`, which takes the arguments of `aimaas`, with those of this line's scorer; what it says goes to a log."""
        environment = {
            "AIMAAS_HOME": str(self.settings.home),
            "AIMAAS_FLEETS": str(self.folder),
            "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "AIMAAS_MLFLOW_TRACKING_URI": self.settings.mlflow_tracking_uri,
            "AIMAAS_VERIFY_KEY": self.settings.verify_key or "",
            "AIMAAS_REPLAY_KEY": self.settings.replay_key or "",
            "PATH": "/usr/bin:/bin",
        }
        with (self.folder / f"scorer-{instance}.log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "score", "--fleet", self.fleet.fleet, "--instance", instance, *arguments],
                env=environment, stdout=log, stderr=log, cwd=FLEETS.parent,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def log_of(self, instance: str = "0") -> str:
        return (self.folder / f"scorer-{instance}.log").read_text()


@contextmanager
def open_line(settings: Settings, folder: Path, of: str, **changes: Any) -> Iterator[Line]:
    """A turbofan fleet under a name made from `of`, with empty topics, deleted at the end; `changes` are keys of its file.

    The same test has the same name in each run, so its devices fall into the same partitions.
    """
    plain = load_fleet(FLEETS / "turbofan.yaml").model_dump(mode="json", exclude_none=True)
    plain |= {
        "fleet": f"t{hashlib.sha256(of.encode()).hexdigest()[:8]}",
        "topics": {"partitions": PARTITIONS},
        **changes,
    }
    fleet = FleetSpec.model_validate(plain)
    (folder / f"{fleet.fleet}.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
    create_topics(settings, topic_specs(fleet))
    made = Line(settings, fleet, folder)
    yield made
    for process in made.processes:
        process.kill()
        process.wait(10)
    delete_topics(settings, [spec.name for spec in topic_specs(fleet)])


@pytest.fixture
def line(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Line]:
    """A fleet of its own for one test."""
    with open_line(settings, tmp_path, request.node.nodeid) as made:
        yield made


@pytest.fixture
def tolerant_line(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Line]:
    """A fleet of its own whose scorer goes on however many records are refused."""
    with open_line(settings, tmp_path, request.node.nodeid, quality={"refused_share": 1}) as made:
        yield made


@pytest.fixture(scope="module")
def module_line(
    module_settings: Settings, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Line]:
    """A fleet that the tests of one module share."""
    with open_line(module_settings, tmp_path_factory.mktemp("line"), request.node.nodeid) as made:
        yield made
