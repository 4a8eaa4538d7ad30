"""Every reason of refusal, once through the real scorer and once through the real lake."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from aimaas.lake import read_table
from spark_jobs.admit import admit
from spark_jobs.job import Job
from spark_jobs.land import land
from stream.devices.faults import FAULTS, Faults
from tests.stream.conftest import Line

pytestmark = [pytest.mark.broker, pytest.mark.spark]
EACH = 3
Coordinates = tuple[int, int]  # partition, offset


class Day(NamedTuple):
    """What was sent and what each side said of it, by source coordinates."""

    sent: Mapping[Coordinates, str]
    letters: Mapping[Coordinates, str]
    quarantine: Mapping[Coordinates, str]
    scored: set[Coordinates]
    silver: set[Coordinates]


@pytest.fixture(scope="module")
def day(module_line: Line, spark: Any) -> Day:
    """Good events with bad ones of every reason among them, through scorer and lake."""
    line = module_line
    line.champion()
    events = line.events(devices=8)
    faults = Faults(line.fleet, dict.fromkeys(FAULTS, EACH), len(events), 5, datetime.now(UTC))
    records = [*faults.feed(events), *faults.drain()]
    places = line.send([(key, value) for key, value, _ in records])
    line.score_all(predictions=len(events), dead_letters=EACH * len(FAULTS))
    for job in (land, admit):
        job(Job(job.__name__, line.settings, line.fleet, argparse.Namespace(), start=lambda *_: spark))
    columns = ["partition", "offset"]
    refused = read_table(line.settings, line.fleet.fleet, "quarantine", [*columns, "reason"]).to_pylist()
    silver = read_table(line.settings, line.fleet.fleet, "silver", columns).to_pylist()
    return Day(
        sent={place: reason.label for place, (*_, reason) in zip(places, records, strict=True)},
        letters={place(source): reason for source, reason in line.letters().items()},
        quarantine={(r["partition"], r["offset"]): r["reason"] for r in refused},
        scored={place(source) for source in line.scored()},
        silver={(r["partition"], r["offset"]) for r in silver},
    )


def place(source: str) -> Coordinates:
    _, partition, offset = source.rsplit("/", 2)
    return int(partition), int(offset)


@pytest.mark.parametrize("reason", [r.label for r in FAULTS])
def test_a_refused_record_is_a_dead_letter_and_in_quarantine_under_its_coordinates(day: Day, reason: str) -> None:
    sent = {at for at, found in day.sent.items() if found == reason}
    assert len(sent) == EACH
    assert {at for at, found in day.letters.items() if found == reason} == sent
    assert {at for at, found in day.quarantine.items() if found == reason} == sent


def test_the_good_events_around_them_are_scored_and_in_silver(day: Day) -> None:
    good = {at for at, found in day.sent.items() if found == "admitted"}
    assert day.scored == good
    assert day.silver == good
