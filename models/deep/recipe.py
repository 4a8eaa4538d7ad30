"""What a sequence network is made of and how it is trained: plain data, so that it can be sent to other processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.deep.layout import Layout


@dataclass(frozen=True)
class Training:
    """The options that all families share; `models.deep.families` says what they mean."""

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
