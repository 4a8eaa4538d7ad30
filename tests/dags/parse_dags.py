"""Reads a DAG folder as the DAG processor does, as a program of its own; prints one JSON line of what was found."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from airflow.dag_processing.dagbag import BundleDagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization


def main(folder: Path) -> None:
    """Read twice: what differs between two readings would make a new DAG version each time."""
    first, second = (BundleDagBag(str(folder), bundle_path=folder, bundle_name="dags-folder") for _ in range(2))
    dags = {
        dag.dag_id: {
            "tasks": {t.task_id: sorted(t.downstream_task_ids) for t in dag.tasks},
            "operators": {t.task_id: t.task_type for t in dag.tasks},
            "connections": sorted({t._conn_id for t in dag.tasks if hasattr(t, "_conn_id")}),
            "retries": sorted({t.retries for t in dag.tasks}),
            "documented": bool(dag.doc_md) and all(t.doc_md or t.doc for t in dag.tasks),
            "max_active_runs": dag.max_active_runs,
            "catchup": dag.catchup,
            "timetable": str(dag.timetable),
            "outlets": sorted(a.uri for t in dag.tasks for a in t.outlets),
            "pools": sorted({t.pool for t in dag.tasks if hasattr(t, "_conn_id")}),
            "groups": {g: sorted(t.task_id for t in group.iter_tasks()) for g, group in dag.task_group_dict.items()},
            "told_of_failures": all(t.on_failure_callback for t in dag.tasks),
            "limited": all(t.execution_timeout for t in dag.tasks),
            "bounded": {t.task_id: t.max_active_tis_per_dag for t in dag.tasks if t.max_active_tis_per_dag},
            "same_twice": DagSerialization.to_dict(dag) == DagSerialization.to_dict(second.dags[dag.dag_id]),
            "digest": SerializedDagModel.hash(DagSerialization.to_dict(dag)),  # a new one makes a new version
        }
        for dag in first.dags.values()
    }
    sys.stdout.write(json.dumps({"dags": dags, "errors": first.import_errors, "modules": sorted(sys.modules)}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
