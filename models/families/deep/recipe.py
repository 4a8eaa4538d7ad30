"""The layers and training options of a sequence network: plain data that can be sent to other processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.families.deep.layout import Layout


@dataclass(frozen=True)
class Training:
    """The options of all families; `models.families.deep.families` explains them."""

    dropout: float
    rate: float
    weight_decay: float
    schedule: str
    batch: int
    epochs: int
    patience: int


@dataclass(frozen=True)
class Recipe:
    """`encoder` are the options of the family's own encoder."""

    family: str
    encoder: Mapping[str, Any]
    layout: Layout
    classify: bool
    training: Training
