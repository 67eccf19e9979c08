"""Archives and boot images that few programs write, by recipe: seeds of the readers of containers."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping

from tests.fuzz import seeds
from tests.support.cpio import newc

MODULE = b"\x7fELF\2\1\1".ljust(16, b"\0") + b"\1\0" + b"module" * 50
"""Starts as a module does, so that it is kept for hard links to it."""
INNER = newc({"lib/a.ko": MODULE, "b": b"second"})

# --------------------------------------------------------------------------- tar


def _member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: object) -> bytes:
    """One member of an archive of pax, with its content; ``more`` are its other attributes."""
    about = tarfile.TarInfo(name)
    about.type, about.size = kind, len(content)
    for key, value in more.items():
        setattr(about, key, value)
    return about.tobuf(tarfile.PAX_FORMAT) + content.ljust(-(-len(content) // 512) * 512, b"\0")


def _summed(block: bytes) -> bytes:
    """A header with a right checksum."""
    total = sum(block[:148]) + 8 * ord(" ") + sum(block[156:512])
    return block[:148] + b"%06o\0 " % total + block[156:]


def _old_sparse(name: str, pieces: int) -> bytes:
    """A member of type S: four pieces are in the header, 21 more in each block after it."""
    stored = MODULE[:16] * pieces
    fields = [b"%011o\0%011o\0" % (1000 * number, 16) for number in range(pieces)]
    block = bytearray(_member(name, stored, b"S")[:512])
    block[257:265] = b"ustar  \0"
    block[345:500] = bytes(155)
    block[386:482] = b"".join(fields[:4]).ljust(96, b"\0")
    block[482:495] = bytes([pieces > 4]) + b"%011o\0" % (1000 * pieces)
    rest, more = fields[4:], b""
    while rest:
        rest, these = rest[21:], rest[:21]
        more += b"".join(these).ljust(504, b"\0") + bytes([bool(rest)]) + bytes(7)
    return _summed(bytes(block)) + more + stored.ljust(-(-len(stored) // 512) * 512, b"\0")


def sparse_tars() -> Iterator[bytes]:
    """Sparse members in the four forms of GNU tar."""
    yield _old_sparse("a.ko", 3) + _old_sparse("b", 30) + _member("c", b"after") + bytes(1024)
    size = {"GNU.sparse.size": "3000"}
    listed = "GNU.sparse.offset=%d GNU.sparse.numbytes=%d"
    first = b"".join(
        _record(part) for number in (0, 1000) for part in (listed % (number, 100)).encode().split(b" ")
    )
    first += _record(b"GNU.sparse.size=3000")
    yield _pax(first) + _member("a.ko", MODULE[:200]) + bytes(1024)
    parts = {**size, "GNU.sparse.name": "a.ko", "GNU.sparse.map": "0,100,1000,100,3000,0"}
    yield _member("x", MODULE[:200], pax_headers=parts) + bytes(1024)
    parts = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "a.ko",
        "GNU.sparse.realsize": "3000",
    }
    content = b"2\n0\n100\n1000\n100\n".ljust(512, b"\0") + MODULE[:200]
    yield _member("x", content, pax_headers=parts) + bytes(1024)


def _record(line: bytes) -> bytes:
    """A record of an extended header; its length counts itself."""
    size = len(line) + 3
    size += len(str(size + len(str(size)))) - 1
    return b"%d %s\n" % (size, line)


def _pax(records: bytes) -> bytes:
    return _member("PaxHeader", records, tarfile.XHDTYPE)


def linked_tars() -> Iterator[bytes]:
    """Hard links to modules and to other files, one of them with its content again; what hides other names;
    devices; a label; a second archive."""
    made = _member("label", kind=b"V") + _member("a.ko", MODULE) + _member("text", b"text")
    made += _member("b.ko", kind=tarfile.LNKTYPE, linkname="a.ko")
    made += _member("c.ko", kind=tarfile.LNKTYPE, linkname="b.ko")
    made += _member("d", kind=tarfile.LNKTYPE, linkname="text")
    made += _member("e.ko", kind=tarfile.LNKTYPE, linkname="gone.ko")
    yield made + _member("f.ko", MODULE, tarfile.LNKTYPE, linkname="a.ko") + bytes(1024)
    others = _member("dev", kind=tarfile.CHRTYPE) + _member("d/", kind=tarfile.DIRTYPE)
    hidden = _member("d/.wh.a.ko") + _member("e/.wh..wh..opq")
    common = _member("GlobalHead", _record(b"SCHILY.xattr.security.ima=x"), tarfile.XGLTYPE)
    yield common + others + hidden + _member("a.ko", MODULE) + bytes(1024) + _member("b", b"2") + bytes(1024)
    yield _member("l/" * 99 + "a.ko", MODULE, pax_headers={"size": str(len(MODULE))}) + bytes(1024)


# --------------------------------------------------------------------------- cpio

_FILES = ((b"a.ko", 1, 0o100644, MODULE), (b"l", 2, 0o120777, b"a.ko"), (b"d", 3, 0o40755, b""))
_LINKED = (
    (b"x.ko", 4, 0o100644, b""),
    (b"y.ko", 4, 0o100644, b"\x7fELF linked"),
    (b"z.ko", 4, 0o100644, b""),
)
_END = (b"TRAILER!!!", 0, 0, b"")


def _odc(name: bytes, inode: int, mode: int, content: bytes, links: int) -> bytes:
    fields = b"%06o" * 7 % (1, inode, mode, 0, 0, links, 0)
    return b"070707%s%011o%06o%011o%s\0%s" % (fields, 0, len(name) + 1, len(content), name, content)


def _newc(name: bytes, inode: int, mode: int, content: bytes, links: int) -> bytes:
    fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name) + 1, sum(content))
    head = b"070702" + b"".join(b"%08x" % each for each in fields) + name + b"\0"
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def _binary(order: str, name: bytes, inode: int, mode: int, content: bytes, links: int) -> bytes:
    words = (0o70707, 1, inode, mode, 0, 0, links, 0, 0, 0, len(name) + 1, 0, len(content))
    head = struct.pack(f"{order}13H", *words) + name + b"\0"
    return head + bytes(len(head) % 2) + content + bytes(len(content) % 2)


def old_cpios() -> Iterator[bytes]:
    """Every form of header, with a symbolic link, a directory, and a file with several names."""
    for linked in (False, True):
        rows = [(*each, 1) for each in _FILES] + [(*each, 3) for each in _LINKED if linked]
        rows.append((*_END, 1))
        yield b"".join(_odc(*each) for each in rows)
        yield b"".join(_newc(*each) for each in rows)
        for order in "<>":
            yield b"".join(_binary(order, *each) for each in rows)
    yield bytes(512) + INNER
    yield bytes(512) + seeds.compressed(INNER)["gzip"]
    yield INNER + bytes(4) + b"".join(_odc(*each, 1) for each in (*_FILES, _END))


# --------------------------------------------------------------------------- streams


def streams() -> Iterator[bytes]:
    """Frames that decoders skip before a stream, before archives and alone; LZMA with unusual parameters."""
    made = seeds.compressed(INNER)
    short = b"\x50\x2a\x4d\x18\4\0\0\0skip"
    long = b"\x5f\x2a\x4d\x18" + struct.pack("<I", 5000) + bytes(5000)
    for frames in (short, long, long + short):
        yield frames + made["zstd"]
        yield frames + made["lz4"]
        yield frames + INNER
    yield long
    for lc, lp, pb, size in ((0, 0, 0, 4096), (1, 2, 3, 1 << 16), (4, 0, 4, 3 << 15), (0, 4, 2, 1 << 20)):
        about = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": size}
        yield lzma.compress(INNER, lzma.FORMAT_ALONE, filters=[about])


# --------------------------------------------------------------------------- U-Boot, Android


def uimage(data: bytes, kind: int) -> bytes:
    """A legacy image; 2: a kernel, 3: a ramdisk, 4: several files."""
    header = struct.pack(
        ">IIIIIIIBBBB32s", 0x27051956, 0, 1, len(data), 0, 0, zlib.crc32(data), 5, 2, kind, 0, b"name"
    )
    return header[:4] + struct.pack(">I", zlib.crc32(header)) + header[8:] + data


def uimages() -> Iterator[bytes]:
    """A ramdisk, a kernel, several files, and data after those that are listed."""
    packed = seeds.compressed(INNER)["gzip"]
    yield uimage(packed, 3)
    yield uimage(b"kernel" * 20, 2)
    sizes = struct.pack(">IIII", 9, len(INNER), len(packed), 0)
    several = b"".join(each + bytes(-len(each) % 4) for each in (b"a kernel.", INNER, packed))
    yield uimage(sizes + several, 4)
    yield uimage(sizes + several + b"more", 4)


def behind() -> Iterator[bytes]:
    """What unpacks itself: scripts before archives, one in an unknown form, and AppImages."""
    for packed in (seeds.compressed(INNER)["gzip"], b"PK\x05\x06" + bytes(18)):
        yield b"#!/bin/sh\nexit 0\n" + packed
        for width, entry in ((1, 46), (2, 58)):
            head = bytearray(b"\x7fELF" + bytes([width, 1, 1, 0]) + b"AI\x02" + bytes(53))
            head[32 if width == 1 else 40] = 64
            head[entry : entry + 4] = b"\x40\0\1\0"
            yield bytes(head) + bytes(64) + packed
    yield b"#!/bin/sh\n# made by Makeself\n"


def vendor_boots() -> Iterator[bytes]:
    """Boot images of the vendor, of versions 3 and 4, and those of versions 1, 2 and Qualcomm's."""
    packed = seeds.compressed(INNER)["gzip"]
    for version in (3, 4):
        head = struct.pack("<8sIIIII", b"VNDRBOOT", version, 2048, 0, 0, len(packed)).ljust(2100, b"\0")
        head += struct.pack("<IQIIII", 4, 0, 108, 1, 108, 3)
        yield _paged(head, packed, b"tree", *((bytes(108), b"a=b") if version == 4 else ()))
    for version in (1, 2, 8):
        head = b"ANDROID!" + struct.pack("<10I", 6, 0, len(packed), 0, 0, 0, 0, 2048, version, 0)
        head = head.ljust(1632, b"\0") + struct.pack("<IQIIQ", 7, 0, 1660, 4 if version == 2 else 0, 0)
        yield _paged(
            head, b"kernel", packed, b"overlay!"[: version if version == 8 else 7], b"tree"[: version * 2]
        )
    yield _paged(head, b"kernel", packed, b"overlay!") + b"AVB0 and more"


