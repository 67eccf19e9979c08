"""Disk images as a base and patches: an input is a list of small changes to an image that tools have made.

Images are megabytes, mostly zeros, so an input says where in the part that is not zero it changes what: four
bytes of position, one of length, and that many bytes, again and again. Images are made once a machine.
Checksums are made right again, unless the length of the first patch has its highest bit.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from random import Random

import corpus
from elfsig.containers.given import Given
from elfsig.containers.readers import SeekReader
from tests.fuzz import compressed_btrfs
from tests.fuzz.mutate.plain import number, plain
from tests.fuzz.repair import REPAIRS, Repair
from tests.support import images, packages

Maker = Callable[[Path, Path], None]
"""From a tree to an image."""

BLOCK, PIECE = 512, 1 << 20
HEAD = 5
AS_IT_IS = 0x80
"""In the length of the first patch: checksums are not repaired."""


class Base:
    """An image, and the blocks of it that are not zero."""

    def __init__(self, path: Path, repair: Repair | None = None) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._repair = repair
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
        """A reader of the image with the patches in ``data``, and with checksums that match them."""
        patches = list(self._patches(data))

        def fetch(offset: int, wanted: int) -> bytes:
            return _applied(os.pread(self._file, max(0, wanted), offset), offset, patches)

        if self._repair is not None and patches and not data[HEAD - 1] & AS_IT_IS:
            changed = [at for at, _ in patches]
            for patch in self._repair(fetch, self.size, changed):
                patches.append(patch)
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


def _applied(piece: bytes, offset: int, patches: list[tuple[int, bytes]]) -> bytes:
    """What was read at ``offset``, with the patches that are in it."""
    if not any(at < offset + len(piece) and at + len(new) > offset for at, new in patches):
        return piece
    changed = bytearray(piece)
    for at, new in patches:
        start, skip = max(at - offset, 0), max(offset - at, 0)
        part = new[skip : skip + max(0, len(piece) - start)] if at < offset + len(piece) else b""
        changed[start : start + len(part)] = part
    return bytes(changed[: len(piece)])


def patches(data: bytes, size: int, chance: Random) -> bytes:
    """Add, change or remove a patch; positions near the start, where superblocks are, are likelier."""
    if data and chance.random() < 0.3:
        return plain(data, size, chance)
    where = chance.choice((chance.randrange(1 << 11), chance.randrange(1 << 14), chance.getrandbits(32)))
    width = chance.choice((1, 2, 4, 8))
    order = "little" if chance.random() < 0.7 else "big"
    value = number(chance, 8 * width).to_bytes(width, "little" if order == "little" else "big")
    mark = AS_IT_IS if chance.random() < 0.1 else 0
    new = where.to_bytes(4) + bytes([width - 1 | mark]) + value
    return (new if chance.random() < 0.3 else data + new)[:size]


def _tree(folder: Path) -> Path:
    deep = folder / "lib/modules/6.1"
    deep.mkdir(parents=True)
    (deep / "a.ko").write_bytes(corpus.content("amd64.pkcs7"))
    (folder / "big").write_bytes(Random(1).randbytes(70_000))
    (folder / "zeros").write_bytes(b"start" + bytes(30_000) + b"end")
    for each in range(40):
        (folder / "lib" / f"a-rather-long-name-that-fills-directories-{each}").write_bytes(b"%d" % each)
    compressed_btrfs.fill(folder)
    for each in (1, 2):
        (folder / f"joined{each}").write_bytes(Random(each).randbytes(3000))
    (deep / "hard.ko").hardlink_to(deep / "a.ko")
    _attributes(deep)
    return folder


def _attributes(folder: Path) -> None:
    """Links and what is kept beside a file, where the place of the tree has such things."""
    (folder / "link.ko").symlink_to("a.ko")
    (folder / "long-link").symlink_to("x" * 99)
    with suppress(OSError):
        os.setxattr(folder / "a.ko", "user.note", b"some text")
        os.setxattr(folder / "a.ko", "security.ima", b"\3\2\4" + bytes(40))


def _without_links(make: Maker, tree: Path, out: Path) -> None:
    """For file systems that have none."""
    for each in list(tree.rglob("*")):
        if each.is_symlink():
            each.unlink()
    make(tree, out)


def _squashfs(kind: str, tree: Path, out: Path) -> None:
    images.call("mksquashfs", tree, out, "-quiet", "-no-progress", "-comp", kind)


def _xfs4(tree: Path, out: Path) -> None:
    """XFS without checksums, with extended attributes in an inode and in a leaf."""
    images.xfs4(tree, out)
    for name, sizes in (("a.ko", (40,)), ("hard.ko", (40, 900))):
        words = [f"attr_set -s -v {size} {'ima' if size == 40 else 'large'}" for size in sizes]
        place = f"path /lib/modules/6.1/{name}"
        images.call("xfs_db", "-x", *(part for word in (place, *words) for part in ("-c", word)), out)


def _inline(tree: Path, out: Path) -> None:
    """ext4 that keeps small files and directories in their inodes; no checksums, so that changes are read."""
    features = "inline_data,^metadata_csum,64bit,extents"
    images.call("mkfs.ext4", "-q", "-b", "1024", "-I", "256", "-O", features, "-d", tree, out, "16M")


def _zisofs(tree: Path, out: Path) -> None:
    """A disc with compressed files, and a file of two extents: the records of two files made those of one, as
    xorriso writes several extents only for files of more than 4 GiB."""
    words = ("-joliet", "on", "-map", tree, "/", "-set_filter_r", "--zisofs", "/", "--", "-commit")
    images.call("xorriso", "-outdev", out, *words)
    data = bytearray(out.read_bytes())
    for found in re.finditer(rb"JOINED1|\0j\0o\0i\0n\0e\0d\x001", bytes(data)):
        data[found.start() - 33 + 25] |= 0x80
    out.write_bytes(
        bytes(data)
        .replace(b"JOINED2", b"JOINED1")
        .replace(b"joined2", b"joined1")
        .replace("joined2".encode("utf-16-be"), "joined1".encode("utf-16-be"))
    )


def _mbr(data: bytes) -> bytes:
    """A primary partition and two logical ones: a file system, GRUB, and swap space."""
    grub = (b"\x52\xe8" + bytes(380) + b"GRUB \0Geom\0Read\0 Error\0").ljust(1024, b"\0")
    swap = (bytes(1024) + b"\1\0\0\0\x63\0\0\0").ljust(4086, b"\0") + b"SWAPSPACE2"
    return images.mbr(data, grub, swap, logical=True)


def _group(data: bytes, out: Path) -> None:
    one, two = images.volume_group(data, bytes(images.MIB))
    most = max(len(one), len(two))
    out.write_bytes(one.ljust(most, b"\0") + two.ljust(most, b"\0"))


def _raid5(data: bytes, out: Path) -> None:
    stripe = 2 * (64 << 10)
    out.write_bytes(b"".join(images.array(data.ljust(-(-len(data) // stripe) * stripe, b"\0"), 5, 3)))


def _ewf(data: bytes, out: Path) -> None:
    disk = out.with_suffix(".disk")
    disk.write_bytes(data)
    words = ("-u", "-q", "-c", "best", "-f", "encase6", "-t", out)
    images.call("ewfacquire", *words, disk)
    disk.unlink()
    shutil.move(f"{out}.E01", out)


STREAM = "subformat=streamOptimized"

MAKERS: dict[str, tuple[str, Maker]] = {
    "ext4": ("mkfs.ext4", images.ext4),
    "ext4-inline": ("mkfs.ext4", _inline),
    "ext2": ("mkfs.ext2", images.ext2),
    "xfs": ("mkfs.xfs", images.xfs),
    "xfs4": ("mkfs.xfs", _xfs4),
    "btrfs": ("mkfs.btrfs", compressed_btrfs.make),
    "squashfs": ("mksquashfs", images.squashfs),
    "squashfs-lzma": ("mksquashfs", partial(_squashfs, "lzma")),
    "squashfs-lz4": ("mksquashfs", partial(_squashfs, "lz4")),
    "fat": ("mkfs.vfat", partial(_without_links, images.fat)),
    "fat16": ("mkfs.vfat", partial(_without_links, images.fat16)),
    "iso": ("xorriso", images.iso),
    "zisofs": ("xorriso", _zisofs),
    "7z": ("7zz", images.sevenzip),
    "gpt": ("sgdisk", lambda tree, out: _disk(tree, out, lambda data: images.gpt(out, data))),
    "mbr": ("mkfs.ext2", lambda tree, out: _disk(tree, out, lambda data: out.write_bytes(_mbr(data)))),
    "lvm": ("mkfs.ext2", lambda tree, out: _disk(tree, out, lambda data: out.write_bytes(images.lvm(data)))),
    "lvm-group": ("mkfs.ext2", lambda tree, out: _disk(tree, out, lambda data: _group(data, out))),
    "md": ("mkfs.ext2", lambda tree, out: _disk(tree, out, lambda data: out.write_bytes(images.raid1(data)))),
    "md-raid5": ("mkfs.ext2", lambda tree, out: _disk(tree, out, lambda data: _raid5(data, out))),
    "qcow2": ("qemu-img", lambda tree, out: _virtual(tree, out, "qcow2")),
    "vmdk": ("qemu-img", lambda tree, out: _virtual(tree, out, "vmdk")),
    "vmdk-stream": ("qemu-img", lambda tree, out: _virtual(tree, out, "vmdk", "-o", STREAM)),
    "vdi": ("qemu-img", lambda tree, out: _virtual(tree, out, "vdi")),
    "vhd": ("qemu-img", lambda tree, out: _virtual(tree, out, "vpc")),
    "ewf": ("ewfacquire", lambda tree, out: _disk(tree, out, lambda data: _ewf(data, out))),
}
"""The tool that an image needs, and how it is made from a tree."""

PARTS = {"lvm-group": 2, "md-raid5": 3}
"""Images of several devices, one after the other: how many."""


def _disk(tree: Path, out: Path, wrap: Callable[[bytes], object]) -> None:
    inner = out.with_suffix(".inner")
    images.ext2(tree, inner)
    wrap(inner.read_bytes())
    inner.unlink()


def _virtual(tree: Path, out: Path, kind: str, *words: str) -> None:
    inner = out.with_suffix(".inner")
    images.ext2(tree, inner)
    images.call("qemu-img", "convert", "-O", kind, *words, inner, out)
    inner.unlink()


@cache
def base(kind: str) -> Base | None:
    """The image of this kind, made if it is not there yet; None where its tool is missing."""
    tool, make = MAKERS[kind]
    if packages.locate(tool) is None or packages.locate("mkfs.ext2") is None:
        return None
    recipe = "".join(inspect.getsource(each) for each in (images, compressed_btrfs, sys.modules[__name__]))
    mark = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    path = Path(tempfile.gettempdir(), f"elfsig-fuzz-images-{os.getuid()}-{mark}", kind)
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder, f"image.{kind}")
            make(_tree(Path(folder, "tree")), made)
            shutil.move(made, path)
    return Base(path, REPAIRS.get(kind))


def devices(kind: str, whole: SeekReader) -> tuple[SeekReader, Given | None]:
    """The first device of an image, and all that were given where there are several."""
    count = PARTS.get(kind, 1)
    if count == 1:
        return whole, None
    size = whole.size // count
    names = [f"{number}" for number in range(count)]
    return whole.window(0, size), Given(names, names[0], lambda name: whole.window(int(name) * size, size))
