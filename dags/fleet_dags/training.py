"""The Python tasks of `<fleet>_train`. They import heavy libraries when a task runs, never when the DAG file is parsed."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from airflow.sdk import task

from fleet_dags.assets import fleet_asset, newest_extra


def training_set_folder(fleet: str, run_id: str) -> str:
    """Return the folder of a run's training set. A macro of the DAG."""
    return _places(fleet, run_id)[0]


def enough_outcomes(fleet: str) -> Any:
    """Return the task that skips the run if too few outcomes are new since the last training."""
    model = fleet_asset(fleet, "model")

    @task(inlets=[model])
    def enough_outcomes(*, dag_run: Any = None, inlet_events: Any = None) -> int:
        """Skips the run unless a training is due. Returns the number of outcomes known now."""
        from airflow.sdk.exceptions import AirflowSkipException

        from aimaas.lake import table_id
        from aimaas.lake.audits import held_back
        from aimaas.training.last_refusal import attempt_of, last_refused
        from fleet_dags.due import known_outcomes, outcomes_before, published_now, why_not_due

        settings, spec = _surroundings(fleet)
        known, gold = known_outcomes(settings, spec), published_now(settings, spec, "gold")["version"]
        last, table = newest_extra(inlet_events[model]), table_id(settings, fleet, "outcomes")
        refused, before = last_refused(settings, fleet), outcomes_before(last, table, known)
        again = refused.why if refused and refused.attempt == attempt_of(spec, gold, known) else None
        before = max(before, refused.attempt.outcomes) if refused else before
        if reason := why_not_due(dag_run.run_type, known, before, spec.schedule.train_after_outcomes, again):
            raise AirflowSkipException(f"no training of {fleet}: {reason}")
        for line in held_back(settings, spec):
            print(f"this training leaves out {line}")  # noqa: T201  # the task's log
        return known

    return enough_outcomes()


def train_candidates(fleet: str, outcomes: Any) -> Any:
    """Return the task that trains, chooses, exports and checks the export. It notes a refused training."""

    @task(execution_timeout=timedelta(hours=12))
    def train_candidates(known: int, *, run_id: str | None = None) -> dict[str, Any]:
        """Trains the candidates, chooses one on validation devices, reports on test devices and exports it to ONNX."""
        from datetime import UTC, datetime

        from aimaas.errors import TrainingRefusedError
        from aimaas.training.last_refusal import Refused, attempt_of, forget_refused, note_refused
        from aimaas.training.training_set import read_info
        from models.training.train import train

        settings, spec = _surroundings(fleet)
        frozen, trained = _places(fleet, str(run_id))
        try:
            report = train(settings, spec, frozen, trained, _tell)
        except TrainingRefusedError as e:
            gold = read_info(frozen).gold_version
            note_refused(settings, fleet, Refused(attempt_of(spec, gold, known), str(e), datetime.now(UTC)))
            raise
        forget_refused(settings, fleet)
        return {"candidate": report.chosen, "card": _card(trained), **report.metrics}

    return train_candidates(outcomes)


def _tell(what: str, done: int, steps: int) -> None:
    """Print progress into the task's log, because a training may take hours."""
    print(f"{done} of {steps}: {what}", flush=True)  # noqa: T201


def register_and_promote(fleet: str, outcomes: Any) -> Any:
    """Return the task that registers the trained model, and promotes it if it is better than the champion."""
    model = fleet_asset(fleet, "model")

    @task(outlets=[model])
    def register_and_promote(known: int, *, run_id: str | None = None, outlet_events: Any = None) -> dict[str, Any]:
        """Registers the model with its digests and metrics. Promotes it if it is better than the champion on the same devices."""
        from aimaas.lake import table_id
        from aimaas.registry.versions import register
        from models.promotion.promote import promote

        settings, spec = _surroundings(fleet)
        trained = _places(fleet, str(run_id))[1]
        version = register(settings, spec, trained)
        promotion = promote(settings, spec, version)
        seen = {"version": version, "promoted": promotion.promoted, "reason": promotion.reason, "outcomes": known}
        seen |= {"outcomes_table": table_id(settings, fleet, "outcomes"), "card": _card(trained)}
        outlet_events[model].extra.update(seen)
        return seen

    return register_and_promote(outcomes)


def announce(fleet: str, registered: Any) -> Any:
    """Return the task that announces the registry's champion on the models topic."""

    @task
    def announce(seen: dict[str, Any]) -> dict[str, Any]:
        """Announces the champion to the scorers. Ends as skipped if the model of this run was not promoted."""
        from airflow.sdk.exceptions import AirflowSkipException

        from models.promotion.announce import announce

        settings, spec = _surroundings(fleet)
        said = announce(settings, spec)
        if said is None or not seen["promoted"]:
            raise AirflowSkipException(f"version {seen['version']} does not serve: {seen['reason']}")
        return {"version": said.version, "sequence": said.sequence}

    return announce(registered)


def _surroundings(fleet: str) -> tuple[Any, Any]:
    from aimaas.fleet import find_fleet
    from aimaas.settings import read_settings

    settings = read_settings()
    return settings, find_fleet(settings.fleets, fleet)


def _card(trained: str) -> str:
    """Return the URI of the model card of this run."""
    from aimaas.registry.mlflow_store import CARD_FOLDER, CARD_NAME
    from aimaas.stored_files import uri_of

    return uri_of(f"{trained}/{CARD_FOLDER}/{CARD_NAME}")


def _places(fleet: str, run_id: str) -> tuple[str, str]:
    """Return the folders of a run's training set and of its trained model: in the lake, which all workers share."""
    from aimaas.settings import read_settings
    from aimaas.training.folders import TRAINED, TRAINING_SET, training_folder

    folder = training_folder(read_settings(), fleet, re.sub(r"[^A-Za-z0-9_.-]+", "-", run_id))
    return f"{folder}/{TRAINING_SET}", f"{folder}/{TRAINED}"
