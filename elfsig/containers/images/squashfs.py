"""Squashfs 4 (Documentation/filesystems/squashfs.rst in Linux): read by dissect.squashfs.

Contents are put together here: the library reads each block from its start, wherever a read begins, and takes
seconds for a fragment. The format has no checksums. What is verified: the number of inodes found is that of
the superblock, blocks decompress to no more than they may, and files have the length that they should.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any

import lz4.block
import zstandard
from dissect.squashfs.squashfs import SquashFS

from elfsig.compression import DECODER_MEMORY, streams
from elfsig.containers.contract import Context, Member, damaged
from elfsig.containers.images.source import Source, mapped
from elfsig.containers.images.squashfs_attributes import NONE, security_ima
from elfsig.containers.images.tree import Node, kind_of, listed, members, nodes
from elfsig.containers.readers import Reader, SeekReader
from elfsig.errors import ContainerError

_BLOCK_LIMIT = 1 << 20
_BLOCKS_LIMIT = 1 << 22
"""Blocks of a file, at most: their sizes are read at once."""
_LINK_LIMIT = 1 << 16
_CACHED = 32
"""Metadata and fragment blocks that are kept."""
_STORED = (1 << 24) - 1
_METADATA = 8192
"""Bytes of a block of metadata, unpacked."""


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The members of a file system. Raises ContainerError."""
    source = Source(context.seekable(reader))
    with mapped(source, "the file system"):
        tree = _Tree(source)
    yield from members(tree.node(b"", tree.fs.root), source)
    if tree.fs.size > source.size:
        text = f"the file system is cut off: {source.size} of {tree.fs.size} bytes"
        raise ContainerError(text, code="truncated", offset=source.size)
    if len(tree.inodes) != tree.fs.sb.inodes:
        raise damaged(f"{len(tree.inodes)} of {tree.fs.sb.inodes} inodes are in the directories", 4)


def _zlib(data: bytes, most: int) -> bytes:
    return zlib.decompressobj().decompress(data, most + 1)


def _lzma(data: bytes, most: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=DECODER_MEMORY).decompress(data, most + 1)


def _lz4(data: bytes, most: int) -> bytes:
    return bytes(lz4.block.decompress(data, uncompressed_size=most))


def _zstd(data: bytes, most: int) -> bytes:
    if zstandard.frame_content_size(data) > most:
        return bytes(most + 1)
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=most)


_DECODERS: dict[int, Callable[[bytes, int], bytes]] = {1: _zlib, 2: _lzma, 4: _lzma, 5: _lz4, 6: _zstd}
"""By the number of the compression; each gives one byte more than it may at most, or raises."""


class _Bounded:
    """The library's decompressor, with an end to the memory that it takes and to what it gives."""

    def __init__(self, library: Any, kind: int, source: Source) -> None:
        self.decoder = _DECODERS.get(kind, library.decompress)
        self.source = source

    def decompress(self, data: bytes, most: int) -> bytes:
        """At most ``most`` bytes, or those of a metadata block. Raises ContainerError."""
        most = max(most, _METADATA)
        if len(data) > most:
            raise damaged("a block is larger than its content may be", self.source.at)
        try:
            found = bytes(self.decoder(data, most))
        except lzma.LZMAError as why:
            raise streams.fault("xz", why, self.source.at) from None
        if len(found) > most:
            raise damaged("a block decompresses to more than it may", self.source.at)
        return found


class _Tree:
    """One file system. ``inodes`` are the numbers of those found. Raises ContainerError."""

    def __init__(self, source: Source) -> None:
        self.source = source
        source.seek(12)
        if not 4096 <= int.from_bytes(source.read(4), "little") <= _BLOCK_LIMIT:
            raise damaged("the size of the blocks is impossible", 12)
        source.seek(0)
        self.fs: Any = SquashFS(source)
        self.fs._compression = _Bounded(self.fs._compression, self.fs.sb.compression, source)
        # The library keeps 1024 blocks of up to 1 MiB each.
        self.fs._read_block = lru_cache(_CACHED)(partial(SquashFS._read_block, self.fs))
        self.inodes: set[int] = set()

    def node(self, name: bytes, inode: Any) -> Node:
        """The entry of a directory for an inode. Raises ContainerError."""
        with mapped(self.source, f"the inode of {name!r}"):
            kind = kind_of(inode.type, f"the inode of {name!r}", self.source.at)
            number = inode.header.inode_number
        what = f"inode {number}"
        self.inodes.add(number)
        return Node(
            name,
            kind,
            number,
            children=partial(self._entries, inode, what) if kind == "directory" else None,
            reader=partial(self._content, inode, what) if kind == "file" else None,
            target=partial(self._target, inode, what) if kind == "link" else None,
            notes=partial(self._notes, inode, what),
        )

    def _content(self, inode: Any, what: str) -> SeekReader:
        with mapped(self.source, what):
            size, unit = inode.size, self.fs.block_size
            if size > self.source.size * _BLOCK_LIMIT:
                raise damaged(f"{what} has {size} bytes", self.source.at)
            if size // unit > _BLOCKS_LIMIT:
                text = f"{what} has more than {_BLOCKS_LIMIT} blocks"
                raise ContainerError(text, code="over-budget", offset=self.source.at)
            blocks = [stored for stored, _ in inode.block_list if stored is not None] if size else []
        starts = list(accumulate((stored & _STORED for stored in blocks), initial=inode.header.start_block))

        def fetch(offset: int, wanted: int) -> bytes:
            index, skipped = divmod(offset, unit)
            with mapped(self.source, what):
                if index < len(blocks):
                    there = min(unit, size - index * unit)
                    data = self._block(starts[index], blocks[index], there)
                else:
                    there = size - index * unit
                    data = self.fs._read_fragment(inode.header.fragment, inode.header.offset, there)
            if len(data) != there:
                text = f"{what}: {len(data)} bytes instead of {there}"
                raise ContainerError(text, code="truncated", offset=self.source.at)
            return bytes(data[skipped : skipped + wanted])

        return SeekReader(fetch, size)

    def _block(self, start: int, stored: int, size: int) -> bytes:
        """A block of ``size`` bytes; ``stored`` is its size as stored and a flag, 0 for one of zeros."""
        return bytes(SquashFS._read_block(self.fs, start, stored)[1]) if stored else bytes(size)

    def _target(self, inode: Any, what: str) -> bytes:
        with mapped(self.source, what):
            if inode.size > _LINK_LIMIT:
                raise damaged(f"{what} is a link of {inode.size} bytes", self.source.at)
            return str(inode.link).encode("utf-8", "surrogateescape")

    def _notes(self, inode: Any, what: str) -> Mapping[str, object]:
        with mapped(self.source, f"the attributes of {what}"):
            number, table = getattr(inode.header, "xattr", NONE), self.fs.sb.xattr_id_table_start
            value = None if number == NONE else security_ima(self.source, self.fs._read_block, table, number)
        return {} if value is None else {"security.ima": value}

    def _entries(self, inode: Any, what: str) -> Iterator[Node]:
        listing = listed(inode.iterdir(), self.source, f"the directory {what}")
        yield from nodes(
            listing, lambda entry: self.node(entry.name.encode("utf-8", "surrogateescape"), entry)
        )
