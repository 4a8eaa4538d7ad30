"""The roles of the lake: landing, reconciling, forgetting and growing under users of their own. Part of `make test-lake`."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import pytest

from aimaas.errors import KafkaLastingError
from aimaas.kafka.rights import on_topic
from spark_jobs.admit import admit
from spark_jobs.job import Job
from spark_jobs.land import land
from stream.devices.simulator import device_id
from tests.secured.test_roles import (  # noqa: F401 - the fixture, and what must have happened before
    Fleet,
    fleet,
    test_the_way_from_devices_to_predictions,
)


@pytest.mark.spark
def test_the_way_through_the_lake_to_reconcile_forget_and_growth(fleet: Fleet, spark: Any) -> None:  # noqa: F811
    job = partial(Job, settings=fleet.settings("ingest"), fleet=fleet.line.fleet, start=lambda *_: spark)

    assert land(job(name="land", arguments=argparse.Namespace(accept_loss=False)))["offsets"] > 0
    admit(job(name="admit", arguments=argparse.Namespace()))

    assert "sent" in fleet.run("operator", "reconcile", codes=(0, 1))
    fleet.run("forget", "forget", device_id(fleet.line.fleet, 7))
    fleet.run("grow", "topics", "grow", "--partitions", "3")


@pytest.mark.spark
@pytest.mark.parametrize("what", ["events", "journal"])
def test_a_landing_that_lacks_a_right_says_which(fleet: Fleet, spark: Any, what: str) -> None:  # noqa: F811
    settings, right = fleet.settings("ingest"), on_topic("Read", getattr(fleet.line.names, what))
    job = Job("land", settings, fleet.line.fleet, argparse.Namespace(accept_loss=False), lambda *_: spark)
    with fleet.without("ingest", right), pytest.raises(KafkaLastingError, match=f"do not grant ingest: {right}"):
        land(job)
