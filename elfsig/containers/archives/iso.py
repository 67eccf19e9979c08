"""ISO 9660 (ECMA-119) with the names of Rock Ridge or Joliet: structures by pycdlib.

The format has no checksums for contents. Verified: extents lie in the image, directories are not inside
themselves. Partitions of the same disc are given as well, but those that are the image or a file in it. A UDF
file system on the same disc is not read, which is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from pycdlib import PyCdlib

from elfsig.containers.contract import Context, Member
from elfsig.containers.images.source import Source, mapped
from elfsig.containers.images.tree import Node, members
from elfsig.containers.partitions import beside
from elfsig.containers.readers import Reader, SeekReader
from elfsig.errors import ContainerError

_DESCRIPTORS = 32768
"""Where the image's own descriptors are: partitions that start before are the image."""


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The members of an image. Raises ContainerError."""
    whole = context.seekable(reader)
    source = Source(whole)
    with mapped(source, "the image"):
        disc: Any = PyCdlib()
        disc.open_fp(source)
        joliet = not disc.has_rock_ridge() and disc.has_joliet()
        volume = disc.joliet_vd if joliet else disc.pvd
        root, sector = volume.root_directory_record(), volume.logical_block_size()
        size = volume.space_size * sector
        udf = disc.has_udf()
    tree = _Tree(whole, source, sector, joliet, is_cut=size > whole.size)
    yield from members(tree.node(b"", root), source)
    if size > whole.size:
        text = f"the image is cut off: {whole.size} of {size} bytes"
        raise ContainerError(text, code="truncated", offset=whole.size)
    yield from beside(whole, context, size, tree.is_outside)
    if udf:
        text = "the UDF file system on the same disc was not read"
        raise ContainerError(text, code="unsupported", offset=_DESCRIPTORS)


class _Tree:
    """Directory records of the library as nodes; ``sector`` is their unit in bytes.

    ``is_cut``: the end of the image is not there, and the library has shortened the file that reaches it."""

    def __init__(self, whole: SeekReader, source: Source, sector: int, joliet: bool, *, is_cut: bool) -> None:
        self.whole, self.source, self.sector, self.joliet = whole, source, sector, joliet
        self.is_cut = is_cut
        self.starts: set[int] = set()

    def node(self, name: bytes, record: Any) -> Node:
        """The entry of a directory for a record."""
        ridge = record.rock_ridge
        if record.is_dir():
            children = partial(self._entries, record)
            return Node(name, "directory", record.extent_location(), children=children)
        if ridge is not None and ridge.is_symlink():
            return Node(name, "link", None, target=lambda: bytes(ridge.symlink_path()))
        self.starts.add(record.extent_location() * self.sector)
        return Node(name, "file", None, reader=partial(self._content, record, name))

    def is_outside(self, start: int) -> bool:
        """Whether a partition that starts there is neither the image itself nor one of its files."""
        return start > _DESCRIPTORS and start not in self.starts

    def _entries(self, directory: Any) -> Iterator[Node]:
        children = list(directory.children)
        at = 0
        while at < len(children):
            record = children[at]
            at += 1
            if record.is_dot() or record.is_dotdot():
                continue
            if record.rock_ridge is not None and record.rock_ridge.child_link_record_exists():
                continue  # the place where a deep directory was: it is listed where it was moved to
            yield self.node(self._name(record), record)
            while record.data_continuation is not None and at < len(children):
                record = record.data_continuation
                at += 1

    def _name(self, record: Any) -> bytes:
        if record.rock_ridge is not None and record.rock_ridge.name():
            return bytes(record.rock_ridge.name())
        name = bytes(record.file_identifier())
        if self.joliet:
            return name.decode("utf-16-be", "replace").encode("utf-8", "surrogatepass")
        return name.split(b";")[0].removesuffix(b".")

    def _content(self, record: Any, name: bytes) -> SeekReader:
        """The extents of a file, which follow each other in records of the same name."""
        places: list[tuple[int, int]] = []
        while record is not None:
            start, size = record.extent_location() * self.sector, record.get_data_length()
            if start + size > self.whole.size - self.is_cut:
                text = f"the file {name!r} is cut off"
                raise ContainerError(text, code="truncated", offset=self.whole.size)
            places.append((start, size))
            record = record.data_continuation
        if len(places) == 1:
            return self.whole.window(*places[0])
        return SeekReader(partial(_joined, self.whole, places), sum(size for _, size in places))


def _joined(whole: SeekReader, places: list[tuple[int, int]], offset: int, wanted: int) -> bytes:
    """The bytes at ``offset`` of extents put together; fewer at the end of one."""
    for start, size in places:
        if offset < size:
            return whole.read_at(start + offset, min(wanted, size - offset))
        offset -= size
    return b""
