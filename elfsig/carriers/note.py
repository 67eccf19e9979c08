"""A signature in an ELF note in its own section: RHEL 6, Oracle UEK2, Howells' series of 2011-12.

Layout, in the byte order of the ELF file and the same in both classes (scripts/mod/modsign-note.sh of
2.6.32-el6; System V ABI, "Note Section"): namesz (4 bytes, NUL counted), descsz (4), type (4), owner with
NUL, zeros up to a multiple of 4, descriptor, zeros up to a multiple of 4. Kernels read the first note of
the last section of this name and type, and answer ELIBBAD for any other owner, type or size.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from elfsig.carriers.section import SectionCarrier
from elfsig.elf.image import Image
from elfsig.elf.table import SHT_NOTE
from elfsig.errors import EditRefused
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.model import Mark, Params, Place, PlaceKind, Remark, SectionInfo


@dataclass(frozen=True, slots=True)
class NoteCarrier:
    """The first note of sections called ``name``. ``owner`` is without its NUL."""

    name: str
    owner: bytes
    note_type: int
    kind: PlaceKind = "note"

    @property
    def id(self) -> str:
        return f"note:{self.name}"

    @property
    def short_name(self) -> str:
        return self.name

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The section's name."""
        return (Mark(self.name.encode("utf-8", "surrogateescape")),)

    @property
    def _sections(self) -> SectionCarrier:
        return SectionCarrier(self.name, frozenset({SHT_NOTE}), "last", SHT_NOTE, 0, 4)

    def find(self, image: Image) -> Sequence[Place]:
        """Every note section of this name, the one that kernels use first; see model.Carrier."""
        return tuple(self._note(image, place) for place in self._sections.find(image))

    def anomalies(self, image: Image) -> Sequence[Remark]:
        """Sections of this name that are not note sections: kernels ignore them."""
        return self._sections.anomalies(image)

    def _note(self, image: Image, place: Place) -> Place:
        """Narrow the place of a section's content to the note inside it."""
        place = replace(place, kind="note", carrier=self.id)
        info, table = place.params, image.elf
        if place.fault is not None or table is None or not isinstance(info, SectionInfo):
            return place
        head, content, at = Struct(table.layout.order + "III"), place.blob, place.start
        if len(content) < head.size:
            text = f"{len(content)} bytes are not a note: its header needs {head.size}"
            return replace(place, blob=b"", fault=Remark("note-truncated", text, at))
        namesz, descsz, note_type = head.unpack_from(content)
        start = head.size + _padded(namesz)
        if start + descsz > len(content):
            text = (
                f"note claims an owner of {namesz} and {descsz} bytes of content, section has {len(content)}"
            )
            return replace(place, blob=b"", fault=Remark("note-size", text, at))
        owner = content[head.size : head.size + namesz]
        return replace(
            place,
            blob_start=at + start,
            blob=content[start : start + descsz],
            params=info._replace(owner=owner.removesuffix(b"\0"), note_type=note_type),
            fault=self._fault(owner, note_type, at),
            remarks=place.remarks + _leftover(len(content), start + _padded(descsz), at),
        )

    def _fault(self, owner: bytes, note_type: int, at: int) -> Remark | None:
        if owner != self.owner + b"\0":
            text = f"note owner is {owner!r}, expected {self.owner!r}"
            return Remark("note-owner", text, at + 12)
        if note_type != self.note_type:
            text = f"note type is {note_type}, expected {self.note_type}"
            return Remark("note-type", text, at + 8)
        return None

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """A new note section with ``blob`` as its descriptor. ``params`` None: the carrier's defaults."""
        info = params or SectionInfo(self.name, SHT_NOTE, 0, 4, self.owner, self.note_type)
        if not isinstance(info, SectionInfo):
            raise EditRefused(f"a note section {self.name} needs a section's fields", code="bad-section")
        table = image.elf
        order = table.layout.order if table else "<"
        owner = (self.owner if info.owner is None else info.owner) + b"\0"
        note_type = self.note_type if info.note_type is None else info.note_type
        head = Struct(order + "III").pack(len(owner), len(blob), note_type)
        note = head + owner.ljust(_padded(len(owner)), b"\0") + blob.ljust(_padded(len(blob)), b"\0")
        return self._sections.attach(image, note, info, engine=engine)

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """Everything except the section, byte for byte as it was before the section was added if possible."""
        return self._sections.detach(image, place, engine=engine)


def _padded(size: int) -> int:
    return (size + 3) & ~3


def _leftover(have: int, used: int, at: int) -> tuple[Remark, ...]:
    """A remark where the section does not end with its first note."""
    if have < used:
        text = f"the note's padding is cut off by {used - have} bytes"
        return (Remark("note-padding", text, at + have),)
    if have > used:
        return (Remark("note-trailing", f"{have - used} bytes after the note", at + used),)
    return ()
