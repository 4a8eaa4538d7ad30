"""`aimaas devices`, `replay`, `score` and `serve`: events in, predictions out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Fleet, opened, say

stream_app = typer.Typer()


@stream_app.command()
def devices(
    fleet: Fleet,
    devices: Annotated[int, typer.Option("--devices", "-n", min=1, help="Number of devices.")] = 100,
    rate: Annotated[
        float | None, typer.Option(help="Events per second, over all devices. Default: as fast as possible.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed. The same seed gives the same events.")] = 7,
    first: Annotated[int, typer.Option(help="Number of the first device.")] = 0,
) -> None:
    """Simulate devices that run until they fail. Sends their events and outcomes."""
    from stream.devices.run import run_devices

    sent = run_devices(*opened(fleet), devices, seed, rate, first)
    say(f"sent {sent.events} events and {sent.outcomes} outcomes of {devices} devices")


@stream_app.command()
def replay(
    fleet: Fleet,
    source: Annotated[
        Path,
        typer.Argument(
            help="CSV or Parquet file, a folder of such files, or a C-MAPSS directory as published.", metavar="FILE"
        ),
    ],
    mapping: Annotated[
        Path | None, typer.Option("--mapping", "-m", help="Mapping file. Required, except for C-MAPSS.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Send nothing. Print which rows and events would be refused, and why. Exits with 1 if there are any.",
        ),
    ] = False,
    subset: Annotated[str, typer.Option(help="Subset of C-MAPSS: FD001 to FD004.")] = "FD001",
    part: Annotated[str, typer.Option(help="Part of C-MAPSS: train or test.")] = "train",
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Events per second. Default: as fast as possible.")
    ] = None,
    backfill: Annotated[
        bool,
        typer.Option(
            "--backfill", help="Write data that is older than the sent events into the lake, not to the events topic."
        ),
    ] = False,
) -> None:
    """Send a recorded table as events and outcomes: a CSV or Parquet file with a mapping file, or a C-MAPSS directory.

    The command reads the whole table before it sends the first event. Try --check first. A mapping file names the
    columns (docs/reference/mapping.md has all keys):

    \b
      fleet: pump
      delimiter: ";"
      decimal: ","
      device: id              # ids stay as written
      ts: {column: time, format: "%d.%m.%Y %H:%M", zone: UTC}
      readings:
        pressure: p           # a column
        vibration: {column: v, scale: 25.4, unit: in/s}
      outcome: {column: state, failed: [broken]}
    """
    import pyarrow as pa

    from cli.progress import Stages
    from cli.stream.replayed import print_backfilled, print_report
    from stream.replay.backfill import backfill_file
    from stream.replay.replay import check_file, replay_cmapss, replay_file

    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own pool keeps 10 MB more of the memory it has freed
    settings, spec = opened(fleet)
    if check and mapping is None:
        raise typer.BadParameter("needs --mapping FILE", param_hint="--check")
    if backfill and (mapping is None or check or rate):
        raise typer.BadParameter("needs --mapping FILE, and excludes --check and --rate", param_hint="--backfill")
    with Stages() as stages:
        if check and mapping is not None:
            report = check_file(spec, source, mapping, stages)
        elif backfill and mapping is not None:
            past = backfill_file(settings, spec, source, mapping, stages)
        elif mapping is None:
            sent = replay_cmapss(settings, spec, source, subset, part, rate=rate, progress=stages)
        else:
            sent = replay_file(settings, spec, source, mapping, rate=rate, progress=stages)
    if check:
        print_report(source, report)
        raise typer.Exit(0 if report.is_clean else 1)
    if backfill:
        print_backfilled(spec, past)
        return
    say(f"sent {sent.events} events and {sent.outcomes} outcomes")
    if sent.outcomes:
        say(
            f"if Airflow runs, the outcomes start the DAGs {fleet}_ingest, {fleet}_prepare and {fleet}_train; "
            f"`aimaas models list --fleet {fleet}` lists the trained versions"
        )


@stream_app.command()
def score(
    fleet: Fleet,
    instance: Annotated[
        str,
        typer.Option(
            help="Name of this scorer. It must stay the same over restarts, and differ from the names of other scorers."
        ),
    ] = "0",
    commit_interval_ms: Annotated[
        int, typer.Option(min=1, max=5_000, help="Time between two commits. Predictions become visible with a commit.")
    ] = 100,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Port of /metrics, /healthz and /readyz. 0: any free port. Default: not served."
        ),
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Address for that port. 0.0.0.0: all addresses.")] = "127.0.0.1",
) -> None:
    """Score events with the champion until Ctrl-C or SIGTERM."""
    from stream.scorer.options import ScorerOptions
    from stream.scorer.run import score as run

    settings, spec = opened(fleet, logs=True)
    run(
        settings,
        spec,
        instance,
        ScorerOptions(commit_interval_ms=commit_interval_ms, metrics_host=metrics_host, metrics_port=metrics_port),
    )


@stream_app.command()
def serve(  # noqa: PLR0913, PLR0917 - a command has as many arguments as options
    fleet: Fleet,
    host: Annotated[str, typer.Option(help="Address to listen on. 0.0.0.0: all addresses.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on. 0: any free port.")] = 8000,
    body_kib: Annotated[int, typer.Option(min=1, help="Largest request body, in KiB.")] = 1_024,
    instances: Annotated[int, typer.Option(min=1, help="Maximum number of instances in one request.")] = 1_000,
    cache: Annotated[int, typer.Option(min=0, help="Number of cached predictions. 0: no cache.")] = 10_000,
    connections: Annotated[int, typer.Option(min=1, max=50_000, help="Maximum number of open connections.")] = 800,
    rate: Annotated[float, typer.Option(min=0, help="Requests per second of each API key. 0: no limit.")] = 0,
    burst: Annotated[int, typer.Option(min=1, help="Requests that a key may send at once, beyond its rate.")] = 100,
    health_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65_535, help="Second port for /healthz, /readyz and /metrics. 0: any free port. Default: none."
        ),
    ] = None,
    health_host: Annotated[str, typer.Option(help="Address for that port. 0.0.0.0: all addresses.")] = "127.0.0.1",
    tls_cert: Annotated[
        Path | None, typer.Option(help="Certificate in PEM. Serves HTTPS, together with --tls-key.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Private key of the certificate, in PEM.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="CA certificate in PEM. Callers then need a client certificate of this CA.")
    ] = None,
) -> None:
    """Serve predictions of the champion over HTTP until Ctrl-C or SIGTERM."""
    from stream.service.options import ServiceOptions, tls_of
    from stream.service.server import serve as run

    settings, spec = opened(fleet, logs=True)
    options = ServiceOptions(
        body_bytes=body_kib * 1_024, instances=instances, cache=cache, connections=connections, rate=rate, burst=burst,
        health_host=health_host, health_port=health_port, tls=tls_of(tls_cert, tls_key, tls_client_ca),
    )  # fmt: skip
    run(settings, spec, host, port, options)
