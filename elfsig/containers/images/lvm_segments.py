"""The bytes of logical volumes that dissect.volume misreads: in stripes, and of thin pools.

The library puts the stripes of a segment after each other, which is right for a single one. Of a thin volume
it takes the rest of a read for zeros where a chunk is not stored. The checksums in the metadata of thin pools
(drivers/md/persistent-data and dm-thin-metadata.c in Linux) are verified here.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from dissect.volume.dm.btree import Node
from dissect.volume.lvm.metadata import SnapshotSegment, StripedSegment, ThinSegment

from elfsig.containers.contract import damaged
from elfsig.containers.images.checksum import raw_crc32c
from elfsig.containers.images.source import Source
from elfsig.containers.readers import SeekReader
from elfsig.errors import ContainerError

_SECTOR = 512
_SUPERBLOCK_SUM, _NODE_SUM = 160774, 121107
"""What checksums are combined with (SUPERBLOCK_CSUM_XOR, BTREE_CSUM_XOR)."""
_INTERNAL, _LEAF = 1, 2
_METADATA_BLOCKS = (8,)
"""Sizes of blocks of metadata in sectors: Linux has one (THIN_METADATA_BLOCK_SIZE)."""
_CACHED = 64
"""Nodes that are kept."""
_LEVELS = 16
"""Nodes on the way to a key, at most: four would be enough for the largest pool."""


def mend(group: Any) -> None:
    """Have the segments of a volume group of the library be read by the functions here."""
    for segment in (each for volume in group.lv for each in volume.segments):
        if isinstance(segment, StripedSegment):
            segment.open = partial(_striped, segment)
        elif isinstance(segment, ThinSegment):
            segment.open = partial(_thin, segment, segment.open)


def stores(group: Any) -> set[str]:
    """The names of volumes that hold what was changed since a snapshot, or on one: they are shown like
    volumes, and are not the content of one."""
    segments = (each for volume in group.lv for each in volume.segments)
    found = [each for each in segments if isinstance(each, SnapshotSegment)]
    return {str(name) for each in found for name in (each.cow_store, each.merging_store) if name}


def _striped(segment: Any) -> Source:
    """The content of a segment in stripes: pieces of ``stripe_size`` from each place in turn."""
    group = segment.lv.volume_group
    extent = group.extent_size * _SECTOR
    size, count = segment.extent_count * extent, len(segment.stripes)
    piece = (segment.stripe_size or 0) * _SECTOR if count > 1 else max(1, size)
    if not count or piece <= 0 or segment.stripe_count != count:
        raise damaged(f"a segment of {count} stripes with pieces of {piece} bytes", 0)
    parts = [(group.physical_volumes[name].dev.open(), place * extent) for name, place in segment.stripes]

    def fetch(offset: int, wanted: int) -> bytes:
        number, within = divmod(offset, piece)
        row, column = divmod(number, count)
        stream, start = parts[column]
        stream.seek(start + row * piece + within)
        return bytes(stream.read(min(wanted, piece - within)))

    return Source(SeekReader(fetch, size))


# --------------------------------------------------------------------------- thin volumes


def _thin(segment: Any, opened: Any) -> Source:
    """The content of a thin volume, chunk by chunk."""
    if segment.external_origin:
        text = "a thin volume that has the changes of another volume, which elfsig does not read"
        raise ContainerError(text, code="unsupported")
    stream = opened()
    metadata, chunk = stream.pool.metadata, stream.block_size
    _verify_pool(metadata)
    for tree in (metadata.data_mapping, metadata.device_details):
        tree._lookup = _Lookup(tree)

    def fetch(offset: int, wanted: int) -> bytes:
        stream.seek(offset)
        return bytes(stream.read(min(wanted, chunk - offset % chunk)))

    return Source(SeekReader(fetch, int(stream.size)))


def _verify_pool(metadata: Any) -> None:
    if metadata.metadata_block_size not in _METADATA_BLOCKS:
        raise damaged(f"a thin pool with blocks of {metadata.metadata_block_size} sectors", 0)
    metadata.fh.seek(0)
    block = metadata.fh.read(metadata.metadata_block_size * _SECTOR)
    if raw_crc32c(block[4:]) ^ _SUPERBLOCK_SUM != int.from_bytes(block[:4], "little"):
        raise damaged("the checksum of a thin pool does not match", 0)


class _Lookup:
    """The library's search for a key in a tree, with nodes that are verified and an end to the way down."""

    def __init__(self, tree: Any) -> None:
        self._tree, self._search, self._left = tree, tree._lookup, 0
        self._verified = lru_cache(_CACHED)(self._read)
        tree._read_node = self._node

    def __call__(self, root: int, key: int, want_high: bool = False) -> Any:
        self._left = _LEVELS
        return self._search(root, key, want_high)

    def _node(self, number: int) -> Any:
        size = self._tree._block_size_bytes
        self._left -= 1
        if not self._left:
            raise damaged("the nodes of a thin pool form a loop", number * size)
        return self._verified(number, size)

    def _read(self, number: int, size: int) -> Any:
        self._tree.fh.seek(number * size)
        block = self._tree.fh.read(size)
        node: Any = Node(block)
        own = int.from_bytes(block[8:16], "little")
        if raw_crc32c(block[4:]) ^ _NODE_SUM != int.from_bytes(block[:4], "little") or own != number:
            raise damaged("the checksum of a node of a thin pool does not match", number * size)
        if node.header.flags not in (_INTERNAL, _LEAF) or node.num_entries > node.max_entries:
            raise damaged("a node of a thin pool is malformed", number * size)
        return node
