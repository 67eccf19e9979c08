"""Disk images as a base and patches: an input is a list of small changes to an image that tools have made.

Images are megabytes, mostly zeros, so an input says where in the part that is not zero it changes what: four
bytes of position, one of length, and that many bytes, again and again. Images are made once a machine.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random

import corpus
from elfsig.containers.readers import SeekReader
from tests.fuzz.mutate.plain import number, plain
from tests.support import images, packages

BLOCK, PIECE = 512, 1 << 20
HEAD = 5


class Base:
    """An image, and the blocks of it that are not zero."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._file).st_size
        self.blocks = [at for start in range(0, self.size, PIECE) for at in self._filled(start)]

    def _filled(self, start: int) -> Iterator[int]:
        """The offsets of the blocks in one piece that are not zero."""
        piece = os.pread(self._file, PIECE, start)
        if piece.count(0) != len(piece):
            for at in range(0, len(piece), BLOCK):
                if any(piece[at : at + BLOCK]):
                    yield start + at

    def place(self, position: int) -> int:
        """The offset of a position that counts only blocks that are not zero."""
        position %= len(self.blocks) * BLOCK
        return self.blocks[position // BLOCK] + position % BLOCK

    def patched(self, data: bytes) -> SeekReader:
        """A reader of the image with the patches in ``data``."""
        patches = list(self._patches(data))

        def fetch(offset: int, wanted: int) -> bytes:
            piece = os.pread(self._file, wanted, offset)
            if not any(at < offset + len(piece) and at + len(new) > offset for at, new in patches):
                return piece
            changed = bytearray(piece)
            for at, new in patches:
                start, skip = max(at - offset, 0), max(offset - at, 0)
                part = new[skip : skip + max(0, len(piece) - start)] if at < offset + len(piece) else b""
                changed[start : start + len(part)] = part
            return bytes(changed[: len(piece)])

        return SeekReader(fetch, self.size)

    def _patches(self, data: bytes) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        at = 0
        while at + HEAD < len(data) and len(found) < 64:
            size = data[at + 4] % 32 + 1
            place = self.place(int.from_bytes(data[at : at + 4]))
            found.append((place, data[at + HEAD : at + HEAD + size][: self.size - place]))
            at += HEAD + size
        return found


def patches(data: bytes, size: int, chance: Random) -> bytes:
    """Add, change or remove a patch; positions near the start, where superblocks are, are likelier."""
    if data and chance.random() < 0.3:
        return plain(data, size, chance)
    where = chance.choice((chance.randrange(1 << 11), chance.randrange(1 << 14), chance.getrandbits(32)))
    width = chance.choice((1, 2, 4, 8))
    order = "little" if chance.random() < 0.7 else "big"
    value = number(chance, 8 * width).to_bytes(width, "little" if order == "little" else "big")
    new = where.to_bytes(4) + bytes([width - 1]) + value
    return (new if chance.random() < 0.3 else data + new)[:size]


def _tree(folder: Path) -> Path:
    deep = folder / "lib/modules/6.1"
    deep.mkdir(parents=True)
    (deep / "a.ko").write_bytes(corpus.content("amd64.pkcs7"))
    (folder / "big").write_bytes(Random(1).randbytes(70_000))
    (folder / "zeros").write_bytes(b"start" + bytes(30_000) + b"end")
    for each in range(40):
        (folder / "lib" / f"a-rather-long-name-that-fills-directories-{each}").write_bytes(b"%d" % each)
    return folder


MAKERS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "ext4": ("mkfs.ext4", images.ext4),
    "ext2": ("mkfs.ext2", images.ext2),
    "xfs": ("mkfs.xfs", images.xfs),
    "btrfs": ("mkfs.btrfs", images.btrfs),
    "squashfs": ("mksquashfs", images.squashfs),
    "fat": ("mkfs.vfat", images.fat),
    "fat16": ("mkfs.vfat", images.fat16),
    "iso": ("xorriso", images.iso),
    "7z": ("7zz", images.sevenzip),
    "gpt": ("sgdisk", lambda tree, out: _disk(tree, out, lambda data: images.gpt(out, data))),
    "mbr": ("mkfs.ext2", lambda tree, out: _disk(tree, out, lambda data: out.write_bytes(images.mbr(data)))),
    "lvm": ("mkfs.ext2", lambda tree, out: _disk(tree, out, lambda data: out.write_bytes(images.lvm(data)))),
    "md": ("mkfs.ext2", lambda tree, out: _disk(tree, out, lambda data: out.write_bytes(images.raid1(data)))),
    "qcow2": ("qemu-img", lambda tree, out: _virtual(tree, out, "qcow2")),
    "vmdk": ("qemu-img", lambda tree, out: _virtual(tree, out, "vmdk")),
    "vdi": ("qemu-img", lambda tree, out: _virtual(tree, out, "vdi")),
    "vhd": ("qemu-img", lambda tree, out: _virtual(tree, out, "vpc")),
}
"""The tool that an image needs, and how it is made from a tree."""


def _disk(tree: Path, out: Path, wrap: Callable[[bytes], object]) -> None:
    inner = out.with_suffix(".inner")
    images.ext2(tree, inner)
    wrap(inner.read_bytes())
    inner.unlink()


def _virtual(tree: Path, out: Path, kind: str) -> None:
    inner = out.with_suffix(".inner")
    images.ext2(tree, inner)
    images.call("qemu-img", "convert", "-O", kind, inner, out)
    inner.unlink()


@cache
def base(kind: str) -> Base | None:
    """The image of this kind, made if it is not there yet; None where its tool is missing."""
    tool, make = MAKERS[kind]
    if packages.locate(tool) is None or packages.locate("mkfs.ext2") is None:
        return None
    recipe = inspect.getsource(images) + inspect.getsource(inspect.getmodule(_tree) or base)
    mark = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    path = Path(tempfile.gettempdir(), f"elfsig-fuzz-images-{os.getuid()}-{mark}", kind)
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder, f"image.{kind}")
            make(_tree(Path(folder, "tree")), made)
            shutil.move(made, path)
    return Base(path)
