"""What tasks ask Airflow for, and how they fail."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aimaas.settings import Settings

pytestmark = pytest.mark.airflow
HERE = Path(__file__).resolve().parent


def said(in_airflow: Callable[..., subprocess.CompletedProcess[str]], settings: Settings, *dags: str) -> list[Any]:
    """What the small DAGs say when they run one after the other."""
    done = in_airflow(settings, str(HERE / "run_dags.py"), str(HERE / "small"), *dags, dags=HERE / "small")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    lines = done.stdout.splitlines()
    return [json.loads(line.partition("FOUND ")[2]) for line in lines if "FOUND " in line]


def test_a_task_is_sent_the_newest_event_alone_however_many_there_are(
    in_airflow: Callable[..., subprocess.CompletedProcess[str]], offline_settings: Settings
) -> None:
    found = said(in_airflow, offline_settings, *["count"] * 4)

    assert found == [{"before": n, "sent": min(n, 1)} for n in range(4)]


def test_a_training_that_the_features_job_refused_fails_with_the_refusal_and_another_failure_of_it_as_ever(
    in_airflow: Callable[..., subprocess.CompletedProcess[str]], offline_settings: Settings
) -> None:
    failed, refused = sorted(said(in_airflow, offline_settings, "freeze"), key=lambda what: what["error"])

    assert (failed["error"], "Error code is: 3" in failed["why"]) == ("AirflowException", True)
    assert (refused["error"], refused["why"]) == ("TrainingRefusedError", "gold has no row")
