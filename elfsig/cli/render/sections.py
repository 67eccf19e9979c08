"""The text of ``list --sections``: the section table as in ``readelf -SW``, and what covers each section."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from elfsig.cli.render.table import laid_out, terminal_width, wrapped
from elfsig.cli.render.words import SECTION_TYPES
from elfsig.cli.settings import visible
from elfsig.elf.image import Image
from elfsig.elf.table import ElfTable, Section
from elfsig.errors import ElfsigError
from elfsig.model import Remark
from elfsig.model.json_form import SCHEMA_VERSION, Json, readable, remark_object
from elfsig.opened.module import Module
from elfsig.verbs.inspect.sections import Reach

NARROW = " " * 7
FLAGS = "WAX?MSILOGTC"
"""Letters of the bits of sh_flags, from bit 0; bit 3 has no meaning."""

HIGH_FLAGS = ((0x80000000, "E"), (0x0FF00000, "o"), (0x70000000, "p"))


def flag_letters(flags: int) -> str:
    """sh_flags as readelf prints them."""
    letters = "".join(letter for bit, letter in enumerate(FLAGS) if flags >> bit & 1)
    return letters + "".join(letter for mask, letter in HIGH_FLAGS if flags & mask)


def _start(section: Section) -> str:
    """Number, name and type of a section."""
    kind = SECTION_TYPES.get(section.row.type, f"{section.row.type:08x}: <unknown>")
    return f"[{section.nr:2}] {visible(section.text):<17} {kind:<15}"


def _numbers(section: Section) -> str:
    """What follows the address in readelf's table."""
    row = section.row
    return (
        f"{row.offset:06x} {row.size:06x} {row.entsize:02x} {flag_letters(row.flags):>3} "
        f"{row.link:2} {row.info:3} {row.align:2}"
    )


def _row(section: Section, bits: int) -> str:
    """One line of readelf's table, without its indentation."""
    return f"{_start(section)} {section.row.addr:0{bits // 4}x} {_numbers(section)}"


def _heading(bits: int) -> str:
    address = f"{'Address' if bits == 64 else 'Addr':<{bits // 4}}"
    return f"[Nr] {'Name':<17} {'Type':<15} {address} Off    Size   ES Flg Lk Inf Al  Covered by"


def text(image: Image, reaches: Sequence[Reach], prefix: str = "") -> str:
    """Every section of ``image``, one per line, and the signatures that cover it."""
    table = image.elf
    if table is None:
        reason = image.elf_fault
        return f"{prefix}no sections: {reason if reason is not None else 'this is not an ELF file'}\n"
    lines = [] if prefix else _opening(table)
    bits, width = table.layout.bits, terminal_width()
    for section in table.sections:
        by = " ".join(_names(section.nr, reaches)) or "-"
        by, lead = by if section.nr else "", prefix or "  "
        whole = f"{lead}{_row(section, bits)}  {by}".rstrip()
        lines += [whole] if width is None or len(whole) <= width else _folded(section, by, lead, width)
    lines += [f"{prefix}{_label(r)}: unknown: {visible(r.fault)}" for r in reaches if r.fault is not None]
    if not prefix:
        lines += ["", laid_out(_legend(reaches))]
    return "\n".join(lines) + "\n"


def _folded(section: Section, by: str, prefix: str, width: int) -> Iterator[str]:
    """A row in two lines, for terminals that are narrower: without the address, which is 0 in a module."""
    yield f"{prefix}{_start(section)}".rstrip()
    yield from wrapped(f"{NARROW}{_numbers(section)}  {by}".rstrip(), width, NARROW, keep=len(NARROW))


def sections_object(
    path: str, found: Image | ElfsigError, reaches: Sequence[Reach] = (), module: Module | None = None
) -> Json:
    """The JSON object of one file: an entry of ``files``, or a line of ``--jsonl``. ``found``: its image, or
    why there is none; ``module``: the file, None where it could not be read."""
    table = found.elf if isinstance(found, Image) else None
    name = os.fsencode(path)
    hexed = {"path_hex": name.hex()} if readable(path).encode() != name else {}
    return {
        "schema_version": SCHEMA_VERSION,
        "path": readable(path),
        **hexed,
        "size": None if module is None else module.size,
        "sha256": None if module is None else module.sha256,
        "sections": [_section_object(each) for each in table.sections] if table else [],
        "reaches": [{**each._asdict(), "sections": sorted(each.sections)} for each in reaches],
        "error": None if table else _error_object(found),
    }


def _section_object(section: Section) -> Json:
    row = section.row._asdict()
    return {**row, "nr": section.nr, "name": section.text, "type_name": SECTION_TYPES.get(section.row.type)}


def _error_object(found: Image | ElfsigError) -> Json:
    fault = found if isinstance(found, ElfsigError) else found.elf_fault
    if fault is None:
        return remark_object(Remark("not-elf", "this is not an ELF file", 0))
    return remark_object(Remark.of(fault))


def _opening(table: ElfTable) -> list[str]:
    count = len(table.rows)
    verb, noun = ("is", "header") if count == 1 else ("are", "headers")
    first = f"There {verb} {count} section {noun}, starting at offset {table.header.shoff:#x}:"
    heading, width = f"  {_heading(table.layout.bits)}", terminal_width()
    if width is None or len(heading) <= width:
        return [first, "", "Section Headers:", heading]
    start, numbers = f"  [Nr] {'Name':<17} Type", "Off    Size   ES Flg Lk Inf Al  Covered by"
    return [first, "", "Section Headers:", start, f"{NARROW}{numbers}"]


def _label(reach: Reach) -> str:
    return f"{reach.layer}:{reach.format}/{reach.coverage}"


def _names(nr: int, reaches: Sequence[Reach]) -> list[str]:
    return [_label(r) for r in reaches if nr in r.sections]


def _legend(reaches: Sequence[Reach]) -> str:
    if not reaches:
        return "No signature covers any of these sections."
    return (
        "Covered by: LAYER:FORMAT/COVERAGE of each signature that covers the section, at least in part\n"
        "(of a relocation section: its records). elfsig verify establishes the coverage of a signature."
    )
