"""Starts `pace.py`, which sends records at an even rate from a separate process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from stream.devices.producer import KeyValue
from stream_bench.contenders import Contender, ContenderError, running
from stream_bench.stage import Stage

_PROGRAM = Path(__file__).parent / "programs" / "pace.py"


@dataclass(frozen=True)
class Pace:
    """A running sending of records to a topic."""

    process: Contender
    times_file: Path

    @property
    def is_done(self) -> bool:
        """Return whether all records were sent. Raises ContenderError if it failed."""
        code = self.process.process.poll()
        if code:
            raise ContenderError(f"the pacing producer ended with exit code {code}:\n{self.process.tail()}")
        return code == 0

    def wait(self) -> None:
        """Wait until all records were sent. Raises ContenderError if it failed."""
        self.process.process.wait()
        assert self.is_done

    def times(self) -> npt.NDArray[np.float64]:
        """Return the time at which each record was passed to the client, monotonic seconds (n,), after the end."""
        found: npt.NDArray[np.float64] = np.load(self.times_file)
        return found


@contextmanager
def pacing(stage: Stage, folder: Path, topic: str, records: Sequence[KeyValue], rate: float) -> Iterator[Pace]:
    """Send the records at `rate` a second; leaving the block early ends it."""
    name = f"pace-{len(list(folder.glob('*.times.npy')))}-{len(records)}"
    packed, times = folder / f"{name}.records", folder / f"{name}.times.npy"
    packed.write_bytes(msgspec.msgpack.encode(records))
    given = {
        "bootstrap": stage.settings.bootstrap_servers, "topic": topic, "rate": str(rate), "records": str(packed),
        "times": str(times),
    }  # fmt: skip
    command = [sys.executable, str(_PROGRAM), *(part for key, value in given.items() for part in (f"--{key}", value))]
    with running(name, command, folder) as process:
        yield Pace(process, times)
