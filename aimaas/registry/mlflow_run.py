"""A training as a run of MLflow: parameters, metrics, its data set, its model, and a child run for each candidate."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aimaas.fleet import FleetSpec
from aimaas.model.artefact import FILE_NAME
from aimaas.registry.mlflow_dataset import dataset_of
from aimaas.registry.mlflow_model import write_mlflow_model
from aimaas.settings import Settings
from aimaas.training.report import FILE_NAME as REPORT_NAME
from aimaas.training.report import CandidateReport, TrainReport

# MLflow's pages open an experiment of this kind with its runs and models, others with GenAI traces
_KIND, _MODELS = "mlflow.experimentKind", "custom_model_development"
_MOST_METRICS = 1_000  # per request to MLflow


def log_run(
    client: Any, settings: Settings, fleet: FleetSpec, trained: Path, report: TrainReport, tags: Mapping[str, str]
) -> tuple[Any, Any]:
    """Write a run with the training's parameters, metrics (errors by fold under `fold_…`) and files; returns the finished run and
    its model.

    The model's metrics come from the test devices.
    """
    from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput

    id_ = _experiment(client, settings, fleet)
    run = client.create_run(id_, run_name=f"{report.chosen}-{report.sha256[:8]}", tags=dict(tags))
    run_id, dataset = run.info.run_id, dataset_of(settings, fleet, report)
    model = _log_model(client, run, fleet, trained, tags)
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    of_model = {"model_id": model.model_id, "dataset_name": dataset.name, "dataset_digest": dataset.digest}
    _log(client, run, [*_metrics(run, report, of_model), *_comparisons(run, report)], _params(fleet, report))
    client.log_artifact(run_id, str(trained / REPORT_NAME))
    for candidate in report.candidates:
        _log_candidate(client, run, fleet, report, candidate)
    client.set_terminated(run_id)
    return run, model


def _experiment(client: Any, settings: Settings, fleet: FleetSpec) -> str:
    found = client.get_experiment_by_name(fleet.fleet)
    place = f"{settings.mlflow_artifacts.rstrip('/')}/{fleet.fleet}"
    id_: str = found.experiment_id if found else client.create_experiment(fleet.fleet, place)
    if not found or _KIND not in found.tags:
        client.set_experiment_tag(id_, _KIND, _MODELS)
    return id_


def _log_model(client: Any, run: Any, fleet: FleetSpec, trained: Path, tags: Mapping[str, str]) -> Any:
    """A logged model with the files that MLflow loads; `artifact_location` is their folder."""
    info = run.info
    model = client.create_logged_model(info.experiment_id, fleet.fleet, info.run_id, dict(tags), model_type="onnx")
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "model"
        write_mlflow_model(files, (trained / FILE_NAME).read_bytes(), model.model_id, info.run_id)
        client.log_model_artifacts(model.model_id, str(files))
    return client.finalize_logged_model(model.model_id, "READY")


def _metrics(run: Any, report: TrainReport, of_model: Mapping[str, str]) -> Iterator[Any]:
    from mlflow.entities import Metric

    for name, value in report.metrics.items():
        yield Metric(name, value, run.info.start_time, 0, **of_model)


def _comparisons(run: Any, report: TrainReport) -> Iterator[Any]:
    """All candidates and forms side by side, in one run."""
    from mlflow.entities import Metric

    stamp = run.info.start_time
    for c in report.candidates:
        yield Metric(f"validation_{report.error}.{c.name}", c.validation, stamp, 0)
        for i, error in enumerate(c.folds, 1):
            yield Metric(f"fold_{report.error}.{c.name}", error, stamp, i)
    for f in report.forms:
        kept = {"error": f.error, "bytes": float(f.bytes), "us_1": f.us_1, "us_1024": f.us_1024}
        yield from (Metric(f"form_{k}.{f.name}", v, stamp, 0) for k, v in kept.items() if v is not None)


def _params(fleet: FleetSpec, report: TrainReport) -> Iterator[Any]:
    from mlflow.entities import Param

    for name, given in fleet.training.candidates.items():
        yield Param(f"candidates.{name}", str(given))
    for split, counts in report.splits.items():
        yield from (Param(f"{split}.{k}", str(getattr(counts, k))) for k in counts.__struct_fields__)
    said = {"seed": report.seed, "folds": fleet.training.folds, "chosen": report.chosen, "form": report.form}
    yield from (Param(name, str(value)) for name, value in said.items())


def _log_candidate(client: Any, parent: Any, fleet: FleetSpec, report: TrainReport, candidate: CandidateReport) -> None:
    """A child run: errors by fold and learning curves have the fold, the epoch or the tree as their step."""
    from mlflow.entities import Metric, Param

    chosen = candidate.name == report.chosen
    tags = {"mlflow.parentRunId": parent.info.run_id, "candidate": candidate.name, "chosen": str(chosen).lower()}
    run = client.create_run(parent.info.experiment_id, run_name=candidate.name, tags=tags)
    stamp, error = run.info.start_time, report.error
    metrics = [Metric(f"fold_{error}", value, stamp, i) for i, value in enumerate(candidate.folds, 1)]
    metrics += [
        Metric(f"cv_{error}", candidate.cross_validated, stamp, 0),
        Metric(f"validation_{error}", candidate.validation, stamp, 0),
        Metric("fitting_seconds", candidate.seconds, stamp, 0),
    ]
    for curve in candidate.curves:
        part = curve.name.removeprefix(candidate.name).strip()
        name = "_".join(curve.value.lower().split()) + (f".{part}" if part else "")
        metrics += [Metric(name, value, stamp, i) for i, value in enumerate(curve.values, 1)]
    weights = {f"weight.{member}": str(weight) for member, weight in candidate.weights.items()}
    given = {**fleet.training.candidates.get(candidate.name, {}), **weights}
    _log(client, run, metrics, [Param(name, str(value)) for name, value in given.items()])
    client.set_terminated(run.info.run_id)


def _log(client: Any, run: Any, metrics: Sequence[Any], params: Iterator[Any] | Sequence[Any]) -> None:
    client.log_batch(run.info.run_id, params=list(params))
    for start in range(0, len(metrics), _MOST_METRICS):
        client.log_batch(run.info.run_id, metrics[start : start + _MOST_METRICS])
