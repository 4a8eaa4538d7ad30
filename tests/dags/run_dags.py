"""Runs DAGs with `dag.test()`, as a program of its own: Airflow reads its settings when it is imported.

Prints one JSON line for each DAG: its id, the state of its run, the state of each task.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from airflow.dag_processing.dagbag import BundleDagBag


def main(folder: Path, dag_ids: list[str]) -> None:
    """Test the DAGs one after another."""
    found = BundleDagBag(str(folder), bundle_path=folder, bundle_name="dags-folder")
    for dag_id in dag_ids:
        run = found.dags[dag_id].test(use_executor=False)
        tasks = {t.task_id: str(t.state) for t in run.get_task_instances()}
        sys.stdout.write("RESULT " + json.dumps({"dag": dag_id, "state": str(run.state), "tasks": tasks}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
