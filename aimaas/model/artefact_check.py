"""Checks a model's metadata before it is used: plan, fit, bounds and numbers must fit together."""

from __future__ import annotations

import math

from aimaas.kernel.plan_check import MetadataError, check_fit, check_numbers, check_plan, must, width_of
from aimaas.model.artefact import ModelMetadata
from aimaas.model.intervals import Intervals

MOST_BYTES = 16 * 1024**2  # of the metadata as JSON
MOST_BANDS = 10_000
_MOST_CHARACTERS = 2_000  # of any text

__all__ = ["MOST_BYTES", "MetadataError", "check_metadata", "width_of"]


def check_metadata(metadata: ModelMetadata) -> None:
    """Raise MetadataError for the first fault. If this returns, a kernel and bounds can be made from the metadata."""
    check_plan(metadata.plan)
    check_fit(metadata.plan, metadata.fit)
    _check_range(metadata.target_range)
    if metadata.typical is not None:
        must(len(metadata.typical) == width_of(metadata.plan), "typical must have one number per feature")
        check_numbers("typical", metadata.typical)
    if metadata.intervals is not None:
        _check_intervals(metadata.intervals)
    _check_texts(metadata)
    check_numbers("metrics", metadata.metrics.values(), math.inf)
    check_numbers("forms", (n for f in metadata.forms.values() for n in (f.error, f.cost_us)), math.inf)


def _check_range(target_range: tuple[float, float]) -> None:
    check_numbers("target_range", target_range)
    must(target_range[0] < target_range[1], f"target_range {list(target_range)} must increase")


def _check_intervals(intervals: Intervals) -> None:
    """Check the numbers; the constructor of `Intervals` has checked that the parts fit together."""
    must(len(intervals.lower) <= MOST_BANDS, f"intervals of {len(intervals.lower)} bands, allowed are {MOST_BANDS}")
    check_numbers("intervals", (*intervals.edges, *intervals.lower, *intervals.upper))
    must(0 < intervals.coverage < 1, f"intervals with a coverage of {intervals.coverage:g}")
    must(intervals.devices >= 0, "intervals with a negative number of devices")


def _check_texts(metadata: ModelMetadata) -> None:
    texts = [value for name in metadata.__struct_fields__ if isinstance(value := getattr(metadata, name), str)]
    texts += [*metadata.metrics, *metadata.forms, *([metadata.intervals.source] if metadata.intervals else [])]
    must(all(len(text) <= _MOST_CHARACTERS for text in texts), f"a text of more than {_MOST_CHARACTERS} characters")
