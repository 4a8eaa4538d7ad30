"""Arrow arrays as numpy arrays, and words as Arrow arrays, without pandas.

`Array.to_numpy`, `pa.array` and `pa.scalar` import pandas if it is installed, which takes 40 MB that a replay does not use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]


def values_of(cells: Any, absent: float = 0) -> npt.NDArray[Any]:
    """Return the numbers (n,) of an Arrow array of integers or floats, in its type; `absent` for null."""
    data = pa.Array.from_buffers(cells.type, len(cells), [None, cells.buffers()[1]], 0, cells.offset)
    values: npt.NDArray[Any] = np.from_dlpack(data)
    return np.where(is_absent(cells), values.dtype.type(absent), values) if cells.null_count else values


def mask_of(cells: Any) -> Mask:
    """Return an Arrow array of booleans (n,); False for null."""
    return values_of(cells.cast(pa.uint8())).view(np.bool_)


def is_absent(cells: Any) -> Mask:
    """Return which cells (n,) are null."""
    return mask_of(pc.is_null(cells))


def texts_of(words: Sequence[str]) -> Any:
    """Return words as an Arrow array of `string`."""
    encoded = [word.encode() for word in words]
    ends = np.cumsum([0, *(len(word) for word in encoded)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(words), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def null_of(kind: Any) -> Any:
    """Return the null scalar of an Arrow type."""
    return pa.nulls(1, kind)[0]
