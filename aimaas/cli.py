"""The command line: the composition root. Each command imports what it needs when it is called, so `--help` is quick."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from aimaas.cli_dlq import dlq_app
from aimaas.cli_options import Fleet, fleet_of, out
from aimaas.cli_topics import topics_app
from aimaas.errors import AimaasError
from aimaas.settings import read_settings

app = typer.Typer(
    name="aimaas",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="AI model as a service for fleets of devices: Kafka in, predictions out, Airflow and Spark in between.",
)
fleets_app = typer.Typer(no_args_is_help=True, help="Fleet files: check, list, derive.")
models_app = typer.Typer(no_args_is_help=True, help="Registered models: look, promote, roll back, announce.")
app.add_typer(fleets_app, name="fleets")
app.add_typer(topics_app, name="topics")
app.add_typer(models_app, name="models")
app.add_typer(dlq_app, name="dlq")


def main() -> None:
    """Run the command line; a mistake of the user is one line on standard error, never a stack trace."""
    try:
        app()
    except AimaasError as e:
        for line in str(e).splitlines():
            print(f"error: {line}", file=sys.stderr)  # noqa: T201
        sys.exit(e.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


@fleets_app.command("validate")
def fleets_validate(files: Annotated[list[Path], typer.Argument(help="fleet files")]) -> None:
    """Check fleet files: one line for each mistake, with file, key, what was found and what is allowed."""
    from aimaas.errors import FleetFileError
    from aimaas.fleet import load_fleet

    mistakes: list[str] = []
    for path in files:
        try:
            spec = load_fleet(path)
            out.print(
                f"{path}: ok: fleet {spec.fleet}, {len(spec.readings)} readings, {spec.task.kind}", highlight=False
            )
        except FleetFileError as e:
            mistakes += e.mistakes
    if mistakes:
        raise FleetFileError(mistakes)


@fleets_app.command("list")
def fleets_list() -> None:
    """List the fleets."""
    from aimaas.fleet import load_fleets

    table = Table("fleet", "version", "readings", "task", "description", box=None)
    for spec in load_fleets(read_settings().fleets).values():
        table.add_row(spec.fleet, str(spec.version), str(len(spec.readings)), spec.task.kind, spec.description)
    out.print(table)


@fleets_app.command("schema")
def fleets_schema(fleet: Fleet) -> None:
    """Print the JSON Schema of the fleet's events, for those who write producers."""
    from aimaas.events import event_schema

    out.print_json(json.dumps(event_schema(fleet_of(read_settings(), fleet))))


@app.command()
def devices(
    fleet: Fleet,
    devices: Annotated[int, typer.Option("--devices", "-n", min=1, help="how many devices")] = 100,
    rate: Annotated[
        float | None, typer.Option(help="events/s over all devices; as fast as possible if left out")
    ] = None,
    seed: Annotated[int, typer.Option(help="same seed, same events")] = 7,
    first: Annotated[int, typer.Option(help="number of the first device")] = 0,
) -> None:
    """Simulate devices that run to failure, and send their events and outcomes."""
    from stream.devices import run_devices

    settings = read_settings()
    sent = run_devices(settings, fleet_of(settings, fleet), devices, seed, rate, first)
    out.print(f"sent {sent.events} events and {sent.outcomes} outcomes of {devices} devices", highlight=False)


@app.command()
def replay(
    fleet: Fleet,
    source: Annotated[Path, typer.Argument(help="a CSV or Parquet file, or a C-MAPSS directory as published")],
    mapping: Annotated[Path | None, typer.Option(help="YAML file: which column is what (not for C-MAPSS)")] = None,
    subset: Annotated[str, typer.Option(help="C-MAPSS: FD001 to FD004")] = "FD001",
    part: Annotated[str, typer.Option(help="C-MAPSS: train or test")] = "train",
    rate: Annotated[float | None, typer.Option(help="events/s; as fast as possible if left out")] = None,
) -> None:
    """Send recorded data: any CSV or Parquet file with a column mapping, or a C-MAPSS directory."""
    from stream.replay import replay_cmapss, replay_file

    settings = read_settings()
    spec = fleet_of(settings, fleet)
    if mapping is None:
        sent = replay_cmapss(settings, spec, source, subset, part, rate=rate)
    else:
        sent = replay_file(settings, spec, source, mapping, rate=rate)
    out.print(f"sent {sent.events} events and {sent.outcomes} outcomes", highlight=False)


@app.command()
def score(
    fleet: Fleet,
    instance: Annotated[str, typer.Option(help="stable name of this scorer; two at once need two names")] = "0",
    commit_interval_ms: Annotated[
        int, typer.Option(min=1, max=5_000, help="a prediction is visible after at most about so long")
    ] = 100,
    at_least_once: Annotated[
        bool, typer.Option("--at-least-once", help="no transactions: a crash may send predictions twice, never none")
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="serve /metrics, /healthz, /readyz here; 0 takes a free port")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="address to serve them at; 0.0.0.0 for all")] = "127.0.0.1",
) -> None:
    """Score events as they come, with the newest champion, until asked to stop (Ctrl-C, SIGTERM)."""
    from aimaas.logs import set_up_logs
    from stream.options import ScorerOptions
    from stream.scorer import score as run

    settings = read_settings()
    set_up_logs(settings)
    options = ScorerOptions(
        delivery="at-least-once" if at_least_once else "exactly-once",
        commit_interval_ms=commit_interval_ms,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
    )
    run(settings, fleet_of(settings, fleet), instance, options)


