"""What the witness sees: a file as pyelftools reads it, and its tables record by record.

Record layouts: System V ABI, "Symbol Table", "Relocation", "Section Groups". Tables are compared by the
meaning of their records, with section and symbol numbers as expected after the edit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property
from io import BytesIO
from struct import Struct
from typing import Any, NamedTuple

from elfsig.errors import EditRefused

_RELOCATIONS = {"SHT_REL", "SHT_RELA"}
_NUMBERED = {"SHT_SYMTAB", "SHT_SYMTAB_SHNDX", "SHT_GROUP", *_RELOCATIONS}
_NO_PLACE = {"SHT_NULL", "SHT_NOBITS"}
_INFO_LINK = 0x40
_RESERVED, _EXTENDED = 0xFF00, 0xFFFF
_SECTION_SYMBOL = 3


class Seen(NamedTuple):
    """One section as pyelftools reads it; ``content`` as it stands in the file, compressed or not."""

    nr: int
    name: bytes
    header: Mapping[str, Any]
    content: memoryview

    @property
    def text(self) -> str:
        return self.name.decode("utf-8", "backslashreplace")

    @property
    def kind(self) -> str | int:
        kind: str | int = self.header["sh_type"]
        return kind


class Symbol(NamedTuple):
    """One symbol; ``section`` is its section's number, extended or not; reserved numbers are negative."""

    name: int
    info: int
    other: int
    section: int
    value: int
    size: int


class WitnessedFile:
    """A whole file. Raises EditRefused (``witness-unreadable``) when pyelftools cannot read it."""

    def __init__(self, content: bytes) -> None:
        from elftools.common.exceptions import ELFError
        from elftools.common.utils import struct_parse
        from elftools.elf.elffile import ELFFile

        try:
            elf = ELFFile(BytesIO(content))
            start, step = elf["e_shoff"], elf["e_shentsize"]
            places = range(start, start + elf.num_sections() * step, step)
            headers = [struct_parse(elf.structs.Elf_Shdr, elf.stream, at) for at in places]
            self.shstrndx: int = elf.get_shstrndx()
            if self.shstrndx >= len(headers):
                raise ELFError(f"there is no section [{self.shstrndx}] for names")
        except (ELFError, ValueError, OverflowError) as reason:
            text = f"the witness cannot read the file: {reason}"
            raise EditRefused(text, code="witness-unreadable") from None
        self.ident: bytes = elf.e_ident_raw
        self.header: Mapping[str, Any] = elf.header
        self.order = "<" if elf.little_endian else ">"
        self.bits: int = elf.elfclass
        self._view = memoryview(content)
        names = bytes(self._span(headers[self.shstrndx]))
        self.sections: list[Seen] = [
            Seen(i, names[h["sh_name"] : names.find(0, h["sh_name"])], h, self._span(h))
            for i, h in enumerate(headers)
        ]
        ends = [h["sh_offset"] + h["sh_size"] for h in headers if h["sh_type"] not in _NO_PLACE]
        end = max([start + len(headers) * step, *ends])
        self.tail: memoryview[int] = self._view[end:]

    def _span(self, header: Mapping[str, Any]) -> memoryview:
        if header["sh_type"] in _NO_PLACE:
            return self._view[:0]
        return self._view[header["sh_offset"] : header["sh_offset"] + header["sh_size"]]

    def raw_type(self, index: int) -> int:
        """sh_type as the number in the file."""
        at = self.header["e_shoff"] + index * self.header["e_shentsize"] + 4
        return int(Struct(self.order + "I").unpack_from(self._view, at)[0])

    def symbols(self, symtab: int) -> list[Symbol]:
        """The records of a symbol table."""
        record = Struct(self.order + ("IBBHQQ" if self.bits == 64 else "IIIBBH"))
        extended = self._extended(symtab)
        symbols = []
        for nr, fields in enumerate(record.iter_unpack(_whole(self.sections[symtab].content, record.size))):
            if self.bits == 64:
                name, info, other, section, value, size = fields
            else:
                name, value, size, info, other, section = fields
            if section == _EXTENDED and nr < len(extended):
                section = extended[nr]
            elif section >= _RESERVED:
                section = -section
            symbols.append(Symbol(name, info, other, section, value, size))
        return symbols

    def _extended(self, symtab: int) -> list[int]:
        seen = self._indices.get(symtab)
        return self.words(seen) if seen is not None else []

    @cached_property
    def _indices(self) -> dict[int, Seen]:
        """The first section of extended section numbers for each symbol table."""
        every = [seen for seen in self.sections if seen.kind == "SHT_SYMTAB_SHNDX"]
        return {seen.header["sh_link"]: seen for seen in reversed(every)}

    def words(self, seen: Seen) -> list[int]:
        """The 4-byte words of a section."""
        return [word for (word,) in Struct(self.order + "I").iter_unpack(_whole(seen.content, 4))]

    def relocations(self, seen: Seen) -> list[tuple[int, int, int, bytes]]:
        """(r_offset, symbol, the rest of r_info, addend as it stands) of each relocation."""
        addend = "" if seen.kind == "SHT_REL" else "8s" if self.bits == 64 else "4s"
        if self.bits == 32:
            record = Struct(self.order + "II" + addend)
            rows = record.iter_unpack(_whole(seen.content, record.size))
            return [(at, info >> 8, info & 0xFF, b"".join(more)) for at, info, *more in rows]
        record = Struct(self.order + "QII" + addend)
        rows = record.iter_unpack(_whole(seen.content, record.size))
        mips = self.header["e_machine"] == "EM_MIPS"
        if self.order == ">" or mips:
            return [(at, symbol, kind, b"".join(more)) for at, symbol, kind, *more in rows]
        return [(at, symbol, kind, b"".join(more)) for at, kind, symbol, *more in rows]


