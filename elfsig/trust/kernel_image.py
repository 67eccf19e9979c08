"""The certificates compiled into a kernel: from any image, of any architecture, without symbols.

Ways in: x86 bzImage (Documentation/arch/x86/boot.rst: the payload fields exist from protocol 2.08 on,
older images are searched for a compressed stream), EFI zboot (drivers/firmware/efi/libstub/zboot-header.S),
a compressed Image or vmlinux, an ELF vmlinux, a raw Image, and in any other file every compressed stream.

The list itself is laid out by certs/system_certificates.S; see :mod:`elfsig.trust.builtin`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from elfsig.compression import payloads
from elfsig.elf.table import MAGIC as ELF_MAGIC
from elfsig.errors import KeySourceError, ParseError
from elfsig.lazy_dataclass import replace
from elfsig.model import Key, Loss, Remark, Why
from elfsig.trust import builtin, merkle, openpgp
from elfsig.trust.entries import REVOKED, Material, Origin, complete, gather, material
from elfsig.trust.make import key_from_parsed
from elfsig.trust.unified import kernel_in

BZIMAGE_MAGIC, BZIMAGE_AT = b"HdrS", 0x202
PAYLOAD_PROTOCOL = 0x208
S390_MAGIC, S390_AT = b"S390EP", 0x10008
IMAGE_MAGICS, IMAGE_AT = (b"ARM\x64", b"RSC\x05"), 0x38
ZBOOT_MAGIC, ZBOOT_AT = b"zimg", 4
ET_EXEC, ET_DYN, ELFDATA2MSB = 2, 3, 2
DEPTH = 3
ATTEMPTS = 256
"""Maximum streams to try in a container of unknown kind."""

PROBE = 1 << 16
"""Bytes that a stream must decompress to before all of it is decompressed."""

BUILTIN = "builtin"
RINGS_UNTIL = (3, 7)
"""The first kernel that holds certificates instead of an OpenPGP ring (kernel/modsign_certificate.S)."""


def is_kernel(data: bytes) -> bool:
    """Whether this has the magic of a kernel image; compressed files are examined only when named."""
    return (
        is_bzimage(data)
        or data[ZBOOT_AT : ZBOOT_AT + 4] == ZBOOT_MAGIC
        or data[S390_AT : S390_AT + 6] == S390_MAGIC
        or data[IMAGE_AT : IMAGE_AT + 4] in IMAGE_MAGICS
        or is_vmlinux(data)
    )


def is_bzimage(data: bytes) -> bool:
    """Whether this is an x86 boot image, of any protocol that has a header."""
    return data[BZIMAGE_AT : BZIMAGE_AT + 4] == BZIMAGE_MAGIC


def is_vmlinux(data: bytes) -> bool:
    """Whether this is a linked ELF file: modules are not."""
    if data[:4] != ELF_MAGIC or len(data) < 18:
        return False
    return int.from_bytes(data[16:18], "big" if data[5] == ELFDATA2MSB else "little") in (ET_EXEC, ET_DYN)


def read(data: bytes, origin: Origin) -> Material:
    """The keys in a kernel image: its certificates, the OpenPGP ring of the section eras, and the root
    of its modules' hashes.

    Only keys of a list that the image itself delimits, and of the ring that kernels before 3.7 had, are on
    the keyring builtin; those on its list of revoked certificates are revocations. All others (self
    tests, wireless regulation, a Secure Boot signer, anything else in the image) are not vouched
    for by vouching for the image. Raises ParseError, and KeySourceError for a list of revocations
    that cannot be read completely.
    """
    found = _read(data, replace(origin, container="kernel image"), is_kernel(data))
    if not found:
        raise ParseError("it has no certificate and no key ring", code="no-certificate")
    return found


def read_container(data: bytes, origin: Origin, *, several: bool = False) -> Material | None:
    """The keys of a kernel in a file of unknown form: None unless the content proves to be a kernel.

    Proof is a list that it delimits itself, the root of its modules' hashes, or its banner with an
    OpenPGP ring. ``several``: there may be other files beside the kernel. Raises KeySourceError where two of
    them have such lists.
    """
    found = _read(data, replace(origin, container="kernel image"), False, several)
    places = (key.provenance for key in found.keys)
    proven = found.merkle_roots or any(place and place.list for place in places)
    return found if proven else None


def _read(data: bytes, origin: Origin, kernel: bool, several: bool = False) -> Material:
    parts: list[Material] = []
    for content in contents(data):
        parts.append(part := _content(content, origin, kernel))
        if _own(part) and not origin.revoking and not several:
            break
    if origin.revoking:
        return gather(parts)
    own = [each for each in parts if _own(each)]
    if len(set(map(_own, own))) > 1:
        text = (
            f"{origin.source}: more than one file in it has a list of keys of its own: name the kernel alone"
        )
        raise KeySourceError(text, code="key-lost")
    best = next(iter(own), next((each for each in parts if each.keys), Material()))
    return replace(best, merkle_roots=tuple(root for each in parts for root in each.merkle_roots))


def _own(part: Material) -> frozenset[str]:
    """The keys on a list of the kernel's own."""
    return frozenset(key.fingerprint for key in part.keys if key.keyring == BUILTIN)


