"""The kernel against SQL windows and pandas: the same features of all rows of gold, from the table to the last row."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from aimaas.kernel.plan import plan_of
from aimaas.lake import read_table
from lake_bench.contenders import RUN, pandas_features, sql_features
from spark_jobs.features import feature_rows, gold_version
from spark_jobs.job import Job
from spark_jobs.session import read_version
from spark_jobs.sources import sources_of
from spark_jobs.training_sets.fitting import fit_of
from spark_jobs.training_sets.labels import run_ends

_CLOSE = 5e-3  # of standardised values; the kernel adds float32


def race(job: Job) -> dict[str, float]:
    """Return the seconds of each. Raises AssertionError if they differ in the features of a device."""
    plan, name = plan_of(job.fleet), job.fleet.fleet
    version = gold_version(job.settings, job.fleet)
    gold = read_version(job.spark, job.settings, job.fleet, "gold", version)
    ends = run_ends(
        read_version(
            job.spark, job.settings, job.fleet, "outcomes", sources_of(job.settings, job.fleet, version).outcomes
        )
    )
    fit = fit_of(job.fleet, plan, gold.where("split = 'train'"))
    ours = feature_rows(job.fleet, plan, fit, gold, ends)
    theirs = sql_features(plan, fit, gold)
    seconds = {"kernel": _timed(lambda: _drain(ours)), "spark_sql": _timed(lambda: _drain(theirs))}

    def by_pandas() -> Any:
        rows = read_table(job.settings, name, "gold", [*RUN, "order", *plan.readings])
        frame = rows.sort_by([(column, "ascending") for column in (*RUN, "order")]).to_pandas()
        made.append((frame, pandas_features(plan, fit, frame)))

    made: list[Any] = []
    seconds["pandas"] = _timed(by_pandas)
    rows, features = made[0]
    device = rows["device_id"].iloc[0]
    kernel = np.array([r["features"] for r in ours.where(f"device_id = '{device}'").orderBy("run", "order").collect()])
    sql = theirs.where(f"device_id = '{device}'").orderBy("run", "order").drop(*RUN, "order").toPandas().to_numpy()
    pandas = features[rows["device_id"] == device].to_numpy()
    for found in (sql, pandas):
        assert np.allclose(found[: len(kernel)], kernel, atol=_CLOSE), "the contenders compute other features"
    return seconds


def _drain(frame: Any) -> None:
    frame.write.format("noop").mode("overwrite").save()


def _timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
