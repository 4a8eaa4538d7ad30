"""What the supervisor knows of each part, in a file that `aimaas status` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from aimaas.stored_files import write

STATES_FILE = "states.json"


@dataclass(frozen=True)
class PartState:
    """One part. Times are Unix seconds.

    `since` is when the process began or ended; `failures` in a row began at `failing_since`, and say nothing any more once the
    part has run for long. `restarts` counts since `aimaas down`. `next_at` is when it is started again; None while it runs.
    `last_error` says why it ended last.
    """

    runs: bool
    since: float
    failures: int = 0
    failing_since: float = 0.0
    restarts: int = 0
    next_at: float | None = None
    last_error: str = ""


def write_states(folder: Path, states: Mapping[str, PartState]) -> None:
    """Put the states into `folder` at once and whole."""
    told = json.dumps({name: asdict(state) for name, state in states.items()}) + "\n"
    write(folder / STATES_FILE, told.encode())


def read_states(folder: Path) -> dict[str, PartState]:
    """The states in `folder`; none where there is no file, or none that can be read."""
    try:
        return {name: PartState(**plain) for name, plain in json.loads((folder / STATES_FILE).read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
