"""The plant of the Spark jobs' tests, for upkeep."""

from __future__ import annotations

from tests.spark_jobs.conftest import make_fleet, plant

__all__ = ["make_fleet", "plant"]
