"""The table `fits`: fits that were computed from gold, each with its sources. A fit is kept while gold has grown little.

A version of gold uses the latest fit that was computed from that version, or from an earlier one whose rows are its first rows.
Rows are only appended. A later fit of an earlier version is written only if no newer version has kept the older fit. So the fit
of a version never changes as long as the fleet file is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aimaas.kernel.fit import Fit, fit_from_json
from aimaas.kernel.plan import FeaturePlan
from aimaas.lake import held, read_table, table_version
from spark_jobs.commits import commit
from spark_jobs.job import Job
from spark_jobs.sources import Sources, read_sources, sources_of
from spark_jobs.training_sets.fitting import fit_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

APP_ID = "features"
_COLUMNS = "gold_version bigint, made_of string, plan string, seed bigint, train_rows bigint, fit_id string, fit string"


class TakenFit(NamedTuple):
    """A fit, and the version of gold from which it was computed."""

    gold_version: int
    fit: Fit


def fit_at(job: Job, plan: FeaturePlan, gold: DataFrame, version: int) -> TakenFit:
    """The fit for `gold`, which is the table at a version: the kept fit, while the training rows have grown by at most
    `training.refit_growth`, or a new one.

    Raises TrainingRefusedError if there is no row of a training device, LakeError if another run wrote a fit meanwhile.
    """
    training, train = job.fleet.training, gold.where("split = 'train'")
    if not training.refit_growth:
        return TakenFit(version, fit_of(job.fleet, plan, train))
    made_of, rows = sources_of(job.settings, job.fleet, version), train.count()
    kept = _newest_of(job, plan, made_of)
    if kept is not None and rows <= kept["train_rows"] * (1 + training.refit_growth):
        return TakenFit(kept["gold_version"], fit_from_json(kept["fit"]))
    fit = fit_of(job.fleet, plan, train)
    _keep(job, (version, _text(made_of), plan.hash, training.seed, rows, fit.id, _text(fit)))
    return TakenFit(version, fit)


def _newest_of(job: Job, plan: FeaturePlan, now: Sources) -> dict[str, Any] | None:
    """The row of the latest fit that was computed from the rows of `now`, or from a first part of them."""
    if table_version(job.settings, job.fleet.fleet, "fits") is None:
        return None
    found = []
    for row in read_table(job.settings, job.fleet.fleet, "fits").to_pylist():
        before = read_sources(row["made_of"], job.fleet)
        same = (row["plan"], row["seed"]) == (plan.hash, job.fleet.training.seed)
        if same and before is not None and now.holds(before):
            found.append((sum(before.offsets.values()), row))
    return max(found, key=lambda one: one[0])[1] if found else None


def _keep(job: Job, row: tuple[Any, ...]) -> None:
    seen = held(job.settings, job.fleet.fleet, "fits", APP_ID)
    rows = job.spark.createDataFrame([row], _COLUMNS).coalesce(1)
    commit(job.settings, job.fleet, "fits", APP_ID, rows, seen, f"gold {row[0]}")


def _text(value: Sources | Fit) -> str:
    return msgspec.json.encode(value).decode()
