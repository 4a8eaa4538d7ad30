"""The fleet file: the declaration of one device type in one YAML file."""

from aimaas.fleet.spec import (
    FIRST,
    NAME,
    REGIMES,
    WINDOW,
    FailureWithin,
    FleetSpec,
    Reading,
    RemainingUsefulLife,
    Split,
    find_fleet,
    load_fleet,
)

__all__ = [
    "FIRST",
    "NAME",
    "REGIMES",
    "WINDOW",
    "FailureWithin",
    "FleetSpec",
    "Reading",
    "RemainingUsefulLife",
    "Split",
    "find_fleet",
    "load_fleet",
]
