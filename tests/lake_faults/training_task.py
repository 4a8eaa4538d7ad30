"""A task of the train DAG as an Airflow worker runs it, without Airflow's scheduler around it.

training_task.py FLEET RUN train_candidates | register_and_promote
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "dags"))

from fleet_dags import training

OUTCOMES = 8


def main() -> int:
    """Run it; what it returns is printed as JSON."""
    fleet, run, task = sys.argv[1:]
    given: dict[str, Any] = {"run_id": run}
    if task == "register_and_promote":
        given["outlet_events"] = defaultdict(lambda: SimpleNamespace(extra={}))
    found = getattr(training, task)(fleet, OUTCOMES).operator.python_callable(OUTCOMES, **given)
    sys.stdout.write(f"\n{json.dumps(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
