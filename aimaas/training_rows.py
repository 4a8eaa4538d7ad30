"""The rows of a training set, as Parquet in its folder `rows`, and their digest.

`rows/*.parquet` holds one row per labelled event: device_id string, run int64, order int64, split string, label float32, weight
float32 (aimaas/censoring.py), features fixed_size_list<float32>[F]. Sets of older releases have no weights: 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.errors import LakeError
from aimaas.torn import reading

ROWS = "rows"
_PIECE = 10_000


@dataclass(frozen=True)
class Rows:
    """Columns (n,), `features` (n, F) float32, `label` and `weight` (n,) float32; a weight may be left out of all rows: 1."""

    device_id: npt.NDArray[np.object_]
    run: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    split: npt.NDArray[np.object_]
    label: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32] = field(default_factory=lambda: np.ones(0, np.float32))

    def __post_init__(self) -> None:
        """Rows that nobody has weighted weigh 1."""
        if len(self.weight) != len(self.label):
            object.__setattr__(self, "weight", np.ones(len(self.label), np.float32))

    def at(self, chosen: Any) -> Rows:
        """The chosen rows: a slice, a mask or places."""
        return Rows(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def of(self, *splits: str) -> Rows:
        """The rows of these splits, in the same order."""
        return self.at(np.isin(self.split.astype(str), splits))

    @property
    def sample_weight(self) -> npt.NDArray[np.float32] | None:
        """The weights, None where all are 1."""
        return None if (self.weight == 1).all() else self.weight

    def __len__(self) -> int:
        return len(self.label)


class RowDigest:
    """A digest of rows that is the same in whatever order they come and however they are cut into files.

    SHA-256 over the number of rows and the sum, modulo 2^256, of the rows' own SHA-256 (AdHash: Bellare, Micciancio 1997). So rows
    pass by once and none is kept. It finds what was changed by mistake; it is not made to withstand somebody who
    computes rows of the same sum. A row's SHA-256 covers its weight only where that is not 1, so that sets made before there were
    weights keep their digests.
    """

    def __init__(self) -> None:
        self._count, self._sum = 0, 0

    def add(self, rows: Rows) -> None:
        """Count rows in."""
        numbers = (rows.run[:, None], rows.order[:, None], rows.label[:, None], rows.features)
        kinds = (np.int64, np.int64, np.float32, np.float32)
        columns = (np.ascontiguousarray(n, kind) for n, kind in zip(numbers, kinds, strict=True))
        packed = np.hstack([column.view(np.uint8) for column in columns])
        names = zip(rows.device_id, rows.split, strict=True)
        texts = (f"{device}\0{split}\0".encode() for device, split in names)
        weights = (b"" if w == 1 else w.tobytes() for w in np.asarray(rows.weight, np.float32))
        parts = zip(texts, packed, weights, strict=True)
        hashes = (hashlib.sha256(text + row.tobytes() + weight).digest() for text, row, weight in parts)
        self._sum = (self._sum + sum(map(int.from_bytes, hashes))) % 2**256
        self._count += len(rows)

    def hex(self) -> str:
        """The digest of what was added, in hex."""
        return hashlib.sha256(b"%d %064x" % (self._count, self._sum)).hexdigest()


def digest_of(rows: Rows) -> str:
    """The `RowDigest` of rows in memory."""
    digest = RowDigest()
    for at in range(0, len(rows), _PIECE):
        digest.add(rows.at(slice(at, at + _PIECE)))
    return digest.hex()


def pieces_of(folder: Path, width: int) -> Iterator[Rows]:
    """Rows in the order of the files, some thousands at a time. Raises LakeError as `read_rows` does."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema()
    for file in _files(folder):
        with reading(str(file)), pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(_PIECE):
                table = _weighted(pa.Table.from_batches([batch]))
                yield _rows(table.select(schema.names).cast(schema), folder, width)


def read_rows(folder: Path, width: int) -> Rows:
    """All rows by (device_id, run, order). Raises LakeError where a feature row is not `width` long, or a file is torn."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, tables = arrow_schema(), []
    for file in _files(folder):
        with reading(str(file)):
            tables.append(_weighted(pq.read_table(file)).select(schema.names).cast(schema))
    table = pa.concat_tables(tables)
    return _rows(table.sort_by([(name, "ascending") for name in ("device_id", "run", "order")]), folder, width)


def _weighted(table: Any) -> Any:
    """The table with weights, 1 where it has none."""
    import pyarrow as pa

    ones = pa.array(np.ones(len(table), np.float32))
    return table if "weight" in table.column_names else table.append_column("weight", ones)


def _files(folder: Path) -> list[Path]:
    files = sorted((folder / ROWS).glob("*.parquet"))
    if not files:
        raise LakeError(f"{folder / ROWS}: no Parquet files; run the fleet's prepare step")
    return files


def _rows(table: Any, folder: Path, width: int) -> Rows:
    whole = table.combine_chunks()
    values = whole["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if len(values) != len(whole) * width:
        raise LakeError(f"{folder / ROWS}: feature rows are not all {width} long; run the fleet's prepare step again")
    columns = {name: whole[name].to_numpy() for name in ("device_id", "run", "order", "split", "label", "weight")}
    return Rows(**columns, features=values.reshape(-1, width))


def arrow_schema() -> Any:
    """Schema of the rows. Spark writes the features as a plain list, which reads the same."""
    import pyarrow as pa

    return pa.schema(
        [
            ("device_id", pa.string()),
            ("run", pa.int64()),
            ("order", pa.int64()),
            ("split", pa.string()),
            ("label", pa.float32()),
            ("weight", pa.float32()),
            ("features", pa.list_(pa.float32())),
        ]
    )
