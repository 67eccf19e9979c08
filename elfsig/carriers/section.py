"""A signature that is the whole content of one ELF section: the carrier used from 2003 to 2010.

``module_sig`` (Linux Journal 117; Fedora Core 2) is looked up by name alone and the first match counts;
``.module_sig`` (kernel/module-verify.c of RHEL 4, RHEL 5 and Fedora Core) counts only as PROGBITS, and of
several the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NOBITS, SHT_PROGBITS, ElfTable, Section
from elfsig.errors import EditRefused, ParseError
from elfsig.lazy_dataclass import dataclass
from elfsig.model import Mark, Params, Place, PlaceKind, Remark, SectionInfo


@dataclass(frozen=True, slots=True)
class SectionCarrier:
    """Sections called ``name``.

    ``types``: the sh_types that kernels accept, None for any. ``pick``: which of several they use.
    ``type``, ``flags`` and ``align`` are what a new section gets unless its params say otherwise.
    """

    name: str
    types: frozenset[int] | None = None
    pick: Literal["first", "last"] = "first"
    type: int = SHT_PROGBITS
    flags: int = 0
    align: int = 1
    kind: PlaceKind = "section"

    @property
    def id(self) -> str:
        return f"section:{self.name}"

    @property
    def short_name(self) -> str:
        return self.name

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The section's name."""
        return (Mark(self.name.encode("utf-8", "surrogateescape")),)

    def find(self, image: Image) -> Sequence[Place]:
        """Every section of this name and of an accepted type, the one that kernels use first."""
        table = image.elf
        if table is None:
            return ()
        found = [s for s in self._named(table) if self._counts(s)]
        if self.pick == "last":
            found.reverse()
        return tuple(self._place(image, table, section, found[0].nr) for section in found)

    def anomalies(self, image: Image) -> Sequence[Remark]:
        """Sections of this name that kernels ignore because of their type."""
        table = image.elf
        return tuple(
            Remark(
                "wrong-section-type",
                f"section [{s.nr}] {self.name} has type {s.row.type}, not {self._type_text()}",
                table.row_offset(s.nr),
            )
            for s in (self._named(table) if table else ())
            if table and not self._counts(s)
        )

    def _named(self, table: ElfTable) -> Sequence[Section]:
        return table.named(self.name.encode("utf-8", "surrogateescape"))

    def _counts(self, section: Section) -> bool:
        return self.types is None or section.row.type in self.types

    def _type_text(self) -> str:
        return " or ".join(str(t) for t in sorted(self.types or ()))

    def _place(self, image: Image, table: ElfTable, section: Section, taken: int) -> Place:
        row = section.row
        blob, fault = _content(table, section)
        remarks: tuple[Remark, ...] = ()
        if section.nr != taken:
            text = f"section [{section.nr}] {self.name} besides [{taken}], the {self.pick} of that name"
            remarks = (Remark("second-signature-section", text, table.row_offset(section.nr)),)
        start = min(row.offset, image.end)
        info = SectionInfo(self.name, row.type, row.flags, row.align)
        end = min(max(row.end, start), image.end)
        return Place(
            "section", self.id, start, end, start, blob, info,
            section=self.name, index=section.nr, fault=fault, remarks=remarks,
        )  # fmt: skip

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """A new section, the last in the table, that holds ``blob``. ``params`` None: the carrier's defaults.

        Raises EditRefused, also where kernels would still use an existing section.
        """
        from elfsig.elf.edit import insert_section
        from elfsig.elf.guard import NewSection

        info = params or SectionInfo(self.name, self.type, self.flags, self.align)
        if not isinstance(info, SectionInfo):
            raise EditRefused(f"a section {self.name} needs a section's fields", code="bad-section")
        if self.pick == "first" and image.elf is not None and self._named(image.elf):
            text = f"there is already a section {self.name}, and kernels look only at the first one"
            raise EditRefused(text, code="section-exists")
        name = info.name.encode("utf-8", "surrogateescape")
        return insert_section(
            image.bytes(), NewSection(name, blob, info.type, info.flags, info.align), engine
        )

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """Everything except the section, byte for byte as it was before the section was added if possible."""
        from elfsig.elf.edit import remove_section

        table = image.elf
        here = [s.nr for s in self._named(table)] if table else []
        if place.index is None or place.index not in here:
            raise EditRefused(f"section [{place.index}] is not a {self.name} in this file", code="no-section")
        return remove_section(image.bytes(), place.index, engine)


def _content(table: ElfTable, section: Section) -> tuple[bytes, Remark | None]:
    """The bytes of a section, and what is wrong with them."""
    at = table.row_offset(section.nr)
    if section.row.type == SHT_NOBITS:
        text = f"section [{section.nr}] {section.text} is NOBITS and has no bytes of its own"
        return b"", Remark("section-nobits", text, at)
    try:
        blob = table.content(section.nr)
    except ParseError as fault:
        return b"", Remark.of(fault)
    if not blob:
        return b"", Remark("section-empty", f"section [{section.nr}] {section.text} is empty", at)
    return blob, None