def _paged(*parts: bytes) -> bytes:
    return b"".join(each.ljust(-(-len(each) // 2048) * 2048, b"\0") for each in parts)


# --------------------------------------------------------------------------- images of containers


def _packed(members: Mapping[str, bytes]) -> bytes:
    return b"".join(_member(name, content) for name, content in members.items()) + bytes(1024)


def _blob(content: bytes) -> str:
    return f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"


def _descriptor(content: bytes, kind: str) -> dict[str, object]:
    return {"mediaType": kind, "digest": "sha256:" + _blob(content)[13:], "size": len(content)}


def layouts() -> Iterator[bytes]:
    """OCI image layouts, whole ones and some that lack a layer, and what ``docker save`` wrote before."""
    layer = _packed({"a.ko": MODULE})
    packed = seeds.compressed(layer)["gzip"]
    for blobs in ((layer,), (packed, bytes(1024)), (packed, b"unknown")):
        listing = {"layers": [_descriptor(each, "application/vnd.oci.image.layer.v1.tar") for each in blobs]}
        manifest = json.dumps(listing).encode()
        index = json.dumps({"manifests": [_descriptor(manifest, "x")]}).encode()
        files = {"index.json": index} | {_blob(each): each for each in (manifest, *blobs)}
        yield _packed(files)
        yield _packed({"images/" + name: content for name, content in reversed(files.items())})
        del files[_blob(blobs[0])]
        yield _packed(files)
    names = ["1/layer.tar", "2/layer.tar"]
    docker = json.dumps([{"Config": "c.json", "Layers": names}]).encode()
    yield _packed({"manifest.json": docker, names[0]: layer, names[1]: bytes(1024)})
    link = _member(names[1], kind=tarfile.SYMTYPE, linkname="../1/layer.tar")
    yield _member(names[0], layer) + link + _packed({"manifest.json": docker})


# --------------------------------------------------------------------------- zip, and what is not read


def odd_zips() -> Iterator[bytes]:
    """Members that are compressed otherwise, links, directories, encrypted ones, and sizes after a member."""
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield _zipped(method)
    whole = _zipped(zipfile.ZIP_STORED)
    for flag in (0x1, 0x20, 0x40):
        changed = bytearray(whole)
        for at in (6, whole.index(b"PK\1\2") + 8):
            changed[at] |= flag
        yield bytes(changed)
    yield b"#!/bin/sh\n" + whole
    yield _zipped(zipfile.ZIP_DEFLATED, after=True)
    at, size = whole.index(b"PK\1\2"), 24
    block = struct.pack("<Q", size) + struct.pack("<Q", size) + b"APK Sig Block 42"
    start = struct.pack("<I", at + len(block))
    yield whole[:at] + block + whole[at:-6] + start + whole[-2:]


class _Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def _zipped(method: int, *, after: bool = False) -> bytes:
    made = _Pipe() if after else io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as out:
        out.writestr("a.ko", MODULE)
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        out.writestr(link, "a.ko")
        out.writestr("d/", "")
    return made.getvalue()


def unread() -> Iterator[bytes]:
    """What is recognised and not read: a thin archive, a package of apk-tools 3, swap of both versions and
    byte orders, GRUB, a FIT image."""
    yield b"!<thin>\n//              6         `\na.ko/\n"
    yield b"ADB.pckg" + bytes(100)
    for order in "<>":
        head = bytes(1024) + struct.pack(order + "III", 1, 99, 2)
        yield head.ljust(4086, b"\0") + b"SWAPSPACE2" + bytes(4096)
    yield (b"\xfe" + b"\xff" * 99).ljust(4086, b"\0") + b"SWAP-SPACE" + bytes(4096)
    yield (b"\x52\xe8" + bytes(380) + b"GRUB \0Geom\0Read\0 Error\0").ljust(512, b"\0") + bytes(512)
    yield (
        b"\xd0\x0d\xfe\xed"
        + struct.pack(">9I", 200, 56, 150, 40, 17, 16, 0, 20, 60).ljust(52, b"\0")
        + (b"\0\0\0\1\0\0\0\0\0\0\0\1images\0\0" + struct.pack(">II", 2, 2) + struct.pack(">I", 9))
    )
