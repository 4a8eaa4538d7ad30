"""The trial of an announced model: kernel and model run once in a child process before the scorer opens the file.

A crash, an endless run or too much memory ends the child, and the version is refused. A model that has passed with this
code and this fleet's rules is not tried again: a note lies beside its copy.
"""

from __future__ import annotations

import hashlib
import signal
import struct
import sys
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream.model.child import Ended, bound, run_child, say

if TYPE_CHECKING:  # the child sets its limits before it imports anything large
    from aimaas.fleet import FleetSpec
    from aimaas.model.loaded import OpenModel
    from aimaas.records.events import Announcement
    from stream.model.copies import Copies

LIMIT_S = 120.0  # it takes 2 s on an idle machine, and half a minute if the kernel is not compiled yet
_MEMORY = 4 * 1024**3  # of address space; each byte of the model adds to it
_PER_BYTE = 8
_FILE_BYTES = 2**31  # the optimised graph is saved on disk
_PASSED = b"passed"
_DEVICES, _SEED = 20, 7
_LENGTH = struct.Struct("<Q")


def try_out(
    content: bytes, announcement: Announcement, fleet: FleetSpec, copies: Copies, where: str,
    limit_s: float = LIMIT_S, stop: threading.Event | None = None,
) -> None:  # fmt: skip
    """Raise ModelRefusedError unless the model passes, ArtefactUnreachableError if the trial has no result now."""
    from aimaas.errors import ModelRefusedError
    from stream.model.fetch import ArtefactUnreachableError

    trial = fingerprint(announcement.sha256, fleet)
    if copies.passed(announcement.sha256, trial):
        return
    try:
        ended = run_child(
            "stream.model.trial", [str(limit_s)], _packed(content, announcement, fleet, copies, where), limit_s, stop
        )
    except OSError as e:
        raise ArtefactUnreachableError(
            f"{where}: its trial cannot start ({e.strerror or e}); it will be tried again"
        ) from None
    if (ended.code is None and limit_s < LIMIT_S) or ended.code == -signal.SIGKILL:
        raise ArtefactUnreachableError(
            f"{where}: its trial was {'too slow' if ended.code is None else 'killed (out of memory?)'}; it will be tried again"
        )
    if ended.out != _PASSED:
        raise ModelRefusedError(_refusal(ended, where, limit_s))
    copies.note_passed(announcement.sha256, trial)


def _refusal(ended: Ended, where: str, limit_s: float) -> str:
    """Return the child's answer about the model, or the reason by its end."""
    said = ended.out.decode(errors="replace").strip()
    if ended.code == 0 and said:
        return said
    if ended.code is None:
        why = f"it ran for more than {limit_s:g} s"
    elif ended.code < 0:
        why = f"it crashed with {signal.Signals(-ended.code).name}"
    else:
        why = f"it ended with {ended.last_line}"
    return f"{where}: its trial failed: {why}; export it again"


def fingerprint(digest: str, fleet: FleetSpec) -> str:
    """Identify a trial: the value changes with the model, the fleet file, our code and the libraries that run it."""
    return hashlib.sha256(f"{digest} {_code()} {fleet.model_dump_json()}".encode()).hexdigest()


@cache
def _code() -> str:
    """Digest the code that a trial runs."""
    import numba
    import numpy
    import onnxruntime

    found = hashlib.sha256(f"{numpy.__version__} {numba.__version__} {onnxruntime.__version__}".encode())
    root = Path(__file__).resolve().parents[2]
    for path in (*sorted((root / "aimaas").rglob("*.py")), *sorted(Path(__file__).resolve().parent.glob("*.py"))):
        found.update(path.read_bytes())
    return found.hexdigest()


def _packed(content: bytes, announcement: Announcement, fleet: FleetSpec, copies: Copies, where: str) -> bytes:
    """Return the child's input, each part after its length."""
    import msgspec

    rules = fleet.model_dump_json().encode()
    parts = (content, msgspec.json.encode(announcement), rules, str(copies.sessions).encode(), where.encode())
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def _unpacked(packed: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(packed):
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size
        parts.append(packed[at : at + length])
        at += length
    return parts


def main(arguments: list[str]) -> None:
    """Run the trial as a child process: the parts of `_packed` on standard input; answers `passed`, or the reason for a refusal."""
    given = sys.stdin.buffer.read()
    bound(_MEMORY + _PER_BYTE * len(given), _FILE_BYTES, float(arguments[0]))
    import msgspec

    from aimaas.errors import ModelRefusedError
    from aimaas.fleet import FleetSpec
    from aimaas.records.events import Announcement
    from stream.model.opening import open_announced

    content, announced, rules, cache, where = _unpacked(given)
    fleet = FleetSpec.model_validate_json(rules)
    try:
        announcement = msgspec.json.decode(announced, type=Announcement)
        model = open_announced(content, announcement, fleet, Path(cache.decode()), where.decode())
        run_plausible(model, fleet, where.decode())
    except ModelRefusedError as e:
        say(str(e).encode())
    say(_PASSED)


def run_plausible(model: OpenModel, fleet: FleetSpec, where: str) -> None:
    """Compute features of plausible devices with the kernel, and let the model answer them: all numbers must be finite.

    Readings lie in the middle half of their ranges, or in the range of the model's training devices. Raises
    ModelRefusedError.
    """
    import numpy as np

    from aimaas.errors import ModelRefusedError
    from aimaas.kernel.state import DeviceState

    state = DeviceState.of(fleet)
    slots = state.slots([f"d{i}" for i in range(_DEVICES)])
    for step in range(2 * min(state.window, 40) + 3):
        rows = _plausible(model, fleet, np.random.default_rng([_SEED, step]))
        features = model.kernel.advance(state, slots, rows, np.full(_DEVICES, step == 0))
        if not np.isfinite(model.predict(features)).all():
            raise ModelRefusedError(
                f"{where}: it predicts NaN or infinity for readings within the fleet's ranges; train it again"
            )


def _plausible(model: OpenModel, fleet: FleetSpec, rng: Any) -> Any:
    """Return readings (devices, R) float32: half of the devices in the middle half of the ranges, the others by the fit."""
    import numpy as np

    low, high = np.array([spec.range for spec in fleet.reading_specs], np.float64).T
    width = high - low
    rows = rng.uniform(low + width / 4, high - width / 4, (_DEVICES, len(low)))
    plan, fit = model.metadata.plan, model.metadata.fit
    at = [fleet.readings.index(name) for name in plan.readings]
    sensors = len(plan.readings) - plan.settings
    regime = rng.integers(len(fit.centres), size=_DEVICES // 2)
    scales = np.array(fit.scales)[regime, :sensors]
    spread = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    usual = np.array(fit.means)[regime, :sensors] + rng.normal(size=scales.shape) * spread
    rows[: len(usual), at] = np.concatenate([np.array(fit.centres)[regime], usual], axis=1)
    nullable = np.array([spec.nullable for spec in fleet.reading_specs])
    rows = np.where(nullable & (rng.uniform(size=rows.shape) < 0.1), np.nan, np.clip(rows, low, high))
    return rows.astype(np.float32)
