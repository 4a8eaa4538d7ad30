"""A champion of the real turbofan fleet's kind, trained without Spark and Airflow, announced as promotion announces one.

The pure parts are the pipeline's own: the simulator, the kernel, the fit, the candidates, the export with its parity gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from confluent_kafka import Producer

from aimaas.fleet import FleetSpec, Split
from aimaas.kafka import producer_config
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan, plan_of
from aimaas.model.artefact import ModelMetadata, sha256
from aimaas.records.events import Announcement
from aimaas.topics import topic_names
from aimaas.training.training_set import read_training_set
from model_bench.cmapss_data import freeze
from model_bench.fitting import features_of, fit_of
from model_bench.shipping import exported, train
from models.export.export import Float32, run_onnx, stamp
from models.families.candidates import candidates_of
from models.samples import Samples
from models.selection.select import fit_chosen
from models.task import target_range
from models.training.train import code_version
from stream.devices.histories import Histories, truth
from stream.devices.simulator import simulate
from stream_bench.stage import Stage

SHIPPED = "shipped"
_SPLIT = Split(train=0.85, validation=0.15, calibration=0, test=0)
_SEED = 7
_FIRST_DEVICE = 900_000  # no scored device has such a number


@dataclass(frozen=True)
class Champion:
    """The exported model: its bytes, its file, the fit inside, and the announcement."""

    content: bytes
    path: Path
    fit: Fit
    announcement: Announcement

    def predict(self, features: Float32) -> Float32:
        """Return answers (n,) to features (n, F), as the scorer's session does."""
        return run_onnx(self.content, features)


def train_champion(stage: Stage, candidate: str, devices: int) -> Champion:
    """Train `candidate` on `devices` simulated devices and export it, with the gate of the fleet file.

    `SHIPPED` means the best candidate in the form that training would ship.
    """
    fleet = stage.fleet()
    histories = simulate(fleet, devices, _SEED, _FIRST_DEVICE)
    fit, content = _shipped(stage, histories) if candidate == SHIPPED else _plain(fleet, candidate, histories)
    path = Path(stage.settings.mlflow_artifacts) / "champion.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    plan = plan_of(fleet)
    made = Announcement("champion", "1", 1, str(path), sha256(content), plan.hash, fit.id, datetime.now(UTC))
    return Champion(content, path, fit, made)


def _shipped(stage: Stage, histories: Histories) -> tuple[Fit, bytes]:
    fleet = stage.fleet().model_copy(update={"split": _SPLIT})
    frozen = read_training_set(freeze(fleet, histories, stage.folder / "training_set"))
    shipped = train(fleet, frozen).shipped
    fit = frozen.info.fit
    return fit, stamp(shipped.content, _metadata(fleet, shipped.tried.report.name, frozen.info.plan, fit))


def _plain(fleet: FleetSpec, candidate: str, histories: Histories) -> tuple[Fit, bytes]:
    """Return the candidate's fit and its plain export."""
    plan = plan_of(fleet)
    fit = fit_of(plan, histories.values, _SEED)
    features, labels = features_of(fleet, fit, histories), truth(histories, fleet)
    known = np.isfinite(labels)
    names = np.array(histories.devices)[histories.device]
    samples = Samples(features, labels.astype(np.float32), names).at(known)
    estimator = fit_chosen(candidates_of(fleet), candidate, samples, _SEED)
    return fit, stamp(exported(fleet, estimator, samples), _metadata(fleet, candidate, plan, fit))


def announce(stage: Stage, fleet: FleetSpec, champion: Champion) -> None:
    """Announce the champion on the fleet's models topic."""
    producer = Producer(producer_config(stage.settings))
    producer.produce(topic_names(fleet).models, msgspec.json.encode(champion.announcement), b"champion")
    assert producer.flush(15) == 0, "the announcement did not reach the broker"


def _metadata(fleet: FleetSpec, candidate: str, plan: FeaturePlan, fit: Fit) -> ModelMetadata:
    return ModelMetadata(
        fleet=fleet.fleet, fleet_version=fleet.version, task=fleet.task.kind, unit=fleet.task.unit, candidate=candidate,
        plan=plan, fit=fit, target_range=target_range(fleet), training_set="simulated", digest="none", seed=_SEED,
        code_version=code_version(), metrics={},
    )  # fmt: skip
