"""Remains of trailers: markers that are displaced, cut off or lost. Kernels do not see a signature in any of
them.

Without this, such files would be called unsigned. A marker counts only after the end of the ELF image (in the
whole content where there is no image), since programs that handle signatures contain it.
"""

from __future__ import annotations

from collections.abc import Iterable

from elfsig.carriers.trailer import byte_count, cms_type
from elfsig.elf.image import Image
from elfsig.model import Carrier, Mark, Place, Remark, optional


def remains(image: Image, carriers: Iterable[Carrier], outermost: bool = True) -> Place | None:
    """The remains of a trailer of ``carriers`` at the end of ``image``, where none found a whole one; else
    None.

    Never raises. The place has a fault; its blob is the signature where that can still be read. Remains
    without any mark are searched for only where there is no trailer outside (``outermost``).
    """
    if image.elf is not None and image.elf_end >= image.end:
        return None
    for carrier in carriers:
        for mark in optional.marks(carrier):
            place = _displaced(image, carrier, mark) or _cut_mark(image, carrier, mark)
            if place is not None:
                return place
    if not outermost or image.elf is None:
        return None
    return next((place for c in carriers if (place := optional.unmarked(c, image)) is not None), None)


def _place(image: Image, carrier: Carrier, at: int, code: str, text: str) -> Place:
    """Remains with the marker at ``at``; together with what precedes it where that is whole."""
    inside = optional.before(carrier, image, at, image.end)
    if inside is None or inside.fault is not None or inside.start < image.elf_end:
        fault = Remark(code, text, at)
        return Place(
            "trailer", carrier.id, at, image.end, at, b"", None, fault=fault, treated_as_unsigned=True
        )
    fault = Remark(code, f"{text}, though everything before it is whole from {inside.start:#x} on", at)
    return Place(
        "trailer", carrier.id, inside.start, image.end, inside.blob_start, inside.blob, inside.params,
        fault=fault, remarks=inside.remarks, treated_as_unsigned=True,
    )  # fmt: skip


def _displaced(image: Image, carrier: Carrier, mark: Mark) -> Place | None:
    """The last such text, without its newline, that is not the very end."""
    text = mark.text.removesuffix(b"\n")
    line = len(mark.text) > len(text)
    at = image.data.rfind(text, image.elf_end, image.end)
    if at < 0:
        return None
    rest = image.data[at + len(text) : image.end]
    if not rest:
        return _place(image, carrier, at, "marker-no-newline", f"the {mark.name} has lost its last newline")
    if line and rest == b"\r\n":
        return _place(image, carrier, at, "marker-cr-lf", f"the {mark.name} ends in CR LF instead of LF")
    rest = rest.removeprefix(b"\n") if line else rest
    return _place(image, carrier, at, "marker-not-at-end", f"{mark.name} not at the end: {_what(rest)} it")


def _what(rest: bytes) -> str:
    kind = "byte" if rest.strip(b"\0") else "zero byte"
    return f"1 {kind} follows" if len(rest) == 1 else f"{len(rest)} {kind}s follow"


def _cut_mark(image: Image, carrier: Carrier, mark: Mark) -> Place | None:
    """A file that ends in the middle of the text."""
    whole = len(mark.text)
    tail = image.data[max(image.elf_end, image.end - whole) : image.end]
    for size in range(min(whole - 1, len(tail)), mark.known_by - 1, -1):
        if tail.endswith(mark.text[:size]):
            text = f"the {mark.name} is cut off after {size} of its {whole} bytes"
            return _place(image, carrier, image.end - size, "marker-cut", text)
    return None


def behind_elf(image: Image) -> Remark | None:
    """Bytes between the end of the ELF image and that of ``image``, which nothing claims."""
    size = image.end - image.elf_end
    if image.elf is None or not size:
        return None
    zero = "" if image.data[image.elf_end : image.end].strip(b"\0") else " (all zero)"
    verb = "follows" if size == 1 else "follow"
    text = (
        f"{byte_count(size)} {verb} the ELF image{zero} and belong{'s' * (size == 1)} to no known signature"
    )
    if cms_type(image) is not None:
        text += "; a CMS starts there"
    return Remark("bytes-behind-elf", text, image.elf_end)
