"""The command line: the composition root. Each command imports what it needs when it is called, so `--help` is quick."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import typer

from aimaas.errors import AimaasError
from cli.fleets.fleets import fleets_app
from cli.lake.gate import gate_app
from cli.lake.upkeep import upkeep_app
from cli.models.history import history_app
from cli.models.models import models_app
from cli.models.search import search_app
from cli.records.alerts import alerts_app
from cli.records.dlq import dlq_app
from cli.records.export import export_app
from cli.records.quarantine import quarantine_app
from cli.records.reconcile import reconcile_app
from cli.stack.backup import backup_app
from cli.stack.local import local_app
from cli.stream.stream import stream_app
from cli.stream.topics import topics_app

app = typer.Typer(
    name="aimaas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="AI model as a service for fleets of devices: Kafka in, predictions out, Airflow and Spark in between.",
)
app.add_typer(local_app)
app.add_typer(backup_app)
app.add_typer(stream_app)
app.add_typer(history_app)
app.add_typer(export_app)
app.add_typer(fleets_app, name="fleets")
app.add_typer(topics_app, name="topics")
app.add_typer(models_app, name="models")
app.add_typer(dlq_app, name="dlq")
app.add_typer(alerts_app, name="alerts")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(gate_app, name="gate")
app.add_typer(reconcile_app)
app.add_typer(search_app)
app.add_typer(upkeep_app)


def main() -> None:
    """Run the command line. An AimaasError is printed on standard error without a stack trace, one line for each mistake.

    SIGTERM ends a command as Ctrl-C does, so the command deletes its temporary files. The scorer and the service finish their work
    first.
    """
    signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except AimaasError as e:
        for line in str(e).splitlines():
            print(f"error: {line}", file=sys.stderr)  # noqa: T201
        sys.exit(e.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
