from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import create_topics, read_all
from aimaas.model.artefact import sha256
from aimaas.records.events import MAX_SEQUENCE, Announcement
from aimaas.registry.announcements import announced, write_announcement
from aimaas.registry.signatures import make_keys
from aimaas.registry.versions import register, rollback, set_champion
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_specs
from aimaas.training.report import CandidateReport, TrainReport, write_report
from models.promotion import announce as announcer
from models.promotion.announce import announce, announce_forever
from tests.kafka_tools import in_backticks, run_as_printed
from tests.models.conftest import pump_fleet

pytestmark = pytest.mark.broker


@pytest.fixture
def fleet(settings: Settings, tmp_path: Path, empty_registry: Path) -> FleetSpec:
    """A fleet with a topic of its own and two registered versions."""
    (settings.home / "mlflow").mkdir(parents=True)
    shutil.copy(empty_registry, settings.home / "mlflow")
    topic = f"iot.pump.models.{tmp_path.name.replace('_', '-')}"
    made = pump_fleet(topics={"names": {"models": topic}})
    create_topics(settings, [s for s in topic_specs(made) if s.name == topic])
    versions(settings, made)
    return made


def versions(settings: Settings, fleet: FleetSpec) -> None:
    for i in range(2):
        folder = settings.home / f"t{i}"
        folder.mkdir(parents=True)
        content = b"model %d" % i
        (folder / "model.onnx").write_bytes(content)
        report = TrainReport(
            fleet="pump", fleet_version=1, chosen="ridge", error="rmse", candidates=[CandidateReport("ridge", [2.0], 2.0, 0.1)],
            metrics={"rmse": 2.0}, splits={}, settings={}, seed=7, training_set="x", digest="d", gold_version=0, plan="p",
            fit="f", sha256=sha256(content), code_version="1", seconds=1.0,
        )  # fmt: skip
        write_report(folder, report)
        register(settings, fleet, folder)


def records(settings: Settings, fleet: FleetSpec) -> int:
    return len(read_all(settings, topic_names(fleet).models))


def test_without_a_champion_nothing_is_announced(settings: Settings, fleet: FleetSpec) -> None:
    assert announce(settings, fleet) is None
    assert records(settings, fleet) == 0


def test_a_champion_is_announced_once_however_often_it_is_asked(settings: Settings, fleet: FleetSpec) -> None:
    set_champion(settings, fleet, "1")
    found = [announce(settings, fleet) for _ in range(3)]
    assert found[0] is not None and found[0] == found[1] == found[2]
    assert records(settings, fleet) == 1
    assert announced(settings, fleet) == found[0]
    assert Path(found[0].uri).read_bytes() == b"model 0"
    assert found[0].sha256 == sha256(b"model 0")


def test_every_change_is_announced_with_a_higher_sequence(settings: Settings, fleet: FleetSpec) -> None:
    seen = []
    for change in (
        lambda: set_champion(settings, fleet, "1"),
        lambda: set_champion(settings, fleet, "2"),
        lambda: rollback(settings, fleet),
    ):
        change()
        found = announce(settings, fleet)
        assert found is not None
        seen.append((found.version, found.sequence))
    assert seen == [("1", 1), ("2", 2), ("1", 3)]


def test_a_topic_that_outlived_its_registry_gets_a_higher_sequence_still(
    settings: Settings, fleet: FleetSpec, tmp_path: Path
) -> None:
    for version in ("1", "2", "1", "2"):
        set_champion(settings, fleet, version)
    assert announce(settings, fleet) is not None
    home = tmp_path / "new"
    anew = replace(
        settings, home=home, mlflow_tracking_uri=f"sqlite:///{home}/mlflow.db", mlflow_artifacts=str(home / "artifacts")
    )
    versions(anew, fleet)
    set_champion(anew, fleet, "1")
    found = announce(anew, fleet)
    assert found is not None and (found.version, found.sequence) == ("1", 5)


def forge(settings: Settings, fleet: FleetSpec, sequence: int) -> None:
    forged = Announcement("champion", "9", sequence, "/9", "9" * 64, "p", "f", datetime.now(UTC))
    write_announcement(settings, fleet, forged)


def test_a_forged_record_drives_no_announcer_that_signs(settings: Settings, fleet: FleetSpec) -> None:
    signing, verify = make_keys()
    keyed = replace(settings, signing_key=signing, verify_key=verify)
    set_champion(keyed, fleet, "1")
    forge(settings, fleet, MAX_SEQUENCE)

    made = announce(keyed, fleet)
    forge(settings, fleet, 7)

    assert made is not None and (made.version, made.sequence) == ("1", 1)
    assert announced(replace(keyed, signing_key=None), fleet) == made
    assert announce(keyed, fleet) == made
    assert records(settings, fleet) == 3, "what was announced is not announced again"


def test_without_keys_the_highest_sequence_ends_announcing_with_what_to_do(
    settings: Settings, fleet: FleetSpec, tmp_path: Path
) -> None:
    set_champion(settings, fleet, "1")
    forge(settings, fleet, MAX_SEQUENCE)

    with pytest.raises(KafkaError, match="aimaas models keys") as told:
        announce(settings, fleet)

    run_as_printed(in_backticks(str(told.value), "kafka-delete-records"), settings.jars, tmp_path)

    made = announce(settings, fleet)
    assert made is not None and made.version == "1"


def test_the_watching_announcer_follows_the_alias_until_it_is_stopped(
    settings: Settings, fleet: FleetSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcer, "WATCH_S", 0.1)
    stop = threading.Event()
    thread = threading.Thread(target=announce_forever, args=(settings, fleet, stop))
    thread.start()
    try:
        for version in ("1", "2"):
            set_champion(settings, fleet, version)
            limit = time.monotonic() + 30
            while (found := announced(settings, fleet)) is None or found.version != version:
                assert time.monotonic() < limit
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
