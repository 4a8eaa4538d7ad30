"""The demo's figures, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from local.demo.account import Account, Errors


@dataclass(frozen=True)
class Report:
    """`figures` is the content of `--json`; `problems` has a line for each failed check."""

    figures: dict[str, Any]
    problems: list[str]


@dataclass(frozen=True)
class Places:
    """Where to look further."""

    airflow: str
    mlflow: str
    data_docs: Path
    logs: Path


def make_report(  # the parts of one report
    account: Account,
    errors: Errors,
    parity: float,
    latency_ms: Mapping[str, float | None],
    stages: Mapping[str, float],
    seconds: float,
    versions: list[str],
    problems: list[str],
) -> Report:
    """Build the report. The given `problems` are added to those of the account."""
    figures: dict[str, Any] = {
        **asdict(account),
        "rmse": round(errors.rmse, 4),
        "baseline_rmse": round(errors.baseline_rmse, 4),
        "phm_score": None if errors.phm_score is None else round(errors.phm_score, 1),
        "parity_max_rel": parity,
        "latency_ms": dict(latency_ms),
        "stages": dict(stages),
        "seconds": round(seconds, 1),
        "model_versions": versions,
    }
    return Report(figures, [*account.problems, *problems])


def print_report(console: Console, report: Report, unit: str, places: Places) -> None:
    """Print the table at the end of the demo."""
    f = report.figures
    table = Table(box=None, show_header=False, padding=(0, 2), width=110)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("valid events in", f"{f['events_valid']:,}")
    table.add_row("predictions out", f"{f['predictions']:,}")
    table.add_row("missing / doubled / unexpected", f"{f['missing']} / {f['duplicates']} / {f['unexpected']}")
    table.add_row(
        "dead letters (expected)", f"{sum(f['dead_letters'].values())} ({sum(f['dead_letters_expected'].values())})"
    )
    reasons = sorted({*f["dead_letters"], *f["dead_letters_expected"]})
    shown = [f"{r} {f['dead_letters'].get(r, 0)} ({f['dead_letters_expected'].get(r, 0)})" for r in reasons]
    for i in range(0, len(shown), 4):
        table.add_row("", f"[dim]{', '.join(shown[i : i + 4])}[/dim]")
    table.add_row("RMSE (predicting the mean)", f"{f['rmse']:.4g} ({f['baseline_rmse']:.4g}) {unit}")
    if f["phm_score"] is not None:
        table.add_row("PHM08 score", f"{f['phm_score']:,.0f}")
    table.add_row("ONNX against scikit-learn", f"{f['parity_max_rel']:.1e} of the target's range")
    latency = f["latency_ms"]
    if latency["p50"] is not None:
        table.add_row("latency p50 / p99", f"{latency['p50']} / {latency['p99']} ms from event sent to prediction seen")
    table.add_row("model versions that served", ", ".join(f"version {v}" for v in f["model_versions"]))
    table.add_row("total seconds", f"{f['seconds']:.0f}")
    console.print()
    console.print(table, highlight=False)
    console.print()
    for name, where in (
        ("Airflow", places.airflow),
        ("MLflow", places.mlflow),
        ("Data Docs", places.data_docs),
        ("logs", places.logs),
    ):
        console.print(f"  [dim]{name:<10}[/dim] {where}", highlight=False, soft_wrap=True)
    console.print()
    console.print(
        "[bold green]all records accounted for[/bold green]"
        if not report.problems
        else "[bold red]some checks failed[/bold red]"
    )
