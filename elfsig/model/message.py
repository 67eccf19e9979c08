"""Which bytes a signature signs: messages as ordered pieces, and the contract of coverages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol

from elfsig.elf.image import Image
from elfsig.elf.words import ByteRange
from elfsig.lazy_tuple import NamedTuple
from elfsig.model.brief import brief
from elfsig.model.place import Place
from elfsig.model.verdict import Remark


class FileRange(NamedTuple):
    """A piece of a message that is a range of the content, hashed as it stands."""

    start: int
    end: int
    section: int | None = None


class Derived(NamedTuple):
    """A piece of a message that was computed; ``depends`` are the file bytes that determine it.

    They may be a sequence that is computed on first use: digests never need it.
    """

    data: bytes
    depends: Sequence[ByteRange] = ()
    section: int | None = None
    label: str = ""

    def __repr__(self) -> str:
        return brief(self)


Piece = FileRange | Derived


class Hasher(Protocol):
    """Anything with an ``update`` method for bytes, such as a hashlib object."""

    def update(self, data: Any, /) -> object:
        """Process the next bytes-like object."""
        ...


class _Message(NamedTuple):
    """The fields of a Message."""

    coverage: str
    data: bytes
    pieces: tuple[Piece, ...]
    remarks: tuple[Remark, ...] = ()
    steering: Sequence[ByteRange] = ()


class Message(_Message):
    """The exact byte stream that a coverage signs: an ordered list of pieces over one content.

    It is fed, never pre-hashed, since envelopes hash more after it (OpenPGP's trailer, digsig's header).
    ``steering`` are bytes that are not in the stream but determine what is (offsets, names, flags).
    """

    @cached_property
    def hashed(self) -> dict[str, Any]:
        """Hash objects that have processed the stream, by the hash's name; they are never updated further."""
        return {}

    def __getstate__(self) -> None:
        """Hash objects do not travel between processes."""

    def __repr__(self) -> str:
        return brief(self)

    @property
    def size(self) -> int:
        """Length of the stream in bytes."""
        return sum(len(p.data) if isinstance(p, Derived) else p.end - p.start for p in self.pieces)

    @property
    def verbatim(self) -> bool:
        """Whether the stream is the first bytes of the content as they stand: one range from offset 0."""
        only = self.pieces[0] if len(self.pieces) == 1 else None
        return isinstance(only, FileRange) and only.start == 0 and only.section is None

    def chunks(self) -> Iterable[bytes | memoryview]:
        """The stream in order, without copies of the file's bytes."""
        view = memoryview(self.data)
        for piece in self.pieces:
            yield piece.data if isinstance(piece, Derived) else view[piece.start : piece.end]

    def feed(self, hasher: Hasher) -> None:
        """Feed the whole stream to ``hasher.update``."""
        for chunk in self.chunks():
            hasher.update(chunk)

    def to_bytes(self) -> bytes:
        """The stream as one bytes object (ML-DSA and Ed25519 sign the message itself)."""
        return b"".join(self.chunks())


class Coverage(Protocol):
    """Which bytes a signature signs. Implementations are immutable and do no I/O."""

    @property
    def id(self) -> str:
        """Unique name, for example ``fileorder``: part of the interface."""
        ...

    def message(self, image: Image, place: Place | None) -> Message:
        """The stream over ``image``, leaving out ``place`` (None: nothing is attached yet).

        ``image`` ends where the trailers outside of ``place`` begin. Raises ParseError.
        """
        ...
