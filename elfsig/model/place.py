"""Where a signature is: places, their wrappers' fields, and the contract of carriers.

Offsets and sizes are bytes; every offset is in the decompressed content unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from elfsig.elf.image import Image
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.brief import brief
from elfsig.model.verdict import Remark

PlaceKind = Literal["section", "note", "trailer", "detached"]


class TrailerInfo(NamedTuple):
    """The 12-byte ``struct module_signature`` in front of the marker (include/linux/module_signature.h).

    ``sig_len`` is big-endian in the file; the other fields are one byte each, ``pad`` three bytes.
    When a signature is made, the carrier fills in ``sig_len``.
    """

    algo: int = 0
    hash: int = 0
    id_type: int = 0
    signer_len: int = 0
    key_id_len: int = 0
    pad: bytes = b"\0\0\0"
    sig_len: int = 0


class SectionInfo(NamedTuple):
    """How a signature's section is declared: ELF ``sh_type``, ``sh_flags``, ``sh_addralign``.

    ``owner`` and ``note_type`` are those of the ELF note inside it, where the section holds one.
    """

    name: str
    type: int
    flags: int
    align: int
    owner: bytes | None = None
    note_type: int | None = None


class MagicInfo(NamedTuple):
    """The length field in front of the 30-byte magic text of 2012: its raw bytes and its style."""

    style: Literal["ascii", "u16"]
    length_field: bytes = b""


class Wrapper(Protocol):
    """A wrapper's fields besides the signature's bytes: a NamedTuple of plain values, hashable. The three
    above are those of the built-in carriers; a carrier of a third party may have its own."""

    def _asdict(self) -> dict[str, Any]:
        """The fields by name, as shown and as written to JSON."""
        ...


Params = Wrapper | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where one signature is.

    ``carrier`` is the id of the carrier that found it. ``start:end`` is everything that the carrier added
    to the file, wrapper included; ``blob_start`` is where the envelope's bytes ``blob`` begin. A place
    whose wrapper is damaged or displaced has a ``fault`` and is reported ``malformed``; its ``blob`` is
    what can still be read, often empty. ``where`` is "file" for bytes after a compressed stream.
    ``treated_as_unsigned``: the kernels of this carrier see no signature here.
    """

    kind: PlaceKind
    carrier: str
    start: int
    end: int
    blob_start: int
    blob: bytes
    params: Params
    section: str | None = None
    index: int | None = None
    fault: Remark | None = None
    remarks: tuple[Remark, ...] = ()
    where: Literal["content", "file"] = "content"
    treated_as_unsigned: bool = False

    def __repr__(self) -> str:
        return brief(self)


class Mark(NamedTuple):
    """A text that identifies a carrier's places, and their remains if the wrapper is damaged.

    For a trailer it is the text that ends the file; ``name`` is what messages call it, and ``known_by`` how
    many of its first bytes identify it where the file ends in the middle of it. For a carrier inside the
    ELF structure it is the name of a section.
    """

    text: bytes
    name: str = "marker"
    known_by: int = 8


class Carrier(Protocol):
    """Where a signature's bytes are. Implementations are immutable and do no I/O.

    Further members are optional: ``in_elf``, ``marks``, ``may_end``, ``before``, ``unmarked``,
    ``anomalies``; see :mod:`elfsig.model.optional`.
    """

    @property
    def id(self) -> str:
        """Unique name, for example ``trailer:modsig`` or ``section:module_sig``."""
        ...

    @property
    def kind(self) -> PlaceKind:
        """The kind of place: it determines the signature's position in a stack."""
        ...

    @property
    def short_name(self) -> str:
        """What ``list`` prints in the Name column: the section's name, or the trailer's marker in short."""
        ...

    def find(self, image: Image) -> Sequence[Place]:
        """The places of this carrier in ``image``, starting with the one that kernels look at.

        Never raises: what is damaged becomes a place with a ``fault``.
        """
        ...

    def attach(self, image: Image, blob: bytes, params: Params, *, engine: str = "exact") -> bytes:
        """The content up to ``image.end`` with ``blob`` attached. Raises EditRefused, ParseError.

        ``engine`` ("exact" or "lief") edits the ELF structure; carriers that leave it alone ignore it.
        """
        ...

    def detach(self, image: Image, place: Place, *, engine: str = "exact") -> bytes:
        """The content up to ``image.end`` without ``place``. Raises EditRefused, ParseError."""
        ...
