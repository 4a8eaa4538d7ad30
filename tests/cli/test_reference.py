import re
from pathlib import Path

from cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == reference(), "run: python -m cli.reference > docs/reference/commands.md"


def test_every_argument_and_option_has_a_meaning() -> None:
    page = PAGE.read_text()
    assert re.search(r"^\* `-f, --fleet <str>`: \w", page, re.MULTILINE)
    assert not re.search(r"^\* `[^`]+`(?!: +\w)", page, re.MULTILINE)
