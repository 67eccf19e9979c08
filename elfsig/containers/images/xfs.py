"""XFS, versions 4 and 5 (XFS Algorithms and Data Structures): structures by dissect.xfs.

Directories and extents are read here: the library knows only directory blocks of one file system block,
passes over those that are damaged, and reads unwritten extents as what stood there before. In version 5 the
checksums of the superblock, of inodes and of directory blocks are verified; blocks of extent trees are
recognised by their magic, contents have no checksum. A log that was not replayed is reported: recent changes
may be nowhere else. The attribute security.ima is read in inodes and in leaf blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from dissect.xfs.xfs import XFS, parse_fsblock

from elfsig.containers.contract import Context, Member, damaged
from elfsig.containers.images import xfs_log
from elfsig.containers.images.checksum import crc32c
from elfsig.containers.images.source import Source, content, mapped
from elfsig.containers.images.tree import Node, kind_of, members, nodes
from elfsig.containers.images.xfs_attributes import Attribute, in_inode, in_leaf
from elfsig.containers.readers import Reader, SeekReader
from elfsig.errors import ContainerError

_SB_CRC, _INODE_CRC, _DIRECTORY_CRC = 224, 100, 4
_REALTIME = 1
_LOCAL, _EXTENTS, _TREE = 1, 2, 3
_DATA_BLOCKS = {b"XD2B": True, b"XDB3": True, b"XD2D": False, b"XDD3": False}
"""Magic of a directory block -> whether its index is at its end."""
_ATTRIBUTE_BLOCKS = 64
_LINK_LIMIT = 1024


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The members of a file system. Raises ContainerError."""
    source = Source(context.seekable(reader))
    with mapped(source, "the file system"):
        system = _System(source)
    yield from members(system.node(b"", system.fs.sb.sb_rootino), source)
    size = system.fs.sb.sb_dblocks * system.fs.block_size
    if size > source.size:
        text = f"the file system is cut off: {source.size} of {size} bytes"
        raise ContainerError(text, code="truncated", offset=source.size)
    with mapped(source, "the log"):
        system.check_log()


class _Xfs(XFS):  # type: ignore[misc]  # the library is not typed for mypy
    """A file system whose trees of extents have no empty nodes, as in Linux (xfs_btree_check_lblock_verifier
    and what writes them): many could lead to the same one, and the way over all of them would not end."""

    def _walk_large_tree(self, node: Any, leaf_size: int, magic: list[int] | None = None) -> Iterator[bytes]:
        if not node.bb_numrecs:
            raise damaged("a node of a tree of extents is empty", self.fh.at)
        yield from super()._walk_large_tree(node, leaf_size, magic)


