"""Writes docs/reference/commands.md from the commands: `python -m cli.reference > docs/reference/commands.md`.

A test fails if the page and the commands differ.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from textwrap import dedent

import typer
from typer.cli import get_docs_for_click
from typer.core import TyperCommand, TyperGroup

from aimaas.fleet.reference import linked
from cli.app import app

_INTRODUCTION = """# Commands

<!-- Written by `python -m cli.reference`; change the commands in cli instead. -->

Look up here every command of `aimaas`, with its arguments, its options and their defaults.

- `aimaas COMMAND --help` prints the same text in a terminal.
- In a clone of the repository the command is `.venv/bin/aimaas`.
- An error is one line on standard error, and the exit code is not 0: [Exit codes](exit-codes.md).
- Environment variables say where Kafka, the lake and MLflow are: [Settings](settings.md).

"""


_EXAMPLE = re.compile(r"\x08\n((?: {2}.*\n?)+)")  # lines of a help that no terminal wraps
_GROUP = re.compile(r"\*\*Usage\*\*:\n\n```console\n.* COMMAND \[ARGS\]\.\.\.\n```\n\n")  # says nothing
_HELP = "* `--help`: Show this message and exit.\n"


def reference() -> str:
    """The page, Markdown, as typer writes it; its lists of commands have whole sentences."""
    group = typer.main.get_command(app)
    for command in _commands(group):
        told = command.help or ""
        command.short_help = " ".join(told.partition("\n\n")[0].split()).split(". ")[0]
        command.help = _EXAMPLE.sub(lambda lines: f"```\n{dedent(lines[1]).rstrip()}\n```\n", told)
    page = get_docs_for_click(obj=group, ctx=typer.Context(group, info_name="aimaas"), name="aimaas")
    page = _GROUP.sub("", page).replace(f"**Options**:\n\n{_HELP}\n", "").replace(_HELP, "")
    return _INTRODUCTION + linked(page[page.index("**Commands**") :]).rstrip() + "\n"


def _commands(command: object) -> Iterator[TyperCommand | TyperGroup]:
    """Every command and group below a group."""
    for inner in getattr(command, "commands", {}).values():
        yield inner
        yield from _commands(inner)


if __name__ == "__main__":
    sys.stdout.write(reference())
