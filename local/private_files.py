"""Files that only their owner may read, for the secrets of the local stack and for backups of it."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_OWNER = 0o600
_BYTES = 32


def kept_secret(path: Path) -> str:
    """Return the secret in this file. The first call generates it."""
    with suppress(FileExistsError):
        write_private(path, secrets.token_hex(_BYTES), os.O_EXCL)
    return path.read_text().strip()


def write_private(path: Path, text: str, how: int = os.O_TRUNC) -> None:
    """Write a file that only its owner may read; `how` is a flag of `os.open`."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, _OWNER), "w") as file:
        os.fchmod(file.fileno(), _OWNER)  # also if the file existed before
        file.write(text)


def create_private(path: Path) -> BinaryIO:
    """Create a file that only its owner may read, and open it to write bytes. Raises FileExistsError if it exists."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER), "wb")
