"""Shared by the commands: the console, the option `--fleet`, and reading the fleet file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from aimaas.settings import read_settings

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec
    from aimaas.settings import Settings

out = Console(width=None if sys.stdout.isatty() else 120)  # in a log: wide enough for every table

Fleet = Annotated[str, typer.Option("--fleet", "-f", help="Name of the fleet.")]


def fleet_of(settings: Settings, name: str) -> FleetSpec:
    """Return the fleet called `name`. A warning names mistakes in other fleet files. Raises FleetFileError."""
    from aimaas.fleet import find_fleet
    from aimaas.fleet.folder import read_folder

    found = find_fleet(settings.fleets, name)
    warn(read_folder(settings.fleets, but=name).warning)
    return found


def opened(fleet: str, *, logs: bool = False) -> tuple[Settings, FleetSpec]:
    """Return the settings and the fleet called `fleet`; with `logs` for a command that logs what it does. Raises FleetFileError."""
    settings = read_settings()
    if logs:
        from aimaas.logs import set_up_logs

        set_up_logs(settings)
    return settings, fleet_of(settings, fleet)


def say(line: str) -> None:
    """Print a line as it is, however long."""
    out.print(line, highlight=False, markup=False, soft_wrap=True)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print a line for each fact that is not empty: its name and itself."""
    table = Table(box=None, show_header=False)
    for name, fact in facts:
        if fact:
            table.add_row(name, fact)
    out.print(table, highlight=False, markup=False)


def warn(line: str | None) -> None:
    """Print a warning on standard error, once per command."""
    if line is not None and line not in _warned:
        _warned.add(line)
        print(f"warning: {line}", file=sys.stderr)  # noqa: T201


_warned: set[str] = set()
