"""Tables whose sizes, or whose ways through them, a small file makes as large as it likes."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.containers.readers import bytes_reader
from elfsig.errors import ContainerError
from tests.support import images
from tests.support.containers import Records, taken
from tests.support.images import MIB, call

pytest.importorskip("dissect.extfs")

MODULE = corpus.content("amd64.pkcs7")
BLOCK = 4096
_SOME = 340
"""Entries of a block of extents."""


def outcome(disk: bytes) -> list[ContainerError]:
    """The faults, of which the first one counts; no module may be found."""
    files, records = taken(disk, reader=bytes_reader(disk))
    assert not [name for name in files if name.endswith(".ko")]
    return errors(records)


def errors(records: Records) -> list[ContainerError]:
    return [each.error for each in records if each.error is not None]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tables") / "tree"
    tree.mkdir()
    (tree / "sample.ko").write_bytes(MODULE)
    return tree


# --------------------------------------------------------------------------- ext


@pytest.fixture(scope="module")
def ext(tree: Path) -> tuple[bytes, int]:
    """A file system without checksums, and where the inode of its module is."""
    path = images.blank(tree.parent / "ext", 8 * MIB)
    options = ("-q", "-F", "-O", "^metadata_csum,^has_journal", "-b", str(BLOCK))
    call("mkfs.ext4", *options, "-d", tree, path)
    said = call("debugfs", "-R", "imap /sample.ko", path).decode()
    place = re.search(r"block (\d+), offset (0x[0-9a-f]+)", said)
    assert place is not None, said
    return path.read_bytes(), int(place[1]) * BLOCK + int(place[2], 16)


def header(count: int, depth: int) -> bytes:
    return struct.pack("<HHHHI", 0xF30A, count, max(count, 4), depth, 0)


def in_extents(disk: bytearray, inode: int, leaf: bytes) -> None:
    """A tree of extents of four levels, each of whose nodes leads to one node again and again."""
    index = struct.pack("<IIHH", 0, 1003, 0, 0)
    disk[inode + 40 : inode + 100] = (header(1, 4) + index).ljust(60, b"\0")
    for depth, block in ((3, 1003), (2, 1002), (1, 1001)):
        node = header(_SOME, depth) + struct.pack("<IIHH", 0, block - 1, 0, 0) * _SOME
        disk[block * BLOCK : (block + 1) * BLOCK] = node.ljust(BLOCK, b"\0")
    disk[1000 * BLOCK : 1001 * BLOCK] = leaf.ljust(BLOCK, b"\0")


def without_extents(disk: bytearray, inode: int) -> None:
    in_extents(disk, inode, header(0, 0))


def with_empty_extents(disk: bytearray, inode: int) -> None:
    in_extents(disk, inode, header(_SOME, 0) + struct.pack("<IHHI", 0, 0, 0, 5) * _SOME)


def with_a_map(disk: bytearray, inode: int) -> None:
    """A map of blocks whose tables lead to one that names none, of a file of four TiB."""
    disk[inode + 4 : inode + 8] = disk[inode + 32 : inode + 36] = bytes(4)
    disk[inode + 108 : inode + 112] = struct.pack("<I", 1000)
    disk[inode + 40 : inode + 100] = struct.pack("<15I", *[0] * 12, 1000, 1001, 1002)
    disk[1000 * BLOCK : 1001 * BLOCK] = bytes(BLOCK)
    for block in (1001, 1002):
        disk[block * BLOCK : (block + 1) * BLOCK] = struct.pack("<I", block - 1) * (BLOCK // 4)


@pytest.mark.parametrize("change", [without_extents, with_empty_extents, with_a_map])
def test_a_block_of_extents_that_is_used_again_and_again(
    change: Callable[[bytearray, int], None], ext: tuple[bytes, int]
) -> None:
    disk = bytearray(ext[0])
    change(disk, ext[1])
    assert [each.code for each in outcome(bytes(disk))] == ["damaged"]


def test_a_file_with_several_names_may_use_its_blocks_again(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "one").write_bytes(bytes(range(256)) * (MIB // 256))
    (tree / "two").hardlink_to(tree / "one")
    for make in (images.ext2, images.ext4):
        make(tree, tmp_path / "disk")
        disk = (tmp_path / "disk").read_bytes()
        files, records = taken(disk, reader=bytes_reader(disk))
        assert len(files) == 2 and len(set(files.values())) == 1 and not errors(records)


# --------------------------------------------------------------------------- Btrfs


@pytest.fixture(scope="module")
def btrfs(tree: Path) -> bytes:
    images.btrfs(tree, tree.parent / "btrfs")
    return (tree.parent / "btrfs").read_bytes()


def node_of(disk: bytes, module: bytes) -> tuple[int, int]:
    """Where the node is that has the name of a file, and the size of nodes."""
    size = int.from_bytes(disk[0x10094:0x10098], "little")
    at = disk.index(module) // size * size
    return at, size


def summed(disk: bytearray, at: int, size: int) -> bytes:
    from elfsig.containers.images.checksum import crc32c

    disk[at : at + 32] = crc32c(bytes(disk[at + 32 : at + size])).to_bytes(4, "little").ljust(32, b"\0")
    return bytes(disk)


def test_an_empty_node_of_btrfs(btrfs: bytes) -> None:
    at, size = node_of(btrfs, b"sample.ko")
    disk = bytearray(btrfs)
    disk[at + 96 : at + 100] = bytes(4)
    assert "is empty" in outcome(summed(disk, at, size))[0].text


def test_a_node_of_btrfs_that_leads_to_itself(btrfs: bytes) -> None:
    at, size = node_of(btrfs, b"sample.ko")
    disk = bytearray(btrfs)
    own = disk[at + 48 : at + 56]
    disk[at + 96 : at + 101] = struct.pack("<IB", 1, 1)
    disk[at + 101 : at + 101 + 33] = bytes(17) + own + bytes(8)
    assert "of another level" in outcome(summed(disk, at, size))[0].text


# --------------------------------------------------------------------------- XFS


def test_a_tree_of_extents_of_xfs_without_extents(tree: Path) -> None:
    """Version 4 has no checksums. Of the tree each node leads to the next one again and again."""
    images.xfs4(tree, tree.parent / "xfs")
    disk = bytearray((tree.parent / "xfs").read_bytes())
    size = struct.pack(">Q", len(MODULE))
    inode = next(
        at for at in range(0, len(disk), 256) if disk[at : at + 2] == b"IN" and disk[at + 56 :][:8] == size
    )
    unit = int.from_bytes(disk[4:8])
    free = [n for n in range(64, len(disk) // unit) if not any(disk[n * unit : (n + 1) * unit])][:3]
    disk[inode + 5], disk[inode + 76 : inode + 80], disk[inode + 82] = 3, bytes(4), 0
    most = (256 - 100 - 4) // 16
    root = struct.pack(">HH", 3, 1) + bytes(8 * most) + struct.pack(">Q", free[0])
    disk[inode + 100 : inode + 256] = root.ljust(156, b"\0")
    most = (unit - 24) // 16
    for level, (own, below) in zip((2, 1), itertools.pairwise(free), strict=True):
        node = b"BMAP" + struct.pack(">HHqq", level, most, -1, -1) + bytes(8 * most)
        disk[own * unit : (own + 1) * unit] = (node + struct.pack(">Q", below) * most).ljust(unit, b"\0")
    leaf = b"BMAP" + struct.pack(">HHqq", 0, 0, -1, -1)
    disk[free[2] * unit : (free[2] + 1) * unit] = leaf.ljust(unit, b"\0")
    assert [each.text for each in outcome(bytes(disk))] == ["a node of a tree of extents is empty"]


# --------------------------------------------------------------------------- images of disks


@pytest.fixture(scope="module")
def qcow2(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("qcow2") / "disk"
    call("qemu-img", "create", "-q", "-f", "qcow2", path, "4M")
    call("qemu-img", "snapshot", "-c", "one", path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (96, struct.pack(">I", 7)),
        (96, struct.pack(">I", 0xFFFFFFFF)),
        (60, struct.pack(">I", 0xFFFFFFFF)),
        (36, struct.pack(">I", 0xFFFFFFFF)),
    ],
)
def test_sizes_in_a_qcow2(at: int, value: bytes, qcow2: bytes) -> None:
    (error,) = outcome(qcow2[:at] + value + qcow2[at + 4 :])
    assert (error.code, error.offset) == ("damaged", at)


@pytest.mark.parametrize("at", [8, 36])
def test_sizes_of_a_snapshot(at: int, qcow2: bytes) -> None:
    """Of its table, and of its further fields."""
    start = int.from_bytes(qcow2[64:72])
    disk = qcow2[: start + at] + struct.pack(">I", 0x10000000) + qcow2[start + at + 4 :]
    assert [each.code for each in outcome(disk)] == ["damaged"]


def test_a_snapshot_of_a_larger_disk_is_read_whole(tmp_path: Path) -> None:
    raw, path = tmp_path / "raw", tmp_path / "disk"
    raw.write_bytes(bytes(5 * MIB) + b"what the disk had there".ljust(MIB, b"\0"))
    call("qemu-img", "convert", "-O", "qcow2", "-f", "raw", raw, path)
    call("qemu-img", "snapshot", "-c", "one", path)
    call("qemu-img", "resize", "-q", "--shrink", path, "4M")
    disk = path.read_bytes()
    assert [(each.code, each.offset) for each in outcome(disk)] == [("unrecognised", 5 * MIB)]


def sparse(**fields: int) -> bytes:
    """The header of a VMDK of one grain, without a descriptor."""
    values: dict[str, Any] = {"capacity": 128, "grain": 128, "entries": 512, "described": 0} | fields
    head = struct.pack(
        "<4sIIQQQQIQQQ",
        b"KDMV",
        1,
        3,
        values["capacity"],
        values["grain"],
        1,
        values["described"],
        values["entries"],
        0,
        2,
        3,
    )
    return head.ljust(4 * 512, b"\0")


@pytest.mark.parametrize(
    "fields", [{"entries": 1 << 28}, {"capacity": 1 << 50, "entries": 1}, {"described": 1 << 20}]
)
def test_sizes_in_a_vmdk(fields: dict[str, int]) -> None:
    disk = sparse(**fields)
    assert [each.code for each in outcome(disk)] == ["damaged"]
    at_end = disk[:56] + b"\xff" * 8 + disk[64:]
    assert [each.code for each in outcome(at_end)] == ["damaged"]


def test_sizes_in_the_second_header_of_a_vmdk() -> None:
    first = sparse()
    disk = first[:56] + b"\xff" * 8 + first[64:] + sparse(entries=1 << 28)[:512] + bytes(512)
    (error,) = outcome(disk)
    assert "a directory of" in error.text


# --------------------------------------------------------------------------- squashfs


def test_more_blocks_than_are_read_at_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elfsig.containers.images import squashfs

    images.squashfs(tree, tree.parent / "squashfs")
    disk = (tree.parent / "squashfs").read_bytes()
    monkeypatch.setattr(squashfs, "_BLOCKS_LIMIT", -1)
    assert [each.code for each in outcome(disk)] == ["over-budget"]
