"""Remains of trailers: markers that are displaced, cut off or lost. Kernels see no signature in any of them.

Whatever is told here would else be called unsigned, which evidence must never be. A text counts only
behind the end of the ELF image (in the whole content where there is none), since programs that handle
signatures contain it.
"""

from __future__ import annotations

from typing import NamedTuple

from elfsig.carriers.magic_trailer import MAGIC
from elfsig.carriers.trailer import CARRIER, INFO, MARKER, UNSIGNED, ModuleTrailer, bytes_lie, unpack_info
from elfsig.elf.image import Image
from elfsig.model import Place, Remark

SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
"""The object identifier signedData, in DER: the first thing inside a CMS (RFC 5652, 3)."""


class Trace(NamedTuple):
    """A text that betrays a trailer, the carrier it belongs to, what it is called, and how much of its
    start is enough to know it by where the file ends in the middle of it."""

    text: bytes
    carrier: str
    name: str
    known_by: int


TRACES = (
    Trace(MARKER, CARRIER, "marker", 8),
    Trace(MAGIC, "trailer:csm", "magic", 12),
)


def remains(image: Image, outermost: bool = True) -> Place | None:
    """What is left of a trailer at the end of ``image``, where no carrier found a whole one; else None.

    Never raises. The place has a fault; its blob is the signature where that can still be made out. Without
    any marker there is something to find only where no trailer lies outside (``outermost``).
    """
    if image.elf is not None and image.elf_end >= image.end:
        return None
    for trace in TRACES:
        place = _displaced(image, trace) or _cut_marker(image, trace)
        if place is not None:
            return place
    if not outermost or image.elf is None:
        return None
    return _lost_marker(image) or _bare_cms(image)


def _place(image: Image, trace: Trace, at: int, code: str, text: str) -> Place:
    """Remains with the marker at ``at``; together with what lies in front of it where that is whole."""
    inside = ModuleTrailer().before(image, at, image.end) if trace.carrier == CARRIER else None
    if inside is None or inside.fault is not None or inside.start < image.elf_end:
        fault = Remark(code, f"{text}{UNSIGNED}", at)
        return Place(
            "trailer", trace.carrier, at, image.end, at, b"", None, fault=fault, treated_as_unsigned=True
        )
    fault = Remark(code, f"{text}{UNSIGNED}, though all before it is whole from {inside.start:#x} on", at)
    return Place(
        "trailer", CARRIER, inside.start, image.end, inside.blob_start, inside.blob, inside.params,
        fault=fault, remarks=inside.remarks, treated_as_unsigned=True,
    )  # fmt: skip


def _displaced(image: Image, trace: Trace) -> Place | None:
    """The last such text, without its newline, that is not the very end."""
    text = trace.text.removesuffix(b"\n")
    at = image.data.rfind(text, image.elf_end, image.end)
    if at < 0:
        return None
    behind = image.data[at + len(text) : image.end]
    if not behind:
        return _place(image, trace, at, "marker-no-newline", f"the {trace.name} has lost its last newline")
    if trace.text != text and behind == b"\r\n":
        return _place(image, trace, at, "marker-cr-lf", f"the {trace.name} ends in CR LF instead of LF")
    behind = behind[len(trace.text) - len(text) :] if trace.text != text and behind[:1] == b"\n" else behind
    return _place(image, trace, at, "marker-not-at-end", f"{trace.name} not at the end: {_what(behind)} it")


def _what(behind: bytes) -> str:
    kind = "byte" if behind.strip(b"\0") else "zero byte"
    return f"1 {kind} follows" if len(behind) == 1 else f"{len(behind)} {kind}s follow"


def _cut_marker(image: Image, trace: Trace) -> Place | None:
    """A file that ends in the middle of the text."""
    whole = len(trace.text)
    tail = image.data[max(image.elf_end, image.end - whole) : image.end]
    for size in range(min(whole - 1, len(tail)), trace.known_by - 1, -1):
        if tail.endswith(trace.text[:size]):
            text = f"the {trace.name} is cut off after {size} of its {whole} bytes"
            return _place(image, trace, image.end - size, "marker-cut", text)
    return None


def _lost_marker(image: Image) -> Place | None:
    """An info block that leads exactly back to the ELF image, at the end where its marker should be."""
    stop = image.end - INFO.size
    if stop <= image.elf_end:
        return None
    info = unpack_info(image.data[stop : image.end])
    found = ModuleTrailer().before(image, image.end, image.end)
    if info.id_type not in (1, 2) or found.fault is not None or found.start != image.elf_end:
        return None
    fault = Remark("marker-lost", f"the marker behind the info block is missing{UNSIGNED}", image.end)
    return Place(
        "trailer", CARRIER, found.start, image.end, found.blob_start, found.blob, info,
        fault=fault, treated_as_unsigned=True,
    )  # fmt: skip


def _bare_cms(image: Image) -> Place | None:
    """A CMS right behind the ELF image, with its trailer cut off, or cut itself."""
    start, at = image.elf_end, _cms_type(image)
    if at is None:
        return None
    there, whole = image.end - start, _size(image.data[start:at])
    text = "a CMS lies behind the ELF image, without a trailer behind it"
    if whole is not None and whole != there:
        text = f"a CMS lies behind the ELF image, cut off after {there} of its {whole} bytes"
        if whole < there:
            text = f"a CMS lies behind the ELF image, and the {there - whole} bytes behind it are no trailer"
    fault = Remark("trailer-lost", f"{text}{UNSIGNED}", start)
    blob = image.data[start : image.end]
    return Place(
        "trailer", CARRIER, start, image.end, start, blob, None, fault=fault, treated_as_unsigned=True
    )


def _cms_type(image: Image) -> int | None:
    """Where the type of the CMS right behind the ELF image lies, None where there is no CMS."""
    start = image.elf_end
    at = image.data.find(SIGNED_DATA, start, min(start + 8 + len(SIGNED_DATA), image.end))
    return at if at >= 0 and image.data[start] == 0x30 else None


def _size(header: bytes) -> int | None:
    """Of the element with this DER ``header``: tag and length; None where the length is indefinite."""
    if header[1] < 0x80:
        return 2 + header[1]
    count = header[1] & 0x7F
    return 2 + count + int.from_bytes(header[2 : 2 + count], "big") if count else None


def behind_elf(image: Image) -> Remark | None:
    """Bytes between the end of the ELF image and that of ``image``, which nothing claims."""
    size = image.end - image.elf_end
    if image.elf is None or not size:
        return None
    zero = "" if image.data[image.elf_end : image.end].strip(b"\0") else " (all zero)"
    text = f"{bytes_lie(size)} behind the ELF image{zero} and belong{'s' * (size == 1)} to no known signature"
    if _cms_type(image) is not None:
        text += "; a CMS starts there"
    return Remark("bytes-behind-elf", text, image.elf_end)
