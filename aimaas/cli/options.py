"""What the commands share: the console, the option that names a fleet, and how its file is found."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec
    from aimaas.settings import Settings

out = Console(width=None if sys.stdout.isatty() else 120)  # in a log: wide enough for every table

Fleet = Annotated[str, typer.Option("--fleet", "-f", help="name of a fleet file, without .yaml")]


def fleet_of(settings: Settings, name: str) -> FleetSpec:
    """The fleet called `name`. Raises FleetFileError."""
    from aimaas.fleet import find_fleet

    return find_fleet(settings.fleets, name)
