from __future__ import annotations

import stat
from pathlib import Path

from local.private_files import kept_secret, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    made = kept_secret(tmp_path / "replay.key")

    assert kept_secret(tmp_path / "replay.key") == made
    assert kept_secret(tmp_path / "another.key") != made
    assert (len(made), mode(tmp_path / "replay.key")) == (64, 0o600)


def test_a_file_that_others_could_read_is_closed_to_them_when_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "stack.env"
    path.write_text("A=1 and more\n")
    path.chmod(0o644)

    write_private(path, "B=2\n")

    assert (path.read_text(), mode(path)) == ("B=2\n", 0o600)
