"""Archives behind a program that unpacks them: shell scripts of makeself and their like, and AppImages.

The text of such a script ends with a line; what follows begins with the mark of an archive or of a compressed
stream. An AppImage of type 2 is an ELF program with a squashfs image behind its section table (AppImage
specification, "Image format"). What follows is a part ``@OFFSET``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from elfsig.containers.contract import Container, Context, Member, damaged
from elfsig.containers.readers import PIECE, Reader, SeekReader
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks

_LOOK = 1 << 16
"""Bytes of a script in which the end of its text is looked for: those of installers have up to 40 KiB."""
_START = re.compile(
    rb"\n(?=\x1f\x8b\x08|\xfd7zXZ\0|BZh[1-9]1AY&SY|\x28\xb5\x2f\xfd|\x89LZO\0|\x04\x22\x4d\x18"
    rb"|7z\xbc\xaf\x27\x1c|PK\x03\x04|[^\n]{257}ustar)"
)
"""The end of the last line, before a compressed stream or an archive."""
_MAKESELF = b"Makeself"
"""Is in the scripts that it makes; their archive may be encrypted, or encoded as text."""

_TABLES = {1: (32, 4, 46), 2: (40, 8, 58)}
"""By the class of an ELF file: where the place of its section table is, the size of that number, and where
the size of an entry is (u16), which the number of entries follows (u16)."""


def _is_script(head: bytes) -> bool:
    text = head[:_LOOK]
    return _START.search(text) is not None or _MAKESELF in text


def _open_script(reader: Reader, context: Context) -> Iterator[Member]:
    found = _START.search(reader.peek(_LOOK))
    if found is None:
        text = "a script that unpacks itself, in a form that elfsig does not read"
        raise ContainerError(text, code="unsupported", offset=0)
    reader.exactly(found.end(), "the script")
    yield from _rest(reader, "an archive")


def _rest(reader: Reader, expected: str) -> Iterator[Member]:
    at = reader.tell()
    size = reader.size - at if isinstance(reader, SeekReader) else None
    rest = Reader(lambda: reader.take(PIECE)) if size is None else reader.part(size, "what follows")
    yield Member(b"@%d" % at, "part", rest, size, at, expected=expected)
    rest.finish()


def _open_appimage(reader: Reader, context: Context) -> Iterator[Member]:
    head = reader.peek(64)
    if head[:4] != b"\x7fELF" or head[5:6] != b"\1" or head[4] not in _TABLES or len(head) < 64:
        raise damaged("the ELF header of an AppImage is malformed", 0)
    place, width, entries = _TABLES[head[4]]
    start = int.from_bytes(head[place : place + width], "little")
    size, count = (int.from_bytes(head[at : at + 2], "little") for at in (entries, entries + 2))
    if reader.skip(start + size * count) < start + size * count:
        raise ContainerError("the program is cut off", code="truncated", offset=reader.tell())
    yield from _rest(reader, "the squashfs image of an AppImage")


SCRIPT: Container = Container("script", ((0, b"#!/"), (0, b"#! /")), _open_script, probe=_is_script)
APPIMAGE: Container = Container("appimage", marks("appimage"), _open_appimage)
