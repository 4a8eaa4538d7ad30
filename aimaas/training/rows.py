"""The rows of a training set, as Parquet in its folder `rows`, and their digest.

`rows/*.parquet` holds one row per labelled event: device_id string, run int64, order int64, split string, label float32, weight
float32 (aimaas/labels/censoring.py), features list<float32>, all F long. Sets of older releases have no weights: 1.

If a candidate learns from censored lives, there are rows without a label too (label NaN, weight 0), and the columns lower and
upper float32: the bounds of the time to failure in steps. They are equal if the failure was observed; otherwise upper is infinite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aimaas.errors import LakeError
from aimaas.lake.torn_files import reading

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = "rows"
_PIECE = 10_000  # rows
_VALUES = 2**27  # largest number of feature values in a piece, half a gigabyte


@dataclass(frozen=True)
class Rows:
    """Columns (n,), `features` (n, F) float32, `label` and `weight` (n,) float32; without weights all rows have weight 1.

    `lower` and `upper` (n,) float32 are None in sets that do not keep bounds; then all rows have a label.
    """

    device_id: npt.NDArray[np.object_]
    run: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    split: npt.NDArray[np.object_]
    label: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32] = field(default_factory=lambda: np.ones(0, np.float32))
    lower: npt.NDArray[np.float32] | None = None
    upper: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Weights of 1 if the rows have none."""
        if len(self.weight) != len(self.label):
            object.__setattr__(self, "weight", np.ones(len(self.label), np.float32))

    def at(self, chosen: Any) -> Rows:
        """The selected rows: a slice, a mask or positions."""
        columns = (getattr(self, name) for name in self.__dataclass_fields__)
        return Rows(*(None if column is None else column[chosen] for column in columns))  # type: ignore[arg-type]

    @property
    def labelled(self) -> Rows:
        """The rows that have a label: all rows of a set without bounds."""
        return self if self.lower is None else self.at(~np.isnan(self.label))

    def of(self, *splits: str) -> Rows:
        """The rows of these splits, in the same order."""
        return self.at(np.isin(self.split.astype(str), splits))

    @property
    def sample_weight(self) -> npt.NDArray[np.float32] | None:
        """The weights, None if all are 1."""
        return None if (self.weight == 1).all() else self.weight

    def __len__(self) -> int:
        return len(self.label)


class RowDigest:
    """A digest of rows that does not depend on their order or on the files that hold them.

    SHA-256 over the number of rows and the sum, modulo 2^256, of the rows' own SHA-256 (AdHash: Bellare, Micciancio 1997). So each
    row is read once and none is kept. The digest finds changes by mistake; it does not resist an attacker who computes rows with
    the same sum. A row's SHA-256 covers its weight only if that is not 1, so that sets from before there were weights keep their
    digests, and the bounds only if the set keeps them.
    """

    def __init__(self) -> None:
        self._count, self._sum = 0, 0

    def add(self, rows: Rows) -> None:
        """Add rows."""
        numbers = [rows.run[:, None], rows.order[:, None], rows.label[:, None], rows.features]
        kinds = [np.int64, np.int64, np.float32, np.float32]
        if rows.lower is not None and rows.upper is not None:
            numbers += [rows.lower[:, None], rows.upper[:, None]]
            kinds += [np.float32, np.float32]
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
        """The digest of the added rows, in hex."""
        return hashlib.sha256(b"%d %064x" % (self._count, self._sum)).hexdigest()


def digest_of(rows: Rows) -> str:
    """The `RowDigest` of rows in memory."""
    digest = RowDigest()
    for at in range(0, len(rows), _PIECE):
        digest.add(rows.at(slice(at, at + _PIECE)))
    return digest.hex()


def pieces_of(folder: Path, width: int) -> Iterator[Rows]:
    """Rows in the order of the files, some thousands at a time. Raises LakeError as `read_rows` does."""
    for batch in _batches(folder, width, _names(folder)):
        yield Rows(**_columns(batch), features=_features(batch, folder, width))


def read_rows(folder: Path, width: int) -> Rows:
    """All rows by (device_id, run, order). Raises LakeError if a feature row is not `width` long, or if a file is torn.

    Features are copied from the files straight into the array, because an Arrow list ends at 2^31 values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = [name for name in _names(folder) if name != "features"]
    table = pa.Table.from_batches(_batches(folder, width, names), _schema(names))
    order = pc.sort_indices(table, [(name, "ascending") for name in ("device_id", "run", "order")]).to_numpy()
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    features, at = np.empty((len(order), width), np.float32), 0
    for batch in _batches(folder, width, ["features"]):
        features[places[at : at + len(batch)]] = _features(batch, folder, width)
        at += len(batch)
    return Rows(**{name: values[order] for name, values in _columns(table).items()}, features=features)


def _names(folder: Path) -> list[str]:
    """The columns of the set's rows."""
    import pyarrow.parquet as pq

    first = _files(folder)[0]
    with reading(str(first)):
        names: list[str] = arrow_schema(bounds="lower" in pq.read_schema(first).names).names
    return names


def _schema(names: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([arrow_schema(bounds=True).field(name) for name in names])


def _batches(folder: Path, width: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Columns of the rows in the order of the files, some thousands at a time, with weights of 1 if there are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, rows = _schema(names), max(1, min(_PIECE, _VALUES // max(width, 1)))
    for file in _files(folder):
        with reading(str(file)), pq.ParquetFile(file) as opened:
            held = [name for name in names if name in opened.schema_arrow.names]
            for found in opened.iter_batches(rows, columns=held):
                ones = {"weight": pa.array(np.ones(len(found), np.float32))}
                columns = [ones[name] if name in ones and name not in held else found[name] for name in names]
                yield pa.RecordBatch.from_arrays(columns, list(names)).cast(schema)


def _files(folder: Path) -> list[Path]:
    files = sorted((folder / ROWS).glob("*.parquet"))
    if not files:
        raise LakeError(f"{folder / ROWS}: no Parquet files; run the fleet's prepare step")
    return files


def _columns(rows: pa.RecordBatch | pa.Table) -> dict[str, npt.NDArray[Any]]:
    """All columns but the features."""
    names = [name for name in rows.schema.names if name != "features"]
    return {name: np.asarray(rows[name]) for name in names}


def _features(rows: pa.RecordBatch, folder: Path, width: int) -> npt.NDArray[np.float32]:
    """Features (n, F) float32. Raises LakeError if a row is not `width` long."""
    found = rows["features"]
    if found.null_count or (found.value_lengths().to_numpy() != width).any():
        raise LakeError(f"{folder / ROWS}: feature rows are not all {width} long; run the fleet's prepare step again")
    values: npt.NDArray[np.float32] = found.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return values


def arrow_schema(bounds: bool = False) -> Any:
    """Schema of the rows, with `bounds` of the time to failure. Spark writes the features as a plain list, which reads the same."""
    import pyarrow as pa

    kept = [("lower", pa.float32()), ("upper", pa.float32())] if bounds else []
    return pa.schema(
        [
            ("device_id", pa.string()),
            ("run", pa.int64()),
            ("order", pa.int64()),
            ("split", pa.string()),
            ("label", pa.float32()),
            ("weight", pa.float32()),
            ("features", pa.list_(pa.float32())),
            *kept,
        ]
    )
