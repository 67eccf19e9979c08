"""A second, slow implementation of the canonical streams, to compare the real one with.

Written from the description of the formats alone, one relocation at a time, and sharing nothing with the
package: no code, no tables. It trusts its input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NOBITS, REL, RELA, ALLOC = 8, 9, 4, 2
HEADER_FIELDS = ("name", "type", "flags", "addr", "offset", "size", "link", "info", "align", "entsize")


@dataclass
class Elf:
    """An ELF file cut into fields that stay raw bytes."""

    data: bytes

    def __post_init__(self) -> None:
        self.wide = self.data[4] == 2
        self.order: Literal["little", "big"] = "little" if self.data[5] == 1 else "big"
        self.word = 8 if self.wide else 4
        table = self.number(self.data[40:48] if self.wide else self.data[32:36])
        size, count, names = (
            self.number(self.data[at : at + 2]) for at in ((58, 60, 62) if self.wide else (46, 48, 50))
        )
        self.sections = [self.header(self.data[table + i * size :]) for i in range(count)]
        strings = self.content(self.sections[names])
        for section in self.sections:
            start = self.number(section["name"])
            section["text"] = strings[start : strings.index(b"\0", start)]
        self.symbols, self.strings = self.named(b".symtab", 2), self.named(b".strtab", 3)

    def number(self, raw: bytes) -> int:
        return int.from_bytes(raw, self.order)

    def raw(self, value: int, size: int) -> bytes:
        return value.to_bytes(size, self.order)

    def header(self, row: bytes) -> dict[str, bytes]:
        fields, at = {}, 0
        for name in HEADER_FIELDS:
            size = 4 if name in ("name", "type", "link", "info") else self.word
            fields[name], at = row[at : at + size], at + size
        return fields

    def content(self, section: dict[str, bytes]) -> bytes:
        start = self.number(section["offset"])
        return self.data[start : start + self.number(section["size"])]

    def type(self, section: dict[str, bytes]) -> int:
        return self.number(section["type"])

    def allocated(self, section: dict[str, bytes]) -> bool:
        return bool(self.number(section["flags"]) & ALLOC)

    def named(self, name: bytes, type_: int) -> bytes:
        found = b""
        for section in self.sections[1:]:
            if section["text"] == name and self.type(section) == type_:
                found = self.content(section)
        return found


def head(section: dict[str, bytes]) -> bytes:
    return section["text"] + section["type"] + section["flags"] + section["size"] + section["align"]


def symbol(elf: Elf, index: int) -> dict[str, bytes]:
    """One symbol's fields, with its name's bytes as ``text``."""
    size = 24 if elf.wide else 16
    raw = elf.symbols[index * size : (index + 1) * size]
    wide = {
        "name": (0, 4),
        "info": (4, 5),
        "other": (5, 6),
        "shndx": (6, 8),
        "value": (8, 16),
        "size": (16, 24),
    }
    narrow = {
        "name": (0, 4),
        "value": (4, 8),
        "size": (8, 12),
        "info": (12, 13),
        "other": (13, 14),
        "shndx": (14, 16),
    }
    fields = {name: raw[a:b] for name, (a, b) in (wide if elf.wide else narrow).items()}
    strings, start = elf.strings, elf.number(fields["name"])
    fields["text"] = strings[start : strings.index(b"\0", start) + 1]
    return fields


def relocation(elf: Elf, entry: bytes, numbers: dict[int, int]) -> bytes:
    """One relocation's record."""
    word = elf.word
    offset, info, addend = entry[:word], elf.number(entry[word : 2 * word]), entry[2 * word :]
    sym = symbol(elf, info >> 32 if elf.wide else info >> 8)
    kind = elf.raw(info & 0xFFFFFFFF, 4) if elf.wide else elf.raw(info & 0xFF, 1)
    index = elf.number(sym["shndx"])
    section = elf.raw(numbers.get(index, 0) if 0 < index < len(elf.sections) else index, 2)
    middle = kind + section if elf.wide else section + kind
    name = sym["text"] if index == 0 else b""
    return offset + addend + sym["value"] + sym["size"] + middle + sym["info"] + sym["other"] + name


def relocations(elf: Elf, section: dict[str, bytes], numbers: dict[int, int]) -> bytes:
    size = elf.word * (3 if elf.type(section) == RELA else 2)
    content = elf.content(section)
    out = elf.raw(numbers.get(elf.number(section["info"]), 0), 4)
    for at in range(0, len(content) - size + 1, size):
        out += relocation(elf, content[at : at + size], numbers)
    return out


def number(elf: Elf, indices: list[int]) -> dict[int, int]:
    """Positions from 1 by name; equal names keep the file's order."""
    ordered = sorted(indices, key=lambda i: (elf.sections[i]["text"], i))
    return {index: position for position, index in enumerate(ordered, 1)}


def fileorder(data: bytes, left_out: int | None = None, build_id: bool = True) -> bytes:
    """The stream ``fileorder``, or ``fileorder-nobuildid``."""
    elf = Elf(data)
    indices = [i for i in range(1, len(elf.sections)) if i != left_out]
    numbers = number(elf, [i for i in indices if elf.allocated(elf.sections[i])])
    out, seen = b"", set()
    for i in indices:
        section = elf.sections[i]
        if elf.type(section) in (REL, RELA):
            if elf.number(section["info"]) in seen:
                out += head(section) + relocations(elf, section, numbers)
            continue
        if not build_id and section["text"] == b".note.gnu.build-id":
            continue
        if elf.allocated(section) and elf.type(section) != NOBITS:
            out += head(section) + elf.content(section)
            seen.add(i)
    return out


def sorted_by_name(data: bytes, left_out: int | None = None) -> bytes:
    """The stream ``sorted``."""
    elf = Elf(data)
    listed = []
    for i, section in enumerate(elf.sections):
        if i in (0, left_out):
            continue
        if elf.type(section) in (REL, RELA):
            target = elf.sections[elf.number(section["info"])]
            if elf.allocated(target) or elf.allocated(section):
                listed.append(i)
        elif elf.allocated(section):
            listed.append(i)
    numbers = number(elf, listed)
    out = b""
    for i in sorted(listed, key=lambda i: numbers[i]):
        section = elf.sections[i]
        out += head(section)
        if elf.type(section) in (REL, RELA):
            out += relocations(elf, section, numbers)
        elif elf.type(section) != NOBITS:
            out += elf.content(section)
    return out


def textdata(data: bytes, nobits: bool = False, rela: bool = False) -> bytes:
    """The stream ``textdata`` and what kernels made of it."""
    elf, out = Elf(data), b""
    for section in elf.sections[1:]:
        name = section["text"].decode("latin-1")
        if not ("text" in name or "data" in name) or ".rel." in name:
            continue
        if ".rela." in name and not rela:
            continue
        if elf.type(section) != NOBITS or nobits:
            out += elf.content(section)
    return out


def stream(coverage: str, data: bytes, left_out: int | None = None) -> bytes:
    """The stream of ``coverage`` over ``data``, without the section of index ``left_out``.

    The ``textdata`` coverages never take in a section ``module_sig``: its name has neither word in it.
    """
    streams = {
        "textdata": lambda: textdata(data),
        "textdata-fc2": lambda: textdata(data, nobits=True),
        "textdata-2003": lambda: textdata(data, nobits=True, rela=True),
        "fileorder": lambda: fileorder(data, left_out),
        "fileorder-nobuildid": lambda: fileorder(data, left_out, build_id=False),
        "sorted": lambda: sorted_by_name(data, left_out),
    }
    return streams[coverage]()
