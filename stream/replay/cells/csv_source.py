"""Reads CSV in batches of text. Rows with too many or too few cells are reported, not repaired."""

from __future__ import annotations

import codecs
import csv as plain_csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from stream.replay.mapping.schema import ReplayError, TableFormat

Torn = tuple[int, str, str]  # number of the row from 1, what was found, what is allowed
_BLOCK_BYTES = 1 << 18
_HEADER_BYTES = 1 << 18
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_UTF8 = ("utf-8", "utf-8-sig")
_ESCAPED = range(0xDC80, 0xDD00)  # `surrogateescape` shows a byte outside the encoding like this


def csv_batches(path: Path, written: TableFormat, columns: Sequence[str]) -> Iterator[tuple[Any, int, list[Torn]]]:
    """Yield batches of binary columns, bytes read so far, and the torn rows among them.

    Any other encoding is converted to UTF-8; the bytes of a UTF-8 file are unchecked. Raises ArrowException,
    UnicodeDecodeError.
    """
    torn: list[Torn] = []
    before = written.skip_rows + (written.columns is None)

    def skip(row: Any) -> str:
        found = f"{row.actual_columns} cells"
        torn.append((row.number - before, found, f"{row.expected_columns} cells, as in the header"))
        return "skip"

    with pa.OSFile(str(path)) as file, _unpacked(file) as stream:
        with _unheard():
            reader = _opened(stream, written, columns, skip)
        while (batch := _next(reader)) is not None:
            found, torn[:] = list(torn), []
            yield batch, file.tell(), found
        yield batch_of_none(columns), file.tell(), torn


def _opened(stream: Any, written: TableFormat, columns: Sequence[str], skip: Callable[[Any], str]) -> Any:
    """Return Arrow's reader of the columns; `skip` is called for torn rows. Raises ArrowException, UnicodeDecodeError."""
    return csv.open_csv(
        stream,
        read_options=csv.ReadOptions(
            use_threads=False,  # with threads, rows have no numbers
            block_size=_BLOCK_BYTES,
            skip_rows=written.skip_rows,
            column_names=list(written.columns) if written.columns else None,
            encoding="utf8" if codecs.lookup(written.encoding).name in _UTF8 else written.encoding,
        ),
        parse_options=csv.ParseOptions(
            delimiter=written.delimiter,
            quote_char=written.quote or False,
            newlines_in_values=True,
            invalid_row_handler=skip,
        ),
        convert_options=csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, pa.binary()),
            strings_can_be_null=False,
        ),
        memory_pool=pa.system_memory_pool(),  # Arrow's own pool keeps 20 MB more
    )


def _next(reader: Any) -> Any:
    """Return the next batch, None at the end. Raises ArrowException, UnicodeDecodeError."""
    with _unheard():
        try:
            return reader.read_next_batch()
        except StopIteration:
            return None


@contextmanager
def _unheard() -> Iterator[None]:
    """Suppress Arrow's stack trace for a torn row that is not in UTF-8.

    Arrow cannot pass such a row to its handler, and raises.
    """
    told, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = told


def batch_of_none(columns: Sequence[str]) -> Any:
    """Return a batch without rows."""
    return pa.record_batch([pa.nulls(0, pa.binary())] * len(columns), names=list(columns))


def _unpacked(file: Any) -> Any:
    """Return the file's bytes, decompressed if it is compressed."""
    beginning = file.read(4)
    file.seek(0)
    packed = next((codec for magic, codec in _PACKED.items() if beginning.startswith(magic)), None)
    return pa.CompressedInputStream(file, packed) if packed else file


def unpacked_bytes(path: Path) -> Iterator[bytes]:
    """Yield the file's decompressed content in parts of 256 KiB. Raises OSError, ArrowException."""
    with pa.OSFile(str(path)) as file, _unpacked(file) as stream:
        while part := stream.read(_HEADER_BYTES):
            yield part


def header(path: Path, written: TableFormat) -> list[str]:
    """Return the names of the columns. Raises ReplayError if they are not in the encoding, and OSError."""
    if written.columns is not None:
        return list(written.columns)
    beginning = next(unpacked_bytes(path), b"")
    name = codecs.lookup(written.encoding).name
    if beginning[:2] in (b"\xff\xfe", b"\xfe\xff") and not name.startswith("utf-16"):
        raise ReplayError(f"{path}: is UTF-16; write encoding: utf-16 in the mapping")
    decoder = codecs.getincrementaldecoder("utf-8-sig" if name in _UTF8 else name)("surrogateescape")
    lines = islice(io.StringIO(decoder.decode(beginning), newline=None), written.skip_rows, None)
    rows = plain_csv.reader(
        lines,
        delimiter=written.delimiter,
        quotechar=written.quote or None,
        quoting=plain_csv.QUOTE_MINIMAL if written.quote else plain_csv.QUOTE_NONE,
    )
    names = next((row for row in rows if row), None)
    if names is None:
        raise ReplayError(f"{path}: has no header; allowed: a row of names, or columns: [...] in the mapping")
    wrong = next((n for n in names if any(ord(c) in _ESCAPED for c in n)), None)
    if wrong is not None:
        shown = wrong.encode(errors="replace").decode()
        raise ReplayError(
            f"{path}: the name of column {names.index(wrong) + 1}, {shown!r}, is not in {written.encoding}; give the encoding in "
            "the mapping, such as encoding: windows-1252"
        )
    return names


def require_columns(path: Path, names: Sequence[str], columns: Sequence[str], delimiter: str | None = None) -> None:
    """Raise ReplayError if one of `columns` is not among `names`, or is there more than once."""
    for name in columns:
        if names.count(name) > 1:
            raise ReplayError(
                f"{path}: column {name!r} occurs {names.count(name)} times; give each column a unique name"
            )
        if name not in names:
            raise ReplayError(
                f"{path}: no column {name!r}; the columns are {', '.join(names)}{_hint(names, delimiter)}"
            )


def _hint(names: Sequence[str], delimiter: str | None) -> str:
    """Return advice if the header is one cell, or if its names have blanks around them."""
    if delimiter is not None and names[:1] and names[0].startswith("sep="):
        return " (Excel's own first line: write skip_rows: 1, and the delimiter)"
    if any(name != name.strip() for name in names):
        return " (names have blanks around them: write these names in quotes in the mapping)"
    if delimiter is None or len(names) != 1:
        return ""
    other = next((d for d in (";", "\t", "|", ",") if d != delimiter and d in names[0]), None)
    return f" (one column: write delimiter: {other!r} in the mapping)" if other else ""
