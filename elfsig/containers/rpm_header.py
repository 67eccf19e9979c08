"""Headers of RPM packages: an index of tags and a store of their values; and what they say about files.

A header is 8 bytes magic and reserved, u32 count of index entries, u32 size of the store, entries of four u32
(tag, type, offset, count), store; all big-endian (rpm's "RPM V4 Package format").
"""

from __future__ import annotations

import stat as modes
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from elfsig.containers.contract import damaged
from elfsig.containers.cpio import Fields
from elfsig.containers.names import plain
from elfsig.containers.readers import Reader
from elfsig.errors import ContainerError

MAGIC = b"\x8e\xad\xe8\x01"
_TAGS_LIMIT, _STORE_LIMIT = 0xFFFF, 64 << 20
"""Tags as in rpm (lib/header.c: HEADER_TAGS_MAX). rpm takes a store of 256 MiB; packages of 100 000 files
have about 20."""
_TEXTS_LIMIT = 1 << 22

_INT16, _INT32, _INT64, _STRING, _BINARY, _STRINGS, _I18N = 3, 4, 5, 6, 7, 8, 9
_NUMBERS = {2: "B", _INT16: "H", _INT32: "I", _INT64: "Q"}

_NAMES, _SIZES, _MODES, _DIGESTS, _TARGETS, _FLAGS = 1027, 1028, 1030, 1035, 1036, 1037
_DEVICES, _INODES, _DIRECTORY_OF, _BASENAMES, _DIRECTORIES = 1095, 1096, 1116, 1117, 1118
_LONG_SIZES, _ALGORITHM, _SIGNATURES = 5008, 5011, 5090
_GHOST = 1 << 6
"""RPMFILE_GHOST: listed, not in the payload."""
ALGORITHMS = {1: "md5", 2: "sha1", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}
"""Numbers of hash algorithms (RFC 9580, 9.5), which rpm uses too."""


class _Value(NamedTuple):
    type: int
    offset: int
    number: int


class Header:
    """One header: its bytes, and the values of its tags."""

    raw: bytes

    def __init__(self, raw: bytes, index: Mapping[int, _Value], store: bytes, at: int) -> None:
        self.raw, self._index, self._store, self._at = raw, index, store, at

    def texts(self, tag: int) -> list[bytes]:
        """The strings of a tag; none where it is missing. Raises ContainerError."""
        value = self._index.get(tag)
        if value is None:
            return []
        if value.type not in (_STRING, _STRINGS, _I18N):
            raise damaged(f"tag {tag} is not text", self._at)
        if value.number > _TEXTS_LIMIT:
            text = f"tag {tag} has {value.number} texts"
            raise ContainerError(text, code="over-budget", offset=self._at)
        found: list[bytes] = []
        start = value.offset
        for _ in range(value.number):
            end = self._store.find(b"\0", start)
            if end < 0:
                raise damaged(f"tag {tag} has {len(found)} texts instead of {value.number}", self._at)
            found.append(self._store[start:end])
            start = end + 1
        return found

    def text(self, tag: int) -> bytes:
        """The only or first string of a tag; b"" where it is missing. Raises ContainerError."""
        return next(iter(self.texts(tag)), b"")

    def numbers(self, tag: int) -> Sequence[int]:
        """The numbers of a tag; none where it is missing. Raises ContainerError."""
        value = self._index.get(tag)
        if value is None:
            return ()
        letter = _NUMBERS.get(value.type)
        if letter is None:
            raise damaged(f"tag {tag} is not a number", self._at)
        found = array(letter)
        end = value.offset + value.number * found.itemsize
        if end > len(self._store):
            raise damaged(f"tag {tag} goes beyond the header", self._at)
        found.frombytes(self._store[value.offset : end])
        if sys.byteorder == "little":
            found.byteswap()
        return found

    def binary(self, tag: int) -> bytes:
        """The bytes of a tag; b"" where it is missing."""
        value = self._index.get(tag)
        if value is None or value.type != _BINARY:
            return b""
        return self._store[value.offset : value.offset + value.number]


