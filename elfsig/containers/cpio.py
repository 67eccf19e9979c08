"""cpio archives, and chains of them as the kernel reads an initramfs: one archive after the other, with zeros
between them, each compressed or not.

Forms of headers: newc (``070701``) and crc (``070702``, with the sum of the content's bytes) of SVR4, odc
(``070707``, POSIX.1), and old binary ones of either byte order (cpio(5), init/initramfs.c). An archive ends
with a member ``TRAILER!!!``. Members of the first archive keep their names; each further archive is a part
``@OFFSET``, which is what Linux loads after microcode.
"""

from __future__ import annotations

import stat as modes
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from elfsig.compression import streams
from elfsig.containers.contract import NAME_LIMIT, Container, Context, Member, MemberKind, damaged
from elfsig.containers.readers import PIECE, Reader, anew, bytes_reader, reader_of
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks

TRAILER = b"TRAILER!!!"
NEWC, CRC, ODC = b"070701", b"070702", b"070707"
_LITTLE, _BIG = b"\xc7\x71", b"\x71\xc7"


class Fields(NamedTuple):
    """What a header says; ``check`` is the sum of the content's bytes, None where the form has none."""

    inode: tuple[int, ...]
    mode: int
    links: int
    name_size: int
    size: int
    check: int | None = None


class _Form(NamedTuple):
    """A form of header: its size, what names and contents are padded to, and its parser."""

    size: int
    align: int
    parse: Callable[[bytes, int], Fields]


class Entry(NamedTuple):
    """A header as it was parsed, with the bytes of it and of the name that were read."""

    fields: Fields
    name: bytes
    raw: bytes
    at: int
    align: int

    @property
    def is_trailer(self) -> bool:
        """Whether this is the end of the archive."""
        return self.name == TRAILER


def _digits(header: bytes, at: int, base: int, *widths: int) -> list[int]:
    """Numbers of ``widths`` characters after the magic. Raises ContainerError."""
    values, start = [], 6
    for width in widths:
        text = header[start : start + width]
        if not text.isalnum():
            raise damaged("a number in a header is not one", at)
        try:
            values.append(int(text, base))
        except ValueError:
            raise damaged("a number in a header is not one", at) from None
        start += width
    return values


def _newc(header: bytes, at: int) -> Fields:
    ino, mode, _, _, links, _, size, major, minor, _, _, name, check = _digits(header, at, 16, *[8] * 13)
    return Fields((ino, major, minor), mode, links, name, size, check if header[:6] == CRC else None)


def _odc(header: bytes, at: int) -> Fields:
    dev, ino, mode, _, _, links, _, _, name, size = _digits(header, at, 8, 6, 6, 6, 6, 6, 6, 6, 11, 6, 11)
    return Fields((ino, dev), mode, links, name, size)


def _binary(header: bytes, at: int) -> Fields:
    """Thirteen 16-bit words; numbers of 32 bits have the high word first in either byte order."""
    big = header[:2] == _BIG
    words = [int.from_bytes(header[n : n + 2], "big" if big else "little") for n in range(0, 26, 2)]
    return Fields((words[2], words[1]), words[3], words[6], words[10], words[11] << 16 | words[12])


_FORMS = {
    NEWC: _Form(110, 4, _newc),
    CRC: _Form(110, 4, _newc),
    ODC: _Form(76, 1, _odc),
    _LITTLE: _Form(26, 2, _binary),
    _BIG: _Form(26, 2, _binary),
}


def form_of(head: bytes) -> _Form | None:
    """The form of the header that ``head`` starts with."""
    return _FORMS.get(head[:6]) or _FORMS.get(head[:2])


def _is_archive(head: bytes) -> bool:
    """Whether a first header is plausible: the magic of binary ones has only two bytes."""
    form = form_of(head)
    if form is None or len(head) < form.size or form.size != _FORMS[_BIG].size:
        return form is not None
    fields = form.parse(head, 0)
    name = head[form.size : form.size + fields.name_size]
    return 1 < fields.name_size <= 1024 and name.find(b"\0") in (-1, fields.name_size - 1)