def _whole(content: memoryview, size: int) -> memoryview:
    return content[: len(content) // size * size]


class NumberMap:
    """What becomes of section and symbol numbers of ``old`` when section ``gone`` is removed (None: nothing).

    A section symbol of that section is removed with it.
    """

    def __init__(self, old: WitnessedFile, gone: int | None) -> None:
        self._gone = len(old.sections) if gone is None else gone
        self._dropped: dict[int, list[int]] = {}
        for seen in old.sections if gone is not None else ():
            if seen.kind == "SHT_SYMTAB":
                symbols = enumerate(old.symbols(seen.nr))
                own = [k for k, s in symbols if s.section == gone and s.info == _SECTION_SYMBOL]
                self._dropped[seen.nr] = own
        self._renumbers = self._gone < len(old.sections) - 1 or any(self._dropped.values())

    def section(self, nr: int) -> int | None:
        """The new number of a section, None for the removed one."""
        return None if nr == self._gone else nr - (nr > self._gone)

    def symbol(self, symtab: int, nr: int) -> int | None:
        """The new number of a symbol, None for a removed one."""
        dropped = self._dropped.get(symtab, [])
        at = bisect_left(dropped, nr)
        return None if dropped[at : at + 1] == [nr] else nr - at

    def touches(self, seen: Seen) -> bool:
        """Whether the section's content may have to change."""
        return self._renumbers and seen.kind in _NUMBERED

    def size(self, seen: Seen) -> int:
        """The expected sh_size of a section."""
        lost = 0
        if seen.kind == "SHT_SYMTAB":
            lost = len(self._dropped.get(seen.nr, ())) * seen.header["sh_entsize"]
        elif seen.kind == "SHT_SYMTAB_SHNDX":
            lost = len(self._dropped.get(seen.header["sh_link"], ())) * 4
        return int(seen.header["sh_size"]) - lost

    def info(self, seen: Seen) -> int | None:
        """The expected sh_info of a section: a section, a symbol, or a number of symbols."""
        info: int = seen.header["sh_info"]
        if seen.kind in _RELOCATIONS or seen.header["sh_flags"] & _INFO_LINK:
            return self.section(info)
        if seen.kind == "SHT_GROUP":
            return self.symbol(seen.header["sh_link"], info)
        if seen.kind == "SHT_SYMTAB":
            return info - len(self._dropped.get(seen.nr, ()))
        return info


def content_same(old: WitnessedFile, new: WitnessedFile, index: int, to: int, numbers: NumberMap) -> bool:
    """Whether section ``to`` of ``new`` says what section ``index`` of ``old`` said."""
    was, now = old.sections[index], new.sections[to]
    if index == old.shstrndx:
        return _names_same(old, was, now)
    if not numbers.touches(was):
        return bytes(was.content) == bytes(now.content)
    if was.kind == "SHT_SYMTAB":
        return _renumbered_symbols(old, index, numbers) == new.symbols(to)
    if was.kind == "SHT_GROUP":
        flags, *members = old.words(was)
        return [flags, *map(numbers.section, members)] == new.words(now)
    if was.kind == "SHT_SYMTAB_SHNDX":
        return True  # its content is compared as part of the symbols
    symtab = was.header["sh_link"]
    moved = [(at, numbers.symbol(symtab, nr), *rest) for at, nr, *rest in old.relocations(was)]
    return moved == new.relocations(now)


def _names_same(old: WitnessedFile, was: Seen, now: Seen) -> bool:
    """Section names are compared one by one; this covers symbol names in the same string table."""
    if not any(seen.header["sh_link"] == was.nr for seen in old.sections[1:]):
        return True
    before, after = bytes(was.content), bytes(now.content)
    return after.startswith(before) or before.startswith(after)


def _renumbered_symbols(old: WitnessedFile, symtab: int, numbers: NumberMap) -> list[Symbol | None]:
    expected: list[Symbol | None] = []
    for nr, symbol in enumerate(old.symbols(symtab)):
        if numbers.symbol(symtab, nr) is None:
            continue
        section = numbers.section(symbol.section) if symbol.section > 0 else symbol.section
        expected.append(None if section is None else symbol._replace(section=section))
    return expected