def _content(content: bytes, origin: Origin, kernel: bool) -> Material:
    """The keys in one unpacked content; ``kernel``: the file around it is a kernel image by its magic."""
    root = merkle.from_image(content, origin)
    held = builtin.lists(content)
    keys = list(_keys(held, origin))
    if not any(each.role == BUILTIN for each in held.found):
        keys += openpgp.scan(content, _ring_origin(content, origin, kernel))
    losses = {role: tuple(_losses(held, role, origin)) for role in (REVOKED, BUILTIN)}
    complete(Material(losses=losses[REVOKED]), replace(origin, keyring=REVOKED))
    return replace(material(keys, losses[BUILTIN]), merkle_roots=(root,) if root else ())


def _losses(held: builtin.Lists, role: str, origin: Origin) -> Iterator[Loss]:
    for gap in held.gaps:
        if gap.role == role:
            yield Loss(origin.source, f"list of {role} certificates", gap.reason, gap.at)


def _ring_origin(content: bytes, origin: Origin, kernel: bool) -> Origin:
    """The keys of an OpenPGP ring, which kernels before 3.7 trusted. Later ones do not have such a ring."""
    banner = builtin.BANNER.search(content)
    era = (int(banner[1]), int(banner[2])) < RINGS_UNTIL if banner else kernel
    return replace(origin, proven=BUILTIN, list="ring") if era else origin.only_tried(Why.EMBEDDED)


def _keys(held: builtin.Lists, origin: Origin) -> Iterator[Key]:
    delimited = any(each.role == BUILTIN for each in held.found)
    for each in held.found:
        key = key_from_parsed(each.parsed, _origin(each, origin))
        if each.role != BUILTIN:
            key = replace(key, remarks=(*key.remarks, _remark(each.role, delimited)))
        yield key


def _origin(each: builtin.FoundCertificate, origin: Origin) -> Origin:
    placed = origin.at(each.at)
    if each.role == REVOKED:
        return replace(placed, keyring=REVOKED, list=REVOKED)
    if each.role == BUILTIN:
        return replace(placed, proven=BUILTIN, list=BUILTIN)
    return placed.only_tried(Why.EMBEDDED)


def _remark(role: str, delimited: bool) -> Remark:
    if role == REVOKED:
        return Remark("key-revoked", "on the image's own list of revoked certificates")
    if delimited:
        return Remark("key-embedded", "in the image, but not on its list of trusted certificates")
    return Remark("key-embedded", "found in the image; whether the kernel trusts it is not known")


def contents(data: bytes) -> Iterator[bytes]:
    """What a kernel image decompresses to, the likeliest first; damaged streams are skipped.

    The total stays within :func:`elfsig.compression.payloads.bound` of the image's size.
    """
    yield from _Unpacker(len(data)).contents(kernel_in(data), DEPTH)


