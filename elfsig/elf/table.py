"""The section table of an ELF file, read with struct: both classes, both byte orders, any layout.

Layout: System V ABI, "ELF header" and "Sections". Everything is bounded by the size of the content
before it is used; extended section numbering (counts and string-table indices of 0xff00 and more, kept in
section 0) is supported. A relocatable file is not required here, only by the editor.
"""

from __future__ import annotations

from functools import cached_property
from operator import add
from struct import Struct, error

from elfsig.elf.words import ByteRange, ElfSummary
from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple

MAGIC = b"\x7fELF"
LONGEST_NAME = 4096
"""Longer section names are refused: reading tens of thousands that share one long string takes too long."""

ET_REL = 1
SHT_NULL, SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA = 0, 1, 2, 3, 4
SHT_NOTE, SHT_NOBITS, SHT_REL, SHT_GROUP, SHT_SYMTAB_SHNDX = 7, 8, 9, 17, 18
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
SHN_UNDEF, SHN_LORESERVE, SHN_ABS, SHN_COMMON, SHN_XINDEX = 0, 0xFF00, 0xFFF1, 0xFFF2, 0xFFFF

TYPES = {0: "NONE", 1: "REL", 2: "EXEC", 3: "DYN", 4: "CORE"}
MACHINES = {
    2: "sparc", 3: "i386", 4: "m68k", 8: "mips", 15: "parisc", 18: "sparc32plus", 20: "ppc", 21: "ppc64",
    22: "s390", 40: "arm", 42: "sh", 43: "sparcv9", 50: "ia64", 62: "x86-64", 183: "arm64", 243: "riscv",
    258: "loongarch", 0x9026: "alpha", 0xA390: "s390-old",
}  # fmt: skip


class Layout(NamedTuple):
    """The struct formats of one class and byte order. ``order`` is struct's "<" or ">".

    ``span`` has a section header's size and extracts only its name, type, offset and size.
    """

    bits: int
    order: str
    header: Struct
    row: Struct
    span: Struct
    symbol: Struct
    rel: Struct
    rela: Struct
    word: int


