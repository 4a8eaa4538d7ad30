"""`aimaas export`: predictions into SQL."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Fleet, opened, say

export_app = typer.Typer()


@export_app.command()
def export(
    fleet: Fleet,
    to: Annotated[
        str | None, typer.Option(metavar="URL", help="SQLAlchemy URL of the database. Default: AIMAAS_EXPORT_URL.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Continue until Ctrl-C or SIGTERM.")] = False,
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="Continue although retention deleted predictions that were not exported."),
    ] = False,
) -> None:
    """Write the predictions of a fleet into a table of SQLite or Postgres, each once.

    \b
      aimaas export --fleet pump --to sqlite:///predictions.db
      aimaas export --fleet pump --to postgresql://user@host/plant --follow

    The next run continues from the last exported prediction. Put a password into AIMAAS_EXPORT_URL or ~/.pgpass.
    """
    from stream.export.run import export as run
    from stream.scorer.run import stop_on_signals

    settings, spec = opened(fleet, logs=True)
    url = to or settings.export_url
    if not url:
        raise typer.BadParameter("set the database with --to or AIMAAS_EXPORT_URL")
    done = run(settings, spec, url, follow, accept_loss, stop_on_signals())
    strange = f", and skipped {done.strange} records that are not predictions" if done.strange else ""
    say(f"exported {done.predictions} predictions{strange}")
