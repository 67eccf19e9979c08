"""ext2, ext3 and ext4 (Documentation/filesystems/ext4 in Linux): structures by dissect.extfs.

Directories, extents and block maps are read here, entry by entry: the library passes over damage in silence,
and reads holes in block maps as what is in block 0. With the feature metadata_csum the checksums of the
superblock, of inodes, directory blocks and extent blocks are verified; contents have none, nor has anything
in ext2 and ext3. A journal that was not replayed is reported: recent changes may be nowhere else.
"""

from __future__ import annotations

import stat as modes
from collections.abc import Iterator, Mapping
from functools import partial
from struct import Struct
from typing import Any, NamedTuple

from dissect.extfs.extfs import ExtFS

from elfsig.containers.contract import Context, Member, damaged
from elfsig.containers.images.checksum import raw_crc32c
from elfsig.containers.images.ext_tables import Table, Tables
from elfsig.containers.images.source import Source, content, mapped
from elfsig.containers.images.tree import Node, kind_of, members, nodes
from elfsig.containers.readers import Reader, SeekReader, bytes_reader
from elfsig.errors import ContainerError

_SUPERBLOCK, _ROOT = 1024, 2
_RECOVER, _UNKNOWN = 0x4, 0x1 | 0x8 | 0x800
"""Incompatible features: a journal to be replayed; compression, a journal device and others."""
_CHECKSUM_SEED, _METADATA_CHECKSUM = 0x2000, 0x400
_ENCRYPTED, _INDEXED, _EXTENTS, _INLINE = 0x800, 0x1000, 0x80000, 0x10000000
_ENTRY = Struct("<IHBB")
_EXTENT_HEADER, _EXTENT, _INDEX = Struct("<HHHHI"), Struct("<IHHI"), Struct("<IIHH")
_DEPTH = 5
_POINTER, _POINTERS = Struct("<I"), Struct("<15I")
_DIRECT = 12
"""Blocks that a block map names itself; its other three numbers are those of blocks of block numbers."""
_INLINE_SIZE = 60
"""Bytes of a content in its inode itself."""
_BLOCKS_LIMIT = 1 << 22
"""Blocks that the map of a file names, at most: holes do not count."""
_ATTRIBUTE, _ATTRIBUTES, _ATTRIBUTE_LIMIT = Struct("<BBHII"), b"\0\0\x02\xea", 1 << 16
_SECURITY_IMA, _SYSTEM_DATA = (6, b"ima"), (7, b"data")
_INDEX_COUNT = Struct("<HH")
_TAIL = b"\0\0\0\0\x0c\0\0\xde"


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The members of a file system. Raises ContainerError."""
    source = Source(context.seekable(reader))
    with mapped(source, "the file system"):
        system = _System(source)
    size = system.fs.block_count * system.fs.block_size
    yield from members(system.node(b"", _ROOT), source)
    if size > source.size:
        text = f"the file system is cut off: {source.size} of {size} bytes"
        raise ContainerError(text, code="truncated", offset=source.size)
    if system.fs.sb.s_feature_incompat & _RECOVER:
        text = "the journal was not replayed: recent changes may be missing"
        raise ContainerError(text, code="unsupported", offset=_SUPERBLOCK)


class _Run(NamedTuple):
    """``blocks`` blocks of a file from its block ``first`` on; ``start`` None: they read as zeros."""

    first: int
    start: int | None
    blocks: int


class _System:
    """One file system. Raises ContainerError for a superblock that cannot be right."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.fs: Any = ExtFS(source)
        sb = self.fs.sb
        if sb.s_feature_incompat & _UNKNOWN:
            text = f"an ext file system with features {sb.s_feature_incompat:#x}"
            raise ContainerError(text, code="unsupported", offset=_SUPERBLOCK)
        self.checked = bool(sb.s_feature_ro_compat & _METADATA_CHECKSUM)
        if self.checked:
            source.seek(_SUPERBLOCK)
            block = source.read(1024)
            if raw_crc32c(block[:1020]) != int.from_bytes(block[1020:], "little"):
                raise damaged("the checksum of the superblock does not match", _SUPERBLOCK)
            stored = int.from_bytes(block[0x270:0x274], "little")
            seeded = sb.s_feature_incompat & _CHECKSUM_SEED
            self.seed = stored if seeded else raw_crc32c(bytes(sb.s_uuid))
        self.inode_size: int = sb.s_inode_size if sb.s_rev_level else 128
        self.verified: set[int] = set()
        self.tables = Tables(self._block, self.fs.block_size)

    # ------------------------------------------------------------------ inodes

    def inode(self, number: int) -> Any:
        """The library's inode, its checksum verified. Raises ContainerError."""
        with mapped(self.source, f"inode {number}"):
            found = self.fs.get_inode(number)
            _ = found.inode
        if self.checked and number not in self.verified:
            self._verify_inode(number)
            self.verified.add(number)
        return found

    def _raw_inode(self, number: int) -> tuple[int, bytes]:
        group, index = divmod(number - 1, self.fs.sb.s_inodes_per_group)
        with mapped(self.source, f"group {group}"):
            row = self.fs._read_group_desc(group)
            table = row.bg_inode_table_lo | getattr(row, "bg_inode_table_hi", 0) << 32
            at = table * self.fs.block_size + index * self.inode_size
            self.source.seek(at)
            return at, self.source.read(self.inode_size)

    def _verify_inode(self, number: int) -> None:
        at, raw = self._raw_inode(number)
        wide = self.inode_size > 128 and int.from_bytes(raw[0x80:0x82], "little") >= 4
        stored = int.from_bytes(raw[0x7C:0x7E], "little")
        raw = raw[:0x7C] + bytes(2) + raw[0x7E:]
        if wide:
            stored |= int.from_bytes(raw[0x82:0x84], "little") << 16
            raw = raw[:0x82] + bytes(2) + raw[0x84:]
        found = raw_crc32c(raw, self._inode_seed(number, raw[0x64:0x68]))
        if stored != (found if wide else found & 0xFFFF):
            raise damaged(f"the checksum of inode {number} does not match", at)

    def _inode_seed(self, number: int, generation: bytes) -> int:
        return raw_crc32c(number.to_bytes(4, "little") + generation, self.seed)

    def _seed_of(self, inode: Any) -> int:
        return self._inode_seed(inode.inum, int(inode.inode.i_generation).to_bytes(4, "little"))

    # ------------------------------------------------------------------ contents

    def content(self, inode: Any, what: str) -> SeekReader:
        """The content of a file, directory or link. Raises ContainerError."""
        flags, size = inode.inode.i_flags, inode.size
        if flags & _ENCRYPTED:
            raise ContainerError(f"{what} is encrypted", code="encrypted")
        if flags & _INLINE:
            return bytes_reader(self._inline(inode, what))
        if modes.S_ISLNK(inode.inode.i_mode) and size < 60:
            return bytes_reader(bytes(inode.inode.i_block)[:size])
        if size > 1 << 60:
            raise damaged(f"{what} has {size} bytes", self.source.at)
        inode._runlist = self._runs(inode, size, what)
        return content(self.source, size, inode.open, what)

    def _inline(self, inode: Any, what: str) -> bytes:
        data = bytes(inode.inode.i_block)
        if inode.size > len(data):
            data += self._attribute(inode, _SYSTEM_DATA, what) or b""
        if len(data) < inode.size:
            raise ContainerError(f"{what} is cut off", code="truncated", offset=self.source.at)
        return data[: inode.size]

    def _runs(self, inode: Any, size: int, what: str) -> list[tuple[int | None, int]]:
        """The blocks of a file in the library's form: (first block or None, number of blocks)."""
        found: list[tuple[int | None, int]] = []
        at, blocks, head = 0, -(-size // self.fs.block_size), bytes(inode.inode.i_block)
        extended, table = inode.inode.i_flags & _EXTENTS, self.tables.of(inode.inum, what)
        extents = self._extents(inode, head, _DEPTH, what, table)
        for run in extents if extended else self._map(head, blocks, what, table):
            if run.first < at or not run.blocks or (run.start or 0) + run.blocks > self.fs.block_count:
                raise damaged(
                    f"the {'extents' if extended else 'blocks'} of {what} are damaged", self.source.at
                )
            if run.first > at:
                found.append((None, run.first - at))
            found.append((run.start, run.blocks))
            at = run.first + run.blocks
        return [*found, (None, blocks - at)] if blocks > at else found

    def _map(self, head: bytes, blocks: int, what: str, table: Table) -> Iterator[_Run]:
        """The runs of a block map (Linux, fs/ext4/indirect.c): ``head`` names the first blocks of the file,
        then one block of block numbers, one of blocks of these, and one of blocks of those."""
        run, count = _Run(0, 0, 0), 0
        for first, number in self._numbers(head, blocks, table):
            count += 1
            if count > _BLOCKS_LIMIT:
                text = f"{what} has more than {_BLOCKS_LIMIT} blocks in a block map"
                raise ContainerError(text, code="over-budget", offset=self.source.at)
            if (first, number) == (run.first + run.blocks, (run.start or 0) + run.blocks):
                run = run._replace(blocks=run.blocks + 1)
                continue
            if run.blocks:
                yield run
            run = _Run(first, number, 1)
        if run.blocks:
            yield run

    def _numbers(self, head: bytes, blocks: int, table: Table) -> Iterator[tuple[int, int]]:
        """(position in the file, number) of each block that the map names, holes left out."""
        first, span, each = 0, 1, self.fs.block_size // 4
        for index, number in enumerate(_POINTERS.unpack(head)):
            span *= each if index >= _DIRECT else 1
            yield from self._below(number, span, range(first, blocks), table)
            first += span

    def _below(self, number: int, span: int, where: range, table: Table) -> Iterator[tuple[int, int]]:
        """The same for one number of the map, which is for ``span`` blocks at the start of ``where``."""
        if not number or not where:
            return
        if span == 1:
            yield where.start, number
            return
        span //= self.fs.block_size // 4
        for at, (each,) in enumerate(_POINTER.iter_unpack(table(number))):
            yield from self._below(each, span, where[at * span :], table)

    def _extents(self, inode: Any, node: bytes, most: int, what: str, table: Table) -> Iterator[_Run]:
        magic, count, room, depth, _ = _EXTENT_HEADER.unpack_from(node)
        if magic != 0xF30A or count > room or 12 + 12 * room > len(node) or depth > most:
            raise damaged(f"the extents of {what} are damaged", self.source.at)
        for at in range(12, 12 + 12 * count, 12):
            if not depth:
                first, length, high, low = _EXTENT.unpack_from(node, at)
                written = length <= 0x8000
                start = high << 32 | low
                yield _Run(first, start if written else None, length if written else length - 0x8000)
                continue
            _, low, high, _ = _INDEX.unpack_from(node, at)
            block = table(high << 32 | low)
            self._verify_extents(inode, block, what)
            if int.from_bytes(block[6:8], "little") != depth - 1:
                raise damaged(f"the extents of {what} are damaged", self.source.at)
            yield from self._extents(inode, block, depth - 1, what, table)

    def _block(self, number: int, what: str) -> bytes:
        self.source.seek(number * self.fs.block_size)
        data = self.source.read(self.fs.block_size)
        if len(data) < self.fs.block_size:
            raise ContainerError(f"{what} is cut off", code="truncated", offset=self.source.size)
        return data

    def _verify_extents(self, inode: Any, block: bytes, what: str) -> None:
        end = 12 + 12 * int.from_bytes(block[4:6], "little")
        if self.checked and raw_crc32c(block[:end], self._seed_of(inode)) != int.from_bytes(
            block[end : end + 4], "little"
        ):
            raise damaged(f"the checksum of an extent block of {what} does not match", self.source.at)

    # ------------------------------------------------------------------ the tree

    def node(self, name: bytes, number: int) -> Node:
        """The entry of a directory for inode ``number``. Raises ContainerError."""
        inode = self.inode(number)
        what = f"inode {number}"
        kind = kind_of(inode.inode.i_mode, what, self.source.at)
        opened = partial(self.content, inode, what)
        return Node(
            name,
            kind,
            number,
            children=partial(self._entries, inode, what) if kind == "directory" else None,
            reader=opened if kind == "file" else None,
            target=(lambda: opened().all(1 << 16)) if kind == "link" else None,
            notes=partial(self._notes, inode, what),
        )

    def _notes(self, inode: Any, what: str) -> Mapping[str, object]:
        notes: dict[str, object] = {}
        if inode.inode.i_dtime and not inode.inode.i_links_count:
            notes["deleted"] = True
        value = self._attribute(inode, _SECURITY_IMA, what)
        if value is not None:
            notes["security.ima"] = value
        return notes

    def _attribute(self, inode: Any, name: tuple[int, bytes], what: str) -> bytes | None:
        """The value of an extended attribute, from the end of the inode or the block of its own."""
        at, raw = self._raw_inode(inode.inum)
        start = 128 + int.from_bytes(raw[128:130], "little")
        areas = [(raw[start:], 4)] if self.inode_size > 128 else []
        if number := inode.inode.i_file_acl_high << 32 | inode.inode.i_file_acl_lo:
            areas.append((self._block(number, what), 32))
        for area, first in areas:
            values = 4 if first == 4 else 0
            for key, offset, size, elsewhere in _attributes(area, first):
                if key != name:
                    continue
                if elsewhere:
                    return self.content(self.inode(elsewhere), what).all(_ATTRIBUTE_LIMIT)
                if values + offset + size > len(area):
                    raise damaged(f"the attributes of {what} are damaged", at)
                return area[values + offset :][:size]
        return None

    def _entries(self, inode: Any, what: str) -> Iterator[Node]:
        if inode.inode.i_flags & _INLINE:
            names = self._inline_names(inode, what)
            yield from nodes(names, lambda each: self.node(*each))
            return
        data = self.content(inode, what)
        if data.size % self.fs.block_size:
            raise damaged(f"the directory {what} has {data.size} bytes", self.source.at)
        yield from nodes(self._names(inode, data, what), lambda each: self.node(*each))

    def _inline_names(self, inode: Any, what: str) -> Iterator[tuple[bytes, int]]:
        """Names and numbers of inodes of a directory stored in its inode (fs/ext4/inline.c): after the number
        of its parent, and once more in the attribute that continues it."""
        data = self._inline(inode, what)
        yield from self._in_block(data[4:_INLINE_SIZE], what)
        yield from self._in_block(data[_INLINE_SIZE:], what)

    def _names(self, inode: Any, data: SeekReader, what: str) -> Iterator[tuple[bytes, int] | ContainerError]:
        """Names and numbers of inodes in all blocks of a directory; an error for a block that is damaged."""
        for at, stored in self._blocks(inode, data.size, what):
            try:
                if not stored:
                    raise damaged(f"the directory {what} has a hole", self.source.at)
                block = data.read_at(at, self.fs.block_size)
                self._verify_directory(inode, block, first=not at, what=what)
                yield from list(self._in_block(block, what))
            except ContainerError as reason:
                yield reason

    def _blocks(self, inode: Any, size: int, what: str) -> Iterator[tuple[int, bool]]:
        """The offset of each block of a directory that is stored, and of each hole: there should be none.
        Raises ContainerError for more blocks than the file system has."""
        if sum(blocks for start, blocks in inode._runlist if start is not None) > self.fs.block_count:
            raise damaged(f"the directory {what} has more blocks than there are", self.source.at)
        at = 0
        for start, blocks in inode._runlist:
            end = min(at + blocks * self.fs.block_size, size)
            for offset in range(at, end, self.fs.block_size if start is not None else size):
                yield offset, start is not None
            at = end

    def _verify_directory(self, inode: Any, block: bytes, *, first: bool, what: str) -> None:
        if not self.checked:
            return
        seed, tailed = self._seed_of(inode), block[-12:-4] == _TAIL
        if tailed and raw_crc32c(block[:-12], seed) == int.from_bytes(block[-4:], "little"):
            return
        # Blocks of an index hold no names: the first one, and those of a single empty entry. What was a block
        # of names before may still have the tail of one.
        number, length, *_ = _ENTRY.unpack_from(block)
        index = inode.inode.i_flags & _INDEXED and (first or (not number and length == len(block)))
        if index and _index_matches(block, 32 if first else 8, seed):
            return
        why = "does not match" if tailed or index else "is missing"
        raise damaged(f"the checksum of a block of the directory {what} {why}", self.source.at)

    def _in_block(self, block: bytes, what: str) -> Iterator[tuple[bytes, int]]:
        at = 0
        while at < len(block):
            number, length, size, _ = _ENTRY.unpack_from(block.ljust(at + 8, b"\0"), at)
            length = len(block) if length in (0xFFFF, 0) and len(block) == 65536 else length
            if length < 8 + size or length % 4 or at + length > len(block):
                raise damaged(f"an entry of the directory {what} is damaged", self.source.at)
            if number > self.fs.sb.s_inodes_count:
                raise damaged(f"the directory {what} names inode {number}", self.source.at)
            name = block[at + 8 : at + 8 + size]
            if number and name not in (b".", b".."):
                yield name, number
            at += length


def _attributes(area: bytes, at: int) -> Iterator[tuple[tuple[int, bytes], int, int, int]]:
    """(kind and name, offset of the value, its size, or the inode that it is in) of each extended attribute
    whose entry is in ``area`` (fs/ext4/xattr.h); the first one begins at ``at``."""
    if area[:4] != _ATTRIBUTES:
        return
    while at + 16 <= len(area) and area[at : at + 4] != bytes(4):
        length, kind, offset, inode, size = _ATTRIBUTE.unpack_from(area, at)
        yield (kind, area[at + 16 : at + 16 + length]), offset, size, inode
        at += 16 + (length + 3 & ~3)


def _index_matches(block: bytes, at: int, seed: int) -> bool:
    """The checksum of a block of a directory's index (fs/ext4/namei.c, ext4_dx_csum). Its entries begin at
    ``at`` with how many there may be and how many there are."""
    most, count = _INDEX_COUNT.unpack_from(block, at)
    tail = at + 8 * most
    if count > most or tail + 8 > len(block):
        return False
    found = raw_crc32c(block[tail : tail + 4] + bytes(4), raw_crc32c(block[: at + 8 * count], seed))
    return found == int.from_bytes(block[tail + 4 : tail + 8], "little")


__all__ = ["read"]
