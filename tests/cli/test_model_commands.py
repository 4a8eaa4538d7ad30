"""`aimaas models keys` gives what the announcer and the scorers need."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from typer.testing import CliRunner

from aimaas.records.events import Announcement
from aimaas.registry.signatures import Verifier, signed
from aimaas.settings import read_settings
from cli.app import app


def test_a_pair_of_keys_is_printed_as_the_two_variables(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["models", "keys"])
    assert done.exit_code == 0, done.output
    made = read_settings({"AIMAAS_HOME": str(tmp_path), **dict(line.split("=", 1) for line in done.output.split())})
    at = datetime(2026, 11, 29, tzinfo=UTC)
    announcement = signed(Announcement("champion", "1", 1, "/x", "0" * 64, "p", "f", at), "mill", made)
    assert announcement.signature
    assert Verifier(made).mistake_in(announcement, "mill") is None
