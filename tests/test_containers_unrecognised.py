"""What must be a container and is not recognised is reported, unless blank; odd tables of partitions."""

from __future__ import annotations

import gzip
import json
import lzma
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import corpus
from elfsig.containers.contract import Budget, Context
from elfsig.containers.nested import Step
from elfsig.containers.readers import bytes_reader
from elfsig.containers.walk import ContainerRecord, Found, walk
from tests.support import images
from tests.support.archives import tar
from tests.support.images import MIB, call
from tests.support.run import run

MODULE = corpus.content("amd64.pkcs7")
JUNK = random.Random(2).randbytes(MIB)
Records = list[tuple[str, str, str | None]]


def surveyed(data: bytes, context: Context | None = None, expected: str | None = None) -> tuple[Records, int]:
    """(path, kind, code of the error) of all containers, and how many modules there are."""
    found = list(walk(bytes_reader(data), (Step("file", b"f"),), context or Context(), expected=expected))
    records = [each for each in found if isinstance(each, ContainerRecord)]
    modules = sum(isinstance(each, Found) and each.what == "module" for each in found)
    return [
        (each.path, each.kind, None if each.error is None else each.error.code) for each in records
    ], modules


def swap(mark: bytes, page: int = 4096) -> bytes:
    data = bytearray(MIB)
    struct.pack_into("<III", data, 1024, 1, MIB // page - 1, 0)
    data[page - 10 : page] = mark.ljust(10, b"\0")
    return bytes(data)


GRUB = b"\x52\x56\xbe\x1b\x81" + bytes(275) + b"loading\0.\0\r\n\0Geom\0Read\0 Error\0" + JUNK


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (JUNK, "part", "unrecognised"),
        (bytes(MIB), "empty", None),
        (bytes(MIB - 1) + b"x", "part", "unrecognised"),
        (tar(a_ko=MODULE), "tar", None),
        (swap(b"SWAPSPACE2"), "swap", None),
        (swap(b"SWAPSPACE2", 65536), "swap", None),
        (swap(b"S1SUSPEND"), "hibernation", "unsupported"),
    ],
)
def test_partitions(content: bytes, kind: str, code: str | None, tmp_path: Path) -> None:
    disk = images.mbr(content, tar(b_ko=MODULE))
    expected = [("f!/p1", kind, code), ("f!/p2", "tar", None), ("f", "mbr", None)]
    assert surveyed(disk) == (expected, 1 + (kind == "tar"))
    images.gpt(tmp_path / "gpt", content)
    assert surveyed((tmp_path / "gpt").read_bytes())[0] == [("f!/p1", kind, code), ("f", "gpt", None)]
    volume = images.lvm(content)
    assert surveyed(volume)[0] == [("f!/root", kind, code), ("f", "lvm", None)]
    assert surveyed(images.raid1(content))[0] == [("f", kind, code), ("f", "md", None)]


def test_grub_is_a_partition_of_its_own_and_nothing_else() -> None:
    assert surveyed(images.mbr(GRUB))[0] == [("f!/p1", "grub", None), ("f", "mbr", None)]
    assert surveyed(GRUB, expected="this file")[0] == [("f", "file", "unrecognised")]
    volume = surveyed(images.lvm(GRUB))[0]
    assert volume == [("f!/root", "part", "unrecognised"), ("f", "lvm", None)]


def test_swap_by_mkswap(tmp_path: Path) -> None:
    call("mkswap", images.blank(tmp_path / "swap", MIB))
    assert surveyed((tmp_path / "swap").read_bytes())[0] == [("f", "swap", None)]