@app.command()
def serve(
    fleet: Fleet,
    host: Annotated[str, typer.Option(help="address to listen on; 0.0.0.0 for all")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="port to listen on; 0 for any free one")] = 8000,
    body_kib: Annotated[int, typer.Option(min=1, help="largest body of a request, in KiB")] = 1_024,
    instances: Annotated[int, typer.Option(min=1, help="most instances in one request")] = 1_000,
    cache: Annotated[int, typer.Option(min=0, help="predictions that are remembered; 0 for none")] = 10_000,
) -> None:
    """Answer over HTTP with the newest champion, until asked to stop (Ctrl-C, SIGTERM)."""
    from aimaas.logs import set_up_logs
    from stream.service.options import ServiceOptions
    from stream.service.server import serve as run

    settings = read_settings()
    set_up_logs(settings)
    options = ServiceOptions(body_bytes=body_kib * 1_024, instances=instances, cache=cache)
    run(settings, fleet_of(settings, fleet), host, port, options)


@models_app.command("list")
def models_list(fleet: Fleet) -> None:
    """List the registered versions of a fleet's model, newest first."""
    from aimaas.registry import list_models

    settings = read_settings()
    table = Table("version", "alias", "candidate", "metric", "registered", "training set", box=None)
    for m in list_models(settings, fleet_of(settings, fleet)):
        table.add_row(m.version, ", ".join(m.aliases), m.candidate, m.metric, m.registered_at, m.training_set)
    out.print(table)


@models_app.command("show")
def models_show(fleet: Fleet, version: Annotated[str, typer.Argument(help="version number")]) -> None:
    """Show where a version comes from and how good it is."""
    from aimaas.registry import show_model

    settings = read_settings()
    out.print_json(json.dumps(show_model(settings, fleet_of(settings, fleet), version)))


@models_app.command("refused")
def models_refused(fleet: Fleet) -> None:
    """List the versions that scorers refused to serve, with their reasons, oldest first."""
    from aimaas.model_topic import refusals

    settings = read_settings()
    found = refusals(settings, fleet_of(settings, fleet))
    table = Table("version", "sequence", "scorer", "at", "reason", box=None)
    for r in found:
        table.add_row(r.version, str(r.sequence), r.instance, r.at.strftime("%Y-%m-%dT%H:%M:%SZ"), r.reason)
    out.print(table if found else "no scorer refused a version", highlight=False)


@models_app.command("promote")
def models_promote(fleet: Fleet, version: Annotated[str, typer.Argument(help="version number")]) -> None:
    """Make a version the champion, whatever the gates say, and announce it."""
    from aimaas.registry import set_champion
    from models.announce import announce

    settings = read_settings()
    spec = fleet_of(settings, fleet)
    set_champion(settings, spec, version)
    announce(settings, spec)
    out.print(f"version {version} is the champion of {fleet}", highlight=False)


@models_app.command("rollback")
def models_rollback(fleet: Fleet) -> None:
    """Make the champion before the present one serve again, and announce it."""
    from aimaas.registry import rollback
    from models.announce import announce

    settings = read_settings()
    spec = fleet_of(settings, fleet)
    version = rollback(settings, spec)
    announce(settings, spec)
    out.print(f"version {version} is the champion of {fleet} again", highlight=False)


@models_app.command("announce")
def models_announce(
    fleet: Fleet, watch: Annotated[bool, typer.Option(help="go on until asked to stop")] = False
) -> None:
    """Bring the models topic in line with the registry's alias."""
    from models.announce import announce, announce_forever

    settings = read_settings()
    spec = fleet_of(settings, fleet)
    if watch:
        announce_forever(settings, spec)
        return
    found = announce(settings, spec)
    out.print(f"champion: version {found.version}" if found else "no champion to announce", highlight=False)


@app.command()
def up(
    fleet: Annotated[list[str] | None, typer.Option("--fleet", "-f", help="fleets to score; all if left out")] = None,
    kafka_port: Annotated[int, typer.Option(help="port of the broker")] = 9092,
    airflow_port: Annotated[int, typer.Option(help="port of the Airflow UI")] = 8080,
    mlflow_port: Annotated[int, typer.Option(help="port of the MLflow UI")] = 5000,
) -> None:
    """Start the local stack: Kafka, Airflow, MLflow and a scorer per fleet; it runs until `aimaas down`."""
    from aimaas.fleet import load_fleets
    from local.stack import Ports, bring_up

    settings = read_settings()
    specs = [fleet_of(settings, name) for name in fleet] if fleet else list(load_fleets(settings.fleets).values())
    with out.status("starting Kafka, Airflow and MLflow"):
        bring_up(settings, specs, Ports(kafka_port, airflow_port, mlflow_port))
    status()


@app.command()
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


@app.command()
def down() -> None:
    """Stop the local stack; what it wrote stays in AIMAAS_HOME."""
    from local.stack import stop_stack

    stopped = stop_stack(read_settings())
    out.print(f"stopped: {', '.join(stopped) or 'nothing was running'}", highlight=False)


@app.command()
def doctor() -> None:
    """Check this machine: Python, Java, memory, disk, jars, ports, broker."""
    from local.doctor import examine

    checks = examine(read_settings())
    for check in checks:
        out.print(f"{'[green]ok[/green]     ' if check.ok else '[red]missing[/red]'} {check}", highlight=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@app.command()
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


if __name__ == "__main__":
    main()
