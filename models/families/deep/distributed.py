"""One network trained in several processes at once, which Spark's TorchDistributor starts on the machine that trains.

Each process learns from its share of the rows. After every batch gradients are averaged (DistributedDataParallel over gloo). All
processes use the same held-out devices, so all stop after the same epoch, with the same weights.
"""

from __future__ import annotations

from threading import Lock

from models.families.deep.fit import Rank, Trained, train
from models.families.deep.recipe import Recipe
from models.samples import Samples
from models.spark_errors import spark_errors

_one_at_a_time = Lock()  # folds are trained in parallel; two sets of processes would share the cores


def train_distributed(recipe: Recipe, samples: Samples, seed: int, processes: int) -> Trained:
    """Train a network in this many processes; needs Java, because Spark does. Raises TrainingRefusedError if they fail."""
    from pyspark.ml.torch.distributor import TorchDistributor
    from pyspark.sql import SparkSession

    what = f"{recipe.family}: its {processes} processes failed (see their own error lines above)"
    with _one_at_a_time, spark_errors(what, "train with processes: 1 to see whether the distribution is the cause"):
        SparkSession.builder.appName("aimaas-deep").getOrCreate()
        distributor = TorchDistributor(num_processes=processes, local_mode=True, use_gpu=False)
        trained: Trained = distributor.run(train_share, recipe, samples, seed)
        return trained


def train_share(recipe: Recipe, samples: Samples, seed: int) -> Trained:
    """Do the work of each process; torchrun sets its rank and the number of processes in the environment."""
    from torch import distributed

    distributed.init_process_group("gloo")
    try:
        return train(recipe, samples, seed, Rank(distributed.get_rank(), distributed.get_world_size()))
    finally:
        distributed.destroy_process_group()
