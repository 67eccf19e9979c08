"""ISO 9660 (ECMA-119) with the names of Rock Ridge or Joliet: structures by pycdlib.

The format has no checksums for contents. Verified: extents lie in the image, directories are not inside
themselves. Where a disc has several trees of names, files that are only in the second are given after those
of the first. Partitions and boot images of the same disc are given as well, but those that are the image or a
file in it. A UDF or HFS+ file system on the same disc is not read, which is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from pycdlib import PyCdlib

from elfsig.containers.archives import zisofs
from elfsig.containers.archives.disc import apple, boot_images
from elfsig.containers.contract import Budget, Context, Member
from elfsig.containers.images.source import Source, mapped
from elfsig.containers.images.tree import Node, members
from elfsig.containers.partitions import beside
from elfsig.containers.readers import Reader, SeekReader, anew
from elfsig.errors import ContainerError

_DESCRIPTORS = 32768
"""Where the image's own descriptors are: partitions that start before are the image."""


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The members of an image. Raises ContainerError."""
    whole = context.seekable(reader)
    source = _Structures(whole)
    with mapped(source, "the image"):
        disc: Any = PyCdlib()
        disc.open_fp(source)
        sector = disc.pvd.logical_block_size()
        size = disc.pvd.space_size * sector
        found = _Found(whole, source, context.budget, sector, is_cut=size > whole.size)
        roots = [(joliet, volume.root_directory_record()) for joliet, volume in _volumes(disc)]
        udf = disc.has_udf()
    faults: list[ContainerError] = []
    for number, (joliet, root) in enumerate(roots):
        yield from _attempted(_files(_Tree(found, joliet), root, first=not number), faults)
    if size > whole.size:
        text = f"the image is cut off: {whole.size} of {size} bytes"
        raise ContainerError(text, code="truncated", offset=whole.size)
    for member in _attempted(beside(whole, context, size, found.is_outside), faults):
        found.starts.add(member.offset or 0)
        yield member
    yield from _attempted(boot_images(disc, whole, sector, found.starts), faults)
    if udf:
        text = "the UDF file system on the same disc was not read"
        faults.append(ContainerError(text, code="unsupported", offset=_DESCRIPTORS))
    if (fault := next(iter(faults), None) or apple(whole, found.starts)) is not None:
        raise fault


def _attempted(found: Iterator[Member], faults: list[ContainerError]) -> Iterator[Member]:
    """Members; the error that ends them is added to ``faults``."""
    try:
        yield from found
    except ContainerError as reason:
        faults.append(anew(reason))
        if reason.code == "over-budget":
            raise


def _volumes(disc: Any) -> list[tuple[bool, Any]]:
    """Whether it has the names of Joliet, and each tree: first the one with the better names."""
    trees = [(False, disc.pvd)]
    if disc.has_joliet():
        trees.insert(1 if disc.has_rock_ridge() else 0, (True, disc.joliet_vd))
    return trees


def _files(tree: _Tree, root: Any, *, first: bool) -> Iterator[Member]:
    """The members of a tree; of a second one only files that no tree before it has."""
    for member in members(tree.node(b"", root), tree.found.source):
        if first or member.kind == "file":
            yield member


class _Structures(Source):
    """The disc as the library reads it, which does not know the field of compressed files and would read
    nothing: as one of the fields that each system may use (RRIP: PD)."""

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; fewer at the end. Raises ContainerError."""
        return super().read(size).replace(zisofs.FIELD, b"PD" + zisofs.FIELD[2:])


class _Found:
    """The disc, and what was found on it so far. ``sector`` is the unit of its records in bytes; ``extents``
    are (start, size) of files. ``is_cut``: the end of the image is not there, and the library has shortened
    the file that reaches it."""

    def __init__(
        self, whole: SeekReader, source: Source, budget: Budget, sector: int, *, is_cut: bool
    ) -> None:
        self.whole, self.source, self.budget, self.sector = whole, source, budget, sector
        self.is_cut = is_cut
        self.starts: set[int] = set()
        self.extents: set[tuple[int, int]] = set()

    def is_outside(self, start: int) -> bool:
        """Whether a partition that starts there is neither the image itself nor one of its files."""
        return start > _DESCRIPTORS and start not in self.starts


class _Tree:
    """Directory records of the library as nodes, but files that were ``found`` before in another tree."""

    def __init__(self, found: _Found, joliet: bool) -> None:
        self.found, self.joliet = found, joliet
        self._before = frozenset(found.extents)

    def node(self, name: bytes, record: Any) -> Node:
        """The entry of a directory for a record."""
        ridge = record.rock_ridge
        if record.is_dir():
            children = partial(self._entries, record)
            return Node(name, "directory", record.extent_location(), children=children)
        if ridge is not None and ridge.is_symlink():
            return Node(name, "link", None, target=lambda: bytes(ridge.symlink_path()))
        self.found.starts.add(self._extent(record)[0])
        self.found.extents.add(self._extent(record))
        return Node(name, "file", None, reader=partial(self._content, record, name))

    def _extent(self, record: Any) -> tuple[int, int]:
        return record.extent_location() * self.found.sector, record.get_data_length()

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
            if record.is_dir() or self._extent(record) not in self._before:
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
        whole, packed = self.found.whole, _is_packed(record.rock_ridge)
        places: list[tuple[int, int]] = []
        while record is not None:
            start, size = self._extent(record)
            if start + size > whole.size - self.found.is_cut:
                text = f"the file {name!r} is cut off"
                raise ContainerError(text, code="truncated", offset=whole.size)
            places.append((start, size))
            record = record.data_continuation
        if len(places) == 1:
            stored = whole.window(*places[0])
        else:
            stored = SeekReader(partial(_joined, whole, places), sum(size for _, size in places))
        return zisofs.content(stored, self.found.budget, places[0][0]) if packed else stored


def _is_packed(ridge: Any) -> bool:
    """Whether a file has the field that :class:`_Structures` has renamed."""
    entries = () if ridge is None else (ridge.dr_entries, ridge.ce_entries)
    fields = [each for entry in entries if entry is not None for each in entry.pd_records]
    return any(each.padding.startswith(zisofs.FIELD[4:]) for each in fields)


def _joined(whole: SeekReader, places: list[tuple[int, int]], offset: int, wanted: int) -> bytes:
    """The bytes at ``offset`` of extents put together; fewer at the end of one."""
    for start, size in places:
        if offset < size:
            return whole.read_at(start + offset, min(wanted, size - offset))
        offset -= size
    return b""
