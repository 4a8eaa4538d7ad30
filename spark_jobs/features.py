"""Features: compute the fit and the feature rows of published gold, and freeze them as a training set.

A version of gold names its rows and the outcomes that were known. The pass that computes the features also computes labels and run
beginnings. The folder is written once: first Parquet rows, then `training_set.json` with the sources of the rows and their digest.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aimaas.errors import LakeError, TrainingRefusedError
from aimaas.fleet import FleetSpec
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan, plan_of
from aimaas.labels.censoring import Censoring
from aimaas.lake import table_path, table_version, version_at
from aimaas.lake.audits import held_back, published_gold
from aimaas.settings import Settings
from aimaas.stored_files import exists, uri_of
from aimaas.training.last_refusal import Refused, attempt_of, note_refused
from aimaas.training.rows import ROWS
from aimaas.training.training_set import DESCRIPTION, TrainingSetInfo, read_info, write_description
from spark_jobs.admission.evolution import widened
from spark_jobs.as_of import gold_as_of, outcomes_as_of
from spark_jobs.corrected_view.frames import sent
from spark_jobs.job import Job, Report, parser, run
from spark_jobs.schemas import ENDS, LIFE
from spark_jobs.sources import sources_of
from spark_jobs.training_sets.censoring_drivers import with_readings
from spark_jobs.training_sets.fitting import fit_of
from spark_jobs.training_sets.kernel_pass import labelled_pass
from spark_jobs.training_sets.labels import censoring_info, censoring_of, columns_of, lives_of, run_ends, with_lives

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def feature_rows(fleet: FleetSpec, plan: FeaturePlan, fit: Fit, gold: DataFrame, ends: DataFrame) -> DataFrame:
    """Labelled rows with their weights and features (`columns_of`). The kernel processes all rows of a device, in order.

    `ends` says how lives ended, as `run_ends` returns it.
    """
    lives = lives_of(gold, ends)
    return weighted_rows(fleet, plan, fit, with_lives(gold, ends, lives), censoring_of(fleet, lives))


def weighted_rows(fleet: FleetSpec, plan: FeaturePlan, fit: Fit, rows: DataFrame, censoring: Censoring) -> DataFrame:
    """The same from rows of gold that have their lives already."""
    return (
        rows.select(*LIFE, "order", "broker_ts", "split", *ENDS, *plan.readings)
        .repartition("device_id")
        .sortWithinPartitions("device_id", "run", "order")
        .mapInArrow(labelled_pass(fleet, plan, fit, censoring), columns_of(fleet))
    )


def failures_by_split(rows: DataFrame, ends: DataFrame) -> dict[str, int]:
    """Failures of the runs that have labelled rows, by split."""
    from pyspark.sql import functions as f

    failures = f.size(f.filter("life_ends", lambda end: end["failed"]))
    runs = rows.select("split", "device_id", "run").distinct().join(ends, ["device_id", "run"])
    return {row["split"]: row["n"] for row in runs.groupBy("split").agg(f.sum(failures).alias("n")).collect()}


def period_of(gold: DataFrame) -> tuple[datetime, datetime] | None:
    """Times (UTC) of the first and last event by the devices' clocks; None if gold has no rows or no such column."""
    from pyspark.sql import functions as f

    if "ts" not in gold.columns:
        return None
    seconds = f.unix_micros("ts")
    row = gold.agg(f.min(seconds), f.max(seconds)).first()
    if row is None or row[0] is None:
        return None
    return datetime.fromtimestamp(row[0] / 1e6, UTC), datetime.fromtimestamp(row[1] / 1e6, UTC)


def gold_version(settings: Settings, fleet: FleetSpec, as_of: str | None = None) -> int:
    """The published version of gold that `as_of` names: a number, or the newest version at an ISO 8601 time; None: the newest.

    Raises LakeError if there is no such version, or if it has not passed its gate.
    """
    newest = table_version(settings, fleet.fleet, "gold")
    where = table_path(settings, fleet.fleet, "gold")
    if newest is None:
        raise LakeError(f"{where}: no such table; run the gold job first")
    version = newest if as_of is None else _version_of(settings, fleet, as_of, newest)
    published = published_gold(settings, fleet, version)
    if published is None or (published != version and as_of is not None and as_of.isdecimal()):
        others = (
            "no earlier version has" if published is None else f"the newest earlier version that has is {published}"
        )
        raise LakeError(
            f"{where}: version {version} has not passed its gate, {others}; run the task check_gold of the DAG "
            f"{fleet.fleet}_prepare, or `aimaas gate check --fleet {fleet.fleet} --table gold`; `aimaas gate show` says what failed"
        )
    return published


