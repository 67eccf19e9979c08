"""ext2, ext3 and ext4 (Documentation/filesystems/ext4 in Linux): structures by dissect.extfs.

Directories and extents are read here, entry by entry: the library passes over damage in silence. With the
feature metadata_csum the checksums of the superblock, of inodes, directory blocks and extent blocks are
verified; contents have none, nor has anything in ext2 and ext3. A journal that was not replayed is reported:
what was changed last may stand in it only.
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
_BLOCKS_LIMIT = 1 << 22
"""Blocks of a file without extents, at most."""
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
        if flags & _EXTENTS:
            inode._runlist = self._runs(inode, size, what)
        elif size > _BLOCKS_LIMIT * self.fs.block_size:  # the library has a list of all blocks, holes too
            text = f"{what} has {size} bytes in a list of blocks"
            raise ContainerError(text, code="over-budget", offset=self.source.at)
        return content(self.source, size, inode.open, what)

    def _inline(self, inode: Any, what: str) -> bytes:
        data = bytes(inode.inode.i_block)
        if inode.size > len(data):
            with mapped(self.source, what):
                data += next((bytes(x.value) for x in inode.xattr if x.name == "system.data"), b"")
        if len(data) < inode.size:
            raise ContainerError(f"{what} is cut off", code="truncated", offset=self.source.at)
        return data[: inode.size]

    def _runs(self, inode: Any, size: int, what: str) -> list[tuple[int | None, int]]:
        """The extents in the library's form: (first block or None, number of blocks)."""
        found: list[tuple[int | None, int]] = []
        at = 0
        for run in self._extents(inode, bytes(inode.inode.i_block), _DEPTH, what):
            if run.first < at or (run.start or 0) + run.blocks > self.fs.block_count:
                raise damaged(f"the extents of {what} are damaged", self.source.at)
            if run.first > at:
                found.append((None, run.first - at))
            found.append((run.start, run.blocks))
            at = run.first + run.blocks
        blocks = -(-size // self.fs.block_size)
        return [*found, (None, blocks - at)] if blocks > at else found

    def _extents(self, inode: Any, node: bytes, most: int, what: str) -> Iterator[_Run]:
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
            block = self._block(high << 32 | low, what)
            self._verify_extents(inode, block, what)
            if int.from_bytes(block[6:8], "little") != depth - 1:
                raise damaged(f"the extents of {what} are damaged", self.source.at)
            yield from self._extents(inode, block, depth - 1, what)

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
        with mapped(self.source, f"the attributes of {what}"):
            if any(bytes(inode.inode.i_extra)) or inode.inode.i_file_acl_lo:
                for each in inode.xattr:
                    if each.name == "security.ima":
                        notes["security.ima"] = bytes(each.value)
        return notes

    def _entries(self, inode: Any, what: str) -> Iterator[Node]:
        if inode.inode.i_flags & _INLINE:
            raise ContainerError(f"the directory {what} is stored inline", code="unsupported")
        data = self.content(inode, what)
        if data.size % self.fs.block_size:
            raise damaged(f"the directory {what} has {data.size} bytes", self.source.at)
        yield from nodes(self._names(inode, data, what), lambda each: self.node(*each))

    def _names(self, inode: Any, data: SeekReader, what: str) -> Iterator[tuple[bytes, int] | ContainerError]:
        """Names and numbers of inodes in all blocks of a directory; an error for a block that is damaged."""
        for at in range(0, data.size, self.fs.block_size):
            try:
                block = data.read_at(at, self.fs.block_size)
                self._verify_directory(inode, block, first=not at, what=what)
                yield from list(self._in_block(block, what))
            except ContainerError as reason:
                yield reason

    def _verify_directory(self, inode: Any, block: bytes, *, first: bool, what: str) -> None:
        if not self.checked:
            return
        if block[-12:-4] == _TAIL:
            if raw_crc32c(block[:-12], self._seed_of(inode)) != int.from_bytes(block[-4:], "little"):
                raise damaged(
                    f"the checksum of a block of the directory {what} does not match", self.source.at
                )
            return
        # Blocks of an index hold no names: the first one, and those of a single empty entry.
        number, length, *_ = _ENTRY.unpack_from(block)
        index = first or (not number and length == len(block))
        if not (inode.inode.i_flags & _INDEXED and index):
            raise damaged(f"a block of the directory {what} has no checksum", self.source.at)

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


__all__ = ["read"]
