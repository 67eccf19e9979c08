"""The trailer of Linux 3.7 to today: blob, 12-byte info block, 28-byte marker, at the very end.

Layout: include/linux/module_signature.h; checks in the order of mod_check_sig() and of 3.7's
mod_verify_sig() (kernel/module_signing.c). Kernels look for the marker only in the last 28 bytes of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import ClassVar

from elfsig.elf.image import Image
from elfsig.errors import EditRefused
from elfsig.lazy_dataclass import dataclass
from elfsig.model import Mark, Params, Place, PlaceKind, Remark, TrailerInfo

MARKER = b"~Module signature appended~\n"
INFO = Struct(">BBBBB3sI")
"""algo, hash, id_type, signer_len, key_id_len (a byte each), 3 bytes of padding, be32 sig_len."""

CARRIER = "trailer:modsig"
SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
"""The object identifier signedData, in DER: the first thing inside a CMS (RFC 5652, 3)."""

PKCS7 = 2
ID_TYPES = {0: "PGP", 1: "X509", PKCS7: "PKCS#7", 3: "Merkle"}


def pack_info(info: TrailerInfo, blob_size: int) -> bytes:
    """The 12 bytes of ``struct module_signature`` for a blob of this size, names included.

    ``sig_len`` counts what follows the signer's name and the key id. Raises EditRefused for a blob that is
    shorter than these.
    """
    sig_len = blob_size - names_size(info)
    if sig_len < 0:
        text = f"signer name ({info.signer_len} bytes) and key id ({info.key_id_len}) exceed the signature"
        raise EditRefused(f"{text} of {byte_count(blob_size)}", code="bad-trailer")
    return INFO.pack(
        info.algo, info.hash, info.id_type, info.signer_len, info.key_id_len, info.pad, sig_len
    )  # fmt: skip


def names_size(info: TrailerInfo) -> int:
    """Size of the signer's name and the key id in front of what ``sig_len`` counts.

    PKCS#7 has neither, and its kernels demand that both lengths are zero: where they are not, it is still
    ``sig_len`` alone that says where the signature starts.
    """
    return 0 if info.id_type == PKCS7 else info.signer_len + info.key_id_len


def unpack_info(block: bytes) -> TrailerInfo:
    """``struct module_signature`` from its 12 bytes."""
    return TrailerInfo(*INFO.unpack(block))


@dataclass(frozen=True, slots=True)
class ModuleTrailer:
    """Content, blob, info block and marker (``~Module signature appended~``)."""

    marks: ClassVar[tuple[Mark, ...]] = (Mark(MARKER),)
    id: str = CARRIER
    kind: PlaceKind = "trailer"
    short_name: str = "~Module sig~"

    def find(self, image: Image) -> Sequence[Place]:
        """At most one place: the trailer at the very end of ``image``. See model.Carrier."""
        end, data = image.end, image.data
        if data[max(0, end - len(MARKER)) : end] != MARKER:
            return ()
        return (self.before(image, end - len(MARKER), end),)

    def may_end(self, tail: bytes) -> bool:
        """The marker is the last thing in the file."""
        return tail.endswith(MARKER)

    def before(self, image: Image, marker: int, end: int) -> Place:
        """The trailer whose marker starts at ``marker``, as a place that ends at ``end``."""
        room = marker - INFO.size
        if room <= 0:
            return _truncated(marker, end)
        info = unpack_info(image.data[room:marker])
        names = names_size(info)
        if info.sig_len >= room:
            text = f"sig_len {info.sig_len} does not fit: {byte_count(room)} before the info block"
            return _faulty(room, end, info, Remark("trailer-length", text, room + 8))
        if info.sig_len + names >= room:
            text = f"signer name ({info.signer_len} bytes) and key id ({info.key_id_len}) do not fit: "
            text += f"{byte_count(room - info.sig_len)} before the signature"
            return _faulty(room, end, info, Remark("trailer-names", text, room + 3))
        start = room - info.sig_len - names
        remarks = (*_odd_id_type(info, room), *overlap(image, start))
        return Place("trailer", self.id, start, end, start, image.data[start:room], info, remarks=remarks)

    def unmarked(self, image: Image) -> Place | None:
        """An info block that leads exactly back to the ELF image, else a CMS right after that."""
        return _lost_marker(self, image) or _bare_cms(image)

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """Content, blob, info block, marker. ``params.sig_len`` is computed from the blob."""
        if not isinstance(params, TrailerInfo):
            raise EditRefused("a module trailer needs its info block")
        return image.bytes() + blob + pack_info(params, len(blob)) + MARKER

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """Everything except the place; what is outside it stays."""
        return cut_out(image, place)


def byte_count(count: int) -> str:
    """``1 byte``, ``2 bytes``."""
    return "1 byte" if count == 1 else f"{count} bytes"


def cut_out(image: Image, place: Place) -> bytes:
    """The content without the bytes of ``place``. Raises EditRefused for a place with unclear bounds."""
    if place.fault is not None:
        raise EditRefused(
            f"not removed, its extent is uncertain: {place.fault.text}", offset=place.fault.offset
        )
    return image.data[: place.start] + image.data[place.end : image.end]


def _faulty(start: int, end: int, info: Params, fault: Remark, unsigned: bool = False) -> Place:
    return Place(
        "trailer", CARRIER, start, end, start, b"", info, fault=fault, treated_as_unsigned=unsigned
    )  # fmt: skip


def _truncated(marker: int, end: int) -> Place:
    """A marker without a signature before it."""
    if not marker:
        text = "the file is nothing but the marker"
        return _faulty(0, end, None, Remark("trailer-truncated", text, marker), True)
    text = f"{marker} bytes before the marker, not more than the info block needs"
    return _faulty(0, end, None, Remark("trailer-truncated", text, marker))


def _odd_id_type(info: TrailerInfo, room: int) -> Iterator[Remark]:
    if info.id_type not in ID_TYPES:
        text = f"id_type {info.id_type} is not defined"
        yield Remark("id-type-unknown", text, room + 2)


def overlap(image: Image, start: int) -> Iterator[Remark]:
    """A trailer that, by its own lengths, starts inside the ELF image: a remark, since it may still
    verify."""
    if image.elf is not None and start < image.elf_end:
        depth = image.elf_end - start
        text = f"by its length the signature starts {depth} bytes inside the ELF image"
        if depth == 1:
            text = "by its length the signature starts with the last byte of the ELF image"
        yield Remark("trailer-overlaps-elf", f"{text}, which ends at {image.elf_end:#x}", start)


# --------------------------------------------------------------------------- without a marker


def _lost_marker(carrier: ModuleTrailer, image: Image) -> Place | None:
    """An info block that leads exactly back to the ELF image, at the end where its marker should be."""
    stop = image.end - INFO.size
    if stop <= image.elf_end:
        return None
    info = unpack_info(image.data[stop : image.end])
    found = carrier.before(image, image.end, image.end)
    if info.id_type not in (1, 2) or found.fault is not None or found.start != image.elf_end:
        return None
    fault = Remark("marker-lost", "the marker after the info block is missing", image.end)
    return Place(
        "trailer", CARRIER, found.start, image.end, found.blob_start, found.blob, info,
        fault=fault, treated_as_unsigned=True,
    )  # fmt: skip


def _bare_cms(image: Image) -> Place | None:
    """A CMS right after the ELF image, with its trailer cut off, or cut itself."""
    start, at = image.elf_end, cms_type(image)
    if at is None:
        return None
    there, whole = image.end - start, _size(image.data[start:at])
    text = "a CMS follows the ELF image, without a trailer after it"
    if whole is not None and whole != there:
        text = f"a CMS follows the ELF image, cut off after {there} of its {whole} bytes"
        if whole < there:
            text = f"a CMS follows the ELF image, and the {there - whole} bytes after it are not a trailer"
    fault = Remark("trailer-lost", text, start)
    blob = image.data[start : image.end]
    return Place(
        "trailer", CARRIER, start, image.end, start, blob, None, fault=fault, treated_as_unsigned=True
    )


def cms_type(image: Image) -> int | None:
    """Offset of the type of the CMS right after the ELF image, None where there is no CMS."""
    start = image.elf_end
    at = image.data.find(SIGNED_DATA, start + 2, min(start + 8 + len(SIGNED_DATA), image.end))
    return at if at >= 0 and image.data[start] == 0x30 else None


def _size(header: bytes) -> int | None:
    """Of the element with this DER ``header``: tag and length; None where the length is indefinite."""
    if header[1] < 0x80:
        return 2 + header[1]
    count = header[1] & 0x7F
    return 2 + count + int.from_bytes(header[2 : 2 + count], "big") if count else None