class _Unpacker:
    """Decompresses one image. The bounds on bytes and attempts include everything nested in it."""

    def __init__(self, size: int) -> None:
        self.room, self.attempts = payloads.bound(size, payloads.LIMIT), ATTEMPTS

    def contents(self, data: bytes, depth: int) -> Iterator[bytes]:
        """``depth`` is how many compressions may still be nested."""
        if not depth:
            yield data
        elif is_bzimage(data):
            yield from self._payload(data, *_bzimage_payload(data), depth)
        elif data[ZBOOT_AT : ZBOOT_AT + 4] == ZBOOT_MAGIC:
            start, size = struct.unpack("<II", data[8:16].ljust(8, b"\0"))
            yield from self._payload(data, start, start + size, depth)
        elif payloads.method_at(data):
            yield from self._payload(data, 0, len(data), depth)
        else:
            yield _without_secure_boot_signature(data)
            if not is_vmlinux(data):
                yield from self._search(data, depth)

    def _payload(self, data: bytes, start: int, end: int, depth: int) -> Iterator[bytes]:
        """What the payload ``start:end`` decompresses to: it should be one compressed stream from its
        start."""
        method = payloads.method_at(data, start)
        found = self._unpack(data, method, start) if method else None
        if found is not None:
            yield from self.contents(found.data, depth - 1)
        elif method is None and data.startswith(ELF_MAGIC, start):
            yield data[start:end]
        else:
            yield from self._search(data[start:end], depth)

    def _search(self, data: bytes, depth: int) -> Iterator[bytes]:
        """What every compressed stream inside ``data`` decompresses to."""
        resume = 0
        for at, method in payloads.streams(data):
            if at < resume:
                continue
            if not self.attempts:
                return
            found = self._unpack(data, method, at)
            if found is not None:
                resume = at + found.used
                yield from self.contents(found.data, depth - 1)

    def _unpack(self, data: bytes, method: payloads.Method, start: int) -> payloads.Content | None:
        """The stream at offset ``start``, None where it is damaged or exceeds the bound.

        Most places that look like a stream are not one: their first bytes show it. One that breaks
        off later costs as much as a whole one.
        """
        self.attempts -= 1
        limit = min(PROBE, self.room)
        found: payloads.Content | None
        try:
            found = payloads.unpack(data, method, limit, start)
        except ParseError as reason:
            if reason.code != "decompression-limit" or limit == self.room:
                return None
            found = self._unpack_whole(data, method, start)
        if found is not None:
            self.room -= len(found.data)
        return found

    def _unpack_whole(self, data: bytes, method: payloads.Method, start: int) -> payloads.Content | None:
        try:
            return payloads.unpack(data, method, self.room, start)
        except ParseError:
            self.room -= min(self.room, payloads.bound(len(data) - start, self.room))
            return None


def _bzimage_payload(data: bytes) -> tuple[int, int]:
    """Where the compressed kernel is: by the header's fields, else everything after the setup sectors."""
    start = ((data[0x1F1] or 4) + 1) * 512
    if int.from_bytes(data[0x206:0x208], "little") >= PAYLOAD_PROTOCOL and len(data) >= 0x250:
        offset, size = struct.unpack_from("<II", data, 0x248)
        if size and start + offset + size <= len(data):
            return start + offset, start + offset + size
    return start, len(data)


def _without_secure_boot_signature(data: bytes) -> bytes:
    """A PE image without its attribute certificate table, whose certificates sign the image itself.

    Layout: Microsoft PE format, "Optional Header Data Directories", entry 4; its address is a file offset.
    """
    if data[:2] != b"MZ" or len(data) < 0x40:
        return data
    optional = int.from_bytes(data[0x3C:0x40], "little") + 24
    entry = (
        optional
        + {0x10B: 96, 0x20B: 112}.get(int.from_bytes(data[optional : optional + 2], "little"), 0)
        + 32
    )
    if data[optional - 24 : optional - 20] != b"PE\0\0" or entry + 8 > len(data):
        return data
    start, size = struct.unpack_from("<II", data, entry)
    return data[:start] + data[start + size :] if start >= entry else data
