"""Assigns each device to training, validation, calibration or test: a permanent hash of the device id decides."""

from __future__ import annotations

import hashlib

from aimaas.fleet import Split

HEX_DIGITS = 13  # 52 bits: a float64 holds them exactly, so every engine finds the same point
_POINTS = 2.0**52


def split_point(device_id: str) -> float:
    """The device's position in [0, 1): the first 52 bits of the SHA-256 of its id in UTF-8."""
    return int(hashlib.sha256(device_id.encode()).hexdigest()[:HEX_DIGITS], 16) / _POINTS


def split_bounds(shares: Split) -> list[tuple[str, float]]:
    """Splits with a share of the devices, each with the upper end of its part of [0, 1); the last end is 1."""
    bounds, end = [], 0.0
    for name in ("train", "validation", "calibration", "test"):
        if (share := getattr(shares, name)) > 0:
            end += share
            bounds.append((name, end))
    return [*bounds[:-1], (bounds[-1][0], 1.0)]


def split_of(device_id: str, shares: Split) -> str:
    """The device's split: train, validation, calibration or test."""
    point = split_point(device_id)
    return next(name for name, end in split_bounds(shares) if point < end)
