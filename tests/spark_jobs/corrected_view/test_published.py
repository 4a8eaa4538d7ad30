"""Gold reads published offsets only, and training published gold only, in lakes old and new."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake import offsets_json, table_path, table_version
from aimaas.lake.audits import Audit, newest_audit, next_number, record
from aimaas.settings import Settings
from expectations.resolve import Resolution, acknowledge
from expectations.rows.new_rows import span_since
from spark_jobs import sources
from spark_jobs.features import gold_version
from spark_jobs.gold import gold
from tests.published import publish
from tests.spark_jobs.arrivals import Arrivals
from tests.spark_jobs.corrected_view.test_corrected import LIMITS, Lake

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def lake(spark: Any, offline_settings: Settings, make_fleet: Callable[..., FleetSpec]) -> Lake:
    return Lake(spark, offline_settings, make_fleet(limits=LIMITS, topics={"partitions": 2}))


def fail(lake: Lake, table: Any) -> Audit:
    """The gate of a table fails for what no gate has judged."""
    last = newest_audit(lake.settings, lake.fleet, table)
    assert last is not None
    span = span_since(lake.settings, lake.fleet, table, last.published)
    failed = msgspec.structs.replace(
        last, number=next_number(lake.settings, lake.fleet, table), verdict="failed", start=offsets_json(span.start),
        end=offsets_json(span.end), version=span.version, made_of=span.made_of,
    )  # fmt: skip
    record(lake.settings, lake.fleet, [failed])
    return failed


def test_gold_takes_what_was_published_and_training_versions_that_were(lake: Lake) -> None:
    arrivals = Arrivals(lake.fleet, seed=3)
    lake.receive(arrivals.some(80))
    with pytest.raises(LakeError, match=r"nothing has passed its gate yet; run .* `aimaas gate check --fleet"):
        gold(lake.job("gold"))
    assert table_version(lake.settings, lake.fleet.fleet, "gold") is None

    publish(lake.job("gate"), "silver")
    first = gold(lake.job("gold"))
    with pytest.raises(
        LakeError, match=r"version 0 has not passed its gate, no earlier version has; run the task check_gold"
    ):
        gold_version(lake.settings, lake.fleet)
    publish(lake.job("gate"), "gold")
    assert gold_version(lake.settings, lake.fleet) == first["version"]

    lake.receive(arrivals.some(80))
    failed = fail(lake, "silver")
    assert gold(lake.job("gold"))["added"] == 0
    acknowledge(lake.settings, lake.fleet, failed, Resolution("me", "so be it", NOW))
    second = gold(lake.job("gold"))
    assert second["added"] > 0

    failed = fail(lake, "gold")
    assert gold_version(lake.settings, lake.fleet) == first["version"]
    assert gold_version(lake.settings, lake.fleet, "2100-01-01T00:00:00Z") == first["version"]
    with pytest.raises(
        LakeError, match=f"has not passed its gate, the newest earlier version that has is {first['version']}"
    ):
        gold_version(lake.settings, lake.fleet, str(second["version"]))
    acknowledge(lake.settings, lake.fleet, failed, Resolution("me", "so be it", NOW))
    assert gold_version(lake.settings, lake.fleet) == second["version"]


@pytest.mark.long
def test_a_lake_of_an_older_release_goes_on_by_itself(lake: Lake) -> None:
    arrivals = Arrivals(lake.fleet, seed=4)
    lake.receive(arrivals.some(60))
    publish(lake.job("gate"), "silver")
    before = gold(lake.job("gold"))
    shutil.rmtree(table_path(lake.settings, lake.fleet.fleet, "audits"))  # older releases have none
    lake.receive(arrivals.some(60))

    assert gold_version(lake.settings, lake.fleet) == before["version"]
    assert gold(lake.job("gold"))["added"] == 0, "what came since has passed no gate"
    publish(lake.job("gate"), "silver")
    assert gold(lake.job("gold"))["added"] > 0
    assert gold_version(lake.settings, lake.fleet) == before["version"], "nor has this version"
    publish(lake.job("gate"), "gold")
    assert gold_version(lake.settings, lake.fleet) == table_version(lake.settings, lake.fleet.fleet, "gold")


@pytest.mark.long
def test_a_sensor_that_is_called_otherwise_leaves_gold_as_it_is_also_gold_of_an_older_release(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals = Arrivals(lake.fleet, seed=5)
    lake.receive(arrivals.some(60))
    monkeypatch.setattr(sources, "digest_of", sources._digest_with_names)
    old = lake.gold()
    monkeypatch.undo()
    assert lake.gold() == old | {"added": 0}, "the same file, as an older release noted it"

    lake.receive(arrivals.some(60))
    lake.gold()
    version = table_version(lake.settings, lake.fleet.fleet, "gold")
    heat = lake.fleet.sensors["heat"]
    for change, is_same in (({"name": "temperature of the room"}, True), ({"range": (0.0, 2_000.0)}, False)):
        readings = {**lake.fleet.sensors, "heat": heat.model_copy(update=change)}
        lake.fleet = lake.fleet.model_copy(update={"sensors": readings})
        lake.gold()
        assert (table_version(lake.settings, lake.fleet.fleet, "gold") == version) is is_same
