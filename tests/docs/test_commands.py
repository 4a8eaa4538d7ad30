"""Every `aimaas` command that the pages show exists, and takes the options that they give it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = typer.main.get_command(app)
_CALL = re.compile(r"(?<![\w/.<-])(?:\.venv/bin/)?aimaas ([a-z][^`|;&#\n]*)")


def test_the_pages_show_commands_that_exist() -> None:
    wrong = [f"{page.relative_to(ROOT)}: {call}: {why}" for page in PAGES for call, why in _mistakes(page.read_text())]
    assert wrong == []


def _mistakes(text: str) -> Iterator[tuple[str, str]]:
    text = re.sub(r"^.*docker (?:run|build) .*$", "", text, flags=re.MULTILINE)  # `aimaas` names the image there
    code = re.findall(r"```.*?\n(.*?)```|`([^`\n]+)`|^    ([^\n]+)$", text, re.MULTILINE | re.DOTALL)
    for fragment in ("".join(parts) for parts in code):
        for words in _CALL.findall(fragment.replace("\\\n", " ")):
            if (why := _mistake(words.split())) is not None:
                yield f"aimaas {words}", why


def _mistake(words: list[str]) -> str | None:
    """Why a call is no command of ours, or None."""
    command: object = COMMANDS
    while isinstance(command, TyperGroup) and words:
        if words[0] not in command.commands:
            return f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    if not isinstance(command, TyperCommand):
        return None  # a group as a whole: `aimaas models`
    known = {name for p in command.params if isinstance(p, TyperOption) for name in (*p.opts, *p.secondary_opts)} | {
        "--help"
    }
    strange = [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in known]
    return f"no option {strange[0]}" if strange else None
