"""tar archives: blocks of 512 bytes, a header before each member, two blocks of zeros at the end.

V7, ustar and pax (POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"), and GNU's long
names, sparse members and numbers in base 256 (GNU tar manual, "Basic Tar Format"). Every header's checksum is
verified. Members of an archive that follows the end are found too; that it follows is reported.
"""

from __future__ import annotations

import posixpath
from collections.abc import Generator, Iterator
from typing import NamedTuple

from elfsig.containers.contract import NAME_LIMIT, Container, Context, Member, damaged
from elfsig.containers.readers import Reader
from elfsig.containers.tar_extensions import BLOCK, Pax, in_pax, number, old_gnu, parse_pax
from elfsig.errors import ContainerError

_ZERO = bytes(BLOCK)
_PAX_LIMIT = 16 << 20
"""Maximum size of one extended header in bytes; it may hold extended attributes of some 64 KiB each."""

_HARD, _SYMBOLIC = b"1", b"2"
_SPECIAL = (b"3", b"4", b"6")
_DIRECTORIES = (b"5", b"D")
_EXTENSIONS = (b"L", b"K", b"x", b"X", b"g")
"""Types that say something about the next member: GNU's names, extended headers (X: Solaris, before
POSIX)."""
_OTHERS = (b"V", b"N", b"I")
"""Types that are not members: a volume's label, lists of names (GNU)."""
_WHITEOUT, _OPAQUE = b".wh.", b".wh..wh..opq"
"""Names that hide what is in layers below (OCI image layer specification, "Whiteouts")."""


class Header(NamedTuple):
    """One header block: the fields as stored, numbers decoded."""

    name: bytes
    size: int
    type: bytes
    target: bytes
    block: bytes
    at: int


class _Names(NamedTuple):
    """What preceding headers say about the next member."""

    name: bytes | None = None
    target: bytes | None = None
    pax: Pax | None = None


def _has_sum(block: bytes, stored: int) -> bool:
    """Whether a header has the checksum ``stored``, of unsigned (POSIX) or of signed bytes (Sun tar)."""
    unsigned = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if stored == unsigned:
        return True
    counted = block[:148] + block[156:]
    return stored == unsigned - 256 * sum(byte > 127 for byte in counted)


def _stored_sum(block: bytes) -> int | None:
    text = block[148:156].split(b"\0")[0].strip(b" ")
    return None if not text or text.strip(b"01234567") else int(text, 8)


def is_header(block: bytes) -> bool:
    """Whether the checksum of a header block matches."""
    return (
        len(block) >= BLOCK and (stored := _stored_sum(block)) is not None and _has_sum(block[:BLOCK], stored)
    )


def _parse(block: bytes, at: int) -> Header:
    """Raises ContainerError for a block whose checksum does not match."""
    if not is_header(block):
        raise damaged("the checksum of a header does not match", at)
    name = block[:100].split(b"\0")[0]
    header = Header(
        name, number(block[124:136], at), block[156:157], block[157:257].split(b"\0")[0], block, at
    )
    prefix = block[345:500].split(b"\0")[0]
    if block[257:263] == b"ustar\0" and prefix:
        header = header._replace(name=prefix + b"/" + name)
    return header


def _open(reader: Reader, context: Context) -> Iterator[Member]:
    yield from members(reader, context)
    extra: ContainerError | None = None
    while (found := _rest(reader)) is not None:
        extra = extra or found
        yield from members(reader, context)
    if extra is not None:
        raise extra


def _rest(reader: Reader) -> ContainerError | None:
    """Pass over zeros; the fault of an archive that follows them, None at the end.

    Raises ContainerError, trailing-data, for anything else that follows.
    """
    while not reader.at_end():
        at, block = reader.tell(), reader.peek(BLOCK)
        if block.strip(b"\0"):
            fault = ContainerError(
                "something follows the end of the archive", code="trailing-data", offset=at
            )
            if not is_header(block):
                raise fault
            return fault
        reader.skip(len(block))
    return None


def members(reader: Reader, context: Context, *, unended: bool = False) -> Generator[Member, None, bool]:
    """The members up to and with the end mark; ``unended``: the data may end without it.

    Returns whether there was an end mark. Raises ContainerError.
    """
    names, common = _Names(), Pax()
    while True:
        if unended and names == _Names() and reader.at_end():
            return False
        if (block := _block(reader)) is None:
            return True
        header = _parse(block, reader.tell() - BLOCK)
        if header.type in _EXTENSIONS:
            names, common = _extension(reader, header, names, common)
        elif header.type in _OTHERS:
            _finish(reader, reader.part(header.size, "a label"), header.size)
        else:
            yield from _member(reader, context, header, names, common)
            names = _Names()


