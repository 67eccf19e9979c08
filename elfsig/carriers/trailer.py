"""The trailer of Linux 3.7 to today: blob, 12-byte info block, 28-byte marker, at the very end.

Layout: include/linux/module_signature.h; checks in the order of mod_check_sig() and of 3.7's
mod_verify_sig() (kernel/module_signing.c). Kernels look at nothing but the last 28 bytes of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from elfsig.elf.image import Image
from elfsig.errors import EditRefused
from elfsig.model import Params, Place, PlaceKind, Remark, TrailerInfo

MARKER = b"~Module signature appended~\n"
INFO = Struct(">BBBBB3sI")
"""algo, hash, id_type, signer_len, key_id_len (a byte each), 3 bytes of padding, be32 sig_len."""

ID_TYPES = {0: "PGP", 1: "X509", 2: "PKCS#7", 3: "Merkle"}


def pack_info(info: TrailerInfo, blob_size: int) -> bytes:
    """The 12 bytes of ``struct module_signature`` for a blob of this size, names included.

    ``sig_len`` counts what lies behind the signer's name and the key id.
    """
    sig_len = blob_size - info.signer_len - info.key_id_len
    return INFO.pack(
        info.algo, info.hash, info.id_type, info.signer_len, info.key_id_len, info.pad, sig_len
    )  # fmt: skip


def unpack_info(block: bytes) -> TrailerInfo:
    """``struct module_signature`` from its 12 bytes."""
    return TrailerInfo(*INFO.unpack(block))


@dataclass(frozen=True, slots=True)
class ModuleTrailer:
    """Blob, info block and marker behind the content (``~Module signature appended~``)."""

    id: str = "trailer:modsig"
    kind: PlaceKind = "trailer"
    short_name: str = "~Module sig~"

    def find(self, image: Image) -> Sequence[Place]:
        """At most one place: the trailer at the very end of ``image``. See model.Carrier."""
        end, data = image.end, image.data
        if data[max(0, end - len(MARKER)) : end] != MARKER:
            return ()
        room = end - len(MARKER) - INFO.size
        if room <= 0:
            text = f"marker without room for the info block: {end} bytes in all; kernels answer EBADMSG"
            unsigned = end <= len(MARKER)
            if unsigned:
                text = "the file is nothing but the marker; the kernel treats it as unsigned"
            fault = Remark("trailer-truncated", text, max(0, end - len(MARKER)))
            return (self._faulty(0, end, None, fault, unsigned),)
        info = unpack_info(data[room : room + INFO.size])
        size = info.sig_len + info.signer_len + info.key_id_len
        # The name and key id are counted apart from sig_len; pkcs7 demands that both lengths are zero.
        if info.id_type == 2:
            size = info.sig_len
        if size >= room:
            text = f"sig_len {info.sig_len} does not fit: {room} bytes lie before the info block"
            fault = Remark("trailer-length", text + "; kernels answer EBADMSG", room + 8)
            return (self._faulty(room, end, info, fault, False),)
        start = room - size
        return (Place("trailer", self.id, start, end, start, data[start:room], info),)

    def _faulty(self, start: int, end: int, info: Params, fault: Remark, unsigned: bool) -> Place:
        return Place(
            "trailer", self.id, start, end, start, b"", info, fault=fault, treated_as_unsigned=unsigned
        )

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """Content, blob, info block, marker. ``params.sig_len`` is computed from the blob."""
        if not isinstance(params, TrailerInfo):
            raise EditRefused("a module trailer needs its info block")
        return image.bytes() + blob + pack_info(params, len(blob)) + MARKER

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """Everything but the place; what lies outside of it stays."""
        return cut_out(image, place)


def cut_out(image: Image, place: Place) -> bytes:
    """The content without the bytes of ``place``. Raises EditRefused for a place with unclear bounds."""
    if place.fault is not None:
        raise EditRefused(
            f"not removed, its extent is uncertain: {place.fault.text}", offset=place.fault.offset
        )
    return image.data[: place.start] + image.data[place.end : image.end]


TRACES = (
    (MARKER[:-1], "trailer:modsig", "marker"),
    (b"This Is A Crypto Signed Module", "trailer:csm", "magic"),
)
"""Texts that betray a trailer wherever they stand, the carrier they belong to, and what they are called."""


def displaced(image: Image) -> Place | None:
    """Remains of a trailer whose marker is not at the very end, or lost its last byte; else None.

    The marker counts only behind the end of the ELF image (in the whole content where there is none),
    since programs that handle signatures contain it.
    """
    for text, carrier, name in TRACES:
        at = image.data.rfind(text, image.elf_end, image.end)
        if at >= 0:
            fault = _displacement(image, at, text, name)
            return Place(
                "trailer", carrier, at, image.end, at, b"", None, fault=fault, treated_as_unsigned=True
            )
    return None


def _displacement(image: Image, at: int, text: bytes, name: str) -> Remark:
    behind = image.end - at - len(text)
    if not behind and name == "marker":
        return Remark(
            "marker-no-newline", "the marker has lost its last newline; the kernel treats it as unsigned", at
        )
    if name == "marker" and image.data[at + len(text) : at + len(MARKER)] == b"\n":
        behind -= 1
    sentence = f"{name} not at the end: {behind} bytes follow it; the kernel treats it as unsigned"
    return Remark("marker-not-at-end", sentence, at)
