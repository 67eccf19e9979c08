"""glance: what an everyday module is signed with, from the two ends of its file, for listings of trees.

Everyday: a sound ELF file whose section header table is the last thing in it, one trailer right behind
that, no section that bears the name of a signature; and the trailer is, but for the signature's value, byte
for byte that of a module that was examined before. Then everything that could be said of this one has
been said of that one. Whatever is different in any way is left to :mod:`elfsig.verbs.verify.examine`.
"""

from __future__ import annotations

import os
from stat import S_ISREG
from typing import Generic, NamedTuple, TypeVar

from elfsig.carriers.trailer import INFO
from elfsig.elf.table import LAYOUTS, MAGIC, SHN_LORESERVE, SHT_NOBITS, Header, Row
from elfsig.model import FileReport
from elfsig.opened.module import Module
from elfsig.registry import Registry

T = TypeVar("T")

HEAD = 64
TAIL = 16 << 10
"""Bytes read from the end: a signature, a section header table and its names take some 5 KiB."""

WINDOW = 1 << 10
"""Further in than this before the trailer, no inner trailer's marker can lie and yet count."""

MARKER_TEXTS = (b"ignature appended~", b"Crypto Signed Module")
MARKED = frozenset({"trailer:modsig", "trailer:modsig-rc1", "trailer:csm"})
"""The carriers whose inner trailers these texts give away, or the zeros at the end of a section table."""

OPAQUE = ("cms", "x509-block")
"""Envelopes that hold the value as an octet string: nothing but the value depends on what is in it."""

MAX_TEMPLATES = 32
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class Ends(NamedTuple):
    """The first bytes of a regular file, its last, and its size."""

    head: bytes
    tail: bytes
    size: int


class Template(NamedTuple, Generic[T]):
    """A trailer of ``size`` bytes: what lies before and behind the value, and what was made of it."""

    size: int
    before: bytes
    behind: bytes
    made: T


class Templates(Generic[T]):
    """The trailers met so far, the one met last in front. ``T`` is whatever the caller makes of one."""

    def __init__(self, registry: Registry) -> None:
        self._known: list[Template[T]] = []
        self._blind = any(c.id not in MARKED for c in registry.trailers)
        self._sections = tuple(
            c.short_name.encode() for c in registry.carriers if c.kind in ("section", "note")
        )

    def learn(self, report: FileReport, module: Module, made: T) -> None:
        """Remember the trailer of an everyday module that was examined.

        None, where a third party's trailers may lie further in: nobody here knows what they look like.
        """
        template = None if self._blind else _template(report, module.content, made)
        if template is not None:
            self._known = [template, *self._known[: MAX_TEMPLATES - 1]]

    def look(self, path: str) -> tuple[T, int, int] | None:
        """(what was made of such a trailer, its offset, ELF class); None where it takes more than a look.

        Never raises: what cannot be read is None, too.
        """
        ends = _ends(path) if self._known else None
        return None if ends is None else self._known_by(ends)

    def look_at(self, content: bytes) -> tuple[T, int, int] | None:
        """As :meth:`look`, at a content that has been read."""
        if not self._known or len(content) <= HEAD:
            return None
        return self._known_by(Ends(content[:HEAD], content[-TAIL:], len(content)))

    def _known_by(self, ends: Ends) -> tuple[T, int, int] | None:
        if ends.head[:4] != MAGIC:
            return None
        known = self._match(ends.tail)
        if known is None:
            return None
        start = ends.size - known.size
        if not everyday(ends, start, self._sections):
            return None
        return known.made, start, 64 if ends.head[4] == 2 else 32

    def _match(self, tail: bytes) -> Template[T] | None:
        for known in self._known:
            if tail.endswith(known.behind) and tail.startswith(known.before, len(tail) - known.size):
                if known is not self._known[0]:
                    self._known.remove(known)
                    self._known.insert(0, known)
                return known
        return None


def _template(report: FileReport, content: bytes, made: T) -> Template[T] | None:
    if len(report.signatures) != 1 or report.warnings or report.compression:
        return None
    place, signature = report.signatures[0].place, report.signatures[0].claims
    if signature is None or signature.envelope not in OPAQUE or place.kind != "trailer" or place.fault:
        return None
    value_end = place.blob_start + len(place.blob)
    value_start = value_end - len(signature.value)
    if not signature.value or not place.blob.endswith(signature.value) or place.end != len(content):
        return None
    before, behind = content[place.start : value_start], content[value_end:]
    return Template(place.end - place.start, before, behind, made)


def _ends(path: str) -> Ends | None:
    try:
        fd = os.open(path, _FLAGS)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(fd)
        size = status.st_size
        if not S_ISREG(status.st_mode) or size <= HEAD:
            return None
        head, tail = os.pread(fd, HEAD, 0), os.pread(fd, TAIL, max(0, size - TAIL))
        return Ends(head, tail, size) if len(tail) == min(size, TAIL) else None
    except OSError:
        return None
    finally:
        os.close(fd)


def everyday(ends: Ends, end: int, sections: tuple[bytes, ...]) -> bool:
    """Whether the content before ``end`` is a sound ELF file that ends in its section header table, holds
    no section of the names in ``sections``, and no trace of a further trailer at its end."""
    head, tail, base = ends.head, ends.tail, ends.size - len(ends.tail)
    layout = LAYOUTS.get((head[4], head[5]))
    if layout is None:
        return False
    header = Header._make(layout.header.unpack_from(head, 16))
    at = header.shoff + header.shstrndx * layout.row.size - base
    sound = (
        header.shentsize == layout.row.size
        and header.shoff + header.shnum * layout.row.size == end
        and 0 < header.shstrndx < header.shnum < SHN_LORESERVE
        and not header.phnum
        and at >= 0
    )
    if not sound:
        return False
    row = Row._make(layout.row.unpack_from(tail, at))
    start = row.offset - base
    names = tail[start : start + row.size] if start >= 0 else b""
    if row.type == SHT_NOBITS or not names or len(names) != row.size or names[-1]:
        return False
    inner = tail[max(0, end - base - WINDOW) : end - base]
    # An info block without a marker behind it, as 3.7-rc1 had them, would be the last bytes here.
    info = inner[-INFO.size :]
    clean = (info[0], info[2]) != (1, 1) and not any(text in inner for text in MARKER_TEXTS)
    return clean and not any(name in names for name in sections)
