"""Reads cells as numbers, by the mapping's decimal mark and thousands separator.

Infinity is neither a number nor a missing value.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stream.replay.cells.arrays import Mask, is_absent, mask_of, null_of, texts_of, values_of
from stream.replay.mapping.schema import TableFormat

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
_DIGITS = "^[0-9]{1,18}$"
_GROUPED = {None: "", ".": r"\.", ",": ",", "'": "['’]", "_": "_", " ": "[ \u00a0\u202f]"}


def numbers(cells: Any, written: TableFormat) -> tuple[Float64, Mask]:
    """Return values (n,) of an Arrow array, NaN for missing ones, and which cells (n,) are neither a finite number nor missing."""
    if pa.types.is_string(cells.type):
        values, bad = _of_text(cells, written)
    elif _is_number(cells.type):
        values = _floats(cells.cast(pa.int8()) if pa.types.is_boolean(cells.type) else cells)
        bad = np.isinf(values)
    else:
        values, bad = np.full(len(cells), np.nan), ~is_absent(cells)
    stand_ins = _stand_ins(written.missing)
    return np.where(np.isin(values, stand_ins), np.nan, values) if stand_ins else values, bad


@lru_cache(maxsize=16)
def _stand_ins(missing_words: tuple[str, ...]) -> list[float]:
    """Return the numbers that stand for a missing value, such as -999."""
    words = [word for word in missing_words if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?", word)]
    return [float(word) for word in words]


def whole_numbers(cells: Any, written: TableFormat, largest: int) -> tuple[Int64, Mask]:
    """Return whole numbers (n,) from 0 to `largest`, and which cells (n,) are none. 31.0 is one."""
    if pa.types.is_string(cells.type):
        if not pc.all(pc.match_substring_regex(cells, _DIGITS)).as_py():
            digits = pc.replace_substring_regex(_plain(cells, written), r"^\+?([0-9]{1,18})(\.0*)?$", r"\1")
            cells = pc.if_else(pc.match_substring_regex(digits, _DIGITS), digits, null_of(pa.string()))
    elif pa.types.is_floating(cells.type) or pa.types.is_decimal(cells.type):
        values = _floats(cells)
        exact = np.isfinite(values) & (values == np.floor(values)) & (values >= 0) & (values <= largest)
        return np.where(exact, values, 0).astype(np.int64), ~exact
    elif not pa.types.is_integer(cells.type):
        return np.zeros(len(cells), np.int64), np.ones(len(cells), np.bool_)
    found = values_of(cells.cast(pa.int64(), safe=False))  # a number of 2^63 or more becomes negative
    return found, is_absent(cells) | (found < 0) | (found > largest)


def missing(cells: Any, written: TableFormat) -> Mask:
    """Return which cells (n,) are missing: empty in Parquet, or one of the mapping's words."""
    absent = is_absent(cells)
    if pa.types.is_string(cells.type):
        absent = absent | mask_of(pc.is_in(pc.utf8_trim_whitespace(cells), value_set=texts_of(written.missing)))
    return absent


def _is_number(kind: Any) -> bool:
    types = pa.types
    known: bool = (
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
    )
    return known


def _of_text(cells: Any, written: TableFormat) -> tuple[Float64, Mask]:
    """Like `numbers`, for text. Most columns hold only plain numbers, which one cast reads."""
    if written.decimal == "." and written.thousands is None:
        try:
            values = _floats(cells)
        except pa.ArrowInvalid:
            pass
        else:
            if np.isfinite(values).all():
                return values, np.zeros(len(values), np.bool_)
    absent = missing(cells, written)
    values = _floats(_plain(cells, written))
    return np.where(absent, np.nan, values), ~absent & ~np.isfinite(values)


def _plain(cells: Any, written: TableFormat) -> Any:
    """Return texts of numbers with a decimal point and without groups; null for a cell that is no number in the mapping's marks."""
    point, group = ("," if written.decimal == "," else r"\."), _GROUPED[written.thousands]
    whole = rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)" if group else "[0-9]+"
    pattern = rf"^[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?$"
    texts = pc.utf8_trim_whitespace(cells)
    texts = pc.if_else(pc.match_substring_regex(texts, pattern), texts, null_of(texts.type))
    if group:
        texts = pc.replace_substring_regex(texts, group, "")
    return pc.replace_substring(texts, ",", ".") if written.decimal == "," else texts


def _floats(cells: Any) -> Float64:
    return values_of(cells.cast(pa.float64(), safe=False), np.nan)
