"""One network trained in several processes at once, which Spark's TorchDistributor starts on the machine that trains.

Each process learns from its share of the rows; after every batch gradients are averaged (DistributedDataParallel over gloo). All
see the same held-out devices, so all stop after the same epoch, with the same weights.
"""

from __future__ import annotations

from threading import Lock

from models.deep.fit import Rank, Trained, train
from models.deep.recipe import Recipe
from models.samples import Samples
from models.spark_errors import spark_errors

_one_at_a_time = Lock()  # folds are fitted beside each other; two sets of processes would share the cores


def train_distributed(recipe: Recipe, samples: Samples, seed: int, processes: int) -> Trained:
    """Train a network in so many processes; needs Java, as all of Spark does. Raises TrainingRefusedError where they fail."""
    from pyspark.ml.torch.distributor import TorchDistributor
    from pyspark.sql import SparkSession

    what = f"{recipe.family}: its {processes} processes failed (their own lines stand above)"
    with _one_at_a_time, spark_errors(what, "train with processes: 1 to see whether it is the distribution"):
        SparkSession.builder.appName("aimaas-deep").getOrCreate()
        distributor = TorchDistributor(num_processes=processes, local_mode=True, use_gpu=False)
        trained: Trained = distributor.run(train_share, recipe, samples, seed)
        return trained


def train_share(recipe: Recipe, samples: Samples, seed: int) -> Trained:
    """What each process does; rank and number of processes are in its environment, set by torchrun."""
    from torch import distributed

    distributed.init_process_group("gloo")
    try:
        return train(recipe, samples, seed, Rank(distributed.get_rank(), distributed.get_world_size()))
    finally:
        distributed.destroy_process_group()
