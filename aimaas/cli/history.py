"""`aimaas rescore`: jobs over the lake that people start, not DAGs."""

from __future__ import annotations

from argparse import Namespace
from datetime import date, datetime
from typing import Annotated

import typer

from aimaas.cli.options import Fleet, fleet_of, out
from aimaas.settings import read_settings

history_app = typer.Typer()


@history_app.command()
def rescore(
    fleet: Fleet,
    version: Annotated[str, typer.Option(help="registered model version")],
    first: Annotated[
        datetime | None,
        typer.Option(
            "--from", formats=["%Y-%m-%d"], help="first day in UTC, by the broker's time; the lake's if left out"
        ),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help="last day, itself included; the newest if left out"),
    ] = None,
) -> None:
    """Predict history with any registered version, into the table `rescored`: to the bit what the stream says with that version."""
    from spark_jobs.job import Job
    from spark_jobs.rescore import rescore as run_rescore

    settings = read_settings()
    days = {"first": _day(first), "last": _day(last)}
    done = run_rescore(Job("rescore", settings, fleet_of(settings, fleet), Namespace(version=version, **days)))
    out.print(
        f"{done['rows']:,} predictions of version {version} in {done['table']}, of silver {done['silver']}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _day(given: datetime | None) -> date | None:
    return None if given is None else given.date()
