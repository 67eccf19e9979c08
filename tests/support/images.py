"""Disk images, file systems and archives, made by public tools from a directory, without root."""

from __future__ import annotations

import functools
import operator
import os
import random
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import packages

MIB = 1 << 20


def call(*words: str | Path, stdin: bytes | None = None, cwd: Path | None = None) -> bytes:
    """Run a tool; the test is skipped where it is missing."""
    tool = packages.locate(str(words[0]))
    if tool is None:
        pytest.skip(f"needs {words[0]}, from the Debian package {packages.package_of(str(words[0]))}")
    done = subprocess.run([tool, *map(str, words[1:])], input=stdin, capture_output=True, cwd=cwd)
    assert done.returncode == 0, (words, done.stderr[-500:], done.stdout[-500:])
    return done.stdout


def blank(path: Path, size: int) -> Path:
    """A file of zeros."""
    with path.open("wb") as stream:
        stream.truncate(size)
    return path


def ext4(tree: Path, out: Path) -> None:
    """ext4 with checksums of metadata, and blocks of 1 KiB, so that there is more of it."""
    call("mkfs.ext4", "-q", "-b", "1024", "-O", "metadata_csum,64bit", "-d", tree, out, "16M")


def ext2(tree: Path, out: Path) -> None:
    """ext2: blocks instead of extents, no checksums."""
    call("mkfs.ext2", "-q", "-b", "1024", "-d", tree, out, "16M")


def _prototype(tree: Path) -> str:
    lines = ["/", "0 0", "d--755 0 0"]

    def below(folder: Path) -> None:
        for each in sorted(folder.iterdir()):
            if each.is_symlink():
                lines.append(f"{each.name} l--777 0 0 {os.readlink(each)}")
            elif each.is_dir():
                lines.append(f"{each.name} d--755 0 0")
                below(each)
                lines.append("$")
            else:
                lines.append(f"{each.name} ---644 0 0 {each}")

    below(tree)
    return "\n".join([*lines, "$", ""])


def _xfs(tree: Path, out: Path, *options: str) -> None:
    prototype = out.with_suffix(".proto")
    prototype.write_text(_prototype(tree))
    call("mkfs.xfs", "-q", "-p", prototype, *options, blank(out, 320 * MIB))


def xfs(tree: Path, out: Path) -> None:
    """XFS version 5, with directory blocks of two blocks of the file system."""
    _xfs(tree, out, "-n", "size=8192")


def xfs4(tree: Path, out: Path) -> None:
    """XFS version 4, without checksums."""
    _xfs(tree, out, "-m", "crc=0")


def btrfs(tree: Path, out: Path) -> None:
    """Btrfs."""
    call("mkfs.btrfs", "-q", "--rootdir", tree, blank(out, 120 * MIB))


def _squashfs(tree: Path, out: Path, kind: str) -> None:
    call("mksquashfs", tree, out, "-quiet", "-no-progress", "-comp", kind)


def squashfs(tree: Path, out: Path) -> None:
    """Squashfs compressed by zstd."""
    _squashfs(tree, out, "zstd")


def squashfs_xz(tree: Path, out: Path) -> None:
    """Squashfs compressed by xz."""
    _squashfs(tree, out, "xz")


def squashfs_gzip(tree: Path, out: Path) -> None:
    """Squashfs compressed by zlib."""
    _squashfs(tree, out, "gzip")


def fat(tree: Path, out: Path) -> None:
    """FAT32. Links are followed: the format has none."""
    call("mkfs.vfat", "-F", "32", blank(out, 40 * MIB))
    call("mcopy", "-s", "-i", out, *sorted(tree.iterdir()), "::/")


def fat16(tree: Path, out: Path) -> None:
    """FAT16."""
    call("mkfs.vfat", "-F", "16", blank(out, 20 * MIB))
    call("mcopy", "-s", "-i", out, *sorted(tree.iterdir()), "::/")


def iso(tree: Path, out: Path) -> None:
    """ISO 9660 with the names of Rock Ridge and Joliet."""
    call("xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-o", out, tree)


