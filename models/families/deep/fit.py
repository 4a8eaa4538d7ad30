"""Training with skorch: held-out devices decide when to stop, and every random choice has a generator of its own.

Trainings run in parallel threads, each on one thread of PyTorch: the same seed gives the same bits on any number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping, GradientNormClipping, LRScheduler
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from models.families.deep.attention import Transformer
from models.families.deep.encoders import Convolutions, Recurrent
from models.families.deep.network import SequenceNetwork
from models.families.deep.recipe import Recipe
from models.families.network import early_stopping_split, moments
from models.families.onnx_graph import Graph
from models.samples import Samples

_BETTER = 1e-3  # share by which the loss must fall to count as better
_LONGEST_STEP = 1.0  # norm of the gradients, which a recurrent network otherwise makes too long at times
_initialising = Lock()  # weights are drawn from PyTorch's one generator


@dataclass(frozen=True)
class Trained:
    """Weights by name, and the loss on held-out devices after each epoch."""

    weights: Mapping[str, Any]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Rank:
    """The rank of this process and the number of processes; gradients are averaged among them."""

    number: int = 0
    of: int = 1


class Batches:
    """skorch's iterator: slices of the whole arrays, in a new order each epoch if it has a generator."""

    def __init__(self, dataset: Any, batch_size: int, generator: Any = None) -> None:
        self.x = torch.as_tensor(dataset.X)
        self.y = torch.as_tensor(dataset.y) if dataset.y is not None else torch.zeros(len(self.x))
        self.size, self.generator = batch_size, generator

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Batches of features and targets."""
        rows = len(self.x)
        order = torch.arange(rows) if self.generator is None else torch.randperm(rows, generator=self.generator)
        for at in order.split(self.size):
            yield self.x[at], self.y[at]


@dataclass(frozen=True)
class SequenceRegressor:
    """A trained net over the kernel's rows (n, F). skorch's own regressor has `predict_proba`, which marks a classifier here."""

    net: Any
    held_out_losses_: tuple[float, ...]

    def predict(self, features: Any) -> Any:
        """Return predictions (n,)."""
        return self.net.predict(np.ascontiguousarray(features))[:, 0]

    def emit(self, graph: Graph) -> str:
        """Lay the network into the graph; the name of its answer (n, 1)."""
        return str(self.net.module_.emit(graph))


@dataclass(frozen=True)
class SequenceClassifier:
    """The same for a classification; the answer is the probability of class 1."""

    net: Any
    held_out_losses_: tuple[float, ...]

    def predict_proba(self, features: Any) -> Any:
        """Return probabilities (n, 2)."""
        return self.net.predict_proba(np.ascontiguousarray(features))

    def emit(self, graph: Graph) -> str:
        """Lay the network into the graph; the name of the probability (n, 1)."""
        return graph.add("Sigmoid", self.net.module_.emit(graph))


def estimator_of(recipe: Recipe, samples: Samples, seed: int, trained: Trained) -> Any:
    """Return the fitted estimator with these weights."""
    network = _network(recipe, samples, seed)
    network.load_state_dict({name: torch.tensor(value) for name, value in trained.weights.items()})
    kind = SequenceClassifier if recipe.classify else SequenceRegressor
    return kind(_net(recipe, network).initialize(), trained.losses)


def train(recipe: Recipe, samples: Samples, seed: int, rank: Rank = Rank()) -> Trained:
    """Train a network. If there are several processes, each learns from its share of the rows, in step with the others."""
    torch.set_num_threads(1)
    samples = samples.resampled(seed)  # skorch's losses take no weights of rows
    network = _network(recipe, samples, seed)
    targets, shift, stretch = _standardised(recipe, samples)
    fitted, held_out = early_stopping_split(replace(samples, targets=targets), seed)
    whole = len(fitted) // rank.of * rank.of
    mine = fitted.at(np.arange(rank.number, whole, rank.of))
    module = network if rank.of == 1 else torch.nn.parallel.DistributedDataParallel(network)
    net = _net(
        recipe, module,
        max_epochs=recipe.training.epochs, batch_size=max(1, recipe.training.batch // rank.of), callbacks=_callbacks(recipe),
        iterator_train__generator=torch.Generator().manual_seed(seed),
        train_split=predefined_split(Dataset(held_out.features, _column(recipe, held_out.targets))),
    )  # fmt: skip
    net.fit(mine.features, _column(recipe, mine.targets))
    network.shift.fill_(shift)
    network.stretch.fill_(stretch)
    weights = {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}
    return Trained(weights, tuple(float(loss) for loss in net.history[:, "valid_loss"]))


def _network(recipe: Recipe, samples: Samples, seed: int) -> SequenceNetwork:
    encoders = {"cnn": Convolutions, "lstm": Recurrent, "gru": Recurrent, "transformer": Transformer}
    with _initialising, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = encoders[recipe.family](recipe.layout, **recipe.encoder, dropout=recipe.training.dropout, seed=seed)
        vectors = samples.features[:, : recipe.layout.vector]
        return SequenceNetwork(recipe.layout, encoder, vectors, recipe.training.dropout, seed)


def _net(recipe: Recipe, module: Any, **training: Any) -> Any:
    kind, loss = (
        (NeuralNetBinaryClassifier, torch.nn.BCEWithLogitsLoss)
        if recipe.classify
        else (NeuralNetRegressor, torch.nn.MSELoss)
    )
    quiet = {"callbacks__print_log": None, "verbose": 0} | ({"callbacks__valid_acc": None} if recipe.classify else {})
    return kind(
        module, criterion=loss, optimizer=torch.optim.AdamW, lr=recipe.training.rate,
        optimizer__weight_decay=recipe.training.weight_decay, iterator_train=Batches, iterator_valid=Batches,
        iterator_valid__batch_size=4_096, **quiet, **training,
    )  # fmt: skip


def _callbacks(recipe: Recipe) -> list[tuple[str, Any]]:
    policies = {
        "cosine": LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=recipe.training.epochs),
        "plateau": LRScheduler(
            torch.optim.lr_scheduler.ReduceLROnPlateau, monitor="valid_loss", factor=0.5, patience=1, threshold=_BETTER
        ),
    }
    stop = EarlyStopping(patience=recipe.training.patience, threshold=_BETTER, load_best=True, sink=lambda text: None)
    return [
        ("schedule", policies[recipe.training.schedule]),
        ("clip", GradientNormClipping(_LONGEST_STEP)),
        ("stop", stop),
    ]


def _standardised(recipe: Recipe, samples: Samples) -> tuple[Any, float, float]:
    """Return targets standardised to mean 0 and deviation 1, with both numbers; targets of a classification are unchanged."""
    if recipe.classify:
        return samples.targets, 0.0, 1.0
    mean, deviation = moments(samples.targets)
    return ((samples.targets - mean) / deviation).astype(np.float32), mean, deviation


def _column(recipe: Recipe, targets: Any) -> Any:
    """Return targets in the shape that skorch needs: (n,) for classes, (n, 1) for numbers."""
    return targets if recipe.classify else targets[:, None]
