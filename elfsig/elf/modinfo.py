"""The ``.modinfo`` section: what a module says about itself, as NUL-terminated ``name=value`` strings.

Written by MODULE_INFO() (include/linux/moduleparam.h); read by kernels' get_modinfo() and by modinfo.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import unpack_from

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
    return fields_in(data)


def fields_in(data: bytes) -> list[tuple[bytes, bytes]]:
    """:func:`fields`, given the section's bytes."""
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


BUILD_ID = b".note.gnu.build-id"
_GNU, _NT_GNU_BUILD_ID = b"GNU\0", 3


def build_id(image: Image) -> bytes | None:
    """The id that the linker gave to this build (``ld --build-id``); None where there is none.

    It is the content of the first note in .note.gnu.build-id, where that is owned by "GNU" and of type 3
    (NT_GNU_BUILD_ID, include/uapi/linux/elf.h). Never raises.
    """
    table = image.elf
    if table is None:
        return None
    try:
        sections = table.named(BUILD_ID)
        data = bytes(table.content(sections[0].nr)[:MOST]) if sections else b""
    except ParseError:
        return None
    if len(data) < 16 or data[12:16] != _GNU:
        return None
    owner, size, kind = unpack_from(f"{table.layout.order}III", data)
    found = data[16 : 16 + size]
    return found if (owner, kind) == (4, _NT_GNU_BUILD_ID) and 0 < size == len(found) else None


def value(image: Image, name: bytes) -> str | None:
    """The first value of this name, undecodable bytes escaped; None where the module has none."""
    return _first(fields(image), name)


def value_in(data: bytes, name: bytes) -> str | None:
    """:func:`value`, given the section's bytes."""
    text = b"\0%b\0" % data
    at = text.find(b"\0%b=" % name)
    if at < 0 or text.find(b"\0%b\0" % name, 0, at + len(name) + 2) >= 0:  # or a string without "=" is first
        return _first(fields_in(data), name)
    start = at + len(name) + 2
    return text[start : text.index(0, start)].decode("utf-8", "backslashreplace")


def _first(found: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    first = next((value for key, value in found if key == name), None)
    return None if first is None else first.decode("utf-8", "backslashreplace")