Stripped: TypeAlias = Callable[[int, int], tuple[Fields, bytes]]
"""What a header means that has only a file's number: (number, offset of the header) to fields and name."""

_STRIPPED, _STRIPPED_SIZE = b"07070X", 14


def read_entry(reader: Reader, stripped: Stripped | None = None) -> Entry:
    """The next header and name; ``stripped`` explains headers that have only a file's number, which rpm
    writes.

    Raises ContainerError.
    """
    at = reader.tell()
    if reader.at_end():
        raise ContainerError("the archive has no trailer", code="truncated", offset=at)
    head = reader.peek(6)
    if stripped is not None and head == _STRIPPED:
        return _numbered(reader, stripped, at)
    form = form_of(head)
    if form is None:
        if len(head) < 6:
            raise ContainerError("a header is cut off", code="truncated", offset=at + len(head))
        raise damaged("no header where one is due", at)
    header = reader.exactly(form.size, "a header")
    fields = form.parse(header, at)
    if not 0 < fields.name_size <= NAME_LIMIT:
        raise damaged(f"a name of {fields.name_size} bytes", at)
    size = fields.name_size + -(form.size + fields.name_size) % form.align
    name = reader.exactly(size, "a name")
    if name[fields.name_size - 1] != 0 or b"\0" in name[: fields.name_size - 1]:
        raise damaged("a name does not end where its length says", at)
    return Entry(fields, name[: fields.name_size - 1], header + name, at, form.align)


def _numbered(reader: Reader, stripped: Stripped, at: int) -> Entry:
    """A header of a magic and eight hexadecimal digits, padded to four bytes (rpm's lib/cpio.c)."""
    header = reader.exactly(_STRIPPED_SIZE, "a header")
    (number,) = _digits(header, at, 16, 8)
    header += reader.exactly(-_STRIPPED_SIZE % 4, "the padding of a header")
    fields, name = stripped(number, at)
    return Entry(fields, name, header, at, 4)


def _pad(reader: Reader, entry: Entry) -> None:
    reader.exactly(-entry.fields.size % entry.align, "the padding of a member")


# --------------------------------------------------------------------------- members


