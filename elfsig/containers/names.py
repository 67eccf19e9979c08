"""Names of things in containers: ``a.deb!/data.tar.xz!/lib/modules/6.1/x.ko``.

``!/`` stands between the layers. In names of members ``!`` is written ``\\x21``, a backslash ``\\x5c`` and a
NUL ``\\x00``; a second member of the same name in one container has ``\\#2`` at its end. Names are compared
without leading ``/`` and ``./`` and without repeated slashes. Layers without a name, such as compression, do
not show. The first part is a path on disk, as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

SEPARATOR = "!/"
_ESCAPED = {ord("!"): "\\x21", ord("\\"): "\\x5c", 0: "\\x00"}
_SLASHES = re.compile(rb"/(?:\.?/)+")


class Step(NamedTuple):
    """One layer on the way to something: in a container of ``kind``, the member ``name``.

    ``offset`` and ``size`` are those of the member's content in the container, in bytes, None where they are
    not known; ``number`` counts the members of this name so far.
    """

    kind: str
    name: bytes
    offset: int | None = None
    size: int | None = None
    number: int = 1


_COMPRESSED = rb"\.(gz|xz|zst|bz2|lz4|lzma|lzo)"
_EXPECTED = re.compile(
    rb"\.(u?deb|rpm|apk|zip|7z|t(gz|xz|zst?|bz2?|lz4|lzma)|iso|qcow2|vmdk|vdi|vhdx?|E[0-9]{2}|squashfs|snap|AppImage)\Z"
    rb"|\.(cpio|tar)(" + _COMPRESSED + rb")?\Z|\.img" + _COMPRESSED + rb"\Z"
    rb"|(\A|/)(initrd(" + _COMPRESSED + rb")?|initrd\.img(-[^/]*)?|initramfs-[^/]*\.img)\Z"
)
"""Names that only packages, archives and images have; not ``.img`` and ``.bin``, which anything may be."""


def expected_by_name(name: bytes) -> str | None:
    """What a file must be by its name, where it is called like a container: see :attr:`Member.expected`."""
    return "a file with the name of a package, archive or image" if _EXPECTED.search(name) else None


_MODULE = re.compile(rb"\.ko(\.[a-z0-9]{2,4})?\Z")


def content_by_name(name: bytes) -> str | None:
    """What the content of a compressed file must be by its name, where it is called like a module."""
    return "a file with the name of a module" if _MODULE.search(name) else None


def plain(name: bytes) -> bytes:
    """A member's name for comparisons and for people: without leading ``/`` and ``./``, single slashes."""
    name = _SLASHES.sub(b"/", name)
    while name.startswith((b"/", b"./")):
        name = name[1:] if name[:1] == b"/" else name[2:]
    return name.removesuffix(b"/") or name


def display(chain: Sequence[Step]) -> str:
    """The path of what a chain leads to."""
    parts = [os.fsdecode(chain[0].name)]
    for step in chain[1:]:
        if step.name:
            text = os.fsdecode(plain(step.name)).translate(_ESCAPED)
            parts.append(text if step.number == 1 else f"{text}\\#{step.number}")
    return SEPARATOR.join(parts)
