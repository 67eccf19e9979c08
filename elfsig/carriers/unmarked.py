"""Trailers of Linux 3.7 to today that have lost their marker, or everything after the signature."""

from __future__ import annotations

from elfsig.carriers.trailer import CARRIER, INFO, ModuleTrailer, unpack_info
from elfsig.elf.image import Image
from elfsig.model import Place, Remark

SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
"""The object identifier signedData, in DER: the first thing inside a CMS (RFC 5652, 3)."""


def place(carrier: ModuleTrailer, image: Image) -> Place | None:
    """What is left at the end of ``image``, None where nothing is. See model.optional.unmarked."""
    return _lost_marker(carrier, image) or _bare_cms(image)


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
    at = image.data.find(SIGNED_DATA, start, min(start + 8 + len(SIGNED_DATA), image.end))
    return at if at >= 0 and image.data[start] == 0x30 else None


def _size(header: bytes) -> int | None:
    """Of the element with this DER ``header``: tag and length; None where the length is indefinite."""
    if header[1] < 0x80:
        return 2 + header[1]
    count = header[1] & 0x7F
    return 2 + count + int.from_bytes(header[2 : 2 + count], "big") if count else None
