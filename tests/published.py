"""Gates that pass everything, for tests that are about something else: no Great Expectations runs."""

from __future__ import annotations

from datetime import UTC, datetime

from aimaas.lake.audits import Gated
from expectations.resolve import Resolution, publish_unjudged
from spark_jobs import admit as admit_job
from spark_jobs import gold as gold_job
from spark_jobs.job import Job, Report


def publish(job: Job, table: Gated) -> None:
    """Pass what no gate has judged of a table."""
    publish_unjudged(
        job.settings, job.fleet, table, Resolution("a test", "it is about something else", datetime.now(UTC))
    )


def admit(job: Job) -> Report:
    """The admit job with its gate."""
    report = admit_job.admit(job)
    publish(job, "silver")
    return report


def gold(job: Job) -> Report:
    """The gold job between its gates."""
    publish(job, "silver")
    report = gold_job.gold(job)
    publish(job, "gold")
    return report
