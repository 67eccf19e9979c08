"""An example of a third party's container: a *box* of files.

The magic ``BOX\\n``; for each file u16 length of the name, u32 size, name, content; numbers are big-endian. A
name of length 0 ends the box, and nothing follows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from elfsig.containers.contract import Container, ContainerError, Context, Member, Reader, damaged, trailing

MAGIC = b"BOX\n"
_HEADER = struct.Struct(">HI")


def _open(reader: Reader, context: Context) -> Iterator[Member]:
    reader.exactly(len(MAGIC), "the magic")
    while True:
        at = reader.tell()
        length, size = _HEADER.unpack(reader.exactly(_HEADER.size, "the header of a file"))
        if not length:
            break
        name = reader.exactly(length, "the name of a file")
        if b"/" in name:
            raise damaged("a box has no directories", at)
        if name == b"bug":
            raise KeyError("an exception that is not for readers")
        content, offset = reader.part(size, "a file"), reader.tell()
        yield Member(name, "file", content, size, offset)
        content.finish()
    if size:
        raise ContainerError("boxes of version 2", code="unsupported", offset=at)
    trailing(reader, "the box")


BOX = Container("box", ((0, MAGIC),), _open)


def boxed(files: dict[bytes, bytes]) -> bytes:
    """A box of ``files``."""
    parts = [_HEADER.pack(len(name), len(content)) + name + content for name, content in files.items()]
    return MAGIC + b"".join(parts) + _HEADER.pack(0, 0)
