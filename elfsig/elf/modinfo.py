"""The ``.modinfo`` section: what a module says about itself, as NUL-terminated ``name=value`` strings.

Written by MODULE_INFO() (include/linux/moduleparam.h); read by kernels' get_modinfo() and by modinfo.
"""

from __future__ import annotations

from elfsig.elf.image import Image
from elfsig.errors import ParseError

SECTION = b".modinfo"
MOST = 1 << 20
"""Bytes of the section that are looked at; real ones have a few hundred to a few ten thousand."""


def fields(image: Image) -> list[tuple[bytes, bytes]]:
    """(name, value) in file order; strings without "=" have the value b"". Nothing where there is none.

    Never raises: a section that lies outside of the file says nothing.
    """
    table = image.elf
    if table is None:
        return []
    try:
        sections = table.named(SECTION)
        data = table.content(sections[0].nr)[:MOST] if sections else b""
    except ParseError:
        return []
    parts = (text.partition(b"=") for text in data.split(b"\0") if text)
    return [(name, value) for name, _, value in parts]


def value(image: Image, name: bytes) -> str | None:
    """The first value of this name, undecodable bytes escaped; None where the module has none."""
    found = next((value for key, value in fields(image) if key == name), None)
    return None if found is None else found.decode("utf-8", "backslashreplace")
