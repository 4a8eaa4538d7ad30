"""`aimaas search`: better settings for the candidates of a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from aimaas.cli.options import Fleet, fleet_of, out
from aimaas.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.search.standing import Family, Standing

search_app = typer.Typer()

_MINUTES = 10.0  # where neither minutes nor trials are asked for


@search_app.command()
def search(
    fleet: Fleet,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="no trial begins, and none takes up another fold, after so long")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="so many in all, those of a search that was stopped counted")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="processes that try settings; 0: one for each core")] = 0,
    candidate: Annotated[
        list[str] | None, typer.Option(help="search this candidate only; give it again for another")
    ] = None,
    training_set: Annotated[
        Path | None, typer.Option(help="folder of a frozen training set; the fleet's newest if left out")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="put the best settings into the fleet file, for you to look at and commit")
    ] = False,
) -> None:
    """Search better settings for the fleet's candidates, by cross-validation on its training devices.

    Settings that do worse than half of the others after a fold are given up. The same command goes on with a search that was
    stopped or killed. Without --minutes and --trials it takes 10 minutes.
    """
    from aimaas.training_set import newest_training_set
    from models.search.fleet_file import shown, write_settings
    from models.search.run import Budget, search

    settings = read_settings()
    spec = fleet_of(settings, fleet)
    folder = training_set or newest_training_set(settings, fleet)
    budget = Budget(trials, _MINUTES if minutes is None and trials is None else minutes, workers)
    with _watched(budget.trials, budget.minutes) as watch:
        found = search(settings, spec, folder, budget, candidate or (), watch)
    _print(found)
    better = found.better()
    if not better:
        out.print("no settings did better than the fleet file's own")
    elif write:
        path = settings.fleets / f"{fleet}.yaml"
        write_settings(path, better)
        out.print(f"written to {path}: {', '.join(better)}; the next training uses them", highlight=False)
    else:
        out.print(f"to train with them, give --write, or put into fleets/{fleet}.yaml:\n", highlight=False)
        out.print(shown(better), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _watched(trials: int | None, minutes: float | None) -> Iterator[Callable[[Standing], None]]:
    """A bar with the best so far: of the trials, or of the time where it is the bound."""
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
        out.print(f"note: {refusal}", highlight=False, soft_wrap=True)


def _number(error: float | None) -> str:
    return "" if error is None else f"{error:.4g}"


def _settings(family: Family) -> str:
    return ", ".join(f"{k} {v}" for k, v in family.settings.items()) if family.is_better else "as given"
