"""Coverages of ``module_sig``: the contents of the sections whose name contains "text" or "data".

Section contents one after the other in the order of the section table, without names, headers,
separators or lengths. The rule on names is that of ``module_check_sig`` in Greg Kroah-Hartman's kernel
tree of October 2003 (kernel/module-sig.c) and of Fedora Core 2's kernel; the signing tools of the time
saw the module through libbfd or objcopy, which hide relocations and yield nothing for NOBITS.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from elfsig.elf.table import SHT_NOBITS, Section
from elfsig.lazy_dataclass import dataclass
from elfsig.model import ByteRange, Message, Place, Remark

if TYPE_CHECKING:
    from elfsig.coverages.sections import SectionView
    from elfsig.elf.image import Image


KERNEL_HASHES_MORE = "kernel-hashes-more"


@dataclass(frozen=True, slots=True)
class TextData:
    """Text and data sections in file order.

    ``nobits``: sections of type NOBITS put ``sh_size`` bytes at ``sh_offset`` into the stream, whatever
    is there. ``rela``: ``.rela.`` sections count as well.
    """

    id: str = "textdata"
    nobits: bool = False
    rela: bool = False

    def message(self, image: Image, place: Place | None) -> Message:
        """The stream. Raises ParseError when the sections cannot be read or are outside the content."""
        from elfsig.coverages.sections import SectionView, Stream

        view = SectionView(image, place)
        stream = Stream(view)
        named = [s for s in view.sections if self._is_named_so(s.name)]
        taken = [s for s in named if self.nobits or s.row.type != SHT_NOBITS]
        for section in taken:
            stream.content(section)
        stream.steer(lambda: _steering(view, [] if self.nobits else named, taken))
        stream.remarks += self._differences(view, taken)
        return stream.message(self.id)

    def _is_named_so(self, name: bytes) -> bool:
        if b".rel." in name or (b".rela." in name and not self.rela):
            return False
        return b"text" in name or b"data" in name

    def _differences(self, view: SectionView, taken: list[Section]) -> list[Remark]:
        """For the stream as signed: what kernels of the time would also have hashed."""
        if self.nobits or self.rela:
            return []
        most = [s for s in view.sections if TEXTDATA_2003._is_named_so(s.name) and s.row.size]
        numbers = {s.nr for s in taken}
        others = [s for s in most if s.nr not in numbers]
        if not others:
            return []
        names = ", ".join(s.text for s in others)
        text = f"a kernel of the time also hashed sections that the signing tools did not: {names}"
        return [Remark(KERNEL_HASHES_MORE, text, view.row_offset(others[0].nr))]


def _steering(view: SectionView, typed: list[Section], taken: list[Section]) -> Iterator[ByteRange]:
    """All names (another one would add or drop a section), the types where they matter, the bounds."""
    for section in view.sections:
        yield view.name_range(section)
    for section in typed:
        yield view.field(section.nr, "type")
    for section in taken:
        yield view.field(section.nr, "size")
        if section.row.size:
            yield view.field(section.nr, "offset")


TEXTDATA = TextData()
"""As signed: what the ``mod`` tool of 2003 and Fedora Core 2's shell script fed to the hash."""
TEXTDATA_FC2 = TextData("textdata-fc2", nobits=True)
"""As Fedora Core 2's kernel computed it."""
TEXTDATA_2003 = TextData("textdata-2003", nobits=True, rela=True)
"""As the kernel of 2003 and of the Linux Journal article computed it."""