class _System:
    """One file system. Raises ContainerError for a superblock that cannot be right."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.fs: Any = _Xfs(source)
        sb = self.fs.sb
        self.checked = self.fs.version == 5
        if self.checked:
            source.seek(0)
            raw = source.read(sb.sb_sectsize)
            self._verify(raw, _SB_CRC, 0, "the superblock")
        self.directory_block = self.fs.block_size << sb.sb_dirblklog
        if self.directory_block > 1 << 16:
            raise damaged(f"directory blocks of {self.directory_block} bytes", 0)

    def _verify(self, raw: bytes, field: int, at: int, what: str) -> None:
        stored = int.from_bytes(raw[field : field + 4], "little")
        if self.checked and crc32c(raw[:field] + bytes(4) + raw[field + 4 :]) != stored:
            raise damaged(f"the checksum of {what} does not match", at)

    def _offset(self, number: int) -> int:
        """Where in the image a block is whose number has that of its group in the upper bits."""
        sb = self.fs.sb
        group, block = number >> sb.sb_agblklog, number & ((1 << sb.sb_agblklog) - 1)
        return int((group * sb.sb_agblocks + block) * self.fs.block_size)

    def check_log(self) -> None:
        """Raises ContainerError unless it is certain that nothing has to be replayed."""
        sb = self.fs.sb
        if not sb.sb_logstart:
            text = "the log is on another device: recent changes may be missing"
            raise ContainerError(text, code="unsupported", offset=0)
        start = self._offset(sb.sb_logstart)
        blocks = sb.sb_logblocks * self.fs.block_size // xfs_log.BLOCK

        def read(at: int, count: int) -> bytes:
            self.source.seek(start + at * xfs_log.BLOCK)
            data = self.source.read(count * xfs_log.BLOCK)
            if len(data) < count * xfs_log.BLOCK:
                raise ContainerError("the log is cut off", code="truncated", offset=self.source.size)
            return data

        if not blocks or not xfs_log.is_clean(read, blocks):
            text = "the log was not replayed: recent changes may be missing"
            raise ContainerError(text, code="unsupported", offset=start)

    # ------------------------------------------------------------------ inodes

    def inode(self, number: int) -> Any:
        """The library's inode, its checksum verified. Raises ContainerError."""
        what = f"inode {number}"
        with mapped(self.source, what):
            found = self.fs.get_inode(number)
            _ = found.inode
        if self.checked:
            self._verify(found._buf.getvalue(), _INODE_CRC, self.source.at, what)
            if found.inode.di_ino != number:
                raise damaged(f"{what} has another number", self.source.at)
        return found

    def content(self, inode: Any, what: str) -> SeekReader:
        """The content of a file or directory. Raises ContainerError."""
        if inode.inode.di_flags & _REALTIME:
            raise ContainerError(f"{what} is on a realtime device", code="unsupported", offset=self.source.at)
        if inode.size > 1 << 60:
            raise damaged(f"{what} has {inode.size} bytes", self.source.at)
        if inode.inode.di_format in (_EXTENTS, _TREE):
            with mapped(self.source, what):
                inode.__dict__["dataruns"] = self._runs(inode, what)
        return content(self.source, inode.size, inode.open, what)

    def _runs(self, inode: Any, what: str) -> list[tuple[int | None, int]]:
        """The extents in the library's form: (first block or None for zeros, number of blocks)."""
        found: list[tuple[int | None, int]] = []
        at, sb, count = 0, self.fs.sb, 0
        blocks = -(-inode.size // self.fs.block_size)
        for first, start, length, unwritten in inode._iter_blocks():
            count += 1
            group, block = start >> sb.sb_agblklog, start & ((1 << sb.sb_agblklog) - 1)
            if first < at or not length or group >= sb.sb_agcount or block + length > sb.sb_agblocks:
                raise damaged(f"the extents of {what} are damaged", self.source.at)
            if first > at:
                found.append((None, first - at))
            found.append((None if unwritten else group * sb.sb_agblocks + block, length))
            at = first + length
        if count != inode.data_extents:
            raise damaged(f"{what} has {count} of {inode.data_extents} extents", self.source.at)
        return [*found, (None, blocks - at)] if blocks > at else found

    # ------------------------------------------------------------------ the tree

    def node(self, name: bytes, number: int) -> Node:
        """The entry of a directory for inode ``number``. Raises ContainerError."""
        inode = self.inode(number)
        what = f"inode {number}"
        kind = kind_of(inode.inode.di_mode, what, self.source.at)
        return Node(
            name,
            kind,
            number,
            children=partial(self._entries, inode, what) if kind == "directory" else None,
            reader=partial(self.content, inode, what) if kind == "file" else None,
            target=partial(self._target, inode, what) if kind == "link" else None,
            notes=partial(self._notes, inode, what),
        )

    def _target(self, inode: Any, what: str) -> bytes:
        if inode.size > _LINK_LIMIT:
            raise damaged(f"{what} is a link of {inode.size} bytes", self.source.at)
        with mapped(self.source, what):
            return str(inode.link).encode("utf-8", "surrogateescape")

    def _notes(self, inode: Any, what: str) -> Mapping[str, object]:
        for found in self._attributes(inode, what) if inode.inode.di_forkoff else ():
            if not found.secure or found.name != b"ima":
                continue
            if found.value is None:
                text = f"the attribute security.ima of {what} is in blocks of its own"
                raise ContainerError(text, code="unsupported", offset=self.source.at)
            return {"security.ima": found.value}
        return {}

    def _attributes(self, inode: Any, what: str) -> Iterator[Attribute]:
        with mapped(self.source, f"the attributes of {what}"):
            fork, kind = bytes(inode.attrfork().read()), inode.inode.di_aformat
        if kind == _LOCAL:
            yield from in_inode(fork, self.source.at, what)
            return
        if kind != _EXTENTS:
            text = f"the attributes of {what} are in a tree of extents"
            raise ContainerError(text, code="unsupported", offset=self.source.at)
        size = self.fs.block_size
        for number in range(inode.attr_extents):
            _, start, length, _ = parse_fsblock(fork[16 * number :][:16].ljust(16, b"\0"))
            if not length or 16 * number >= len(fork) or length > _ATTRIBUTE_BLOCKS:
                raise damaged(f"the attributes of {what} are damaged", self.source.at)
            self.source.seek(self._offset(start))
            blocks = self.source.read(length * size)
            for at in range(0, len(blocks), size):
                yield from in_leaf(blocks[at : at + size], self.source.at, what)

    def _entries(self, inode: Any, what: str) -> Iterator[Node]:
        blocks = self._short(inode, what) if inode.inode.di_format == _LOCAL else self._blocks(inode, what)
        entries = (e for block in blocks for e in ([block] if isinstance(block, ContainerError) else block))
        yield from nodes(entries, lambda each: self.node(*each))

    def _short(self, inode: Any, what: str) -> Iterator[list[tuple[bytes, int]]]:
        """The entries of a directory that is in its inode: one list."""
        with mapped(self.source, what):
            data = bytes(inode.datafork().read())
        if len(data) < 6:
            raise damaged(f"the directory {what} is cut off", self.source.at)
        width = 8 if data[1] else 4
        typed = 1 if self.fs._has_ftype else 0
        at, found = 2 + width, []
        for _ in range(data[1] if data[1] > data[0] else data[0]):
            size = data[at] if at < len(data) else 0
            end = at + 3 + size + typed + width
            if not size or end > len(data):
                raise damaged(f"an entry of the directory {what} is damaged", self.source.at)
            found.append((data[at + 3 : at + 3 + size], int.from_bytes(data[end - width : end], "big")))
            at = end
        if at != inode.size:
            raise damaged(f"the directory {what} has {inode.size} bytes, its entries {at}", self.source.at)
        yield found

    def _blocks(self, inode: Any, what: str) -> Iterator[list[tuple[bytes, int]] | ContainerError]:
        """The entries of a directory, block by block, or why they cannot be read."""
        data = self.content(inode, what)
        if data.size % self.directory_block:
            raise damaged(f"the directory {what} has {data.size} bytes", self.source.at)
        for at in self._stored(inode, data.size):
            try:
                block = data.read_at(at, self.directory_block)
                yield list(self._in_block(block, what))
            except ContainerError as reason:
                yield reason

    def _stored(self, inode: Any, size: int) -> Iterator[int]:
        """The offsets of the blocks of a directory that are there: where all was removed, there is a hole."""
        if sum(blocks for start, blocks in inode.dataruns if start is not None) > self.fs.sb.sb_dblocks:
            raise damaged(f"inode {inode.inum} has more blocks than there are", self.source.at)
        at, last = 0, -1
        for start, blocks in inode.dataruns:
            end = min(at + blocks * self.fs.block_size, size)
            for offset in range(at, end, self.fs.block_size) if start is not None else ():
                if offset // self.directory_block != last:
                    last = offset // self.directory_block
                    yield last * self.directory_block
            at += blocks * self.fs.block_size

    def _in_block(self, block: bytes, what: str) -> Iterator[tuple[bytes, int]]:
        where = self.source.at
        if block[:4] not in _DATA_BLOCKS:
            raise damaged(f"a block of the directory {what} is damaged", where)
        self._verify(block, _DIRECTORY_CRC, where, f"a block of the directory {what}")
        typed = 1 if self.fs._has_ftype else 0
        at, end = 64 if self.checked else 16, len(block)
        if _DATA_BLOCKS[block[:4]]:
            end -= 8 + 8 * int.from_bytes(block[-8:-4], "big")
        while at < end:
            unused = block[at : at + 2] == b"\xff\xff"
            if unused:
                length = int.from_bytes(block[at + 2 : at + 4], "big")
            else:
                length = -(-(11 + int.from_bytes(block[at + 8 : at + 9], "big") + typed) // 8) * 8
            tag = int.from_bytes(block[at + length - 2 : at + length], "big")
            if length < 8 or length % 8 or at + length > end or tag != at:
                raise damaged(f"an entry of the directory {what} is damaged", where)
            if not unused:
                name = block[at + 9 : at + 9 + block[at + 8]]
                if name not in (b".", b".."):
                    yield name, int.from_bytes(block[at : at + 8], "big")
            at += length
