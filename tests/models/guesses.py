"""Guesses about rows of thirty devices, whose errors are alike within a device."""

from __future__ import annotations

import numpy as np

DEVICES = np.repeat([f"d{i}" for i in range(30)], 40)
_RANDOM = np.random.default_rng(5)
TRUTH = _RANDOM.uniform(0, 100, len(DEVICES)).astype(np.float32)
_NOISE = _RANDOM.normal(0, 5, len(DEVICES)) + np.repeat(_RANDOM.normal(0, 5, 30), 40)


def guess(scale: float = 1.0) -> np.ndarray:
    """Guesses of the truth whose errors are as large as `scale` says."""
    return (TRUTH + scale * _NOISE).astype(np.float32)
