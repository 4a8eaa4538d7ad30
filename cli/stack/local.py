"""`aimaas up`, `status`, `down`, `doctor` and `demo`: the stack on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from aimaas.settings import read_settings
from cli.options import fleet_of, opened, out, say, warn
from cli.stack.parts import print_stack

local_app = typer.Typer()

ShowSecrets = Annotated[bool, typer.Option("--show-secrets", help="Show the password of Airflow too.")]
KafkaPort = Annotated[
    int | None,
    typer.Option(help="Port of the Kafka broker. Default: the last port, at first 9092.", show_default=False),
]
AirflowPort = Annotated[
    int | None, typer.Option(help="Port of the Airflow UI. Default: the last port, at first 8080.", show_default=False)
]
MlflowPort = Annotated[
    int | None, typer.Option(help="Port of the MLflow UI. Default: the last port, at first 5000.", show_default=False)
]
DocsPort = Annotated[
    int | None,
    typer.Option(help="Port of the Data Docs pages. Default: the last port, at first 8090.", show_default=False),
]


@local_app.command()
def up(
    fleet: Annotated[
        list[str] | None,
        typer.Option("--fleet", "-f", help="Fleet to score. Repeat the option for several. Default: all fleets."),
    ] = None,
    kafka_port: KafkaPort = None,
    airflow_port: AirflowPort = None,
    mlflow_port: MlflowPort = None,
    data_docs_port: DocsPort = None,
    show_secrets: ShowSecrets = False,
) -> None:
    """Start or repair the local stack: Kafka, Airflow, MLflow, Data Docs and a scorer per fleet.

    The stack runs until `aimaas down`, even after you close the shell. It
    restarts a part that ends. On a running stack the command starts missing
    parts, moves parts to the ports that you give, adds topics, scorers and
    DAGs of new fleet files, and restarts scorers whose fleet file changed.
    """
    from aimaas.fleet.folder import read_folder
    from local.stack_ports import Ports
    from local.up import bring_up

    settings = read_settings()
    if fleet:
        specs = [fleet_of(settings, name) for name in fleet]
    else:
        folder = read_folder(settings.fleets)
        warn(folder.warning)
        specs = list(folder.fleets.values())
    with out.status("starting Kafka, Airflow and MLflow"):
        bring_up(settings, specs, Ports(kafka_port, airflow_port, mlflow_port, data_docs_port))
    print_stack(read_settings(), show_secrets=show_secrets)


@local_app.command()
def status(show_secrets: ShowSecrets = False) -> None:
    """Show the state, the restarts and the address of each part of the local stack.

    Exits with 1 unless all parts are up.
    """
    if not print_stack(read_settings(), show_secrets=show_secrets):
        raise typer.Exit(1)


@local_app.command()
def down(
    fleet: Annotated[
        list[str] | None,
        typer.Option(
            "--fleet", "-f", help="Fleet whose scorer stops. Repeat the option for several. Default: the whole stack."
        ),
    ] = None,
) -> None:
    """Stop the local stack, or the scorers of some fleets. The data stays in AIMAAS_HOME.

    With `--fleet` Kafka, Airflow, MLflow and the other scorers run on. `aimaas up`
    starts the stopped scorers again.
    """
    from local.stack import stop_stack
    from local.up import stop_scorers

    settings = read_settings()
    stopped = stop_scorers(settings, fleet) if fleet else stop_stack(settings)
    say(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@local_app.command()
def doctor() -> None:
    """Check this machine: Python, Java, memory, disk, jars, ports, broker. Exits with 1 if something is missing."""
    from local.install.doctor import examine

    checks = examine(read_settings())
    for check in checks:
        out.print(f"{'[green]ok[/green]     ' if check.ok else '[red]missing[/red]'} {check}", highlight=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@local_app.command()
def demo(
    fleet: Annotated[
        str, typer.Option("--fleet", "-f", help="Name of the fleet: turbofan, mill or your own.")
    ] = "turbofan",
    cmapss: Annotated[Path | None, typer.Option(help="C-MAPSS directory. Runs the demo on the data of NASA.")] = None,
    subset: Annotated[str, typer.Option(help="Subset of C-MAPSS: FD001 to FD004.")] = "FD001",
    json_path: Annotated[Path | None, typer.Option("--json", help="File for the figures, as JSON.")] = None,
) -> None:
    """Run the whole pipeline on real engines in a few minutes, and compare its outputs with its inputs."""
    from local.demo.run import run_demo

    report = run_demo(*opened(fleet), cmapss=cmapss, subset=subset, console=out)
    if json_path:
        json_path.write_text(json.dumps(report.figures, indent=2) + "\n")
    if report.problems:
        for line in report.problems:
            out.print(f"[red]problem:[/red] {line}", highlight=False)
        raise typer.Exit(1)
