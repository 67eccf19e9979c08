"""Marks that are old, or ordinary data, do not hide the table or file system that is in use."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import corpus
from elfsig.containers.nested import Step
from elfsig.containers.readers import bytes_reader
from elfsig.containers.registry import BUILTIN
from elfsig.containers.unread import UNREAD
from elfsig.containers.walk import ContainerRecord, Found, walk
from tests.support import images
from tests.support.archives import tar
from tests.support.images import MIB, call

MODULE = corpus.content("amd64.pkcs7")
DISK = images.mbr(tar(a_ko=MODULE))
SWAP = (1024, struct.pack("<III", 1, 255, 0)), (4086, b"SWAPSPACE2")
Patch = tuple[int, bytes]


def surveyed(data: bytes) -> tuple[dict[str, str | None], list[str]]:
    """The code of the error of each kind of container, and the paths of modules, in an archive."""
    found = list(walk(bytes_reader(tar(x_bin=data)), (Step("file", b"f"),)))
    records = [each for each in found if isinstance(each, ContainerRecord)]
    modules = [each.path for each in found if isinstance(each, Found) and each.what == "module"]
    return {each.kind: None if each.error is None else each.error.code for each in records}, modules


def patched(data: bytes, *patches: Patch) -> bytes:
    changed = bytearray(data)
    for at, new in patches:
        changed[at : at + len(new)] = new
    return bytes(changed)


def fat(tmp_path: Path, *options: str | Path, size: int = 16 * MIB) -> bytes:
    (tmp_path / "a.ko").write_bytes(MODULE)
    out = images.blank(tmp_path / "fat", size)
    call("mkfs.vfat", *options, out)
    call("mcopy", "-i", out, tmp_path / "a.ko", "::")
    return out.read_bytes()


@pytest.mark.parametrize(
    ("patches", "kind"),
    [
        (SWAP, "swap"),
        ((SWAP[0], (65526, b"SWAPSPACE2")), "swap"),
        (((0x8000, b"JFS1"),), "jfs"),
        (((0x10034, b"ReIsErFs"),), "reiserfs"),
        (((0x406, b"\x34\x34"),), "nilfs2"),
        (((0x400, b"\xe2\xe1\xf5\xe0"),), "erofs"),
        (((4086, b"S1SUSPEND\0"),), "hibernation"),
        (((0, b"XFSB"),), "xfs"),
    ],
)
def test_an_old_mark_does_not_hide_partitions(patches: tuple[Patch, ...], kind: str) -> None:
    records, modules = surveyed(patched(DISK, *patches))
    assert modules == ["f!/x.bin!/p1!/a.ko"]
    assert kind in records and (records[kind] is None) == (kind == "swap")


def test_every_mark_that_leaves_room_for_a_table_does_so() -> None:
    for each in UNREAD:
        for at, mark in each.magics:
            if each.probe is None and (at >= 512 or at + len(mark) <= 446):
                assert surveyed(patched(DISK, (at, mark)))[1], each.id


@pytest.mark.parametrize("at", [4086, 65526])
def test_data_that_looks_like_a_mark_of_swap_does_not_hide_fat(at: int, tmp_path: Path) -> None:
    """Outside the table of FAT16, with and without a header before it."""
    data = fat(tmp_path, "-F16", "-s", "4", "-R", "32")
    assert surveyed(patched(data, (at, b"SWAPSPACE2"))) == ({"fat": None, "tar": None}, ["f!/x.bin!/a.ko"])
    with_header = patched(data, SWAP[0], (at, b"SWAPSPACE2"))
    assert surveyed(with_header) == ({"swap": None, "fat": None, "tar": None}, ["f!/x.bin!/a.ko"])


@pytest.mark.parametrize("boot", [b"\x52\xe8", b"\x52\xbf", b"\x52\x56"])
def test_boot_code_of_grub_does_not_hide_partitions(boot: bytes) -> None:
    data = patched(DISK, (0, boot + bytes(99) + b"Geom\0Read\0 Error\0"))
    assert surveyed(data) == ({"mbr": None, "tar": None}, ["f!/x.bin!/p1!/a.ko"])


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        (struct.pack("<III", 1, 255, 0), True),
        (struct.pack(">III", 1, 255, 637), True),
        (struct.pack("<III", 1, 255, 638), False),
        (struct.pack("<III", 1, 0, 0), False),
        (struct.pack("<III", 2, 255, 0), False),
        (bytes(12), False),
    ],
)
def test_a_swap_area_has_a_header(fields: bytes, known: bool) -> None:
    part = patched(bytes(MIB), (4086, b"SWAPSPACE2"), (1024, fields))
    records, _ = surveyed(images.mbr(part))
    assert records == ({"swap": None} if known else {"part": "unrecognised"}) | {"mbr": None, "tar": None}


def test_a_swap_area_of_linux_2_2_has_a_map() -> None:
    for first, known in ((b"\xfe\xff", True), (b"\xff\xff", False), (b"\0\0", False)):
        part = patched(bytes(MIB), (4086, b"SWAP-SPACE"), (0, first))
        assert ("swap" in surveyed(images.mbr(part))[0]) == known


def test_a_file_system_beside_the_boot_sector_of_another(tmp_path: Path) -> None:
    """mkfs.fat on what was ext: its superblock is in the reserved sectors."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "old.ko").write_bytes(MODULE)
    images.ext4(tmp_path / "tree", tmp_path / "ext")
    new = fat(tmp_path, "-F16", "-R", "32")
    old = (tmp_path / "ext").read_bytes()
    records, modules = surveyed(patched(new, (1024, old[1024:2048])))
    assert "f!/x.bin!/a.ko" in modules and {"ext", "fat"} <= records.keys()


def test_marks_never_count_beside_another() -> None:
    marks = {each.id for each in BUILTIN if each.place == "mark"}
    assert {"swap", "jfs"} <= marks and not marks & {"ext", "btrfs", "lvm", "md", "fat", "xfs"}
