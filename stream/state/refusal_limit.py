"""The limit on dead letters: a bad deployment stops the scorer, and few broken devices do not, however much they send.

A bad deployment of device software must not drain the topic into dead letters, and one device must not stop the scorer for
all. While too large a share of the records is refused, the device with the most refusals is set aside, one after another.
If these are more devices than the limit's share of all, and at least two, it is a deployment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from aimaas.errors import DeadLetterLimitError
from stream.state.refusals import RefusalWindow
from stream.state.spread import PLACES, most_devices, no_spread

AT_LEAST = 100  # refused records in the window; below this number a share means nothing
_REPEATS = 2  # mean records per unknown key; a lower mean is one device that invents its keys, not many devices


class Flood(NamedTuple):
    """Few devices exceed the limit on refused records: the refusals of all devices, of the heaviest device, and its key."""

    refused: int
    judged: int
    heaviest: int
    key: bytes


class Blame(NamedTuple):
    """Refused records by place of a device's key (n,): sums, signed sums (see `spread`), and the newest key of each place."""

    sums: npt.NDArray[np.int64]
    signed: npt.NDArray[np.int64]
    keys: list[bytes]


def check_limit(
    windows: Sequence[RefusalWindow], devices: Callable[[], int], limit: float, topic: str, example: str
) -> Flood | None:
    """Raise DeadLetterLimitError if a deployment has more refused records than the share `limit`.

    `devices` counts the devices with an admitted record in the time of the windows. If few devices cause the refusals, they
    are returned.
    """
    judged, refused = sum(w.judged for w in windows), sum(w.refused for w in windows)
    if not is_too_much(refused, judged, limit):
        return None
    served = devices()
    blame = _blame(windows, served > 0)
    if is_deployment(blame, refused, judged, served, limit):
        raise DeadLetterLimitError(
            f"{topic}: {refused} of the last {judged} records were refused ({refused / judged:.0%}), allowed are {limit:.0%} "
            f"(quality.refused_share), the last because {example}; the last batch was not committed. Correct the senders, or raise "
            "the share in the fleet file to dead-letter all of them, and start the scorer again"
        )
    heaviest = int(blame.sums.argmax())
    return Flood(refused, judged, int(blame.sums[heaviest]), blame.keys[heaviest])


def is_too_much(refused: int, judged: int, limit: float) -> bool:
    """Return whether so many of the judged records are refused that a person must look."""
    return refused >= AT_LEAST and refused > limit * judged


def is_deployment(blame: Blame, refused: int, judged: int, devices: int, limit: float) -> bool:
    """Return whether many devices cause the refusals above the limit: more than the share `limit` of all, and at least two.

    If r records spread over devices with r_d each, they count as r² / Σ r_d² devices (Hill 1973): equal devices count
    fully, and small ones beside a large one hardly count. Refused records without a place count as many devices.
    """
    order = np.argsort(-blame.sums, kind="stable")
    sums, squares = blame.sums[order].tolist(), blame.signed[order].astype(np.float64) ** 2
    most = most_devices(int(np.count_nonzero(sums))) if sum(sums) == refused else float("inf")
    for aside, heaviest in enumerate([*sums, 0]):
        if not is_too_much(refused, judged, limit):
            return False
        left = float(squares[aside:].sum())
        to_blame = min(aside + (refused**2 / left if left else refused), most)
        if round(to_blame) >= 2 and to_blame > limit * max(devices, to_blame):
            return True
        refused, judged = refused - heaviest, judged - heaviest
    return False


def _blame(windows: Sequence[RefusalWindow], others_are_served: bool) -> Blame:
    """Return refusals by place, of all windows.

    Unknown keys that hardly repeat count as one device, if other devices are served.
    """
    sums, signed, keys = [], [], []
    for window in windows:
        minutes = list(window.buckets.values())
        known = sum((m.of_known for m in minutes), no_spread())
        unknown = sum((m.of_unknown for m in minutes), no_spread())
        records, names = int(unknown[0].sum()), [window.named.get(PLACES + place, b"") for place in range(PLACES)]
        if others_are_served and float((unknown[1].astype(np.float64) ** 2).sum()) < _REPEATS * records:
            unknown, names = np.full((2, 1), records, np.int64), names[:1]
        sums += [known[0], unknown[0]]
        signed += [known[1], unknown[1]]
        keys += [window.named.get(place, b"") for place in range(PLACES)] + names
    return Blame(np.concatenate(sums), np.concatenate(signed), keys)
