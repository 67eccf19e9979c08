"""Btrfs (Documentation/filesystems/btrfs in Linux, fs/btrfs): trees by dissect.btrfs, all subvolumes.

The checksums of all nodes that are read are verified (CRC-32C, SHA-256 and BLAKE2; not xxHash), those of
contents are not. A log tree that was not replayed is reported: recent changes may be nowhere else. Of several
copies of a node or of data the first is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from struct import Struct
from typing import Any

from dissect.btrfs import tree as library
from dissect.btrfs.btrfs import Btrfs

from elfsig.containers.contract import Context, Member, damaged
from elfsig.containers.images.btrfs_extents import EXTENT_DATA, Extents, Store
from elfsig.containers.images.checksum import crc32c
from elfsig.containers.images.source import Source, mapped
from elfsig.containers.images.tree import Node, kind_of, listed, members, nodes
from elfsig.containers.readers import Reader, SeekReader, bytes_reader
from elfsig.errors import ContainerError

_SUPERBLOCK = 0x10000
_LEVELS = 8
_ATTRIBUTE = 24
"""Key type XATTR_ITEM."""
_SIZES = Struct("<HH")
_LINK_LIMIT = 1 << 16


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The members of a file system. Raises ContainerError."""
    source = Source(context.seekable(reader))
    tree = _Tree(source)
    with mapped(source, "the file system"):
        tree.fs = _Verified(source)
        root = tree.fs.fs_tree.root
    yield from members(tree.node(b"", root), source)
    size = tree.fs.sb.dev_item.total_bytes
    if size > source.size:
        text = f"the file system is cut off: {source.size} of {size} bytes"
        raise ContainerError(text, code="truncated", offset=source.size)
    if tree.fs.sb.log_root:
        text = "the log tree was not replayed: recent changes may be missing"
        raise ContainerError(text, code="unsupported", offset=_SUPERBLOCK)


def _digest(kind: int, data: bytes) -> bytes | None:
    """The checksum of a kind (fs/btrfs/fs.h, btrfs_csum_type); None for one that is not available here."""
    if kind == 0:
        return crc32c(data).to_bytes(4, "little")
    if kind == 2:
        return hashlib.sha256(data).digest()
    return hashlib.blake2b(data, digest_size=32).digest() if kind == 3 else None


class _Verified(Btrfs):  # type: ignore[misc]  # the library is not typed for mypy
    """A file system that verifies its nodes."""

    def __init__(self, source: Source) -> None:
        source.seek(_SUPERBLOCK)
        block = source.read(4096)
        if len(block) < 4096:
            raise ContainerError("the superblock is cut off", code="truncated", offset=source.size)
        self._kind = int.from_bytes(block[0xC4:0xC6], "little")
        self._check(block, _SUPERBLOCK, "the superblock")
        devices = int.from_bytes(block[0x88:0x90], "little")
        node_size = int.from_bytes(block[0x94:0x98], "little")
        if not 4096 <= node_size <= 1 << 16:
            raise damaged(f"nodes of {node_size} bytes", _SUPERBLOCK)
        if devices != 1:
            text = f"a file system of {devices} devices, of which this is one"
            raise ContainerError(text, code="unsupported", offset=_SUPERBLOCK)
        super().__init__(source)

    def _check(self, data: bytes, at: int, what: str) -> None:
        found = _digest(self._kind, data[32:])
        if found is not None and data[: len(found)] != found:
            raise damaged(f"the checksum of {what} does not match", at)

    def _read_node(self, address: int) -> bytes:
        node = bytes(super()._read_node(address))
        if len(node) < self.node_size:
            raise ContainerError("a node is cut off", code="truncated", offset=self.fhs[0].at)
        self._check(node, self.fhs[0].at, f"the node at {address:#x}")
        if int.from_bytes(node[48:56], "little") != address or node[100] >= _LEVELS:
            raise damaged(f"the node at {address:#x} is another one", self.fhs[0].at)
        if not any(node[96:100]):  # of the trees that are read none is ever empty
            raise damaged(f"the node at {address:#x} is empty", self.fhs[0].at)
        return node


class _Cursor(library.Cursor):  # type: ignore[misc]
    """A place in a tree. The library goes down as long as nodes lead further, which they may for ever."""

    def push(self, address: int, initial_index: int = 0) -> None:
        """Go down to a node. Raises ContainerError for one that is not of the level below."""
        above = self._header
        super().push(address, initial_index)
        if above is not None and self._header.level != above.level - 1:
            raise damaged(f"the node at {address:#x} is of another level", self.btree.btrfs.fhs[0].at)


library.Cursor = _Cursor  # which the library makes wherever it looks for something


class _Tree:
    """Nodes of the library as entries of directories."""

    fs: Any = None

    def __init__(self, source: Source) -> None:
        self.source = source

    def node(self, name: bytes, inode: Any) -> Node:
        """The entry of a directory for an inode. Raises ContainerError."""
        what = f"inode {inode.inum} of subvolume {inode.subvolume.objectid}"
        with mapped(self.source, what):
            kind = kind_of(inode.type, what, self.source.at)
            size = inode.size
        return Node(
            name,
            kind,
            (inode.subvolume.objectid, inode.inum),
            children=partial(self._entries, inode, what) if kind == "directory" else None,
            reader=partial(self._content, inode, size, what) if kind == "file" else None,
            target=partial(self._target, inode, what) if kind == "link" else None,
            notes=partial(self._notes, inode, what) if b".ko" in name else None,
        )

    def _content(self, inode: Any, size: int, what: str) -> SeekReader:
        if not size:
            return bytes_reader(b"")
        with mapped(self.source, what):
            cursor = inode.subvolume.tree.cursor()
            items = cursor.iter(inode.inum, EXTENT_DATA, 0, ignore_offset=True)
            store = Store(self._stored, lambda: self.source.at, self.fs.sector_size)
            extents = Extents(((item.key.offset, bytes(data)) for item, data in items), store, what)

        def fetch(at: int, wanted: int) -> bytes:
            with mapped(self.source, what):
                return extents.read(at, max(0, min(wanted, size - at)))

        return SeekReader(fetch, size)

    def _stored(self, address: int, size: int) -> bytes:
        """The bytes at an address of the file system. Raises ContainerError."""
        self.fs._logical_fh.seek(address)
        data = bytes(self.fs._logical_fh.read(size))
        if len(data) < size:
            raise ContainerError("a content is cut off", code="truncated", offset=self.source.at)
        return data

    def _target(self, inode: Any, what: str) -> bytes:
        if inode.size > _LINK_LIMIT:
            raise damaged(f"{what} is a link of {inode.size} bytes", self.source.at)
        with mapped(self.source, what):
            return bytes(inode.open().read())

    def _notes(self, inode: Any, what: str) -> Mapping[str, object]:
        with mapped(self.source, f"the attributes of {what}"):
            cursor = inode.subvolume.tree.cursor()
            for _, data in cursor.iter(inode.inum, _ATTRIBUTE, 0, ignore_offset=True):
                value_size, name_size = _SIZES.unpack_from(data, 25)
                name = bytes(data[30 : 30 + name_size])
                if name == b"security.ima":
                    return {"security.ima": bytes(data[30 + name_size : 30 + name_size + value_size])}
        return {}

    def _entries(self, inode: Any, what: str) -> Iterator[Node]:
        listing = listed(inode.iterdir(), self.source, f"the directory {what}")
        named = ((name.encode("utf-8", "surrogateescape"), found) for name, found, *_ in listing)
        entries = (each for each in named if each[0] not in (b".", b".."))
        yield from nodes(entries, lambda each: self.node(*each))
