"""The families that learn from the window, by the name that a fleet file gives them. PyTorch is imported at the first training.

All share the training options. The optimiser is AdamW with `rate` and `weight_decay`. `schedule` is `cosine`, which lets the rate
fall to 0 over all epochs, or `plateau`, which halves it when the loss of the held-out devices stops falling. After `patience`
epochs without a better loss there, training stops with the best weights. The candidate is the mean of `networks` networks, each
with other initial weights and other held-out devices. `processes` above 1 trains each network in that many processes, by Spark's
TorchDistributor.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from aimaas.errors import TrainingRefusedError
from models.families.deep.layout import Layout
from models.families.deep.recipe import Recipe, Training
from models.families.mean import mean_of_networks
from models.families.scikit import Estimator, Fit
from models.samples import Samples

Schedule = Literal["cosine", "plateau"]
Dropped = Annotated[float, Field(ge=0, lt=1)]
Processes = Annotated[int, Field(ge=1, le=64)]


def is_installed() -> bool:
    """Return whether the extra `deep` is installed."""
    return all(find_spec(name) is not None for name in ("torch", "skorch"))


def check_installed(fleet: str, name: str) -> None:
    """Raise TrainingRefusedError if PyTorch or skorch is missing for the candidate called `name`."""
    if not is_installed():
        raise TrainingRefusedError(
            f"fleets/{fleet}.yaml: training.candidates.{name}: it needs PyTorch and skorch, which are not installed; "
            "install them with: pip install 'aimaas[deep]'"
        )


def cnn(
    layout: Layout,
    classify: bool,
    *,
    channels: tuple[PositiveInt, ...] = (32, 32),
    kernel: Annotated[int, Field(ge=2, le=64)] = 5,
    dropout: Dropped = 0.1,
    rate: PositiveFloat = 2e-3,
    weight_decay: NonNegativeFloat = 0.01,
    schedule: Schedule = "cosine",
    batch: PositiveInt = 256,
    epochs: PositiveInt = 12,
    patience: PositiveInt = 4,
    networks: PositiveInt = 2,
    processes: Processes = 1,
) -> Fit:
    """Convolutions along time, one layer for each of `channels`."""
    training = Training(dropout, rate, weight_decay, schedule, batch, epochs, patience)
    return _fit("cnn", {"channels": channels, "kernel": kernel}, layout, classify, training, networks, processes)


def recurrent(
    family: str,
    layout: Layout,
    classify: bool,
    *,
    units: PositiveInt = 32,
    layers: PositiveInt = 1,
    dropout: Dropped = 0.1,
    rate: PositiveFloat = 2e-3,
    weight_decay: NonNegativeFloat = 0.01,
    schedule: Schedule = "cosine",
    batch: PositiveInt = 256,
    epochs: PositiveInt = 12,
    patience: PositiveInt = 4,
    networks: PositiveInt = 2,
    processes: Processes = 1,
) -> Fit:
    """Recurrent layers of LSTM or GRU cells."""
    training = Training(dropout, rate, weight_decay, schedule, batch, epochs, patience)
    encoder = {"kind": family, "units": units, "layers": layers}
    return _fit(family, encoder, layout, classify, training, networks, processes)


def transformer(
    layout: Layout,
    classify: bool,
    *,
    heads: PositiveInt = 4,
    head_width: PositiveInt = 8,
    layers: PositiveInt = 1,
    dropout: Dropped = 0.0,
    rate: PositiveFloat = 1e-3,
    weight_decay: NonNegativeFloat = 0.01,
    schedule: Schedule = "cosine",
    batch: PositiveInt = 256,
    epochs: PositiveInt = 12,
    patience: PositiveInt = 4,
    networks: PositiveInt = 2,
    processes: Processes = 1,
) -> Fit:
    """A Transformer encoder whose rows are `heads` times `head_width` wide."""
    training = Training(dropout, rate, weight_decay, schedule, batch, epochs, patience)
    encoder = {"width": heads * head_width, "heads": heads, "layers": layers}
    return _fit("transformer", encoder, layout, classify, training, networks, processes)


def _fit(
    family: str,
    encoder: Mapping[str, Any],
    layout: Layout,
    classify: bool,
    training: Training,
    networks: int,
    processes: int,
) -> Fit:
    recipe = Recipe(family, encoder, layout, classify, training)

    def fit(samples: Samples, seed: int) -> Estimator:
        return mean_of_networks(partial(_fit_one, recipe, samples, processes), networks, seed)

    return fit


def _fit_one(recipe: Recipe, samples: Samples, processes: int, seed: int) -> Estimator:
    from models.families.deep.fit import estimator_of, train

    if processes == 1:
        return estimator_of(recipe, samples, seed, train(recipe, samples, seed))
    from models.families.deep.distributed import train_distributed

    return estimator_of(recipe, samples, seed, train_distributed(recipe, samples, seed, processes))