def _block(reader: Reader) -> bytes | None:
    """The next header block; None after the end mark. Raises ContainerError."""
    if reader.at_end():
        raise ContainerError("the archive has no end mark", code="truncated", offset=reader.tell())
    block = reader.exactly(BLOCK, "a header")
    if block != _ZERO:
        return block
    if reader.exactly(BLOCK, "the end mark") != _ZERO:
        raise damaged("a single block of zeros among the members", reader.tell() - 2 * BLOCK)
    return None


def _extension(reader: Reader, header: Header, names: _Names, common: Pax) -> tuple[_Names, Pax]:
    """What a header before a member says, added to ``names``, or to ``common``, which holds for all
    members."""
    text = header.type in (b"L", b"K")
    if header.size > (NAME_LIMIT if text else _PAX_LIMIT):
        fault = f"names or attributes of {header.size} bytes"
        raise ContainerError(fault, code="over-budget", offset=header.at)
    at = reader.tell()
    content = reader.exactly(header.size, "a name or extended header")
    _pad(reader, header.size)
    if header.type == b"L":
        return names._replace(name=content.split(b"\0")[0]), common
    if header.type == b"K":
        return names._replace(target=content.split(b"\0")[0]), common
    found = parse_pax(content, at)
    if header.type == b"g":
        return names, common.updated(found)
    return names._replace(pax=(names.pax or Pax()).updated(found)), common


def _member(reader: Reader, context: Context, header: Header, names: _Names, common: Pax) -> Iterator[Member]:
    pax = common.updated(names.pax or Pax())
    name = pax.text("path") or names.name or header.name
    target = pax.text("linkpath") or names.target or header.target
    size = pax.number("size", header.at)
    size = header.size if size is None else size
    notes = _notes(name, pax)
    if header.type == _SYMBOLIC:
        yield Member(name, "link", target=target, notes=notes)
    elif header.type == _HARD and not _has_content(reader, size, names):
        yield Member(name, "link", target=target, notes=notes | {"hard-link": True})
    elif header.type in _SPECIAL:
        yield Member(name, "special", notes=notes)
    elif header.type in _DIRECTORIES or (header.type == b"\0" and name.endswith(b"/")):
        yield Member(name, "directory", notes=notes)
        _finish(reader, reader.part(size, "a directory"), size)
    elif header.type == b"M":
        raise ContainerError("a member continues from another volume", code="unsupported", offset=header.at)
    elif "whiteout" in notes and not size:
        yield Member(name, "special", notes=notes)
    else:
        yield from _file(reader, context, header, Member(name, "file", size=size, notes=notes), pax)


def _has_content(reader: Reader, size: int, names: _Names) -> bool:
    """Whether a hard link's content is stored again: in pax archives as its size says; others may have a
    size without content, so that the next header, or the end mark, shows it."""
    if not size or names.pax is not None:
        return bool(size)
    following = reader.peek(BLOCK)
    return any(following) and not is_header(following)


def _file(reader: Reader, context: Context, header: Header, member: Member, pax: Pax) -> Iterator[Member]:
    size = member.size or 0
    sparse = old_gnu(reader, header.block, header.at) if header.type == b"S" else None
    offset = reader.tell()
    part = reader.part(size, "a member")
    sparse = sparse or in_pax(part, pax, header.at)
    if sparse is None:
        yield member._replace(reader=part, offset=offset)
    else:
        content = sparse.content(part, context, header.at)
        name = sparse.name or member.name
        yield member._replace(name=name, reader=content, size=sparse.real, offset=offset)
        content.finish()
    _finish(reader, part, size)


def _notes(name: bytes, pax: Pax) -> dict[str, object]:
    notes: dict[str, object] = dict(pax.attributes)
    base = posixpath.basename(name)
    if base == _OPAQUE:
        notes["whiteout"] = posixpath.dirname(name) + b"/"
    elif base.startswith(_WHITEOUT):
        notes["whiteout"] = posixpath.join(posixpath.dirname(name), base.removeprefix(_WHITEOUT))
    return notes


def _finish(reader: Reader, part: Reader, size: int) -> None:
    """Go on to the next header. Raises ContainerError."""
    part.finish()
    _pad(reader, size)


def _pad(reader: Reader, size: int) -> None:
    missing = -size % BLOCK
    if reader.skip(missing) < missing:
        raise ContainerError("the padding of a member is cut off", code="truncated", offset=reader.tell())


def _is_tar(head: bytes) -> bool:
    """Whether there is a header. Damaged ones of POSIX and GNU are recognised, too."""
    return head[257:262] == b"ustar" or is_header(head)


TAR: Container = Container("tar", ((257, b"ustar"), (0, b"")), _open, probe=_is_tar)
