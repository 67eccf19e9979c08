"""File systems that are bad for their readers: large and deep directories, files in many pieces.

Made by the tools of each file system, once for each size; without its tool a shape is not measured.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from elfsig.containers.contract import Budget, Context
from elfsig.containers.names import Step
from elfsig.containers.readers import descriptor_reader
from elfsig.containers.walk import Found, walk
from elfsig.errors import ContainerError
from tests.linear.measure import Call, Shape
from tests.support import images, packages

FILE = (Step("file", b"f"),)


def ext(tool: str, tree: Path, out: Path) -> None:
    """Small blocks, so that there are more of them."""
    images.call(tool, "-q", "-b", "1024", "-N", "20000", "-d", tree, out, "64M")


TOOLS: Mapping[str, tuple[str, Callable[[Path, Path], None]]] = {
    "ext4": ("mkfs.ext4", partial(ext, "mkfs.ext4")),
    "ext2": ("mkfs.ext2", partial(ext, "mkfs.ext2")),
    "xfs": ("mkfs.xfs", images.xfs),
    "btrfs": ("mkfs.btrfs", images.btrfs),
    "squashfs": ("mksquashfs", images.squashfs),
    "fat": ("mkfs.vfat", images.fat),
    "iso": ("xorriso", images.iso),
    "7z": ("7zz", images.sevenzip),
}
"""The program that a file system needs, and how it is made from a tree."""


class Volume:
    """A file without a name, open as long as this is there."""

    def __init__(self, path: Path) -> None:
        self.descriptor: int = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size: int = os.fstat(self.descriptor).st_size

    def __del__(self) -> None:
        os.close(self.descriptor)


def one_directory(tree: Path, count: int) -> None:
    """Empty files, all in one directory."""
    for nr in range(count):
        (tree / f"file-{nr}.ko").touch()


def deep(tree: Path, count: int) -> None:
    """A directory in a directory, again and again."""
    names = ["d"] * min(count, 400)
    for start in range(max(1, count // 400)):
        tree.joinpath(str(start), *names).mkdir(parents=True)


def pieces(tree: Path, count: int) -> None:
    """A file with a hole after every block."""
    with open(tree / "pieces.ko", "wb") as file:
        for nr in range(count):
            file.seek(nr * 8192)
            file.write(b"x" * 4096)


def image(kind: str, fill: Callable[[Path, int], None], count: int) -> Volume | None:
    """An image of this kind; None where its tool is missing."""
    tool, make = TOOLS[kind]
    if packages.locate(tool) is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        tree, out = Path(folder, "tree"), Path(folder, f"image.{kind}")
        tree.mkdir()
        fill(tree, count)
        make(tree, out)
        return Volume(out)


def read(file: Volume | None) -> None:
    """Everything in it, every file read to its end."""
    if file is None:
        return
    reader = descriptor_reader(file.descriptor, file.size)
    for found in walk(reader, FILE, Context(Budget())):
        if isinstance(found, Found) and found.member.reader is not None:
            with suppress(ContainerError):
                found.member.reader.all(1 << 30)


def wrapped(wrap: Callable[[bytes], bytes], size: int) -> Volume:
    """A volume of this size."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(wrap(b"\1" * (size // 512 * 512)))
        file.flush()
        return Volume(Path(file.name))


def virtual(size: int) -> Volume | None:
    """A virtual disk of many clusters; None where its tool is missing."""
    if packages.locate("qemu-img") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder, "raw"), Path(folder, "image.qcow2")
        raw.write_bytes(b"\1" * size)
        images.call("qemu-img", "convert", "-O", "qcow2", "-o", "cluster_size=512", raw, out)
        return Volume(out)


CALLS: Mapping[str, Call] = {"walk": read}
MADE: tuple[tuple[str, Callable[[Path, int], None], tuple[str, ...], int, int], ...] = (
    ("files in one directory", one_directory, ("ext4", "xfs", "btrfs", "squashfs", "iso", "7z"), 512, 512),
    ("files in one directory", one_directory, ("fat",), 128, 128),
    ("directories in directories", deep, ("ext4", "xfs"), 256, 256),
    ("pieces of a file", pieces, ("ext4", "ext2", "btrfs"), 1024, 1024),
)
SHAPES = (
    *(
        Shape(f"{kind}: {what}", partial(image, kind, fill), start, most)
        for what, fill, kinds, start, most in MADE
        for kind in kinds
    ),
    Shape("md: content", partial(wrapped, images.raid1), 1 << 20, 1 << 22),
    Shape("LVM: content", partial(wrapped, images.lvm), 1 << 20, 1 << 22),
    Shape("qcow2: clusters", virtual, 1 << 20, 1 << 22),
)
