"""A network trained with the extra `deep` is served by onnxruntime alone, alike in the stream and over HTTP."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimaas.kafka import create_topics, delete_topics
from aimaas.model.artefact import sha256
from aimaas.records.events import Announcement
from aimaas.settings import Settings, read_settings
from aimaas.topics import topic_specs
from models.promotion.promote import metadata_of
from stream.model.load import load_model
from tests.artefacts import stored
from tests.models.conftest import CAP, histories, pump_fleet
from tests.stream.conftest import PARTITIONS, Line
from tests.stream.service.conftest import Served

NETWORK = Path(__file__).with_name("cnn_of_pumps.onnx")  # made by tests/deep/make_served_network.py


def announcement(settings: Settings) -> Announcement:
    content = NETWORK.read_bytes()
    path = stored(settings, "model.onnx", content)
    about = metadata_of(content)
    at = datetime(2026, 11, 25, tzinfo=UTC)
    return Announcement("champion", "1", 1, str(path), sha256(content), about.plan.hash, about.fit.id, at)


def test_over_http_it_says_how_long_a_pump_that_it_never_saw_still_runs(tmp_path: Path) -> None:
    served = Served(tmp_path, fleet=pump_fleet({"cnn": {}}))
    settings = read_settings({"AIMAAS_HOME": str(tmp_path)})
    served.model = load_model(announcement(settings), served.fleet, settings)
    pump = histories(1, seed=99).to_pylist()
    events = [{"readings": {name: row[name] for name in ("heat", "noise")}} for row in pump]
    with served.start():
        ages = range(1, len(pump) + 1, 4)
        answers = [served.call("/predict", {"events": events[:age]}).json["prediction"][0] for age in ages]
    truth = [min(pump[age - 1]["left"], CAP) for age in ages]
    assert np.sqrt(np.mean((np.array(answers) - truth) ** 2)) < 8
    assert "torch" not in sys.modules


@pytest.mark.broker
def test_the_scorer_and_http_say_the_same_of_the_same_events(settings: Settings, tmp_path: Path) -> None:
    line = Line(settings, pump_fleet({"cnn": {}}, topics={"partitions": PARTITIONS}), tmp_path)
    create_topics(settings, topic_specs(line.fleet))
    line.announce(announcement(settings))
    events = line.events(devices=3)
    line.send(events)
    line.score_all(len(events))
    said = [json.loads(p.value or b"") for p in line.predictions()]
    delete_topics(settings, [spec.name for spec in topic_specs(line.fleet)])

    (tmp_path / "http").mkdir()
    served = Served(tmp_path / "http", fleet=line.fleet)
    served.model = load_model(announcement(line.settings), line.fleet, line.settings)
    sent: dict[str, list[dict[str, Any]]] = {}
    for event in sorted((json.loads(value) for _, value in events), key=lambda e: int(e["seq"])):
        sent.setdefault(event["device_id"], []).append({name: event[name] for name in ("readings", "run", "seq")})
    with served.start():
        for p in said[:: len(said) // 25]:
            answer = served.call("/predict", {"events": sent[p["device_id"]][: p["seq"]]}).json
            assert answer["prediction"][0] == p["prediction"]
