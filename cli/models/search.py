"""`aimaas search`: better settings for the candidates of a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.options import Fleet, opened, out, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.search.standing import Family, Standing

search_app = typer.Typer()

_MINUTES = 10.0  # without --minutes and --trials


@search_app.command()
def search(
    fleet: Fleet,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Duration in minutes. No trial or fold begins later.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Number of trials, including those of an interrupted search.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Parallel processes. 0: one per core.")] = 0,
    candidate: Annotated[
        list[str] | None,
        typer.Option(help="Candidate to search. Repeat the option for several. Default: all candidates."),
    ] = None,
    training_set: Annotated[
        Path | None, typer.Option(help="Folder of a frozen training set. Default: the newest of the fleet.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write the best settings into the fleet file. Review and commit them.")
    ] = False,
) -> None:
    """Search better hyperparameters for the candidates, by cross-validation on the training devices.

    A trial that is worse than half of the others after a fold is pruned. The same command continues an interrupted search.
    Without --minutes and --trials the search takes 10 minutes.
    """
    from aimaas.training.training_set import newest_training_set
    from models.search.fleet_file import shown, write_settings
    from models.search.run import Budget, search

    settings, spec = opened(fleet)
    folder = training_set or newest_training_set(settings, fleet)
    budget = Budget(trials, _MINUTES if minutes is None and trials is None else minutes, workers)
    with _watched(budget.trials, budget.minutes) as watch:
        found = search(settings, spec, folder, budget, candidate or (), watch)
    _print(found)
    better = found.better()
    if not better:
        out.print("no settings were better than those in the fleet file")
    elif write:
        path = settings.fleets / f"{fleet}.yaml"
        write_settings(path, better)
        say(f"written to {path}: {', '.join(better)}; the next training uses them")
    else:
        say(f"to train with these settings, pass --write or copy this into fleets/{fleet}.yaml:\n")
        out.print(shown(better), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _watched(trials: int | None, minutes: float | None) -> Iterator[Callable[[Standing], None]]:
    """Show the best so far beside a bar of the trials, or of the time if only the time is limited."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[best]}"), console=out) as bar:
        task = bar.add_task("search", total=trials or (minutes or 0) * 60, best="")

        def watch(standing: Standing) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            ended = f"{standing.ended}{f' of {trials}' if trials else ''} trials"
            best = ", ".join(f"{f.name} {f.error:.4g}" for f in standing.families if f.error is not None)
            bar.update(task, description=ended, completed=standing.ended if trials else elapsed, best=f"best: {best}")

        yield watch


def _print(found: Standing) -> None:
    table = Table(
        "candidate", f"{found.measure} as given", "best", "trials", "given up", "failed", "settings", box=None
    )
    for f in found.families:
        table.add_row(
            f.name, _number(f.as_given), _number(f.error), str(f.ended), str(f.pruned), str(f.failed), _settings(f)
        )
    out.print(table, highlight=False)
    for refusal in found.refusals:
        say(f"note: {refusal}")


def _number(error: float | None) -> str:
    return "" if error is None else f"{error:.4g}"


def _settings(family: Family) -> str:
    return ", ".join(f"{k} {v}" for k, v in family.settings.items()) if family.is_better else "as given"
