"""Airflow's own backfill over three days of a real lake, some of them damaged: a few minutes, so part of `make test-lake`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from aimaas.kafka import create_topics
from aimaas.lake import Table, read_table, table_path
from aimaas.settings import Settings, read_settings
from aimaas.topics import topic_names, topic_specs
from local.airflow.services import Airflow, start_airflow
from local.broker import Broker
from tests.spark_jobs.arrivals import Arrivals
from tests.spark_jobs.conftest import small_fleet
from tests.spark_jobs.corrected_view.test_corrected import LIMITS, Lake

pytestmark = [pytest.mark.airflow, pytest.mark.broker, pytest.mark.spark, pytest.mark.timeout(1_500)]

FIRST = datetime(2026, 1, 5, tzinfo=UTC)
TABLES: tuple[Table, ...] = ("silver", "outcomes", "quarantine", "gold")
PLACE = [("topic", "ascending"), ("partition", "ascending"), ("offset", "ascending")]


@pytest.fixture
def settings(tmp_path: Path, jars: Path, broker: Broker) -> Settings:
    fleets = tmp_path / "fleets"
    fleets.mkdir()
    return read_settings(
        {
            "AIMAAS_HOME": str(tmp_path / "home"),
            "AIMAAS_FLEETS": str(fleets),
            "AIMAAS_JARS": str(jars),
            "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        }
    )


@pytest.fixture
def lake(spark: Any, settings: Settings) -> Lake:
    fleet = small_fleet(
        limits=LIMITS | {"silence_s": 200_000}, topics={"partitions": 2}, quality={"refused_share": 1.0}
    )
    described = fleet.model_dump_json(exclude_defaults=True, exclude={"rules"})  # JSON is YAML
    (settings.fleets / f"{fleet.fleet}.yaml").write_text(described)
    create_topics(settings, [spec for spec in topic_specs(fleet) if spec.name == topic_names(fleet).journal])
    made = Lake(spark, settings, fleet)
    arrivals = Arrivals(fleet, seed=5)
    arrivals.now = FIRST
    for _ in range(3):
        made.receive(arrivals.some(80))
        arrivals.silence(86_400)
    made.gold()
    return made


@pytest.fixture
def airflow(settings: Settings) -> Iterator[Airflow]:
    running = start_airflow(settings, triggerer=True)
    yield running
    running.kill()


def tables(lake: Lake) -> dict[str, Any]:
    found = {t: read_table(lake.settings, lake.fleet.fleet, t) for t in TABLES}
    return {t: rows.select(sorted(rows.column_names)).sort_by(PLACE).combine_chunks() for t, rows in found.items()}


def awaited(holds: Callable[[], bool], limit_s: float = 900) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "the limit of this wait has passed"
        time.sleep(1)


def is_over(airflow: Airflow, backfill: int) -> bool:
    """Airflow notes it half a minute after the last run."""
    return airflow.client.get(f"/backfills/{backfill}")["completed_at"] is not None


def test_a_backfill_over_three_days_leaves_tables_equal_and_nothing_twice(lake: Lake, airflow: Airflow) -> None:
    name, before = lake.fleet.fleet, tables(lake)
    second = (FIRST + timedelta(days=1)).date()
    DeltaTable(table_path(lake.settings, name, "silver")).delete(f"day = DATE '{second}'")
    DeltaTable(table_path(lake.settings, name, "quarantine")).delete("partition = 0")
    for stage in ("prepare", "rebuild"):
        airflow.client.unpause(f"{name}_{stage}")

    def states(stage: str) -> list[str]:
        return [r.state for r in airflow.client.dag_runs(f"{name}_{stage}")]

    for again in (False, True):
        asked = {"dag_id": f"{name}_rebuild", "from_date": FIRST.isoformat(), "max_active_runs": 2}
        asked |= {"to_date": (FIRST + timedelta(days=2)).isoformat()}
        asked |= {"reprocess_behavior": "completed" if again else "none"}
        number = airflow.client.send("POST", "/backfills", asked)["id"]
        awaited(partial(is_over, airflow, number))
        awaited(lambda: len(states("prepare")) > 0 and all(s in ("success", "failed") for s in states("prepare")))
        runs = [r for r in airflow.client.dag_runs(f"{name}_rebuild") if r.run_type == "backfill"]
        assert [r.state for r in runs] == ["success"] * 3
        assert set(states("prepare")) == {"success"}
        assert tables(lake) == before
    sites = lake.settings.data_docs / name / "site" / "validations" / f"{name}_silver"
    assert sorted(p.name for p in sites.iterdir()) == [f"day-{(FIRST + timedelta(days=i)).date()}" for i in range(3)]
