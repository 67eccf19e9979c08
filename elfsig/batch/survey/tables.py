"""Tables of survey records: one row a record, as :mod:`elfsig.verbs.survey.columns` has it, in Parquet.

pyarrow (the extra ``parquet``) is loaded when the first rows are written: its threads and its size would slow
down every process that is forked after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from elfsig.errors import ParseError
from elfsig.opened.atomic import replacing
from elfsig.opened.extras import adapter, require
from elfsig.opened.source import read_error
from elfsig.verbs.survey.columns import Json, Row, record_of, row_of

GROUP: Final = 1 << 14
"""Rows in a row group, which are in memory at a time: some 40 MB."""

MAGIC: Final = b"PAR1"
_EXTRA, _PACKAGE, _WHAT = "parquet", "pyarrow", "Parquet files"


def _adapter() -> Any:
    return adapter(_EXTRA, "elfsig.batch.survey.parquet", _WHAT)


@contextmanager
def table_writer(path: str) -> Iterator[Callable[[Json], None]]:
    """A function that adds a record, as JSON object, to the Parquet file ``path``.

    The file is there, whole, when the body ends; when it raises, ``path`` is as it was. Memory does not grow
    with the number of records. Raises UsageError (needs-extra) before the body, WriteError at its end::

        with table_writer("modules.parquet") as add:
            for record in elfsig.survey(paths):
                add(record.to_json())
    """
    check_tables()
    with replacing(path) as file, table_into(file) as add:
        yield add


def check_tables() -> None:
    """Raises UsageError (needs-extra) where tables cannot be written."""
    require(_EXTRA, _PACKAGE, _WHAT)


@contextmanager
def table_into(file: BinaryIO) -> Iterator[Callable[[Json], None]]:
    """A function that adds a record to the table in ``file``, which is whole when the body ends."""
    table = _Table(file)
    yield table.add
    table.close()


class _Table:
    """Collects rows until they make a row group."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rows: list[Row] = []
        self._writer: Any = None

    def add(self, record: Json) -> None:
        self._rows.append(row_of(record))
        if len(self._rows) >= GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._writer is None:
            self._writer = _adapter().Writer(self._file)
        if self._rows:
            self._writer.group(self._rows)
            self._rows.clear()

    def close(self) -> None:
        self._flush()
        self._writer.close()


def is_table(head: bytes) -> bool:
    """Whether a file that starts with ``head`` is Parquet."""
    return head.startswith(MAGIC)


def read_rows(path: str, whole: bool = False) -> Iterator[Row]:
    """The rows of a Parquet file that :func:`table_writer` made, as they are read.

    A column that the file does not have is None, or an empty list; with ``whole`` that is a ParseError.
    Raises UsageError (needs-extra), ReadError, and ParseError for one that is damaged or has other columns.
    """
    require(_EXTRA, _PACKAGE, _WHAT)
    try:
        with open(path, "rb") as file:
            if not is_table(file.read(len(MAGIC))):
                raise ParseError("not a Parquet file", code="not-parquet", offset=0)
            file.seek(0)
            yield from _adapter().rows(file, whole)
    except OSError as reason:
        raise read_error(reason) from None


def read_records(path: str) -> Iterator[Row]:
    """The records of such a file, with what the columns have of them: see
    :func:`elfsig.verbs.survey.columns.record_of`.

    Raises as :func:`read_rows`; also ParseError for a file that lacks a column: what is not in it would pass
    for what is not there.
    """
    return map(record_of, read_rows(path, whole=True))
