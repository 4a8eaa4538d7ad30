"""The alert for a task that fails for good: one line in the log of the task, and one record in a file for all DAGs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseNotifier

ALERTS_FILE = "airflow-alerts.jsonl"


class AlertRecord(BaseNotifier):  # type: ignore[misc]  # Airflow's modules are not followed
    """Appends a line of JSON to `<AIMAAS_HOME>/airflow-alerts.jsonl`: the failed task, its run, the error and the log's address."""

    def notify(self, context: Mapping[str, Any]) -> None:
        """Write the record. Airflow calls this when a task has no retry left."""
        from aimaas.settings import read_settings

        line = json.dumps(alert_of(context, datetime.now(UTC)), ensure_ascii=False)
        self.log.error("task failed for good: %s", line)
        path = read_settings().home / ALERTS_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def alert_of(context: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the content of the record; fleet and stage come from the DAG's name."""
    task = context["ti"]
    fleet, _, stage = str(task.dag_id).rpartition("_")
    error = context.get("exception")
    return {
        "at": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "event": "task failed for good",
        "fleet": fleet,
        "stage": stage,
        "dag_id": task.dag_id,
        "run_id": task.run_id,
        "task_id": task.task_id,
        "tries": task.try_number,
        "error": f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error and str(error),
        "log_url": getattr(task, "log_url", None),
    }


# each entry is called when a task fails for good; add Airflow's own, such as SlackNotifier(slack_conn_id=…, text=…)
NOTIFIERS = [AlertRecord()]