class _Links:
    """Hard links: the names of one inode, of which only one has the content (the last one as GNU cpio writes
    it, the first one in others)."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, ...], list[bytes]] = {}
        self._stored: dict[tuple[int, ...], bytes] = {}

    def without_content(self, inode: tuple[int, ...], name: bytes) -> Iterator[Member]:
        """A name without content: a link where this is known already."""
        if inode in self._stored:
            yield _link(name, self._stored[inode])
        else:
            self._waiting.setdefault(inode, []).append(name)

    def with_content(self, inode: tuple[int, ...], name: bytes) -> Iterator[Member]:
        """The names that waited for the content, which ``name`` has."""
        self._stored[inode] = name
        yield from (_link(each, name) for each in self._waiting.pop(inode, ()))

    def empty(self) -> Iterator[Member]:
        """The names whose file has no content at all."""
        for names in self._waiting.values():
            for name in names:
                yield Member(name, "file", bytes_reader(b""), 0)


def _link(name: bytes, target: bytes) -> Member:
    return Member(name, "link", target=target, notes={"hard-link": True})


def archive(
    reader: Reader, faults: list[ContainerError], stripped: Stripped | None = None
) -> Iterator[Member]:
    """The members of one archive, read up to and with its trailer; ``stripped`` as for :func:`read_entry`.

    The first member whose checksum does not match is put into ``faults``: those after it can be read. Raises
    ContainerError.
    """
    links = _Links()
    while not (entry := read_entry(reader, stripped)).is_trailer:
        fields = entry.fields
        linked = fields.links > 1 and modes.S_ISREG(fields.mode)
        if linked and not fields.size:
            yield from links.without_content(fields.inode, entry.name)
            continue
        if modes.S_ISLNK(fields.mode):
            yield Member(entry.name, "link", target=_target(reader, entry))
        else:
            part = reader_of(_summed(reader, entry))
            regular = modes.S_ISREG(fields.mode) or (fields.size and not modes.S_ISDIR(fields.mode))
            kind: MemberKind = "file" if regular else "directory" if modes.S_ISDIR(fields.mode) else "special"
            yield Member(entry.name, kind, part if regular else None, fields.size, reader.tell())
            try:
                part.finish()
            except ContainerError as reason:
                if reason.code != "damaged" or reader.failure is not None:
                    raise
                faults[:] = faults or [anew(reason)]
            if linked:
                yield from links.with_content(fields.inode, entry.name)
        _pad(reader, entry)
    yield from links.empty()


def _target(reader: Reader, entry: Entry) -> bytes:
    if entry.fields.size > NAME_LIMIT:
        raise damaged(f"the target of a link has {entry.fields.size} bytes", entry.at)
    return reader.exactly(entry.fields.size, "the target of a link")


def _summed(reader: Reader, entry: Entry) -> Iterator[bytes]:
    """The content of a member; its sum is checked at the end. Raises ContainerError."""
    total, left, check = 0, entry.fields.size, entry.fields.check
    while left:
        data = reader.take(min(left, PIECE))
        if not data:
            raise ContainerError("a member is cut off", code="truncated", offset=reader.tell())
        left -= len(data)
        total += sum(data) if check is not None else 0
        yield data
    if check is not None and total & 0xFFFFFFFF != check and not modes.S_ISDIR(entry.fields.mode):
        raise damaged("the checksum of a member does not match", entry.at)


# --------------------------------------------------------------------------- chains


def segments(reader: Reader, context: Context, what: str) -> Iterator[Member]:
    """What follows ``what`` in an initramfs, as parts named by their offsets: further archives, each
    compressed or not, with zeros before them. Raises ContainerError, also for anything else that follows."""
    while True:
        while (zeros := _zeros(reader)) and reader.skip(zeros):
            pass
        if reader.at_end():
            return
        at, head = reader.tell(), reader.peek(streams.HEAD)
        kind = streams.kind_of(head)
        if kind is not None:
            part = reader_of(context.counted(streams.decompress(reader, kind)))
            notes = {"compression": kind.name}
            yield Member(b"@%d" % at, "part", part, offset=at, notes=notes, expected="a cpio archive")
        elif head[:6] in _FORMS:
            part = reader_of(_raw(reader))
            yield Member(b"@%d" % at, "part", part, offset=at)
        else:
            text = f"something follows the end of {what}"
            raise ContainerError(text, code="trailing-data", offset=at)
        part.finish()


def _zeros(reader: Reader) -> int:
    head = reader.peek(PIECE)
    return len(head) - len(head.lstrip(b"\0"))


def _raw(reader: Reader) -> Iterator[bytes]:
    """The bytes of one archive, up to and with its trailer. Raises ContainerError."""
    while True:
        entry = read_entry(reader)
        yield entry.raw
        if entry.is_trailer:
            return
        left = entry.fields.size + -entry.fields.size % entry.align
        while left:
            data = reader.take(min(left, PIECE))
            if not data:
                raise ContainerError("a member is cut off", code="truncated", offset=reader.tell())
            left -= len(data)
            yield data


def _open(reader: Reader, context: Context) -> Iterator[Member]:
    faults: list[ContainerError] = []
    yield from archive(reader, faults)
    yield from segments(reader, context, "the archive")
    if faults:
        raise faults[0]


def _open_padded(reader: Reader, context: Context) -> Iterator[Member]:
    yield from segments(reader, context, "the zeros")


def _is_padded(head: bytes) -> bool:
    """Whether an archive follows zeros, which the kernel passes over (init/initramfs.c, unpack_to_rootfs)."""
    start = head.lstrip(b"\0")[: streams.HEAD]
    return start[:6] in _FORMS or streams.kind_of(start) is not None


PADDED: Container = Container("initramfs", ((0, bytes(4)),), _open_padded, probe=_is_padded)
"""An initramfs that starts with zeros. After all others: much starts with zeros."""

CPIO: Container = Container("cpio", marks("initramfs", "cpio"), _open, probe=_is_archive)
