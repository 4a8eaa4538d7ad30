"""`aimaas up`, `status`, `down`, `doctor` and `demo`: the stack on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from aimaas.cli.options import fleet_of, out, warn
from aimaas.settings import read_settings

local_app = typer.Typer()


@local_app.command()
def up(
    fleet: Annotated[list[str] | None, typer.Option("--fleet", "-f", help="fleets to score; all if left out")] = None,
    kafka_port: Annotated[int, typer.Option(help="port of the broker")] = 9092,
    airflow_port: Annotated[int, typer.Option(help="port of the Airflow UI")] = 8080,
    mlflow_port: Annotated[int, typer.Option(help="port of the MLflow UI")] = 5000,
    data_docs_port: Annotated[int, typer.Option(help="port of the pages of Data Docs")] = 8090,
) -> None:
    """Start the local stack: Kafka, Airflow, MLflow, Data Docs and a scorer per fleet; it runs until `aimaas down`."""
    from aimaas.fleet_folder import read_folder
    from local.stack import Ports, bring_up

    settings = read_settings()
    if fleet:
        specs = [fleet_of(settings, name) for name in fleet]
    else:
        folder = read_folder(settings.fleets)
        warn(folder.warning)
        specs = list(folder.fleets.values())
    with out.status("starting Kafka, Airflow and MLflow"):
        bring_up(settings, specs, Ports(kafka_port, airflow_port, mlflow_port, data_docs_port))
    status()


@local_app.command()
def status() -> None:
    """Say which parts of the local stack run, and where."""
    from local.stack import stack_parts

    settings = read_settings()
    parts = stack_parts(settings)
    if not parts:
        out.print(f"no stack runs in {settings.home}; start one with `aimaas up`", highlight=False)
        raise typer.Exit(1)
    table = Table("part", "state", "where", "log", box=None)
    for p in parts:
        table.add_row(p.name, "[green]up[/green]" if p.alive else "[red]unwell[/red]", p.where, str(p.log))
    out.print(table)
    out.print(f"Data Docs: {settings.data_docs}", highlight=False)


@local_app.command()
def down() -> None:
    """Stop the local stack; what it wrote stays in AIMAAS_HOME."""
    from local.stack import stop_stack

    stopped = stop_stack(read_settings())
    out.print(f"stopped: {', '.join(stopped) or 'nothing was running'}", highlight=False)


@local_app.command()
def doctor() -> None:
    """Check this machine: Python, Java, memory, disk, jars, ports, broker."""
    from local.doctor import examine

    checks = examine(read_settings())
    for check in checks:
        out.print(f"{'[green]ok[/green]     ' if check.ok else '[red]missing[/red]'} {check}", highlight=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@local_app.command()
def demo(
    fleet: Annotated[
        str, typer.Option("--fleet", "-f", help="turbofan or mill, or a fleet file of your own")
    ] = "turbofan",
    cmapss: Annotated[Path | None, typer.Option(help="a C-MAPSS directory: run on NASA's data instead")] = None,
    subset: Annotated[str, typer.Option(help="C-MAPSS: FD001 to FD004")] = "FD001",
    json_path: Annotated[Path | None, typer.Option("--json", help="write the figures here too")] = None,
) -> None:
    """Run the whole path on real engines in a few minutes, and reckon up what came out against what went in."""
    from local.demo.run import run_demo

    settings = read_settings()
    report = run_demo(settings, fleet_of(settings, fleet), cmapss=cmapss, subset=subset, console=out)
    if json_path:
        json_path.write_text(json.dumps(report.figures, indent=2) + "\n")
    if report.problems:
        for line in report.problems:
            out.print(f"[red]problem:[/red] {line}", highlight=False)
        raise typer.Exit(1)
