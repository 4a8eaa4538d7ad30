"""All jobs of the lake, one after the other on one session: what is submitted to a cluster.

spark-submit … tests/lake_faults/all_jobs.py FLEET OUT
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from aimaas.fleet import find_fleet
from aimaas.lake.audits import GATED
from aimaas.settings import read_settings
from expectations.resolve import Resolution, publish_unjudged
from spark_jobs import admit, features, gold, land


def main() -> int:
    """Run them; the exit code of the first that fails."""
    fleet, out = sys.argv[1:]
    given = ["--fleet", fleet]
    return (
        land.main(given)
        or admit.main(given)
        or publish(fleet, 0)
        or gold.main(given)
        or publish(fleet, 1)
        or features.main([*given, "--out", out])
        or who_ran()
    )


def publish(fleet: str, table: int) -> int:
    """Pass what no gate has judged: Great Expectations is not what this program is about."""
    settings = read_settings()
    said = Resolution("a test", "no gate runs here", datetime.now(UTC))
    publish_unjudged(settings, find_fleet(settings.fleets, fleet), GATED[table], said)
    return 0


def who_ran() -> int:
    """Say how many processes other than this one the session has tasks run in."""
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    assert session is not None
    executors = session.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1  # without the driver
    sys.stdout.write(f"{executors} executors of {session.sparkContext.master}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
