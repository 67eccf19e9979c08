"""What in a container is a module, and what a kernel image, by the first bytes and the name.

ELF magic alone does not make a module, a name does not either: modules are relocatable ELF files with what
modules have, and whatever has a module's name, since depmod and modprobe would take it for one.
"""

from __future__ import annotations

import re

from elfsig.compression import streams
from elfsig.compression.whole import detect, first_bytes
from elfsig.containers.contract import Member
from elfsig.elf.image import Image
from elfsig.elf.modinfo import SECTION, THIS_MODULE
from elfsig.elf.table import ET_REL, MAGIC
from elfsig.trust import kernel_image

MODULE, KERNEL, OBJECT = "module", "kernel", "object"

_HEAD = 1 << 10
_FAR = 0x1000E
"""Bytes in which s390's mark is found."""

_NAMED_MODULE = re.compile(rb"\.ko(\.(gz|xz|zst|bz2|lz4|lzma|lzo))?\Z")
_NAMED_KERNEL = re.compile(rb"(vmlinu|bzimage|zimage|\Aimage|\Akernel|linux)", re.IGNORECASE)
_SECTIONS = (THIS_MODULE, SECTION, b"__ksymtab")
"""struct module since 2.6, modinfo since 2.4, exported symbols."""


def what_it_is(member: Member) -> str | None:
    """The word for :data:`elfsig.containers.walk.Decide`: module, kernel, "object" for a relocatable ELF file
    that may be a module, None for the rest."""
    if member.reader is None:
        return None
    name = member.name.rpartition(b"/")[2]
    head = member.reader.peek(_HEAD)
    if _NAMED_MODULE.search(name):
        return None if _is_wrapped(member, head) else MODULE
    if head.startswith(MAGIC):
        return _elf(head, name)
    if _is_kernel(member, head, name):
        return KERNEL
    packed = detect(head)
    if packed is not None and first_bytes(member.reader.peek(_FAR), packed)[:4] == MAGIC:
        return OBJECT
    return None


def is_named_module(name: bytes) -> bool:
    """Whether a file has the name of a module, compressed or not."""
    return _NAMED_MODULE.search(name) is not None


def _is_wrapped(member: Member, head: bytes) -> bool:
    """Whether a file is compressed in a way that only a container is: not as modules are, or twice."""
    packed = detect(head)
    if packed is None:
        return streams.kind_of(head) is not None
    assert member.reader is not None, "the caller has looked"
    return streams.kind_of(first_bytes(member.reader.peek(_FAR), packed)) is not None


def _elf(head: bytes, name: bytes) -> str | None:
    if len(head) < 18 or head[5] not in (1, 2):
        return None
    kind = int.from_bytes(head[16:18], "big" if head[5] == 2 else "little")
    if kind == ET_REL:
        return OBJECT
    return KERNEL if kernel_image.is_vmlinux(head) and _NAMED_KERNEL.search(name) else None


def _is_kernel(member: Member, head: bytes, name: bytes) -> bool:
    if member.reader is not None and _NAMED_KERNEL.search(name) and len(head) == _HEAD:
        head = member.reader.peek(_FAR)
    return kernel_image.is_kernel(head)


def is_module(image: Image) -> bool:
    """Whether a relocatable ELF file has a section that modules have.

    True where the section table cannot be read: then this is not known.
    """
    table = image.elf
    return table is None or any(table.named(name) for name in _SECTIONS)
