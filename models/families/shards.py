"""Ensemble members that are trained on shards of the devices: in processes of this machine, or as tasks of a Spark cluster.

No member waits for another: each result is taken as it arrives. The seed decides which device is in which shard, and members are
sorted by their shards, so place and order of arrival do not change the bits of the model.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from typing import Any

import numpy as np

from aimaas.errors import TrainingRefusedError
from aimaas.settings import Settings
from models.samples import Samples
from models.spark_errors import spark_errors

Task = Callable[[], Any]  # trains a member; can be pickled, because it is a `partial` of a module's function
RunShards = Callable[[Sequence[Task]], Iterator[tuple[int, Any]]]  # results with their numbers, as they arrive


def in_turn(tasks: Sequence[Task]) -> Iterator[tuple[int, Any]]:
    """Run the tasks one after the other in this process: for a search, because several trials already run in parallel."""
    return ((i, task()) for i, task in enumerate(tasks))


def place_of_shards(settings: Settings) -> RunShards:
    """Return Spark if the settings name a cluster, otherwise processes of this machine. Nothing is started before the call."""
    if re.fullmatch(r"local(\[.*\])?", settings.spark_master):
        return on_processes

    def on_cluster(tasks: Sequence[Task]) -> Iterator[tuple[int, Any]]:
        from pyspark.sql import SparkSession

        with spark_errors(
            f"no session on {settings.spark_master}", "check that Java is installed and the master answers"
        ):
            session = SparkSession.builder.master(settings.spark_master).appName("aimaas train").getOrCreate()
        return on_spark(session, tasks)

    return on_cluster


def on_processes(tasks: Sequence[Task]) -> Iterator[tuple[int, Any]]:
    """Run each task in a separate process, as many at once as there are cores."""
    return _as_they_arrive(_processes(), tasks, _in_process)


def on_spark(session: Any, tasks: Sequence[Task]) -> Iterator[tuple[int, Any]]:
    """Run each task as a separate Spark job: a job ends when its one task does, so no member waits for another."""

    def run(task: Task) -> Any:
        with spark_errors(
            "a Spark task that trained a shard has failed", "its workers need this package and enough memory"
        ):
            return session.sparkContext.parallelize([None], 1).map(lambda _: task()).collect()[0]

    with ThreadPoolExecutor(len(tasks), "shard") as pool:
        yield from _as_they_arrive(pool, tasks, run)


def dealt(samples: Samples, shards: int, seed: int, classify: bool) -> list[Samples]:
    """Return the samples by shards of whole devices; devices with a failure ahead are dealt first, so that each shard gets some.

    Raises TrainingRefusedError if a shard would have fewer than two devices or only one label.
    """
    names, device = np.unique(samples.devices, return_inverse=True)
    failing = np.bincount(device, samples.targets > 0, len(names)) > 0 if classify else np.zeros(len(names), np.bool_)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(~failing[order], kind="stable")]
    shard = np.empty(len(names), np.int64)
    shard[order] = np.arange(len(names)) % shards
    parts = [samples.at(shard[device] == i) for i in range(shards)]
    fewest = min(len(np.unique(part.targets)) for part in parts)
    if len(names) < 2 * shards or fewest < 2:
        raise TrainingRefusedError(
            f"shards: found {shards}, but {len(names)} devices ({int(failing.sum())} with a failure ahead) do not give "
            "each shard at least two devices and both labels; lower it, or wait for more devices"
        )
    return parts


@cache
def _processes() -> ThreadPoolExecutor:
    """Return one pool for all trainings in parallel; its threads only wait for processes."""
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), "shard")


def _in_process(task: Task) -> Any:
    """Run a task in a new process: pickled in, its result pickled out."""
    ran = subprocess.run(
        [sys.executable, "-m", "models.families.shards"],
        input=pickle.dumps(task),
        capture_output=True,
        check=False,
    )
    if ran.returncode == 0:
        return pickle.loads(ran.stdout)  # noqa: S301 - our own child wrote it
    last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {ran.returncode}"]
    raise TrainingRefusedError(f"a process that trained a shard has failed: {last[0]}; is there enough memory?")


def _as_they_arrive(
    pool: ThreadPoolExecutor, tasks: Sequence[Task], run: Callable[[Task], Any]
) -> Iterator[tuple[int, Any]]:
    numbers = {pool.submit(run, task): i for i, task in enumerate(tasks)}
    for done in as_completed(numbers):
        yield numbers[done], done.result()


if __name__ == "__main__":
    sys.stdout.buffer.write(pickle.dumps(pickle.load(sys.stdin.buffer)()))  # noqa: S301 - our own parent wrote it
