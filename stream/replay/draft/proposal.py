"""The input of a draft's two files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream.replay.draft.order import Order
from stream.replay.draft.roles import Roles
from stream.replay.mapping.schema import DeviceSource, TableFormat


@dataclass(frozen=True)
class Draft:
    """The survey and the guesses. `names` are the readings' names by column, `units` the units in headers."""

    fleet: str
    table: str
    written: TableFormat
    device: DeviceSource
    roles: Roles
    order: Order
    seq: str | None
    names: Mapping[str, str]
    units: Mapping[str, str]
    labels: Mapping[str, str]
    torn: Sequence[str]
    now_us: int

    @property
    def by_time(self) -> bool:
        """Return whether time orders the events."""
        return (
            self.seq is None
            and self.roles.time is not None
            and self.order.time is not None
            and self.order.time.is_strict
        )

    @property
    def rows_are_devices(self) -> bool:
        """Return whether each row is from another device."""
        return self.order.devices == self.order.rows > 1
