"""Signatures that are kept outside the module: a separate file, or a module argument.

The argument form comes from Howells' development tree of 2012: the module's argument string starts with
``modsign=``, a decimal length of one to five digits, a comma, and twice that many hex digits, followed
by a blank or the end of the string.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from elfsig.elf.image import Image
from elfsig.errors import ParseError
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.model import Params, Place, PlaceKind, Remark

_ARGUMENT = re.compile(rb"modsign=([0-9]{1,5}),([0-9A-Fa-f]*)(?= |\Z)")
DETACHED_FILE = "detached:file"


@dataclass(frozen=True, slots=True)
class ModuleArgument:
    """A signature in the module's arguments. The file has no trace of it, so nothing is ever found."""

    id: str = "detached:argument"
    kind: PlaceKind = "detached"
    short_name: str = "modsign="

    def find(self, image: Image) -> Sequence[Place]:
        """Always empty: see :func:`argument_place`."""
        return ()

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """The argument (not the content, which stays as it is)."""
        return b"modsign=%d,%s" % (len(blob), blob.hex().encode())

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """The unchanged content."""
        return image.bytes()


def argument_place(image: Image, argument: str) -> Place:
    """The signature in a module argument string.

    Raises ParseError, with the offset in the string, where that kernel answered EINVAL.
    """
    raw = argument.encode("utf-8", "surrogateescape")
    if not raw.startswith(b"modsign="):
        raise ParseError("the argument does not start with modsign=", offset=0, code="modarg")
    found = _ARGUMENT.match(raw)
    if found is None or not int(found[1]) or 2 * int(found[1]) != len(found[2]):
        raise ParseError(
            "expected modsign=LENGTH,HEX with twice LENGTH hex digits",
            offset=len(b"modsign="),
            code="modarg",
        )
    return _outside(image, ModuleArgument().id, bytes.fromhex(found[2].decode()))


def file_place(image: Image, blob: bytes) -> Place:
    """A signature in a separate file (.p7s, .pgp, .sig)."""
    place = _outside(image, DETACHED_FILE, blob)
    return place if blob else replace(place, fault=Remark("empty-signature", "the signature's file is empty"))


def _outside(image: Image, carrier: str, blob: bytes) -> Place:
    return Place("detached", carrier, image.end, image.end, 0, blob, None)