def _version_of(settings: Settings, fleet: FleetSpec, as_of: str, newest: int) -> int:
    """The version of gold, published or not."""
    if as_of.isdecimal():
        if int(as_of) > newest:
            where = table_path(settings, fleet.fleet, "gold")
            raise LakeError(f"{where}: there is no version {as_of}; the newest is {newest}")
        return int(as_of)
    try:
        at = datetime.fromisoformat(as_of)
    except ValueError:
        raise LakeError(
            f"as of {as_of!r}: this is neither a version of gold nor a time such as 2026-11-23T10:00:00Z; "
            f"the newest version is {newest}"
        ) from None
    return version_at(settings, fleet.fleet, "gold", at if at.tzinfo else at.replace(tzinfo=UTC))


def frozen(folder: str, fleet: FleetSpec, plan: FeaturePlan, version: int | None) -> TrainingSetInfo | None:
    """The finished training set in `folder`, if it has this gold (None: any) and plan. Raises LakeError if it has others.

    A retried task gives None: it must find the set that its first try finished, even if gold has grown since.
    """
    if not exists(f"{folder}/{DESCRIPTION}"):
        return None
    info = read_info(folder)
    wanted = info.gold_version if version is None else version
    if (info.fleet, info.fleet_version, info.plan.hash, info.gold_version) != (
        fleet.fleet, fleet.version, plan.hash, wanted
    ):  # fmt: skip
        raise LakeError(
            f"{folder}: holds a training set of fleet {info.fleet} version {info.fleet_version}, gold version {info.gold_version}, "
            f"plan {info.plan.hash}, but you asked for {fleet.fleet} version {fleet.version}, {wanted}, {plan.hash}; "
            "training sets are never overwritten: give another --out"
        )
    return info


def freeze(job: Job, folder: str, plan: FeaturePlan, version: int) -> TrainingSetInfo:
    """Write the training set. A folder without description, which a killed run left, is written again."""
    fleet, rows = job.fleet, uri_of(f"{folder}/{ROWS}")
    outcomes = sources_of(job.settings, fleet, version).outcomes
    gold, ends = widened(gold_as_of(job, version), fleet), run_ends(outcomes_as_of(job, outcomes))
    job.tell(f"gold version {version}: computing the fit of regimes, means and scales")
    fit = fit_of(fleet, plan, gold.where("split = 'train'"))
    job.tell("computing features")
    ends, _ = sent(ends)
    found_lives = lives_of(gold, ends).persist()
    lives, _ = sent(found_lives)
    with_their_lives = with_lives(gold, ends, lives)
    censoring = with_readings(fleet, plan, fit, with_their_lives, lives, censoring_of(fleet, lives))
    weighted_rows(fleet, plan, fit, with_their_lives, censoring).write.mode("overwrite").parquet(rows)
    job.tell("rows written; computing counts and digest")
    written = job.spark.read.parquet(rows).where("NOT isnan(label)")
    failures = failures_by_split(written, ends)
    info = censoring_info(fleet, with_their_lives, censoring, written.count())
    found_lives.unpersist()
    of, seen = (fleet.fleet, fleet.version), period_of(gold)
    return write_description(folder, of, plan, fit, version, failures, info, seen)


def features(job: Job) -> Report:
    """Freeze the training set, or find it frozen already. With `--outcomes` the job remembers a refusal."""
    folder, plan = str(job.arguments.out), plan_of(job.fleet)
    as_of = getattr(job.arguments, "as_of", None)
    version = gold_version(job.settings, job.fleet, as_of)
    info = frozen(folder, job.fleet, plan, None if as_of is None else version)
    try:
        info = info or freeze(job, folder, plan, version)
    except TrainingRefusedError as e:
        _remember(job, version, str(e))
        raise
    rows = {name: counts.rows for name, counts in info.splits.items()}
    for line in held_back(job.settings, job.fleet):
        job.tell(f"gold version {info.gold_version} was the published version before {line}")
    return {
        "out": folder,
        "gold": info.gold_version,
        "rows": rows,
        "digest": info.digest,
    }


def _remember(job: Job, version: int, why: str) -> None:
    outcomes = getattr(job.arguments, "outcomes", None)
    if outcomes is not None:
        attempt = attempt_of(job.fleet, version, outcomes)
        note_refused(job.settings, job.fleet.fleet, Refused(attempt, why, datetime.now(UTC)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    arguments = parser("features", __doc__)
    arguments.add_argument(
        "--out", required=True, help="folder to write, a path or a URI, on storage that all workers share"
    )
    arguments.add_argument(
        "--as-of",
        help="version of gold, or a time (ISO 8601); the default is the newest version, or the version of the set in `--out`",
    )
    arguments.add_argument(
        "--outcomes",
        type=int,
        help="for scheduled trainings: the number of known outcomes, so that a refusal is not repeated",
    )
    return run("features", arguments.parse_args(argv), features)


if __name__ == "__main__":
    sys.exit(main())
