"""The canonical coverages: what a module becomes when it is loaded, without what a linker may change.

Per section: its name without NUL, sh_type, sh_flags, sh_size, sh_addralign as in the file,
then the contents, or for relocation sections the canonical number of the target and the records of
:mod:`elfsig.coverages.records`. Addresses, offsets, links and table positions are not in the stream.

``fileorder`` is ``scripts/modsign/mod-extract.c`` of Red Hat's 2.6.9 to 2.6.20 kernels and of Oracle's
first 2.6.39 tree, ``fileorder-nobuildid`` that of the second one; ``sorted`` is ``scripts/mod/mod-extract.c``
of 2.6.32 (RHEL 6); ``sorted-2012`` is ``kernel/module-verify.c`` of David Howells' 2011-12 series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elfsig.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from elfsig.elf.image import Image
    from elfsig.model import Message, Place

# The implementation is imported on demand: every command loads the declarations.


@dataclass(frozen=True, slots=True)
class FileOrder:
    """Allocated sections with contents, in file order; relocations where their target came before them.

    Numbers count all allocated sections by name. ``build_id`` False leaves out the section
    ``.note.gnu.build-id`` and its relocations, which nevertheless keeps its number.
    """

    id: str = "fileorder"
    build_id: bool = True

    def message(self, image: Image, place: Place | None) -> Message:
        """The stream. Raises ParseError for sections, symbols and names that are not where they should be."""
        from elfsig.coverages.canonical_streams import file_order

        return file_order(image, place, self.id, self.build_id)


@dataclass(frozen=True, slots=True)
class Sorted:
    """Allocated sections and the relocations for them, sorted by name and numbered in that order.

    ``series_2012``: as the kernel of the 2011-12 series computes it: symbols from the table that sh_link
    names, RELA records with 0 for SHN_ABS and the like, 0xffff for what is not listed, and an error for
    a symbol in a section that is not allocated.
    """

    id: str = "sorted"
    series_2012: bool = False

    def message(self, image: Image, place: Place | None) -> Message:
        """The stream. Raises ParseError for sections, symbols and names that are not where they should be."""
        from elfsig.coverages.canonical_streams import sorted_by_name

        return sorted_by_name(image, place, self.id, self.series_2012)


FILEORDER = FileOrder()
FILEORDER_NOBUILDID = FileOrder("fileorder-nobuildid", build_id=False)
SORTED = Sorted()
SORTED_2012 = Sorted("sorted-2012", series_2012=True)
