"""ar archives, and with them Debian packages: a magic line, then headers of 60 bytes, each before its member.

A header is text: name (16 bytes), time (12), owner (6), group (6), mode (8, octal), size (10), and "`\\n";
members start at even offsets. GNU ar keeps long names in a member ``//`` and ends short ones in ``/``; BSD's
puts them before the content (``#1/LENGTH``). There is no end mark: of a Debian package (deb(5)) it is known
that it has a member ``data.tar``, which at most signatures (``_gpgorigin``) follow.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.containers.contract import NAME_LIMIT, Container, Context, Member, damaged
from elfsig.containers.readers import Reader
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks

MAGIC = b"!<arch>\n"
HEADER, END = 60, b"`\n"
_INDEXES = (b"/", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED")
_NAMES_LIMIT = 1 << 24
_TARS = (b"control.tar", b"data.tar")

_TIMES = 16
"""Members may name the same place of the table of long names; together they may use it so many times."""


def _open(reader: Reader, context: Context) -> Iterator[Member]:
    reader.exactly(len(MAGIC), "the magic line")
    package, complete, names = False, False, _LongNames(b"")
    first = True
    while not reader.at_end():
        at = reader.tell()
        header = reader.exactly(HEADER, "the header of a member")
        stored, size = _header(header, at)
        if stored == b"//":
            names = _LongNames(reader.exactly(_bounded(size, _NAMES_LIMIT, at), "the table of long names"))
        else:
            name, used = _name(stored, size, names, reader, at)
            package = package or (first and name == b"debian-binary")
            complete = complete or name.startswith(b"data.tar")
            offset = reader.tell()
            part = reader.part(size - used, "a member")
            if name not in _INDEXES:
                expected = "a tar archive" if package and name.startswith(_TARS) else None
                yield Member(name, "file", part, size - used, offset, expected=expected)
            part.finish()
            first = False
        if size % 2 and not reader.at_end() and (pad := reader.read(1)) not in (b"\n", b"\0"):
            raise damaged(f"{pad!r} instead of the padding of a member", reader.tell() - 1)
    if package and not complete:
        raise ContainerError("the package ends before its data.tar", code="truncated", offset=reader.tell())


def _bounded(size: int, limit: int, at: int) -> int:
    if size > limit:
        raise ContainerError(f"names of {size} bytes", code="over-budget", offset=at)
    return size


def _header(header: bytes, at: int) -> tuple[bytes, int]:
    """(name as stored, size of the member in bytes)."""
    if header[58:] != END:
        raise damaged("the header of a member does not end as it should", at)
    numbers = [header[16:28], header[28:34], header[34:40], header[40:48], header[48:58]]
    digits = [number.rstrip(b" ") for number in numbers]
    if not digits[-1] or not all(text.isdigit() or not text for text in digits):
        raise damaged("a number in the header of a member is not one", at)
    return header[:16].rstrip(b" "), int(digits[-1])


class _LongNames:
    """The table of long names, and how much of it may still be used."""

    def __init__(self, table: bytes) -> None:
        self._table, self._left = table, len(table) * _TIMES + NAME_LIMIT

    def name(self, start: int, at: int) -> bytes:
        """The name at ``start``, for the member at offset ``at``. Raises ContainerError."""
        end = self._table.find(b"\n", start, start + NAME_LIMIT + 1)
        if end < 0:
            where = (
                "longer than a name may be" if len(self._table) > start + NAME_LIMIT else "not in the table"
            )
            raise damaged(f"a long name is {where}", at)
        self._left -= end - start
        if self._left < 0:
            raise damaged(f"the table of long names is used more than {_TIMES} times", at)
        return self._table[start:end].removesuffix(b"/")


def _name(stored: bytes, size: int, names: _LongNames, reader: Reader, at: int) -> tuple[bytes, int]:
    """(the member's name, how many bytes of its content it takes)."""
    if stored.startswith(b"#1/") and stored[3:].isdigit():
        length = _bounded(int(stored[3:]), min(size, NAME_LIMIT), at)
        return reader.exactly(length, "the name of a member").rstrip(b"\0"), length
    if stored[:1] == b"/" and stored[1:].isdigit():
        return names.name(int(stored[1:]), at), 0
    if stored in _INDEXES:
        return stored, 0
    return stored.removesuffix(b"/"), 0


AR: Container = Container("ar", marks("ar"), _open)


def _open_thin(reader: Reader, context: Context) -> Iterator[Member]:
    raise ContainerError("a thin archive holds only the names of files", code="unsupported", offset=0)
    yield


THIN: Container = Container("ar-thin", marks("ar-thin"), _open_thin)
