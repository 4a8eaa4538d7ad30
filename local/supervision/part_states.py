"""The supervisor's state of each part, in a file that `aimaas status` reads."""

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

    `since` is the time at which the process began or ended. `failures` counts failures in a row since `failing_since`; it has no
    meaning once the part has run for long. `restarts` counts since `aimaas down`. `next_at` is the time of the next start, None
    while it runs. `last_error` is the reason of its last end.
    """

    runs: bool
    since: float
    failures: int = 0
    failing_since: float = 0.0
    restarts: int = 0
    next_at: float | None = None
    last_error: str = ""


def write_states(folder: Path, states: Mapping[str, PartState]) -> None:
    """Write the states into `folder`, atomically."""
    told = json.dumps({name: asdict(state) for name, state in states.items()}) + "\n"
    write(folder / STATES_FILE, told.encode())


def read_states(folder: Path) -> dict[str, PartState]:
    """Return the states in `folder`; empty if there is no readable file."""
    try:
        return {name: PartState(**plain) for name, plain in json.loads((folder / STATES_FILE).read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
