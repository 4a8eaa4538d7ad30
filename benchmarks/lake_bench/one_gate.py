"""One gate of silver as a separate process, in Spark or (`in_process`) without; prints its result as JSON."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

from aimaas.fleet import find_fleet
from aimaas.settings import read_settings
from expectations.gate import GATE_MEMORY, check_table
from spark_jobs.session import session_on_demand


def main() -> None:
    """Judge the new rows."""
    settings = read_settings()
    fleet = find_fleet(settings.fleets, "turbofan")
    with session_on_demand(settings, "gates", GATE_MEMORY) as spark:
        start = None if sys.argv[1] == "in_process" else spark
        report = check_table(settings, fleet, "silver", datetime.now(UTC), start)
    assert report is not None
    print(json.dumps({"rows": report.rows, "set_aside": report.set_aside, "warnings": len(report.warnings)}))


if __name__ == "__main__":
    main()
