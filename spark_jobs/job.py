"""The frame of every job: arguments, settings, the session, the report line, and the error line."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aimaas.errors import AimaasError
from aimaas.fleet import FleetSpec, find_fleet
from aimaas.lake import check_tables
from aimaas.settings import Settings, read_settings
from spark_jobs.admission.rule_claims import KafkaJournal, RuleJournal
from spark_jobs.failures import explained
from spark_jobs.session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Report = dict[str, Any]


@dataclass
class Job:
    """A job on one fleet. Its Spark session starts at the first use."""

    name: str
    settings: Settings
    fleet: FleetSpec
    arguments: argparse.Namespace
    start: Callable[[Settings, str], SparkSession] = spark_session
    journal: RuleJournal | None = None  # None: the fleet's journal; tests pass another

    def tell(self, line: str) -> None:
        """Write a progress line to the job's log, which is standard error."""
        sys.stderr.write(f"{self.name}: {line}\n")

    @cached_property
    def rule_journal(self) -> RuleJournal:
        """The journal in which scorers and the lake agree on rules."""
        return self.journal or KafkaJournal(self.settings, self.fleet)

    @cached_property
    def spark(self) -> SparkSession:
        """The session. A job without work never starts one."""
        return self.start(self.settings, f"aimaas {self.name} {self.fleet.fleet}")


def parser(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The arguments of every job; `doc` is the docstring of its module."""
    arguments = argparse.ArgumentParser(prog=f"spark_jobs.{name}", description=(doc or "").partition("\n")[0])
    arguments.add_argument("--fleet", required=True, help="name of the fleet file")
    return arguments


def done(job: Job, work: Callable[[Job], Report]) -> Report:
    """Do the work; returns its report. Errors of Spark and of the disk that a user can fix are raised as LakeError."""
    try:
        check_tables(job.settings, job.fleet.fleet)
        return work(job)
    except AimaasError:
        raise
    except Exception as e:
        known = explained(e, _written_to(job), job.settings)
        if known is None:
            raise
        raise known from None


def run(name: str, arguments: argparse.Namespace, work: Callable[[Job], Report]) -> int:
    """Do the work and write its report to stdout as one line of JSON; return the exit code. A known error is one line on stderr."""
    began = time.monotonic()
    try:
        settings = read_settings()
        job = Job(name, settings, find_fleet(settings.fleets, arguments.fleet), arguments)
        report = {
            "job": name,
            "fleet": arguments.fleet,
            **done(job, work),
            "seconds": round(time.monotonic() - began, 1),
        }
    except AimaasError as e:
        sys.stderr.write(f"{name}: {e}\n")
        return e.exit_code
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


def _written_to(job: Job) -> list[str]:
    """The folders that the job writes to."""
    out = getattr(job.arguments, "out", None)
    return [job.settings.lake, str(job.settings.home / "spark"), *([] if out is None else [out])]
