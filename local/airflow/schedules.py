"""Unpauses the DAGs of new fleets once. A DAG that somebody pauses later stays paused."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from aimaas.errors import StackError
from local.airflow.services import Airflow

_FILE = "unpaused.json"
_LIMIT_S = 300.0  # Airflow looks for new fleet files every ten seconds, and needs some more to read them


def unpause_new(airflow: Airflow, fleets: Sequence[str]) -> None:
    """Unpause the DAGs of these fleets that were never unpaused before, once Airflow has read them.

    Raises StackError if the DAGs of a fleet are missing after 300 s.
    """
    path = airflow.folder / _FILE
    done: set[str] = set(json.loads(path.read_text())) if path.is_file() else set()
    deadline = time.monotonic() + _LIMIT_S
    found = airflow.client.dag_ids()
    while missing := set(fleets) - {fleet_of(dag) for dag in found}:
        if time.monotonic() > deadline:
            why = next(iter(airflow.client.import_errors().values()), "").strip().rpartition("\n")[2]
            raise StackError(f"Airflow has no DAGs of {', '.join(sorted(missing))} after {_LIMIT_S:.0f} s: {why}")
        time.sleep(0.5)
        found = airflow.client.dag_ids()
    for dag in found:
        if fleet_of(dag) in fleets and dag not in done:
            airflow.client.unpause(dag)
            done.add(dag)
    path.write_text(json.dumps(sorted(done)))


def fleet_of(dag_id: str) -> str:
    """Return the fleet of a DAG, whose id is `<fleet>_<stage>`."""
    return dag_id.rpartition("_")[0]
