"""`aimaas train` and `rescore`: training and re-scoring by hand, outside of the DAGs."""

from __future__ import annotations

from argparse import Namespace
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Fleet, opened, say

history_app = typer.Typer()


@history_app.command()
def rescore(
    fleet: Fleet,
    version: Annotated[str, typer.Option(help="Registered model version.")],
    first: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            formats=["%Y-%m-%d"],
            help="First day in UTC, by the broker's time. Default: the first day of the lake.",
        ),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, included. Default: the newest day."),
    ] = None,
) -> None:
    """Compute the predictions of a version for past events, bit for bit as the stream would, into the table `rescored`."""
    from spark_jobs.job import Job, done
    from spark_jobs.rescore import rescore as run_rescore

    settings, spec = opened(fleet)
    days = {"first": _day(first), "last": _day(last)}
    job = Job("rescore", settings, spec, Namespace(version=version, **days))
    report = done(job, run_rescore)
    predictions, unanswered = report["rows"] - report["no_prediction"], report["no_prediction"]
    without = f", {unanswered:,} events without a prediction (null)" if unanswered else ""
    say(
        f"{predictions:,} predictions of version {version}{without} in {report['table']}, from silver {report['silver']}"
    )


@history_app.command()
def train(
    fleet: Fleet,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Version of gold, or a time such as 2026-11-23T10:00:00Z. Trains on the data known then. Default: all data."
        ),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the training set and the model. Default: a folder in the lake."),
    ] = None,
    register: Annotated[
        bool, typer.Option("--register", help="Register the model. The command does not promote it.")
    ] = False,
) -> None:
    """Freeze a training set and train on it. Prints the digest of its rows.

    The same rows give the same digest, so you can compare it with the digest of a registered version.
    """
    from aimaas.kernel.plan import plan_of
    from aimaas.registry.versions import register as to_registry
    from aimaas.registry.versions import trained_on
    from aimaas.training.folders import TRAINED, TRAINING_SET, training_folder
    from models.training.train import train as run_training
    from spark_jobs.features import features, gold_version
    from spark_jobs.job import Job, done

    settings, spec = opened(fleet)
    version = gold_version(settings, spec, as_of)
    folder = str(into or training_folder(settings, fleet, f"gold-{version}-{plan_of(spec).hash}-v{spec.version}"))
    frozen_in, trained = f"{folder}/{TRAINING_SET}", f"{folder}/{TRAINED}"
    arguments = Namespace(out=frozen_in, as_of=str(version))
    frozen = done(Job("features", settings, spec, arguments), features)
    same = ", ".join(trained_on(settings, spec, frozen["digest"]))
    say(f"training set of gold {version}: {sum(frozen['rows'].values()):,} rows, digest {frozen['digest']}")
    say(f"the same rows as for version {same}" if same else "no registered version was trained on these rows")
    report = run_training(settings, spec, frozen_in, trained)
    say(f"{report.chosen}: {report.error} {report.metrics[report.error]:.4g} on the test devices; in {trained}")
    if register:
        say(f"registered as version {to_registry(settings, spec, trained)}")


def _day(given: datetime | None) -> date | None:
    return None if given is None else given.date()