def test_records_say_where_and_how_large(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(images.mbr(bytes(5) + JUNK[:-5], bytes(MIB)))
    lines = run("survey", disk, "--jsonl").out.splitlines()
    found = {each["path"]: each for each in map(json.loads, lines) if each["record"] == "container"}
    part, blank = found[f"{disk}!/p1"], found[f"{disk}!/p2"]
    assert (part["size"], part["chain"][-1]["offset"]) == (MIB, MIB)
    assert part["error"]["offset"] == 5
    assert f"starts with {JUNK[:8].hex(' ')}" in part["error"]["text"]
    assert (blank["complete"], blank["size"], blank["modules"]) == (True, MIB, 0)


def test_whole_images(tmp_path: Path) -> None:
    whole = {"junk": JUNK, "blank": bytes(MIB), "junk.gz": gzip.compress(JUNK), "none": b""}
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    for name in whole:
        done = run("survey", tmp_path / name)
        assert done.code == 5  # in a blank image there is no module
        assert ("(unrecognised)" in done.out) == (name != "blank")
    qcow2 = tmp_path / "q"
    call("qemu-img", "convert", "-f", "raw", "-O", "qcow2", tmp_path / "junk", qcow2)
    assert surveyed(qcow2.read_bytes())[0] == [("f", "part", "unrecognised"), ("f", "qcow2", None)]


def test_files_in_archives_need_not_be_containers() -> None:
    notes = gzip.compress(b"notes")
    assert surveyed(tar(notes=b"text", notes_gz=notes), expected="this file")[0] == [
        ("f!/notes.gz", "gzip", None), ("f", "tar", None),
    ]  # fmt: skip


def test_looking_for_a_start_has_a_limit_of_its_own() -> None:
    disk = images.mbr(bytes(3 * MIB), bytes(MIB), tar(a_ko=MODULE))
    found, modules = surveyed(disk, Context(Budget(output=2 * MIB)))
    assert found == [
        ("f!/p1", "part", "over-budget"), ("f!/p2", "part", "over-budget"), ("f!/p3", "tar", None),
        ("f", "mbr", None),
    ]  # fmt: skip
    assert modules == 1


def test_what_a_package_calls_a_tar_archive_is_one() -> None:
    def package(data: bytes) -> bytes:
        members = {"debian-binary": b"2.0\n", "control.tar": tar(control=b"x"), "data.tar.xz": data}
        out = b"!<arch>\n"
        for name, content in members.items():
            out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
            out += content + b"\n" * (len(content) % 2)
        return out

    whole = tar(a_ko=MODULE)
    broken = whole[:200] + b"\1" + whole[201:]
    assert surveyed(package(lzma.compress(whole))) == (
        [("f!/control.tar", "tar", None), ("f!/data.tar.xz", "tar", None), ("f!/data.tar.xz", "xz", None),
         ("f", "ar", None)],
        1,
    )  # fmt: skip
    for data, kind, code in (
        (lzma.compress(broken), "tar", "damaged"),
        (lzma.compress(JUNK), "part", "unrecognised"),
        (JUNK, "file", "unrecognised"),
        (b"", "file", "unrecognised"),
    ):
        assert ("f!/data.tar.xz", kind, code) in surveyed(package(data))[0]


def test_a_damaged_first_header_does_not_hide_an_archive() -> None:
    whole = tar(a_ko=MODULE)
    for at in (0, 150, 300, 500):
        broken = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        assert surveyed(broken)[0] == [("f", "tar", "damaged")]


# --------------------------------------------------------------------------- tables of partitions


def slot(disk: bytearray, number: int, kind: int, start: int, size: int, table: int = 0) -> None:
    struct.pack_into(
        "<B3sB3sII", disk, table + 446 + 16 * number, 0, b"", kind, b"", start // 512, size // 512
    )
    disk[table + 510 : table + 512] = b"\x55\xaa"


def test_a_partition_beyond_the_end() -> None:
    disk = bytearray(images.mbr(tar(a_ko=MODULE)))
    slot(disk, 1, 0x83, 1 << 30, MIB)
    assert surveyed(bytes(disk)) == ([("f!/p1", "tar", None), ("f", "mbr", "truncated")], 1)


def test_partitions_that_overlap_are_all_read() -> None:
    disk = bytearray(images.mbr(tar(a_ko=MODULE)))
    slot(disk, 1, 0x83, MIB, MIB)
    assert surveyed(bytes(disk))[1] == 2


def test_an_extended_partition_that_is_a_loop_costs_no_other() -> None:
    disk = bytearray(images.mbr(tar(a_ko=MODULE), tar(b_ko=MODULE)))
    size = len(disk)
    slot(disk, 2, 5, MIB // 2, size)
    slot(disk, 3, 0x83, MIB, MIB)
    slot(disk, 0, 0x83, MIB // 2, 512 * 8, table=MIB // 2)
    slot(disk, 1, 5, 0, size, table=MIB // 2)
    found, modules = surveyed(bytes(disk))
    assert found[-1] == ("f", "mbr", "damaged")
    assert [path for path, *_ in found] == ["f!/p1", "f!/p2", "f!/p5", "f!/p4", "f"]
    assert modules == 4


def gpt_entries(data: bytearray, change: Callable[[bytearray], None]) -> bytes:
    """A GPT with other entries, in both copies, and their checksums."""
    for header in (512, len(data) - 512):
        start = struct.unpack_from("<Q", data, header + 72)[0] * 512
        entries = data[start : start + 128 * 128]
        change(entries)
        data[start : start + 128 * 128] = entries
        struct.pack_into("<I", data, header + 88, zlib.crc32(entries))
        struct.pack_into("<I", data, header + 16, 0)
        struct.pack_into("<I", data, header + 16, zlib.crc32(data[header : header + 92]))
    return bytes(data)


def test_a_partition_that_holds_its_own_table(tmp_path: Path) -> None:
    images.gpt(tmp_path / "d", tar(a_ko=MODULE), JUNK)
    disk = bytearray((tmp_path / "d").read_bytes())
    found = surveyed(gpt_entries(disk, lambda entries: struct.pack_into("<Q", entries, 128 + 32, 0)))
    assert found == ([("f!/p1", "tar", None), ("f", "gpt", "damaged")], 1)


def test_partitions_that_only_the_mbr_beside_a_gpt_has(tmp_path: Path) -> None:
    images.gpt(tmp_path / "d", tar(a_ko=MODULE), tar(b_ko=MODULE))
    disk = bytearray((tmp_path / "d").read_bytes())
    first, last = struct.unpack_from("<QQ", disk, 1024 + 32)
    slot(disk, 1, 0x83, first * 512, (last + 1 - first) * 512)  # the same as p1
    slot(disk, 2, 0x83, len(disk), MIB)
    disk = disk[: -512 * 34] + disk[-512 * 34 :]
    found, modules = surveyed(bytes(disk))
    assert (found[-1], modules) == (("f", "gpt", "truncated"), 2)
    start = first * 512 + MIB // 2
    disk[start : start + len(tar(c_ko=MODULE))] = tar(c_ko=MODULE)
    slot(disk, 2, 0x83, start, MIB // 4)
    found, modules = surveyed(bytes(disk))
    assert ("f!/mbr3", "tar", None) in found
    assert modules == 3


def test_a_gpt_whose_first_header_is_lost(tmp_path: Path) -> None:
    images.gpt(tmp_path / "d", tar(a_ko=MODULE))
    disk = bytearray((tmp_path / "d").read_bytes())
    for at in (512, 600):
        broken = bytearray(disk)
        broken[at : at + 8] = b"\xff" * 8
        assert surveyed(bytes(broken)) == (
            [("f!/p1", "tar", None), ("f", "mbr" if at == 512 else "gpt", "damaged")],
            1,
        )
    lost = bytearray(disk)
    lost[:1024] = bytes(1024)
    assert surveyed(bytes(lost), expected="this file")[0] == [("f", "file", "unrecognised")]


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "lvm"])
def test_a_table_beside_the_mark_of_a_file_system(kind: str, tmp_path: Path) -> None:
    """mkfs on the whole disk, later divided into partitions: the old mark is still there."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "old.ko").write_bytes(MODULE)
    if kind == "lvm":
        disk = bytearray(images.lvm(tar(old_ko=MODULE)))
    else:
        images.FILE_SYSTEMS[kind](tmp_path / "tree", tmp_path / "d")
        disk = bytearray((tmp_path / "d").read_bytes())
    new = tar(new_ko=MODULE)
    start = len(disk)
    disk += new.ljust(MIB, b"\0")
    slot(disk, 0, 0x83, start, MIB)
    found, modules = surveyed(bytes(disk))
    assert ("f!/p1", "tar", None) in found
    assert ("f", "mbr", None) in found
    assert modules == 2
    (tmp_path / "disk").write_bytes(disk)
    old = "root!/old.ko" if kind == "lvm" else "old.ko"
    for name in (old, "p1!/new.ko"):
        assert run("digest", f"{tmp_path}/disk!/{name}").code == 0
    assert surveyed(gzip.compress(bytes(disk)))[1] == 2


def test_partitions_after_an_iso_image(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.ko").write_bytes(MODULE)
    (tmp_path / "part").write_bytes(tar(b_ko=MODULE).ljust(MIB, b"\0"))
    out = tmp_path / "iso"
    words = ("-R", "-append_partition", "2", "0x83", tmp_path / "part", "-o", out, tmp_path / "tree")
    call("xorriso", "-as", "mkisofs", "-quiet", *words)
    found, modules = surveyed(out.read_bytes())
    assert ("f!/p2", "tar", None) in found
    assert (found[-1], modules) == (("f", "iso", None), 2)
    for more in (("-partition_offset", "16", "-appended_part_as_gpt"), ("-partition_offset", "16")):
        call("xorriso", "-as", "mkisofs", "-quiet", *more, *words)
        found, modules = surveyed(out.read_bytes())
        assert ("f!/p2", "tar", None) in found
        assert (found[-1], modules) == (("f", "iso", None), 2)
    efi = ("-efi-boot-part", "--efi-boot-image", "-e", "a.ko", "-no-emul-boot")
    call("xorriso", "-as", "mkisofs", "-quiet", "-R", *efi, "-o", out, tmp_path / "tree")
    assert surveyed(out.read_bytes()) == ([("f", "iso", None)], 1)
    images.iso(tmp_path / "tree", out)
    whole = out.read_bytes()
    assert surveyed(whole)[0] == [("f", "iso", None)]
    assert surveyed(whole + bytes(100))[0] == [("f", "iso", None)]
    assert surveyed(whole + tar(c_ko=MODULE))[0] == [("f", "iso", "trailing-data")]


# --------------------------------------------------------------------------- names


NAMED = [
    "x.deb", "lib/x.rpm", "x.tar", "x.tar.zst", "a/initrd.img-6.1", "initramfs-6.1.img", "d.qcow2", "d.E01",
    "x.zip", "x.apk", "x.cpio.gz", "x.cpio.zst", "x.tar.lz4", "x.tbz2", "x.tzst", "x.tgz", "d.img.xz",
    "d.img.gz", "d.E02", "d.E17", "boot/initrd", "initrd.gz", "a/initrd.zst",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_is_called_like_a_container_is_one(name: str, tmp_path: Path) -> None:
    """One damaged byte in its mark must not turn a package into a file like others."""
    member = name.replace(".", "_").replace("/", "__")
    assert surveyed(tar(**{member: b"junk"}))[0] == [
        (f"f!/{name}", "file", "unrecognised"),
        ("f", "tar", None),
    ]
    assert surveyed(tar(**{member: b""}))[0] == [("f", "tar", None)]
    (tmp_path / Path(name).name).write_bytes(b"junk")
    (tmp_path / "notes.txt").write_bytes(b"junk")
    found = [json.loads(line) for line in run("survey", tmp_path, "--jsonl").out.splitlines()]
    assert [(Path(each["path"]).name, each["error"]["code"]) for each in found] == [
        (Path(name).name, "unrecognised")
    ]


@pytest.mark.parametrize("name", ["x_cpio_gz", "x_img_gz", "initrd_gz"])
def test_what_is_compressed_is_what_its_name_says(name: str) -> None:
    """One damaged byte in the mark of what a sound stream holds."""
    found, _ = surveyed(tar(**{name: gzip.compress(JUNK)}))
    path = f"f!/{name.replace('_', '.')}"
    assert found == [(path, "part", "unrecognised"), (path, "gzip", None), ("f", "tar", None)]


def test_names_that_say_nothing() -> None:
    names = ("boot_img", "fw_bin", "deb", "tar_c", "initramfs-hooks", "x_tarball", "guitar", "x_gz", "E01")
    for name in (*names, "myinitrd", "initrd_conf", "x_E1", "x_tool"):
        assert surveyed(tar(**{name: b"junk"}))[0] == [("f", "tar", None)], name
