"""Parquet files of survey records, written and read by pyarrow: the extra ``parquet``.

The only module that imports pyarrow; :mod:`elfsig.batch.survey.tables` loads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

import pyarrow as arrow
import pyarrow.parquet as parquet

from elfsig.errors import ParseError
from elfsig.verbs.survey.columns import COLUMNS, Row, Type

_TYPES: Final = {
    "text": arrow.string(),
    "integer": arrow.int64(),
    "boolean": arrow.bool_(),
    "time": arrow.timestamp("ms", tz="UTC"),
    "texts": arrow.list_(arrow.field("element", arrow.string(), nullable=False)),
}
_LEVEL: Final = 9
"""zstd's level: a fifth smaller than its default, at a time that does not count beside verifying."""
_BATCH: Final = 4096
_LIMITS: Final = {"thrift_string_size_limit": 16 << 20, "thrift_container_size_limit": 100_000}
"""Of the metadata: bytes of a text, and entries of a list, of which there is one for each row group. The
library's own let a file of 10 KiB take 150 MB."""


def _field(name: str, kind: Type) -> Any:
    return arrow.field(name, _TYPES[kind], nullable=kind != "texts")


SCHEMA: Final = arrow.schema([_field(each.name, each.type) for each in COLUMNS])


class Writer:
    """Writes row groups to ``file``, in zstd."""

    def __init__(self, file: BinaryIO) -> None:
        self._writer = parquet.ParquetWriter(file, SCHEMA, compression="zstd", compression_level=_LEVEL)

    def group(self, rows: Sequence[Row]) -> None:
        """Write one row group."""
        self._writer.write_table(arrow.Table.from_pylist(list(rows), schema=SCHEMA), row_group_size=len(rows))

    def close(self) -> None:
        """Write the end of the file, without which it cannot be read."""
        self._writer.close()


def rows(file: BinaryIO, whole: bool) -> Iterator[Row]:
    """The rows of a Parquet file that elfsig wrote; columns that it does not have are None, or empty lists.

    Raises ParseError for any other file; with ``whole`` also for one that lacks a column.
    """
    try:
        with parquet.ParquetFile(file, **_LIMITS) as opened:
            names = _checked(opened.schema_arrow, whole)
            for batch in opened.iter_batches(batch_size=_BATCH, columns=names, use_threads=False):
                for found in batch.to_pylist():
                    yield {**_empty(), **found}
    except (arrow.ArrowException, ValueError, OSError) as reason:
        if isinstance(reason, OSError) and reason.errno:
            raise
        raise ParseError(f"damaged Parquet: {reason}", code="damaged") from None


def _empty() -> Row:
    return {each.name: [] if each.type == "texts" else None for each in COLUMNS}


def _checked(schema: Any, whole: bool) -> list[str]:
    """The names of our columns that a file has. Raises ParseError where one is of another type."""
    known = {each.name: _TYPES[each.type] for each in COLUMNS}
    found = [name for name in schema.names if name in known]
    for name in found:
        if schema.field(name).type != known[name]:
            text = f"its column {name} is {schema.field(name).type}, not {known[name]}"
            raise ParseError(f"not a table of elfsig's records: {text}", code="not-a-table")
    if not {"record", "path"} <= set(found):
        raise ParseError("not a table of elfsig's records: no columns record and path", code="not-a-table")
    if missing := [name for name in known if name not in found and whole]:
        text = f"it has no column {missing[0]}, without which not all is known"
        raise ParseError(f"not a whole table of elfsig's records: {text}", code="not-a-table")
    return found