def _layout(bits: int, order: str) -> Layout:
    if bits == 64:
        formats = ("HHIQQQIHHHHHH", "IIQQQQIIQQ", "II16xQQ24x", "IBBHQQ", "QQ", "QQq")
    else:
        formats = ("HHIIIIIHHHHHH", "IIIIIIIIII", "II8xII16x", "IIIBBH", "II", "IIi")
    header, row, span, symbol, rel, rela = (Struct(order + f) for f in formats)
    return Layout(bits, order, header, row, span, symbol, rel, rela, bits // 8)


LAYOUTS = {
    (1, 1): _layout(32, "<"),
    (1, 2): _layout(32, ">"),
    (2, 1): _layout(64, "<"),
    (2, 2): _layout(64, ">"),
}


class Header(NamedTuple):
    """The ELF header after ``e_ident``, fields as in the file."""

    type: int
    machine: int
    version: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    ehsize: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


class Row(NamedTuple):
    """One section header as it stands in the file (``name`` is the offset into the name table)."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entsize: int

    @property
    def in_file(self) -> bool:
        """Whether the section is of a kind that has a place in the file: not NULL, not NOBITS."""
        return self.type not in (SHT_NULL, SHT_NOBITS)

    @property
    def file_size(self) -> int:
        """Bytes that the section takes up in the file: none for NULL and NOBITS."""
        return 0 if self.type in (SHT_NULL, SHT_NOBITS) else self.size

    @property
    def end(self) -> int:
        """File offset of the end of the section's bytes; NOBITS sections have none."""
        return self.offset + self.file_size


class Section(NamedTuple):
    """A section header with its index in the table (readelf's ``Nr``) and its name."""

    nr: int
    name: bytes
    row: Row

    @property
    def text(self) -> str:
        """The name for people; bytes that are not UTF-8 are escaped."""
        return self.name.decode("utf-8", "backslashreplace")


class ElfTable:
    """Section table of the ELF image that starts at offset 0 of ``data``.

    Raises ParseError when the header or the table is not inside ``data``, or the name table is not
    a sound string table. Sections that reach beyond the file are kept as they are; see :meth:`content`.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        if data[:4] != MAGIC:
            raise ParseError("not an ELF file: no magic", offset=0, code="not-elf")
        if len(data) < 16:
            raise ParseError("ELF header is cut off", offset=len(data), code="elf-truncated")
        layout = LAYOUTS.get((data[4], data[5]))
        if layout is None:
            raise ParseError(
                f"ELF class {data[4]} or byte order {data[5]} unknown", offset=4, code="elf-ident"
            )
        self.layout = layout
        try:
            self.header: Header = Header._make(layout.header.unpack_from(data, 16))
        except error:
            raise ParseError("ELF header is cut off", offset=len(data), code="elf-truncated") from None
        self._table = self._bounded_table()
        self.shstrndx: int = self._name_table_index()

    @cached_property
    def rows(self) -> list[Row]:
        """The section headers, unpacked on demand: most callers need one of them."""
        return list(map(Row._make, self.layout.row.iter_unpack(self._table)))

    @property
    def _count(self) -> int:
        return len(self._table) // self.layout.row.size

    def _row(self, index: int) -> Row:
        return Row._make(self.layout.row.unpack_from(self._table, index * self.layout.row.size))

    def _bounded_table(self) -> memoryview:
        head, row, size = self.header, self.layout.row, len(self._data)
        if not head.shoff:
            return memoryview(b"")
        if head.shentsize != row.size:
            raise ParseError(
                f"section header entries are {head.shentsize} bytes, expected {row.size}",
                offset=self.field_offset("shentsize"),
                code="elf-shentsize",
            )
        if head.shoff + row.size > size:
            raise ParseError(
                f"section header table at {head.shoff:#x} is beyond the end of the file ({size} bytes)",
                offset=self.field_offset("shoff"),
                code="elf-truncated",
            )
        count = head.shnum or Row._make(row.unpack_from(self._data, head.shoff)).size
        end = head.shoff + count * row.size
        if end > size:
            raise ParseError(
                f"section header table ({count} entries at {head.shoff:#x}) ends beyond the end of the file",
                offset=self.field_offset("shnum"),
                code="elf-truncated",
            )
        return memoryview(self._data)[head.shoff : end]

    def row_offset(self, index: int) -> int:
        """File offset of a section header, for error messages."""
        return self.header.shoff + index * self.layout.row.size

    def row_field(self, index: int, name: str) -> ByteRange:
        """File offset of a field of a section header, by its name in :class:`Row`."""
        at, order = Row._fields.index(name), self.layout.order
        codes, start = self.layout.row.format[1:], self.row_offset(index)
        return ByteRange(
            start + Struct(order + codes[:at]).size, start + Struct(order + codes[: at + 1]).size
        )

    def field_offset(self, name: str) -> int:
        """File offset of a field of the ELF header, by its name in :class:`Header`."""
        at = Header._fields.index(name)
        codes = self.layout.header.format[1:]
        return 16 + Struct(self.layout.order + codes[:at]).size

    def _name_table_index(self) -> int:
        index = self.header.shstrndx
        if index == SHN_XINDEX and self._count:
            index = self._row(0).link
        if self._count and index >= self._count:
            raise ParseError(
                f"e_shstrndx {index} names no section (there are {self._count})",
                offset=self.field_offset("shstrndx"),
                code="elf-shstrndx",
            )
        return index

    @cached_property
    def names(self) -> bytes:
        """The section name string table, b"" if there is none. Raises ParseError."""
        if not self._count or self.shstrndx == SHN_UNDEF:
            return b""
        blob = self.content(self.shstrndx)
        if blob and blob[-1]:
            raise ParseError(
                f"section name table [{self.shstrndx}] does not end in NUL",
                offset=self._row(self.shstrndx).end,
                code="elf-names",
            )
        return blob

    def name(self, index: int) -> bytes:
        """Name of a section, without its NUL. Raises ParseError when it is outside the name table."""
        start, names = self.rows[index].name, self.names
        if start >= len(names):
            if not start:
                return b""
            raise ParseError(
                f"name of section [{index}] at {start:#x} is outside the name table ({len(names)} bytes)",
                offset=self.row_offset(index),
                code="elf-name",
            )
        end = names.find(0, start, start + LONGEST_NAME + 1)
        if end < 0:
            raise ParseError(
                f"name of section [{index}] is longer than {LONGEST_NAME} bytes",
                offset=self.row_offset(index),
                code="elf-name",
            )
        return names[start:end]

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """All sections in table order, section 0 included. Raises ParseError."""
        return tuple(Section(i, self.name(i), row) for i, row in enumerate(self.rows))

    def named(self, name: bytes) -> tuple[Section, ...]:
        """The sections 1.. of exactly this name, in table order; cheap if there is none.

        A section whose name is outside the name table has none, as in kernels that search by name.
        """
        wanted, names = name + b"\0", self.names
        if wanted not in names:
            return ()
        starts = (row[0] for row in self.layout.span.iter_unpack(self._table))
        found = [i for i, start in enumerate(starts) if i and names.startswith(wanted, start)]
        return tuple(Section(i, name, self._row(i)) for i in found)

    def content(self, index: int) -> bytes:
        """The bytes of a section (b"" for NOBITS). Raises ParseError when they are outside the file."""
        row = self._row(index)
        if row.type == SHT_NOBITS:
            return b""
        if row.offset + row.size > len(self._data):
            raise ParseError(
                f"section [{index}] ({row.size} bytes at {row.offset:#x}) reaches beyond the end of the file",
                offset=self.row_offset(index),
                code="elf-section-bounds",
            )
        return self._data[row.offset : row.offset + row.size]

    def last_byte(self, index: int) -> int:
        """The last byte of a section that has bytes in the file."""
        return self._data[self._row(index).end - 1]

    @property
    def table_end(self) -> int:
        """File offset of the end of the section header table, 0 if there is none."""
        return self.header.shoff + len(self._table)

    @cached_property
    def end(self) -> int:
        """Where the ELF image ends: after its last section, section header or program header.

        Never beyond the file: a section that claims more is taken to reach the file's end.
        """
        head = self.header
        ends = [16 + self.layout.header.size, self.table_end]
        spans = tuple(zip(*self.layout.span.iter_unpack(self._table), strict=True))[1:] or ((), (), ())
        # Most tables end after everything that sections claim: then it does not matter which have bytes.
        if max(map(add, spans[1], spans[2]), default=0) > self.table_end:
            ends += [o + s for kind, o, s in zip(*spans, strict=True) if kind not in (SHT_NULL, SHT_NOBITS)]
        ends.append(head.phoff + head.phnum * head.phentsize if head.phnum else 0)
        ends.append(self._segments_end())
        return min(max(ends), len(self._data))

    def _segments_end(self) -> int:
        head, order = self.header, self.layout.order
        at = Struct(order + ("IIQQQQQQ" if self.layout.bits == 64 else "IIIIIIII"))
        if not head.phnum or head.phentsize != at.size or head.phoff + head.phnum * at.size > len(self._data):
            return 0
        pick = (2, 5) if self.layout.bits == 64 else (1, 4)
        table = memoryview(self._data)[head.phoff : head.phoff + head.phnum * at.size]
        return max(int(entry[pick[0]]) + int(entry[pick[1]]) for entry in at.iter_unpack(table))

    def summary(self) -> ElfSummary:
        """The header in words."""
        return summary_of(self.layout, self.header.type, self.header.machine)


def summary_of(layout: Layout, kind: int, machine: int) -> ElfSummary:
    """An ELF header in words: its layout, ``e_type`` and ``e_machine``."""
    return ElfSummary(
        layout.bits,
        "little" if layout.order == "<" else "big",
        MACHINES.get(machine, f"machine-{machine}"),
        TYPES.get(kind, f"type-{kind}"),
    )
