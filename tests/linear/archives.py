"""Archives and images that are bad for their readers: many small members, deep directories, odd tables."""

from __future__ import annotations

import io
import lzma
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress

import lz4.frame
import zstandard

import elfsig
from elfsig.containers.contract import Budget, Context
from elfsig.containers.names import Step
from elfsig.containers.readers import bytes_reader
from elfsig.containers.walk import Found, walk
from elfsig.errors import ContainerError
from tests.linear.measure import Call, Shape
from tests.support.modules import plain

FILE = (Step("file", b"f"),)


def walked(data: bytes) -> None:
    """Everything in it, every member read to its end."""
    for found in walk(bytes_reader(data), FILE, Context(Budget())):
        if isinstance(found, Found) and found.member.reader is not None:
            with suppress(ContainerError):
                found.member.reader.all(1 << 30)


def surveyed(data: bytes) -> None:
    """The records of a survey of a file on disk."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        for _ in elfsig.survey(file.name):
            pass


CALLS: Mapping[str, Call] = {
    "walk": walked,
    "survey": surveyed,
    "members": lambda data: list(elfsig.members(data)),
    "verify": elfsig.verify,
}


def tar(member: Callable[[int], tuple[str, bytes]], count: Callable[[int], int]) -> Callable[[int], bytes]:
    def make(size: int) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for nr in range(count(size)):
                name, content = member(nr)
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return out.getvalue()

    return make


def tar_links(size: int) -> bytes:
    """Hard links to one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for nr in range(size // 512):
            info = tarfile.TarInfo(f"{nr}.ko")
            if nr:
                info.type, info.linkname = tarfile.LNKTYPE, "0.ko"
            archive.addfile(info)
    return out.getvalue()


def pax(size: int) -> bytes:
    """Extended headers of many records, in front of each file."""
    out = io.BytesIO()
    records = {f"user.{nr}": "x" for nr in range(200)}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for nr in range(max(1, size // 5000)):
            info = tarfile.TarInfo(f"{nr}.ko")
            info.pax_headers = records
            archive.addfile(info)
    return out.getvalue()


def sparse(size: int) -> bytes:
    """An old GNU sparse file of many pieces."""
    count = size // 512 * 21 + 4
    head = bytearray(tarfile.TarInfo("a.ko").tobuf(tarfile.GNU_FORMAT))

    def entry(nr: int) -> bytes:
        return b"%011o\0%011o\0" % (nr * 2, 1)

    head[156:157] = b"S"
    head[386:482] = b"".join(entry(nr) for nr in range(4))
    head[482:483] = b"\1"
    head[483:495] = b"%011o\0" % (count * 2)
    head[124:136] = b"%011o\0" % count
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    blocks = []
    for start in range(4, count, 21):
        numbers = range(start, min(start + 21, count))
        more = b"\1" if start + 21 < count else b"\0"
        blocks.append((b"".join(map(entry, numbers)).ljust(504, b"\0") + more).ljust(512, b"\0"))
    return bytes(head) + b"".join(blocks) + bytes(-(-count // 512) * 512) + bytes(1024)


def newc(
    name: Callable[[int], bytes], content: bytes = b"", mode: int = 0o100644, ino: int | None = None
) -> Callable[[int], bytes]:
    def one(nr: int, stored: bytes) -> bytes:
        fields = [
            nr if ino is None else ino,
            mode,
            0,
            0,
            2 if ino else 1,
            0,
            len(content),
            0,
            0,
            0,
            0,
            len(stored) + 1,
            0,
        ]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + stored + b"\0"
        return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)

    def make(size: int) -> bytes:
        each = 116 + len(name(1)) + len(content)
        return b"".join(one(nr, name(nr)) for nr in range(size // each)) + one(0, b"TRAILER!!!")

    return make


def segments(size: int) -> bytes:
    """cpio archives one after the other."""
    one = newc(lambda nr: b"a")(0)
    return (one + bytes(-len(one) % 512)) * (size // 512)


def ar(size: int) -> bytes:
    member = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (b"a.ko/", 0, 0, 0, 0o644, 0)
    return b"!<arch>\n" + member * (size // len(member))


def ar_names(size: int) -> bytes:
    """A table of long names, and members that are each named by its start."""
    table = b"n" * (size // 2) + b"/\n"
    head = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n"
    members = (head % (b"/0", 0, 0, 0, 0o644, 0)) * (size // 120)
    return b"!<arch>\n" + head % (b"//", 0, 0, 0, 0, len(table)) + table + b"\n" * (len(table) % 2) + members


def zip_(size: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for nr in range(size // 110):
            archive.writestr(f"{nr}.ko", b"")
    return out.getvalue()


def zip_overlapping(size: int) -> bytes:
    """Entries that all name the same stored bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.ko", bytes(size // 2))
        first = archive.infolist()[0]
        for nr in range(size // 120):
            info = zipfile.ZipInfo(f"{nr}.ko")
            for name in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
                setattr(info, name, getattr(first, name))
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
    return out.getvalue()


def rpm_header(size: int) -> bytes:
    """An RPM whose header has many entries."""
    count = size // 16
    entries = b"".join(struct.pack(">IIII", 1000, 6, 0, 1) for _ in range(count))
    store = b"x\0"
    empty = b"\x8e\xad\xe8\1" + bytes(4) + struct.pack(">II", 0, 0)
    header = b"\x8e\xad\xe8\1" + bytes(4) + struct.pack(">II", count, len(store)) + entries + store
    lead = (b"\xed\xab\xee\xdb\3\0" + bytes(72) + b"\0\5").ljust(96, b"\0")
    return lead + empty + header


def rpm_strings(size: int) -> bytes:
    """Arrays of strings that all begin at the same place."""
    count = max(1, size // 48)
    store = b"x\0" * count
    entries = b"".join(struct.pack(">IIII", 1117, 8, 0, count) for _ in range(count // 2))
    empty = b"\x8e\xad\xe8\1" + bytes(4) + struct.pack(">II", 0, 0)
    header = b"\x8e\xad\xe8\1" + bytes(4) + struct.pack(">II", count // 2, len(store)) + entries + store
    lead = (b"\xed\xab\xee\xdb\3\0" + bytes(72) + b"\0\5").ljust(96, b"\0")
    return lead + empty + header


def nested_tar(size: int) -> bytes:
    """An archive in an archive, as deep as may be, around one large file."""
    data = bytes(size)
    for _ in range(12):
        head = tarfile.TarInfo("a.tar")
        head.size = len(data)
        data = head.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512) + bytes(1024)
    return data


def nested_gzip(size: int) -> bytes:
    data = bytes(range(256)) * (size // 256)
    for _ in range(12):
        data = zlib.compress(data, 1, 31)
    return data


def mbr(size: int) -> bytes:
    """Logical partitions that form a long chain."""
    sectors = size // 512
    data = bytearray(size)

    def entry(kind: int, start: int, count: int) -> bytes:
        return bytes((0, 0, 0, 0, kind, 0, 0, 0)) + struct.pack("<II", start, count)

    data[446:462] = entry(5, 1, sectors - 1)
    data[510:512] = b"\x55\xaa"
    for nr in range(1, sectors - 2, 2):
        at = nr * 512
        data[at + 446 : at + 462] = entry(0x83, 1, 1)
        data[at + 462 : at + 478] = entry(5, nr + 1, 2)
        data[at + 510 : at + 512] = b"\x55\xaa"
    return bytes(data)


def sections_of_pe(size: int) -> bytes:
    """A PE image of many sections."""
    count = min(size // 40, 0xFFFF)
    head = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, count, 0, 0, 0, 240, 0)
    optional = struct.pack("<H", 0x20B).ljust(240, b"\0")
    start = 64 + 24 + 240 + 40 * count
    rows = b"".join(
        b".initrd\0" + struct.pack("<IIIIIIHHI", 1, nr, 1, start + nr, 0, 0, 0, 0, 0) for nr in range(count)
    )
    return head + coff + optional + rows + bytes(count)


SKIPPABLE = b"\x50\x2a\x4d\x18\0\0\0\0"
XZ = lzma.compress(b"x")
ZSTD = zstandard.compress(b"x")
GZIP = zlib.compress(b"x", 9, 31)

SHAPES = (
    Shape("tar: members", tar(lambda nr: (f"{nr}.ko", b""), lambda size: size // 512)),
    Shape("tar: modules", tar(lambda nr: (f"{nr}.ko", plain()), lambda size: 1 + size // (1 << 15))),
    Shape("tar: one name", tar(lambda nr: ("a.ko", b""), lambda size: size // 512)),
    Shape("tar: deep names", tar(lambda nr: ("d/" * 2000 + f"{nr}.ko", b""), lambda size: 1 + size // 5632)),
    Shape("tar: long names", tar(lambda nr: ("n" * 60_000, b""), lambda size: 1 + size // 61_000)),
    Shape("tar: hard links", tar_links),
    Shape("tar: extended headers", pax),
    Shape("tar: sparse", sparse),
    Shape("tar in tar", nested_tar),
    Shape("cpio: members", newc(lambda nr: b"%d.ko" % nr)),
    Shape("cpio: one name", newc(lambda nr: b"a.ko")),
    Shape("cpio: one inode", newc(lambda nr: b"%d.ko" % nr, ino=7)),
    Shape("cpio: directories", newc(lambda nr: b"d/" * 500, mode=0o40755)),
    Shape("cpio: archives", segments),
    Shape("cpio: padding", lambda size: newc(lambda nr: b"a")(0) + bytes(size)),
    Shape("ar: members", ar),
    Shape("ar: one long name", ar_names),
    Shape("zip: members", zip_),
    Shape("zip: overlapping members", zip_overlapping),
    Shape("rpm: entries", rpm_header),
    Shape("rpm: strings", rpm_strings),
    Shape("MBR: logical partitions", mbr),
    Shape("PE: sections", sections_of_pe),
    Shape("gzip: members", lambda size: GZIP * (size // len(GZIP))),
    Shape("gzip in gzip", nested_gzip),
    Shape("gzip: a long name", lambda size: GZIP[:3] + b"\x08" + bytes(6) + b"n" * size + b"\0" + GZIP[10:]),
    Shape("xz: streams", lambda size: XZ * (size // len(XZ))),
    Shape("xz: padding", lambda size: XZ + bytes(size // 4 * 4)),
    Shape("zstd: frames", lambda size: ZSTD * (size // len(ZSTD))),
    Shape("zstd: skippable frames", lambda size: SKIPPABLE * (size // 8) + ZSTD),
    Shape("zstd: empty blocks", lambda size: b"\x28\xb5\x2f\xfd\0\x58" + bytes(size // 3 * 3) + b"\1\0\0"),
    Shape("lz4: frames", lambda size: lz4.frame.compress(b"x") * (size // 24)),
    Shape("lz4: legacy blocks", lambda size: b"\x02\x21\x4c\x18" + b"\2\0\0\0\x10x" * (size // 6)),
    Shape("zeros", bytes),
)  # fmt: skip
