"""FAT12, FAT16 and FAT32 (Microsoft, FAT specification 1.03): read by dissect.fat.

The format has no checksums. What is verified: the copies of the table are the same, chains of clusters do not
form loops, and files have the clusters that they need. Removed entries are not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from dissect.fat.c_fat import Fattype, c_fat
from dissect.fat.fat import FAT, FATFS, RootDirectory

from elfsig.containers.contract import Context, Member, damaged
from elfsig.containers.images.source import Source, content, mapped
from elfsig.containers.images.tree import Node, members
from elfsig.containers.readers import PIECE, Reader, SeekReader, bytes_reader
from elfsig.errors import ContainerError

_MOST_FAT12 = 4084
_FIRST_CLUSTER = 2
_TABLE_SIZE, _ROOT = 22, 44
"""Where the boot sector has the size of the table (BPB_FATSz16) and the root directory (BPB_RootClus)."""
_LOWER_BASE, _LOWER_SUFFIX = 0x08, 0x10
"""Of the reserved byte of an entry: the name, or its suffix, is meant in lower case."""


def read(reader: Reader, context: Context) -> Iterator[Member]:
    """The members of a file system. Raises ContainerError."""
    source = Source(context.seekable(reader))
    with mapped(source, "the file system"):
        fs = _opened(source)
        fs.fat.chain = partial(_chain, fs.fat.chain, fs.fat.entry_count, source)
    tree = _Tree(source, fs)
    yield from members(Node(b"", "directory", 0, children=partial(tree.entries, fs.root)), source)
    size = fs.total_sectors * fs.sector_size
    if size > source.size:
        text = f"the file system is cut off: {source.size} of {size} bytes"
        raise ContainerError(text, code="truncated", offset=source.size)
    _same_tables(fs, source)


def _opened(source: Source) -> Any:
    """The file system with the type that Linux gives it: FAT32 by the size of its table alone, however few
    clusters there are (fat_fill_super in fs/fat/inode.c). The library goes by the number of clusters."""
    fs: Any = FATFS(source)
    if not fs.fat_size:
        raise damaged("the allocation table has no sectors", _TABLE_SIZE)
    clusters = (fs.total_sectors - fs.first_data_sector) // fs.bpb.BPB_SecPerClus
    small = Fattype.FAT16 if clusters > _MOST_FAT12 else Fattype.FAT12
    kind = small if fs.bpb.BPB_FATSz16 else Fattype.FAT32
    if kind != fs.type:
        source.seek(len(c_fat.Bpb))
        extended = c_fat.Bpb32 if kind == Fattype.FAT32 else c_fat.Bpb16
        fs.type, fs.bpb_ext = kind, extended(source.read(len(extended)))
        fs.fat, fs.root = FAT(fs.fat.fh, kind), RootDirectory(fs)
    if kind == Fattype.FAT32 and fs.bpb_ext.BPB_RootClus < _FIRST_CLUSTER:
        raise damaged("the root directory has no cluster", _ROOT)
    return fs


def _name(entry: Any) -> str:
    """The long name, or the short one in the case that Linux and Windows show."""
    if entry.ldirents:
        return str(entry.name).rstrip("\0")
    base, dot, suffix = str(entry.short_name).partition(".")
    case = entry.dirent.DIR_NTRes
    return (
        (base.lower() if case & _LOWER_BASE else base)
        + dot
        + (suffix.lower() if case & _LOWER_SUFFIX else suffix)
    )


def _chain(chain: Callable[[int], Iterator[int]], most: int, source: Source, cluster: int) -> Iterator[int]:
    """The library's chain, which does not end if the table holds a loop."""
    for count, each in enumerate(chain(cluster)):
        if count >= most:
            raise damaged("the clusters of a file form a loop", source.at)
        yield each


def _same_tables(fs: Any, source: Source) -> None:
    size = fs.fat_size * fs.sector_size
    first = fs.bpb.BPB_RsvdSecCnt * fs.sector_size
    for copy in range(1, fs.bpb.BPB_NumFATs):
        for at in range(0, size, PIECE):
            source.seek(first + at)
            one = source.read(min(PIECE, size - at))
            source.seek(first + copy * size + at)
            if source.read(min(PIECE, size - at)) != one:
                raise damaged("the copies of the allocation table differ", source.at)


class _Tree:
    """Entries of the library as nodes."""

    def __init__(self, source: Source, fs: Any) -> None:
        self.source, self.fs = source, fs

    def entries(self, directory: Any) -> Iterator[Node]:
        """The entries of a directory. Raises ContainerError."""
        listing = directory.iterdir()
        while True:
            with mapped(self.source, "a directory"):
                entry = next(listing, None)
                if entry is None:
                    return
                name = _name(entry).encode("utf-8", "surrogatepass")
                volume, folder, cluster = entry.is_volume_id(), entry.is_directory(), entry.cluster
            if volume or name in (b".", b".."):
                continue
            if folder:
                yield Node(name, "directory", cluster or id(entry), children=partial(self.entries, entry))
            else:
                yield Node(name, "file", cluster, reader=partial(self._content, entry, name))

    def _content(self, entry: Any, name: bytes) -> SeekReader:
        size = entry.size
        return content(self.source, size, entry.open, f"the file {name!r}") if size else bytes_reader(b"")
