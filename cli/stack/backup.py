"""`aimaas backup` and `restore`: save AIMAAS_HOME in one file, and bring it back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aimaas.settings import read_settings
from cli.options import out, say

backup_app = typer.Typer()


@backup_app.command()
def backup(
    to: Annotated[
        Path, typer.Argument(metavar="FILE", help="File of the backup, on another disk, such as backup.tar.")
    ],
) -> None:
    """Save AIMAAS_HOME into one file: topics, lake, registry, Airflow database, training sets, secrets. Stop the stack first."""
    from local.backup import backup as save

    settings = read_settings()
    with out.status(f"saving {settings.home}") as shown:
        saved = save(settings, to, lambda name, size: shown.update(f"{size / 1e6:,.0f} MB: {name}"))
    say(f"saved {saved.files:,} files, {saved.bytes / 1e6:,.1f} MB in {to}")
    say("the backup contains secrets: protect it as you protect AIMAAS_HOME")
    for name, place in saved.elsewhere.items():
        out.print(
            f"[yellow]not in the backup:[/yellow] {name} is {place}; save it with its own tools",
            highlight=False,
            soft_wrap=True,
        )


@backup_app.command()
def restore(source: Annotated[Path, typer.Argument(metavar="FILE", help="File of the backup.")]) -> None:
    """Restore AIMAAS_HOME from a backup. Compares each file with its digest first."""
    from local.backup import restore as bring_back

    settings = read_settings()
    with out.status(f"restoring {settings.home}"):
        found = bring_back(settings, source)
    say(f"restored {len(found.files):,} files, saved at {found.at:%Y-%m-%dT%H:%M:%SZ} by release {found.release}; start the stack "
        "with `aimaas up`")  # fmt: skip
    for name, place in found.elsewhere.items():
        out.print(f"[yellow]not in the backup:[/yellow] {name} was {place}", highlight=False, soft_wrap=True)