def joliet(tree: Path, out: Path) -> None:
    """ISO 9660 with the names of Joliet, which knows no links."""
    call("xorriso", "-as", "mkisofs", "-quiet", "-J", "-o", out, tree)


def sevenzip(tree: Path, out: Path) -> None:
    """7z, all files compressed together, links as links."""
    call("7zz", "a", "-bd", "-snl", out, ".", cwd=tree)


def sevenzip_single(tree: Path, out: Path) -> None:
    """7z, each file compressed by itself."""
    call("7zz", "a", "-bd", "-snl", "-ms=off", out, ".", cwd=tree)


FILE_SYSTEMS: dict[str, Callable[[Path, Path], None]] = {
    each.__name__: each
    for each in (
        ext4, ext2, xfs, xfs4, btrfs, squashfs, squashfs_xz, squashfs_gzip, fat, fat16, iso, joliet, sevenzip,
        sevenzip_single,
    )
}  # fmt: skip
WITHOUT_LINKS = frozenset({"fat", "fat16", "joliet"})


# --------------------------------------------------------------------------- disks


def gpt(out: Path, *contents: bytes, sector: int = 512) -> None:
    """A disk with a partition for each content, 1 MiB apart, by sgdisk; 4096-byte sectors by a recipe."""
    starts, end = [], MIB
    for content in contents:
        starts.append(end)
        end += -(-len(content) // MIB) * MIB + MIB
    blank(out, end + MIB)
    if sector == 512:
        words: list[str] = []
        for number, (start, content) in enumerate(zip(starts, contents, strict=True), 1):
            words += ["-n", f"{number}:{start // 512}:{(start + len(content)) // 512 - 1}"]
        call("sgdisk", *words, out)
    else:
        _gpt_by_recipe(
            out,
            [(start, start + len(content)) for start, content in zip(starts, contents, strict=True)],
            sector,
        )
    with out.open("r+b") as stream:
        for start, content in zip(starts, contents, strict=True):
            stream.seek(start)
            stream.write(content)


def _gpt_by_recipe(out: Path, parts: list[tuple[int, int]], sector: int) -> None:
    """Both copies of a table, by the UEFI specification, 5.3."""
    entries = b"".join(
        struct.pack(
            "<16s16sQQQ72s", b"T" * 16, b"U" * 16, start // sector, (start + size) // sector - 1, 0, b""
        )
        for start, size in parts
    ).ljust(128 * 128, b"\0")
    last = out.stat().st_size // sector - 1
    room = len(entries) // sector
    with out.open("r+b") as stream:
        for own, other, first in ((1, last, 2), (last, 1, last - room)):
            values = (b"EFI PART", 0x10000, 92, 0, 0, own, other, 2 + room, last - room - 1, b"D" * 16, first)
            header = struct.pack("<8sIIIIQQQQ16sQIII", *values, 128, 128, zlib.crc32(entries))
            header = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
            stream.seek(own * sector)
            stream.write(header)
            stream.seek(first * sector)
            stream.write(entries)


def mbr(*contents: bytes, logical: bool = False, sector: int = 512) -> bytes:
    """A disk with a partition for each content; ``logical``: all but the first are in an extended one."""
    starts, end = [], MIB
    for content in contents:
        starts.append(end)
        end += -(-len(content) // MIB) * MIB + MIB
    disk = bytearray(end)

    def entry(at: int, kind: int, start: int, size: int) -> None:
        struct.pack_into("<B3sB3sII", disk, at, 0, b"", kind, b"", start // sector, size // sector)

    tables, primary = [0], len(contents)
    for number, (start, content) in enumerate(zip(starts, contents, strict=True)):
        disk[start : start + len(content)] = content
        if not logical or not number:
            entry(446 + 16 * number, 0x83, start, len(content))
        else:
            table, base = start - MIB // 2, starts[1] - MIB // 2
            if number == 1:
                entry(446 + 16, 5, table, end - table)
            else:
                entry(tables[-1] + 446 + 16, 5, table - base, end - table)
            entry(table + 446, 0x83, start - table, len(content))
            tables.append(table)
            primary = 1
    assert primary <= 4
    for table in tables:
        disk[table + 510 : table + 512] = b"\x55\xaa"
    return bytes(disk)


def lvm_crc(data: bytes) -> int:
    return zlib.crc32(data, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def lvm(content: bytes, *, foreign: bool = False) -> bytes:
    """A physical volume with the volume ``root`` in two pieces, in the wrong order; ``foreign``: and the
    volume ``far``, on a second physical volume."""
    extent, start = MIB, MIB
    pieces = -(-len(content) // extent)
    half = pieces // 2
    far = _volume("far", [(0, 1, "pv1", 0)]) if foreign else ""
    root = _volume("root", [(0, half, "pv0", pieces - half), (half, pieces - half, "pv0", 0)])
    disk = bytearray(lvm_physical("P", "PQ"[: 1 + foreign], root + far, pieces + 2, start))
    first, second = content[: half * extent], content[half * extent :]
    disk[start : start + len(second)] = second
    at = start + (pieces - half) * extent
    disk[at : at + len(first)] = first
    return bytes(disk)


def lvm_physical(letter: str, letters: str, volumes: str, extents: int, start: int) -> bytes:
    """The physical volume ``letter`` of a group, without content. By lib/format_text of LVM2."""
    described = "".join(
        f'pv{number} {{\nid = "{lvm_uid(each)}"\ndevice = "x"\nstatus = ["ALLOCATABLE"]\nflags = []\n'
        f"dev_size = 1000000\n"
        f"pe_start = {start // 512}\npe_count = {extents}\n}}\n"
        for number, each in enumerate(letters)
    )
    text = (
        f'vg0 {{\nid = "{lvm_uid("V")}"\nseqno = 1\nstatus = ["RESIZEABLE", "READ", "WRITE"]\nflags = []\n'
        f"extent_size = {MIB // 512}\nmax_lv = 0\nmax_pv = 0\nphysical_volumes {{\n{described}}}\n"
        f'logical_volumes {{\n{volumes}}}\n}}\ncontents = "Text Format Volume Group"\nversion = 1\n'
    ).encode() + b"\0"
    disk = bytearray(start + extents * MIB)
    header = letter.encode() * 32 + struct.pack(
        "<QQQQQQQQQ", len(disk), start, 0, 0, 0, 4096, start - 4096, 0, 0
    )
    label = (struct.pack("<I8s", 32, b"LVM2 001") + header).ljust(492, b"\0")
    disk[512:1024] = b"LABELONE" + struct.pack("<QI", 1, lvm_crc(label)) + label
    area = b" LVM2 x[5A%r0N*>" + struct.pack("<IQQ", 1, 4096, start - 4096)
    area += struct.pack("<QQII", 512, len(text), lvm_crc(text), 0)
    area = area.ljust(508, b"\0")
    disk[4096:4608] = struct.pack("<I", lvm_crc(area)) + area
    disk[4608 : 4608 + len(text)] = text
    return bytes(disk)


def lvm_uid(letter: str) -> str:
    return "-".join((letter * 6, *[letter * 4] * 5, letter * 6))


def _volume(name: str, segments: list[tuple[int, int, str, int]]) -> str:
    text = (
        f'{name} {{\nid = "{lvm_uid(name[0].upper())}"\nstatus = ["READ", "WRITE", "VISIBLE"]\nflags = []\n'
    )
    text += f"segment_count = {len(segments)}\n"
    for number, (start, count, device, place) in enumerate(segments, 1):
        text += f'segment{number} {{\nstart_extent = {start}\nextent_count = {count}\ntype = "striped"\n'
        text += f'stripe_count = 1\nstripes = [\n"{device}", {place}\n]\n}}\n'
    return text + "}\n"


def raid1(content: bytes) -> bytes:
    """A member of a RAID1 of two devices with metadata 1.2."""
    return md_member(content, 0, 2, level=1, size=len(content))


def md_member(
    data: bytes,
    number: int | None,
    count: int,
    *,
    level: int,
    size: int,
    chunk: int = 0,
    layout: int = 0,
    events: int = 1,
    features: int = 0,
) -> bytes:
    """Member ``number`` of an array of ``count`` devices, None for a spare, with metadata 1.2 (struct
    mdp_superblock_1 of linux/raid/md_p.h); ``size`` is what the array uses of each device, in bytes."""
    offset, device = MIB, count if number is None else number
    block = struct.pack("<III I16s32s", 0xA92B4EFC, 1, features, 0, b"S" * 16, b"host:0")
    block += struct.pack("<QiIQIII", 0, level, layout, size // 512, chunk // 512, count, 0)
    block = block.ljust(128, b"\0")
    identity = bytes([device + 1]) * 16
    block += struct.pack("<QQQQII16s", offset // 512, len(data) // 512, 8, 0, device, 0, identity)
    block = block.ljust(192, b"\0") + struct.pack("<QQQIII", 0, events, 0, 0, count + 1, 0)
    roles = [*range(count), 0xFFFF]
    block = block.ljust(256, b"\0") + struct.pack(f"<{count + 1}H", *roles)
    summed = block.ljust(-(-len(block) // 4) * 4, b"\0")
    total = sum(word for (word,) in struct.iter_unpack("<I", summed))
    block = block[:216] + struct.pack("<I", (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF) + block[220:]
    return bytes(4096) + block.ljust(offset - 4096, b"\0") + data


def array(content: bytes, level: int, count: int, chunk: int = 64 << 10) -> list[bytes]:
    """The members of an array with ``content``, whose size is a multiple of all chunks of a stripe.

    By drivers/md in Linux: raid5_compute_sector with the layout left-symmetric, __raid10_find_phys with two
    near copies. Q of RAID6 is random: nothing may take it for data.
    """
    chunks = [content[at : at + chunk] for at in range(0, len(content), chunk)]
    devices: list[list[bytes]] = [[] for _ in range(count)]
    layout = {5: 2, 6: 2, 10: 0x102}.get(level, 0)
    parities = {4: 1, 5: 1, 6: 2}.get(level, 0)
    if level == -1:
        share = -(-len(chunks) // count)
        devices = [chunks[share * number : share * (number + 1)] for number in range(count)]
    elif level == 10:
        for place in range(2 * len(chunks)):
            devices[place % count].append(chunks[place // 2])
    else:
        for row in range(len(chunks) // (count - parities)):
            stripe = chunks[row * (count - parities) : (row + 1) * (count - parities)]
            xor = bytes(functools.reduce(operator.xor, column) for column in zip(*stripe, strict=True))
            first = count - 1 - row % count if level in (5, 6) else count - 1
            extra = [xor, random.Random(row).randbytes(chunk)][:parities]
            # left-symmetric: parity, then data, going round
            order = [*extra, *stripe] if level in (5, 6) else [*stripe, *extra]
            start = first if level in (5, 6) else 0
            for number, piece in enumerate(order):
                devices[(start + number) % count].append(piece)
    size = len(b"".join(devices[0]))
    return [
        md_member(b"".join(each), number, count, level=level, size=size, chunk=chunk, layout=layout)
        for number, each in enumerate(devices)
    ]


def volume_group(content: bytes, other: bytes) -> tuple[bytes, bytes]:
    """Two physical volumes: ``root`` is on both, ``own`` on the second, each with the metadata."""
    extent, start = MIB, MIB
    pieces, rest = -(-len(content) // extent), -(-len(other) // extent)
    half = pieces // 2
    volumes = _volume("root", [(0, half, "pv0", 0), (half, pieces - half, "pv1", 0)])
    volumes += _volume("own", [(0, rest, "pv1", pieces - half)])
    disks = tuple(lvm_physical(letter, "PQ", volumes, pieces + rest, start) for letter in ("P", "Q"))
    one, two = (bytearray(each) for each in disks)
    one[start : start + half * extent] = content[: half * extent]
    at = start + (pieces - half) * extent
    two[start : start + len(content) - half * extent] = content[half * extent :]
    two[at : at + len(other)] = other
    return bytes(one), bytes(two)
