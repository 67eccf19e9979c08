"""What load_module() of 2.6 compares before it verifies anything, and the file as that kernel sees it.

kernel/module.c of 2.6.18-el5 and 2.6.32-el6, copy_and_check() of Oracle's 2.6.39: the length, the magic,
e_type, e_machine and e_shentsize, all answered with ENOEXEC and without a line in the log. Class and byte
order are not looked at: a kernel reads every file in its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from elfsig.elf.image import Image
from elfsig.elf.records import symbol_columns
from elfsig.elf.table import (
    ET_REL,
    LAYOUTS,
    MACHINES,
    MAGIC,
    SHF_ALLOC,
    SHN_ABS,
    SHN_COMMON,
    SHN_LORESERVE,
    SHT_NOBITS,
    SHT_STRTAB,
    SHT_SYMTAB,
    TYPES,
    ElfTable,
    Header,
    Row,
)
from elfsig.errors import ParseError

Ident = tuple[int, int]
"""e_ident[EI_CLASS] and e_ident[EI_DATA]."""

OF_THE_ERA: Mapping[int, tuple[Ident, ...]] = {
    3: ((1, 1),),
    20: ((1, 2),),
    21: ((2, 2),),
    22: ((2, 2), (1, 2)),
    50: ((2, 1),),
    62: ((2, 1),),
}
"""The machines of Red Hat's kernels from 2004 to 2010 by e_machine, and what they are built as: i386, ppc,
ppc64, s390x and s390, ia64, x86-64."""

BY_SUFFIX: Mapping[str, int] = {
    "i386": 3, "i586": 3, "i686": 3, "ppc": 20, "ppc64": 21, "s390": 22, "s390x": 22, "ia64": 50,
    "x86_64": 62,
}  # fmt: skip
"""The machine that a release names at its end."""

LARGEST = 64 << 20
REGISTER = b"\0crypto_register_"


class Head(NamedTuple):
    """What a kernel compares. ``machines``: the values of e_machine that it may be built for. ``table``: the
    section header table must be in the file (ENOEXEC)."""

    machines: frozenset[int] = frozenset(OF_THE_ERA)
    table: bool = False

    @property
    def words(self) -> str:
        """The machines, for people."""
        return ", ".join(MACHINES[each] for each in sorted(self.machines))


class Refused(NamedTuple):
    """The errno, a stable word, and why."""

    errno: str
    fault: str
    text: str


class Native(NamedTuple):
    """The file as the kernel reads it, whatever its e_ident says: ``content`` is in the kernel's class and
    byte order. In ``image`` what it does not look at is besides as readers of ELF files expect it.
    """

    content: bytes
    image: Image


def compare(image: Image, head: Head) -> Native | Refused:
    """Compare the header of ``image`` as a kernel does that is built for the module's own machine."""
    content = image.bytes()
    if content[:4] != MAGIC:
        return Refused("ENOEXEC", "not-elf", "it is not an ELF file")
    if len(content) > LARGEST:
        return Refused("ENOMEM", "not-module", f"it has more than {LARGEST >> 20} MiB")
    ident = _ident(content)
    if ident is None or len(content) < 16 + LAYOUTS[ident].header.size:
        return _not_module("its ELF header is cut off, or of no machine that this kernel was built for")
    layout = LAYOUTS[ident]
    header = Header._make(layout.header.unpack_from(content, 16))
    if header.type != ET_REL:
        name = TYPES.get(header.type, f"type {header.type}")
        return _not_module(f"e_type is {header.type} ({name}), not {ET_REL} (REL)")
    if header.machine not in head.machines:
        name = MACHINES.get(header.machine, f"machine {header.machine}")
        return _not_module(f"e_machine is {header.machine} ({name}), and this kernel is for {head.words}")
    if header.shentsize != layout.row.size:
        return _not_module(f"e_shentsize is {header.shentsize}, not {layout.row.size}")
    if head.table and header.shoff + header.shnum * layout.row.size > len(content):
        return _not_module("the section header table is not in the file")
    own = content if (content[4], content[5]) == ident else content[:4] + bytes(ident) + content[6:]
    normal = _normal(own)
    return Native(own, image if normal is content else Image(normal))


def _not_module(text: str) -> Refused:
    return Refused("ENOEXEC", "not-module", text)


def _ident(content: bytes) -> Ident | None:
    """Class and byte order of the kernel that this module is for, by e_machine; s390's also by its class.

    None for other machines.
    """
    found: Ident = (content[4], content[5]) if len(content) > 5 else (0, 0)
    for order in ("<", ">"):
        machine = int.from_bytes(content[18:20], "little" if order == "<" else "big")
        idents = [each for each in OF_THE_ERA.get(machine, ()) if LAYOUTS[each].order == order]
        if idents:
            return found if found in idents else idents[0]
    return found if found in LAYOUTS else None


def _normal(content: bytes) -> bytes:
    """``content`` with the name of section 0, and type and last byte of the section name table, as they
    should be. None of this is in a digest, unless the name table is allocated: then it stays as it is.
    """
    try:
        table = ElfTable(content)
    except ParseError:
        return content
    if not table.rows:
        return content
    out, zero = bytearray(content), table.row_field(0, "name")
    out[zero.start : zero.end] = bytes(zero.end - zero.start)
    _name_table(out, table, table.rows[table.shstrndx])
    return content if out == content else bytes(out)


def _name_table(out: bytearray, table: ElfTable, row: Row) -> None:
    end = row.offset + row.size
    if row.flags & SHF_ALLOC or not row.size or end > len(out):
        return
    if row.type == SHT_NOBITS:
        at = table.row_field(table.shstrndx, "type")
        out[at.start : at.end] = Struct(table.layout.order + "I").pack(SHT_STRTAB)
    out[end - 1] = 0


def crash(image: Image) -> str | None:
    """Why kernels of the time crash when they resolve the symbols of ``image``; None where they do not.

    simplify_symbols() takes every st_shndx other than SHN_UNDEF, SHN_ABS and SHN_COMMON for an index, though
    the ELF checks let reserved ones pass: it then reads a section header far beyond the table. A symbol
    table whose sh_link is 0 has no strings.
    """
    table = image.elf
    if table is None:
        return None
    symtab = next((row for row in reversed(table.rows[1:]) if row.type == SHT_SYMTAB), None)
    if symtab is None:
        return None
    if symtab.link == 0:
        return "sh_link of the symbol table is 0"
    data = image.data[symtab.offset : symtab.offset + symtab.size]
    row, end = table.layout.row.size, len(image.data) - table.header.shoff
    for nr, place in enumerate(symbol_columns(table).shndx.read(data)):
        reserved = place >= SHN_LORESERVE and place not in (SHN_ABS, SHN_COMMON)
        if reserved and (place + 1) * row > end:
            return f"symbol {nr} has the reserved section number {place:#x}, which it takes for an index"
    return None


def registers_crypto(image: Image) -> bool:
    """Whether a module refers to one of the functions that register an algorithm (crypto_register_alg())."""
    table = image.elf
    found = () if table is None else table.named(b".strtab")
    try:
        return any(REGISTER in table.content(each.nr) for each in found if table is not None)
    except ParseError:
        return False
