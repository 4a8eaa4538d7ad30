"""Errors about files of the lake that are torn or gone.

Every table can be rebuilt from the one before it, so the message names the folders and the job. docs/how-to/fix-the-lake.md
lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from aimaas.errors import LakeError

_FILE = re.compile(r"(?<![\w=.:/-])(?:[a-z0-9]+:)?/[^\s'\"]+?\.parquet")
_WITHIN = re.compile(r"'([^'/][^']*\.parquet)'")  # as Arrow names the files of a dataset
_ADMITTED = "move the folders silver, quarantine, outcomes and admission_state away and run the admit job again"
_GOLD = "move the folders gold and gold_state away and run the gold job again"
_REMEDY = {
    "bronze": "move its folder away and run the land job again, which lands the records that the topics still have",
    "gaps": "move its folder away: accepted gaps are then no longer reported",
    "silver": _ADMITTED,
    "quarantine": _ADMITTED,
    "outcomes": _ADMITTED,
    "admission_state": _ADMITTED,
    "audits": "move its folder away: the rows in gold then count as published, and the gates judge later rows",
    "gold": _GOLD,
    "gold_state": _GOLD,
    "rows": "delete the training set's folder and run the features job again",
}


def torn_error(path: str) -> LakeError:
    """The error to raise about a file; the table follows from the file's path or URI."""
    found = [remedy for folder in reversed(path.split("/")) if (remedy := _REMEDY.get(folder))]
    made_again = f", or {found[0]}" if found else ""
    return LakeError(
        f"{path}: cannot be read (torn or gone); nothing was written; restore it from a backup{made_again}"
    )


def named_file(message: str) -> str | None:
    """The first Parquet file that an engine's message names by its whole path."""
    found = _FILE.search(message)
    return None if found is None else re.sub("^file:/+", "/", found.group())


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Around reads of files below `place` by Arrow: raises LakeError if one of them is gone or no Parquet file."""
    try:
        yield
    except (ValueError, OSError) as e:  # Arrow's own errors are ValueErrors
        message = str(e)
        if "arquet" not in message:
            raise
        within = _WITHIN.search(message)
        raise torn_error(f"{place.rstrip('/')}/{within.group(1)}" if within else named_file(message) or place) from None
