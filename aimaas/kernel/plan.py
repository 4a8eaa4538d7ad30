"""The feature plan: the features that the kernel computes, as plain data with a hash.

A plan follows from the fleet file and ships with every model that was trained on it. A scorer serves a model by the model's own
plan, so a rollback needs nothing but the raw readings in the device state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from aimaas.fleet import FleetSpec
from aimaas.fleet.candidate_families import SEQUENCE_FAMILIES
from aimaas.fleet.expression import Program


class FeaturePlan(msgspec.Struct, frozen=True, omit_defaults=True):
    """The features that are computed from a device's R raw readings, and their order.

    The first `settings` readings are operating settings, the others sensors; channels (C) are the sensors, then the derived ones.
    `sequence` says how many rows of the normalised window follow the feature vector: all of `window`, or 0 for none.
    """

    readings: tuple[str, ...]
    fill_values: tuple[float, ...]
    fill_previous: tuple[bool, ...]
    settings: int
    derived: tuple[str, ...]
    programs: tuple[Program, ...]
    windows: tuple[int, ...]
    first: int
    max_regimes: int
    sequence: int = 0  # not encoded if 0: plans from before there were windows keep their hash

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the C channels: sensors, then derived."""
        return (*self.readings[self.settings :], *self.derived)

    @property
    def window(self) -> int:
        """Rows of history that the plan reads, the newest included."""
        return max(self.windows, default=1)

    @property
    def vector_names(self) -> tuple[str, ...]:
        """Names of the feature vector, in the kernel's order: block by block, within a block by channel."""
        blocks = [f"mean_{w}" for w in self.windows]
        if self.windows:
            blocks += [f"deviation_{self.window}", f"slope_{self.window}"]
            blocks += [f"from_first_{self.first}"] if self.first else []
        names = [f"{channel}.{block}" for block in blocks or ["now"] for channel in self.channels]
        return (*names, *self.readings[: self.settings], *(["age"] if self.windows else []))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the F features: those of the vector, then the window's, the oldest row first, within a row by channel."""
        rows = [f"{channel}.back_{back}" for back in reversed(range(self.sequence)) for channel in self.channels]
        return (*self.vector_names, *rows)

    @property
    def vector_only(self) -> FeaturePlan:
        """The same plan without the window: its features are this plan's first ones."""
        return msgspec.structs.replace(self, sequence=0)

    @property
    def hash(self) -> str:
        """16 hex digits that change with anything in the plan."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]

    def needs(self, readings: Sequence[str], window: int, first: int) -> str | None:
        """Why device state of these `readings`, `window` and `first` rows cannot give this plan; None if it can."""
        if tuple(readings) != self.readings:
            return f"the plan reads {', '.join(self.readings)}; the fleet declares {', '.join(readings)}"
        if self.window > window or self.first > first:
            return f"the plan looks at {self.window} rows and the first {self.first}; state holds {window} and {first}"
        return None


def channels_of(feature_names: Sequence[str]) -> dict[str, list[int]]:
    """Positions of each channel's features; a setting and the age are channels of their own."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(feature_names):
        found.setdefault(name.split(".")[0], []).append(i)
    return found


def plan_of(fleet: FleetSpec) -> FeaturePlan:
    """The feature plan of a fleet file; with the window if a candidate learns from sequences."""
    wanted = any(name in SEQUENCE_FAMILIES for name in fleet.training.candidates)
    return FeaturePlan(
        readings=fleet.readings,
        fill_values=tuple(r.fill_value for r in fleet.reading_specs),
        fill_previous=tuple(r.fill == "previous" for r in fleet.reading_specs),
        settings=len(fleet.settings),
        derived=tuple(fleet.derived),
        programs=fleet.programs,
        windows=fleet.features.windows,
        first=fleet.features.first,
        max_regimes=fleet.features.regimes,
        sequence=max(fleet.features.windows) if wanted else 0,
    )
