"""FAT with the type and the fields that Linux and mkfs.fat give it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import corpus
from elfsig.containers.nested import Step
from elfsig.containers.readers import bytes_reader
from elfsig.containers.walk import ContainerRecord, Found, walk
from tests.support import images
from tests.support.archives import tar
from tests.support.images import MIB, call

MODULE = corpus.content("amd64.pkcs7")


def surveyed(data: bytes) -> tuple[list[tuple[str, str | None]], list[str]]:
    """(kind, code of the error) of containers in an archive, and the paths of modules."""
    found = list(walk(bytes_reader(tar(x_bin=data)), (Step("file", b"f"),)))
    records = [each for each in found if isinstance(each, ContainerRecord) and each.kind != "tar"]
    modules = [each.path for each in found if isinstance(each, Found) and each.what == "module"]
    return [(each.kind, None if each.error is None else each.error.code) for each in records], modules


def made(tmp_path: Path, size: int, *options: str) -> bytes:
    out = images.blank(tmp_path / "fat", size)
    call("mkfs.vfat", *options, out)
    data = bytearray(out.read_bytes())
    return bytes(data)


def with_module(data: bytes) -> bytes:
    """``data`` with a module, by the Microsoft specification: mtools refuse a FAT32 with few clusters."""
    disk = bytearray(data)
    sector, per_cluster, reserved, tables, entries = struct.unpack_from("<HBHBH", disk, 11)
    small = int.from_bytes(disk[22:24], "little")
    size = (small or int.from_bytes(disk[36:40], "little")) * sector
    cluster, root = sector * per_cluster, reserved * sector + tables * size
    first = root + entries * 32
    count = -(-len(MODULE) // cluster)
    width = 2 if small else 4
    start = 2 if small else 3
    for copy in range(tables):
        for number in range(start, start + count):
            following = number + 1 if number < start + count - 1 else (1 << (8 * width)) - 1
            at = reserved * sector + copy * size + number * width
            disk[at : at + width] = (following & 0x0FFFFFFF if width == 4 else following).to_bytes(
                width, "little"
            )
    entry = b"A       KO \x20" + bytes(8) + struct.pack("<HHHHI", 0, 0, 0x21, start, len(MODULE))
    disk[root if small else first : (root if small else first) + 32] = entry
    content = first + (start - 2) * cluster
    disk[content : content + len(MODULE)] = MODULE
    return bytes(disk)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (100, ("-F32", "-S", "4096")),
        (20, ("-F32",)),
        (100, ("-F32", "-s", "8")),
        (2, ("-F32", "-s", "1")),
        (40, ("-F32",)),
        (40, ("-F32", "-f", "4")),
        (16, ("-F16", "-f", "3")),
        (16, ("-F16",)),
    ],
)
def test_what_mkfs_calls_fat32_is_read_as_fat32(size: int, options: tuple[str, ...], tmp_path: Path) -> None:
    data = with_module(made(tmp_path, size * MIB, *options))
    assert surveyed(data) == ([("fat", None)], ["f!/x.bin!/A.KO"])


def test_fat16_whose_table_is_smaller_than_its_clusters_is_not_fat32(tmp_path: Path) -> None:
    """The size of the table decides in Linux: it has no more clusters than that."""
    data = bytearray(with_module(made(tmp_path, 16 * MIB, "-F16", "-s", "4")))
    data[19:21], data[32:36] = b"\0\0", struct.pack("<I", 70000 * 4)
    data += bytes(70000 * 4 * 512 - len(data))
    assert surveyed(bytes(data)) == ([("fat", None)], ["f!/x.bin!/A.KO"])


def test_the_name_of_the_type_need_not_be_there(tmp_path: Path) -> None:
    data = bytearray(with_module(made(tmp_path, 16 * MIB, "-F16")))
    data[54:62] = bytes(8)
    assert surveyed(bytes(data)) == ([("fat", None)], ["f!/x.bin!/A.KO"])


def test_a_root_directory_without_a_cluster_is_damage(tmp_path: Path) -> None:
    data = bytearray(with_module(made(tmp_path, 40 * MIB, "-F32")))
    data[44:48] = bytes(4)
    assert surveyed(bytes(data)) == ([("fat", "damaged")], [])


def test_boot_sectors_of_others_are_not_fat(tmp_path: Path) -> None:
    data = bytearray(made(tmp_path, 16 * MIB, "-F16"))
    for at, value in ((14, b"\0\0"), (16, b"\0"), (21, b"\xf4"), (22, b"\0\0"), (13, b"\3"), (11, b"\0\1")):
        other = bytes(data[:at] + value + data[at + len(value) :])
        if at == 22:
            other = other[:36] + bytes(4) + other[40:]
        assert surveyed(other)[0] == []