def read_header(reader: Reader, what: str) -> Header:
    """The header that starts here. Raises ContainerError."""
    at = reader.tell()
    head = reader.exactly(16, what)
    if head[:4] != MAGIC:
        raise damaged(f"{what} does not start with its magic", at)
    count, size = struct.unpack(">II", head[8:])
    if count > _TAGS_LIMIT or size > _STORE_LIMIT:
        raise damaged(f"{what} claims {count} tags and {size} bytes", at)
    index = reader.exactly(16 * count, what)
    store = reader.exactly(size, what)
    values: dict[int, _Value] = {}
    for tag, kind, offset, number in struct.iter_unpack(">IIII", index):
        if offset > size or number > size:
            raise damaged(f"tag {tag} goes beyond the header", at)
        values[tag] = _Value(kind, offset, number)
    return Header(head + index + store, values, store, at)


class Files:
    """What the header says about files, in the order of their numbers.

    ``signatures`` are those of the signature header, used where the header has none. Raises ContainerError.
    """

    def __init__(self, header: Header, signatures: Sequence[bytes]) -> None:
        self._names = _names(header)
        self._sizes = header.numbers(_LONG_SIZES) or header.numbers(_SIZES)
        self._modes = header.numbers(_MODES)
        self._flags = header.numbers(_FLAGS)
        self._digests = header.texts(_DIGESTS)
        number = header.numbers(_ALGORITHM)
        self._algorithm = ALGORITHMS.get(number[0] if number else 1, "unknown")
        self._signatures = header.texts(_SIGNATURES) or signatures
        self._number = {plain(name): number for number, name in enumerate(self._names)}
        self._inodes = list(zip(header.numbers(_DEVICES), header.numbers(_INODES), strict=False))
        regular = [
            (inode, number)
            for number, (inode, mode) in enumerate(zip(self._inodes, self._modes, strict=False))
            if modes.S_ISREG(mode)
        ]
        self._last = dict(regular)
        self._count = Counter(inode for inode, _ in regular)

    def stored(self) -> set[bytes]:
        """The names that must be in the payload."""
        flags = self._flags if len(self._flags) == len(self._names) else [0] * len(self._names)
        return {plain(name) for name, each in zip(self._names, flags, strict=True) if not each & _GHOST}

    def notes(self, name: bytes) -> dict[str, object]:
        """What is recorded about the file of this name."""
        number = self._number.get(name, -1)
        found: dict[str, object] = {}
        if 0 <= number < len(self._digests) and self._digests[number]:
            found["digest"] = f"{self._algorithm}:{self._digests[number].decode('ascii', 'replace')}"
        if 0 <= number < len(self._signatures) and self._signatures[number]:
            text = self._signatures[number].decode("ascii", "replace")
            try:
                found["security.ima"] = bytes.fromhex(text)
            except ValueError:
                found["security.ima"] = text
        return found

    def stripped(self, number: int, at: int) -> tuple[Fields, bytes]:
        """The fields and name of the file with this number, for payloads that have only the numbers.

        Of files with several names the last one has the content. Raises ContainerError.
        """
        if number >= min(len(self._names), len(self._sizes), len(self._modes)):
            raise damaged(f"file {number} is not in the header", at)
        mode, size = self._modes[number], self._sizes[number]
        inode: tuple[int, ...] = (number,)
        names = 1
        if modes.S_ISREG(mode) and number < len(self._inodes):
            inode = self._inodes[number]
            names = self._count[inode]
            size = size if self._last[inode] == number else 0
        elif not modes.S_ISREG(mode) and not modes.S_ISLNK(mode):
            size = 0
        return Fields(inode, mode, names, 1, size), self._names[number]


def _names(header: Header) -> list[bytes]:
    """The files' names in full. Raises ContainerError."""
    names = header.texts(_BASENAMES)
    if not names:
        return header.texts(_NAMES)
    folders, of = header.texts(_DIRECTORIES), header.numbers(_DIRECTORY_OF)
    if len(of) != len(names) or any(number >= len(folders) for number in of):
        raise damaged("the directories of files are not in the header", header._at)
    return [folders[number] + name for number, name in zip(of, names, strict=True)]
