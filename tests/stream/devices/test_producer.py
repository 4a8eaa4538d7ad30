"""Histories arrive on the topics, in order, with their outcomes."""

from __future__ import annotations

import time
import uuid
from datetime import datetime

import msgspec
import pytest

from aimaas.admission.judge import Judge, Reason
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec, load_fleet
from aimaas.kafka import Record, create_topics, read_all
from aimaas.records.events import Outcome
from aimaas.settings import Settings
from aimaas.topics import topic_names, topic_specs
from stream.devices.producer import produce
from stream.devices.run import run_devices
from stream.devices.simulator import simulate
from tests.conftest import FLEETS


@pytest.fixture
def fleet(settings: Settings) -> FleetSpec:
    """The mill under topic names of its own."""
    plain = load_fleet(FLEETS / "mill.yaml").model_dump()
    prefix = f"t-{uuid.uuid4().hex}"
    names = {kind: f"{prefix}.{kind}" for kind in ("events", "outcomes")}
    fleet = FleetSpec.model_validate({**plain, "topics": {**plain["topics"], "partitions": 2, "names": names}})
    create_topics(settings, [s for s in topic_specs(fleet) if s.name in names.values()])
    return fleet


def outcomes_of(settings: Settings, fleet: FleetSpec) -> list[Outcome]:
    records = read_all(settings, topic_names(fleet).outcomes)
    return [msgspec.json.decode(r.value or b"", type=Outcome) for r in records]


def admitted(fleet: FleetSpec, records: list[Record]) -> list[tuple[str, int, int]]:
    batch = Judge(fleet).decode([r.key for r in records], [r.value for r in records])
    assert not batch.detail
    return list(zip(batch.device_ids, batch.run.tolist(), batch.order.tolist(), strict=True))


@pytest.mark.broker
def test_all_events_arrive_in_the_order_of_their_device_and_all_outcomes(settings: Settings, fleet: FleetSpec) -> None:
    histories = simulate(fleet, 6, 5)
    seen: list[tuple[int, int]] = []

    produced = produce(settings, fleet, histories, progress=lambda done, total: seen.append((done, total)))

    arrived = admitted(fleet, read_all(settings, topic_names(fleet).events))
    rows = zip(histories.device.tolist(), histories.run.tolist(), histories.seq.tolist(), strict=True)
    expected = [(histories.devices[d], run, seq) for d, run, seq in rows]
    assert sorted(arrived, key=lambda event: event[0]) == expected  # stable: keeps each device's own order
    assert (produced.events, produced.outcomes) == (len(expected), len(histories.endings))
    assert sorted((o.device_id, o.run, o.seq, o.kind, o.mode) for o in outcomes_of(settings, fleet)) == sorted(
        (histories.devices[histories.device[e.row]], int(histories.run[e.row]), e.seq, e.kind, e.mode)
        for e in histories.endings
    )
    assert seen[-1] == (len(expected), len(expected))


@pytest.mark.broker
def test_a_paced_stream_keeps_its_rate_and_stamps_the_time_of_sending(settings: Settings, fleet: FleetSpec) -> None:
    began = time.time()
    rows = len(simulate(fleet, 2, 5))

    produced = run_devices(settings, fleet, 2, 5, rate=rows / 0.5)

    records = read_all(settings, topic_names(fleet).events)
    assert 0.4 < produced.seconds < 5
    for record in records:
        sent = datetime.fromisoformat(msgspec.json.decode(record.value or b"")["ts"]).timestamp()
        assert began - 0.01 <= sent <= record.timestamp_ms / 1000 + 0.01


@pytest.mark.broker
def test_faults_are_sent_and_counted(settings: Settings, fleet: FleetSpec) -> None:
    counts = {Reason.UNPARSABLE: 3, Reason.DUPLICATE: 2}

    produced = run_devices(settings, fleet, 2, 5, faults=counts)

    assert produced.faults == counts
    assert len(read_all(settings, topic_names(fleet).events)) == produced.events + 5


@pytest.mark.broker
def test_a_stopped_stream_ends_between_two_chunks(settings: Settings, fleet: FleetSpec) -> None:
    asked = iter([False, True])

    produced = produce(settings, fleet, simulate(fleet, 2, 5), rate=10.0, stop=lambda: next(asked))

    assert produced.events == len(read_all(settings, topic_names(fleet).events)) == 1


@pytest.mark.broker
def test_a_missing_topic_is_said_before_anything_is_sent(settings: Settings) -> None:
    plain = load_fleet(FLEETS / "mill.yaml").model_dump()
    fleet = FleetSpec.model_validate({**plain, "topics": {"names": {"events": f"t-{uuid.uuid4().hex}"}}})

    with pytest.raises(KafkaError, match="no such topic"):
        run_devices(settings, fleet, 1, 5)
