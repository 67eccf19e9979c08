"""The ``.modinfo`` section: what a module says about itself, as NUL-terminated ``name=value`` strings.

Written by MODULE_INFO() (include/linux/moduleparam.h); read by kernels' get_modinfo() and by modinfo.
"""

from __future__ import annotations

from elfsig.elf.image import Image
from elfsig.errors import ParseError

SECTION = b".modinfo"
MOST = 1 << 20
"""Bytes of the section that are read; real ones have a few hundred to a few tens of thousands."""


def fields(image: Image) -> list[tuple[bytes, bytes]]:
    """(name, value) in file order; strings without "=" have the value b"". Empty if there is no such section.

    Never raises: a section outside the file yields nothing.
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


THIS_MODULE = b".gnu.linkonce.this_module"
NAME_AT = {64: 24, 32: 12}
"""Offset of ``name`` in struct module by ELF class: after ``state`` and ``list`` (include/linux/module.h)."""

NAME_SIZE = {64: 56, 32: 60}
"""MODULE_NAME_LEN."""


def own_name(image: Image) -> str | None:
    """The module's own name: ``name`` in .modinfo (Linux 4.13 and later), else that in its struct module.

    None where it has neither. Never raises.
    """
    return value(image, b"name") or _name_in_struct(image)


def _name_in_struct(image: Image) -> str | None:
    table = image.elf
    if table is None:
        return None
    try:
        sections = table.named(THIS_MODULE)
        data = table.content(sections[0].nr)[:MOST] if sections else b""
    except ParseError:
        return None
    start = NAME_AT[table.layout.bits]
    name = bytes(data[start : start + NAME_SIZE[table.layout.bits]]).partition(b"\0")[0]
    return name.decode("ascii") if name.replace(b"_", b"").isalnum() else None


def value(image: Image, name: bytes) -> str | None:
    """The first value of this name, undecodable bytes escaped; None where the module has none."""
    found = next((value for key, value in fields(image) if key == name), None)
    return None if found is None else found.decode("utf-8", "backslashreplace")
