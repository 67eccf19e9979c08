"""Boot images of Android: a header, then kernel, ramdisks and the rest, each from a page on.

``boot.img`` of header versions 0 to 4 and ``vendor_boot.img`` of 3 and 4 (AOSP, system/tools/mkbootimg,
include/bootimg/bootimg.h). The ramdisks of vendor_boot version 4 are one part: they follow each other as
those of an initramfs do. The ``id`` of old headers is not verified: common tools leave it as it was when they
exchange a part.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from elfsig.containers.contract import Container, Context, Member, damaged, trailing
from elfsig.containers.readers import Reader, SeekReader
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks

BOOT, VENDOR = b"ANDROID!", b"VNDRBOOT"
_PAGE = 4096
_PAGES = (2048, 4096, 8192, 16384, 32768, 65536, 131072)
_SIGNATURES = (b"AVB0", b"SEANDROIDENFORCE", b"0\x82")
"""What may follow: a verified boot descriptor (with its footer at the end of the partition), a mark of
Samsung's boot loader, a signature of Android 6 to 8 (DER)."""


class _Part(NamedTuple):
    name: bytes
    size: int


class _Header(NamedTuple):
    """The size of the header, of a page, and the parts in their order."""

    size: int
    page: int
    parts: list[_Part]


def _boot(head: bytes) -> _Header:
    """Raises ContainerError."""
    version = int.from_bytes(head[40:44], "little")
    if version in (3, 4):
        kernel, ramdisk = struct.unpack_from("<II", head, 8)
        signature = int.from_bytes(head[1580:1584], "little") if version == 4 else 0
        parts = [_Part(b"kernel", kernel), _Part(b"ramdisk", ramdisk), _Part(b"signature", signature)]
        return _Header(1584 if version == 4 else 1580, _PAGE, parts)
    kernel, ramdisk, second, page = (int.from_bytes(head[at : at + 4], "little") for at in (8, 16, 24, 36))
    parts = [_Part(b"kernel", kernel), _Part(b"ramdisk", ramdisk), _Part(b"second", second)]
    size = 1632
    if version in (1, 2):
        parts.append(_Part(b"recovery_dtbo", int.from_bytes(head[1632:1636], "little")))
        size = 1648
    if version == 2:
        parts.append(_Part(b"dtb", int.from_bytes(head[1648:1652], "little")))
        size = 1660
    if version > 4:  # before versions: the size of a device tree, by Qualcomm's tools
        parts.append(_Part(b"dtb", version))
    return _Header(size, page, parts)


def _vendor(head: bytes) -> _Header:
    version, page = struct.unpack_from("<II", head, 8)
    ramdisk = int.from_bytes(head[24:28], "little")
    dtb = int.from_bytes(head[2100:2104], "little")
    parts = [_Part(b"ramdisk", ramdisk), _Part(b"dtb", dtb)]
    if version == 3:
        return _Header(2112, page, parts)
    if version != 4:
        raise ContainerError(f"vendor_boot of version {version}", code="unsupported", offset=8)
    table, _, _, configuration = struct.unpack_from("<IIII", head, 2112)
    parts += [_Part(b"ramdisk_table", table), _Part(b"bootconfig", configuration)]
    return _Header(2128, page, parts)


def _open(reader: Reader, context: Context) -> Iterator[Member]:
    vendor = reader.peek(8) == VENDOR
    head = reader.exactly(2128 if vendor else 1660, "the header")
    header = _vendor(head) if vendor else _boot(head)
    if header.page not in _PAGES:
        raise damaged(f"pages of {header.page} bytes", 12 if vendor else 36)
    reader.exactly(-reader.tell() % header.page, "the page of the header")
    for part in header.parts:
        if part.size:
            offset = reader.tell()
            content = reader.part(part.size, f"the {part.name.decode()}")
            expected = "a cpio archive" if part.name == b"ramdisk" else None
            yield Member(part.name, "part", content, part.size, offset, expected=expected)
            content.finish()
            reader.skip(-reader.tell() % header.page)  # the last page may be cut short
    yield from _after(reader)


def _after(reader: Reader) -> Iterator[Member]:
    """What follows the last part: signatures that are known, as a part. Raises ContainerError for the
    rest."""
    while not reader.at_end() and not reader.peek(16).strip(b"\0"):
        reader.skip(len(reader.peek(16)))
    if reader.peek(16).startswith(_SIGNATURES):
        offset = reader.tell()
        size = reader.size - offset if isinstance(reader, SeekReader) else None
        rest = Reader(lambda: reader.take(1 << 16)) if size is None else reader.part(size, "the signature")
        yield Member(b"signature", "part", rest, size, offset)
        rest.finish()
    trailing(reader, "the image")


ANDROID: Container = Container("android-boot", marks("android-boot", "android-vendor-boot"), _open)
