"""The model artefact: one ONNX file that holds graph, plan, fit and provenance.

Input `features` (n, F) float32, output `prediction` (n, 1) float32. The metadata travels inside the file, under the key `aimaas`,
so that one SHA-256 covers everything that a prediction depends on.
"""

from __future__ import annotations

import hashlib

import msgspec

from aimaas.fleet.units import prediction_unit
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan
from aimaas.model.intervals import Intervals

METADATA_KEY = "aimaas"
INPUT, OUTPUT = "features", "prediction"
FILE_NAME = "model.onnx"


class FormTried(msgspec.Struct, frozen=True):
    """A form of the candidate that was tried in training: its error on devices that it has not seen, size, counted cost."""

    error: float
    bytes: int
    cost_us: float


class ModelMetadata(msgspec.Struct, frozen=True):
    """All that a model needs to be served, and its provenance.

    `target_range` is the (lowest, highest) value of the target; `digest` names the frozen rows of the training. `training_set`
    named their folder in older models and is empty now: equal rows in two folders give the same bytes, and report and registry know
    the folder. `metrics` are those of the report. `intervals` are None for a classification, and in models from before there were
    any. `typical` (F,) are the medians of the features over the training rows, None in older models. `form` is the form of the
    file, `forms` are those that could be built; their times are in the report, because bytes must not depend on them. `horizon` is
    the horizon of a failure's probability with its unit, None in older models.
    """

    fleet: str
    fleet_version: int
    task: str
    unit: str
    candidate: str
    plan: FeaturePlan
    fit: Fit
    target_range: tuple[float, float]
    training_set: str
    digest: str
    seed: int
    code_version: str
    metrics: dict[str, float]
    intervals: Intervals | None = None
    typical: tuple[float, ...] | None = None
    form: str = "plain"
    forms: dict[str, FormTried] = {}
    horizon: tuple[float, str] | None = None

    @property
    def prediction_unit(self) -> str:
        """Unit of the predictions. It follows from the task: older models have the fleet's unit for probabilities too."""
        return prediction_unit(self.task, self.unit)


# created once: msgspec crashes if two threads inspect a type for the first time
_decoder = msgspec.json.Decoder(ModelMetadata)


def encode_metadata(metadata: ModelMetadata) -> str:
    """The text in the ONNX file's metadata."""
    return msgspec.json.encode(metadata).decode()


def decode_metadata(text: str) -> ModelMetadata:
    """Read the metadata back. Raises msgspec.ValidationError."""
    return _decoder.decode(text)


def sha256(content: bytes) -> str:
    """Hex digest of an artefact's bytes."""
    return hashlib.sha256(content).hexdigest()
