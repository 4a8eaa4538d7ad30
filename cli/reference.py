"""Writes docs/reference/commands.md from the commands: `python -m cli.reference > docs/reference/commands.md`.

A test fails if the page and the commands differ.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

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


def reference() -> str:
    """The page, Markdown."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)  # noqa: S101 - the app has commands
    return "\n".join([_INTRODUCTION, *_summary(group), *_sections(group)]).rstrip() + "\n"


def _summary(group: TyperGroup) -> Iterator[str]:
    """One row for each command: its name and the first sentence of its help."""
    yield "| command | what it does |\n|---|---|"
    for name, command in _commands(group, "aimaas"):
        yield f"| [`{name}`](#{name.replace(' ', '-')}) | {_paragraphs(command)[0].split('. ')[0].rstrip('.')}. |"
    yield ""


def _sections(group: TyperGroup) -> Iterator[str]:
    """One section for each command: its usage, its help, its arguments and options."""
    for name, command in _commands(group, "aimaas"):
        yield f"## {name}\n\n```\n{_usage(name, command)}\n```\n"
        yield from (f"{text}\n" for text in _paragraphs(command))
        rows = [_row(p) for p in command.params if isinstance(p, TyperArgument | TyperOption)]
        if rows:
            yield "\n".join(["| argument or option | meaning | default |\n|---|---|---|", *rows, ""])


def _commands(group: TyperGroup, name: str) -> Iterator[tuple[str, TyperCommand]]:
    """Every command below a group with its whole name, in the order of `--help`."""
    for part, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(command, f"{name} {part}")
        elif isinstance(command, TyperCommand):
            yield f"{name} {part}", command


def _usage(name: str, command: TyperCommand) -> str:
    """The command with its required options and its arguments, as one line."""
    options = [p for p in command.params if isinstance(p, TyperOption)]
    required = [f"{o.opts[0]} {o.opts[0].lstrip('-').upper()}" for o in options if o.required]
    optional = ["[OPTIONS]"] if any(not o.required for o in options) else []
    arguments = [_argument(p) for p in command.params if isinstance(p, TyperArgument)]
    return " ".join([name, *required, *optional, *arguments])


def _argument(argument: TyperArgument) -> str:
    """An argument as it stands in the usage line: `FILE`, or `[FILES]...` if it may be absent and repeated."""
    name = (argument.metavar or str(argument.name).upper()).strip("[]")
    name = name if argument.required else f"[{name}]"
    return name if argument.nargs == 1 else f"{name}..."


def _row(param: TyperArgument | TyperOption) -> str:
    """The row of an argument or option. Its help may end with a sentence `Default: …`."""
    names = [_argument(param)] if isinstance(param, TyperArgument) else param.opts
    meaning, _, default = (param.help or "").partition(" Default: ")
    told = " ".join([meaning, *_bounds(param)])
    return f"| {', '.join(f'`{name}`' for name in names)} | {linked(told)} | {default.rstrip('.') or _default(param)} |"


def _bounds(param: TyperArgument | TyperOption) -> Iterator[str]:
    low, high = param.min, param.max
    if low is not None and high is not None:
        yield f"From {low:,} to {high:,}."
    elif low is not None and low > 0:
        yield f"At least {low:,}."


def _default(param: TyperArgument | TyperOption) -> str:
    if param.required:
        return "required"
    return "" if param.default is None or isinstance(param.default, bool) else f"`{param.default}`"


def _paragraphs(command: TyperCommand) -> list[str]:
    """The paragraphs of a command's help. Lines after a `\\b` are code."""
    parts = inspect.cleandoc(command.help or "").split("\n\n")
    return [_code(part) if part.startswith("\b") else linked(" ".join(part.split())) for part in parts]


def _code(part: str) -> str:
    lines = inspect.cleandoc(part.removeprefix("\b\n"))
    return f"```{'yaml' if lines.startswith('fleet:') else 'console'}\n{lines}\n```"


if __name__ == "__main__":
    sys.stdout.write(reference())
