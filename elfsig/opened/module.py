"""One opened module: what was read from a file, and what is derived from it once, on demand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from elfsig.compression.whole import Compression
from elfsig.elf import modinfo
from elfsig.elf.image import Image
from elfsig.elf.words import UNWITNESSED
from elfsig.errors import EditRefused, ElfsigError
from elfsig.lazy_dataclass import replace
from elfsig.model import Carrier, Coverage, FileRange, Message, Place
from elfsig.opened.evidence import LIMIT, Evidence, Source, read
from elfsig.opened.places import LocatedSignature, find, last_mark
from elfsig.registry import Registry, load

if TYPE_CHECKING:
    from collections.abc import Hashable


class Module:
    """A file that was read, and the formats to look for in it: what every verb takes.

    Despite its name it may hold anything: a damaged module, an initramfs, a text. Everything is parsed on
    demand, and once. Instances are immutable except for what they cache; they compare by
    path, bytes and formats. ``content`` is decompressed; offsets count from its start.
    """

    evidence: Evidence
    registry: Registry
    modinfo_span: tuple[int, int] | None
    """Where ``.modinfo`` starts and ends, if whoever examined the module has seen it; else None."""

    def __init__(self, evidence: Evidence, registry: Registry) -> None:
        self.evidence, self.registry = evidence, registry
        self._messages: dict[Hashable, tuple[Coverage, Message]] = {}
        self._begun: dict[int, Any] = {}
        self.modinfo_span: tuple[int, int] | None = None

    def __repr__(self) -> str:
        packed = f", {self.compression}" if self.compression else ""
        return f"<Module {self.path!r}, {self.size} bytes{packed}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Module):
            return NotImplemented
        return self is other or self._identity == other._identity

    def __hash__(self) -> int:
        return hash((self.path, len(self.raw), len(self.content)))

    @property
    def _identity(self) -> tuple[object, ...]:
        return self.path, self.compression, self.raw, self.content, self.registry

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy: what was read, without what was derived from it."""
        return Module, (self.evidence, self.registry)

    # ------------------------------------------------------------------ the file

    @property
    def path(self) -> str:
        """The path as it was given; ``<bytes>`` or ``<stream>`` without one."""
        return self.evidence.path

    @property
    def location(self) -> str:
        """Where the file is: other than ``path`` for a symbolic link that was resolved."""
        return self.evidence.location or self.path

    @property
    def raw(self) -> bytes:
        """The bytes of the file."""
        return self.evidence.raw

    @property
    def content(self) -> bytes:
        """What the file decompresses to; the same object as ``raw`` where it is not compressed."""
        return self.evidence.content

    @property
    def compression(self) -> Compression | None:
        """How the file is compressed, by its first bytes; None if it is not."""
        return self.evidence.compression

    @property
    def tail_offset(self) -> int | None:
        """Where, in ``raw``, something follows the compressed stream; None where nothing does."""
        return self.evidence.tail_offset

    @property
    def stat(self) -> os.stat_result | None:
        """The file's status when it was read; None for bytes and streams."""
        return self.evidence.stat

    @property
    def size(self) -> int:
        """Length of the file in bytes."""
        return self.evidence.size

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file as it is, compression included, in hex."""
        if self.compression is not None:
            return self.evidence.sha256
        digest: str = self.sha256_up_to(len(self.content)).hexdigest()
        return digest

    def sha256_up_to(self, end: int) -> Any:
        """A SHA-256 object that has processed the content up to ``end``; it is not to be updated.

        Bytes that were hashed for a shorter one, or to check a signature, are not hashed again.
        """
        found = self._begun.get(end)
        if found is None:
            start = max((each for each in self._begun if each < end), default=0)
            found = self._begun[start].copy() if start else _sha256()
            found.update(memoryview(self.content)[start:end])
            self._begun[end] = found
        return found

    def keep_hashed(self, message: Message) -> None:
        """Keep the SHA-256 that was computed of ``message``, if it is the beginning of the content."""
        state, pieces = message.hashed.get("sha256"), message.pieces
        if state is None or message.data is not self.content or len(pieces) != 1:
            return
        if isinstance(pieces[0], FileRange) and pieces[0].start == 0:
            self._begun[pieces[0].end] = state

    @property
    def holds_module(self) -> bool:
        """False for a compressed file that is signed as it is: an initramfs, a kernel's ``Image.gz``."""
        return self.evidence.holds_module

    def packed(self, content: bytes) -> bytes:
        """``content`` in this file's compression, with settings that kernels can read."""
        return self.evidence.packed(content)

    # ------------------------------------------------------------------ what is in it

    @cached_property
    def image(self) -> Image:
        """The content in the form that carriers and coverages take."""
        return Image(self.content)

    @cached_property
    def outside_mark(self) -> tuple[int, Carrier] | None:
        """Where the mark of a trailer after the compressed stream is, and its carrier; None without one. Such
        a trailer is the file's layer 0."""
        tail = self.tail_offset
        return None if tail is None else last_mark(self.raw, tail, self.registry)

    @cached_property
    def places(self) -> tuple[LocatedSignature, ...]:
        """Every signature in the content, outermost first; see :func:`elfsig.opened.places.find`."""
        return tuple(find(self.image, self.registry, 0 if self.outside_mark is None else 1))

    @cached_property
    def vermagic(self) -> str | None:
        """What the module says about the kernel that it was built for; None where it does not."""
        if self.modinfo_span is not None:
            return modinfo.value_in(self.content[slice(*self.modinfo_span)], b"vermagic")
        return modinfo.value(self.image, b"vermagic")

    @cached_property
    def name(self) -> str | None:
        """The module's own name, from ``.modinfo`` (since Linux 4.13) or its struct; None without either."""
        if self.modinfo_span is not None:
            found = modinfo.value_in(self.content[slice(*self.modinfo_span)], b"name")
            if found:
                return found
        return modinfo.own_name(self.image)

    def message(self, coverage: Coverage, image: Image, place: Place | None) -> Message:
        """``coverage.message(image, place)``, computed once; ``image`` is this one or a shorter view of it.

        Raises ParseError.
        """
        where = place and (place.kind, place.carrier, place.start, place.end, place.index, place.where)
        key = (_identity(coverage), image.end, where)
        if key not in self._messages:
            message = coverage.message(image, place)
            self._use_hashed(message)
            self._messages[key] = coverage, message
        return self._messages[key][1]

    def _use_hashed(self, message: Message) -> None:
        """Give a message that is the beginning of the content the SHA-256 that is known of it."""
        pieces = message.pieces
        if self._begun and message.data is self.content and len(pieces) == 1:
            piece = pieces[0]
            state = self._begun.get(piece.end) if isinstance(piece, FileRange) and not piece.start else None
            if state is not None:
                message.hashed["sha256"] = state

    # ------------------------------------------------------------------ without signatures

    @cached_property
    def bare(self) -> bytes:
        """The content without any signature: as from :mod:`elfsig.verbs.edit.strip`, but without its proof.

        Raises EditRefused where the extent of a signature is uncertain, and what carriers raise.
        """
        end = self._trailers_start
        content = self.content[:end] if end < len(self.content) else self.content
        places: Sequence[LocatedSignature] = [each for each in self.places if each.place.kind != "trailer"]
        image = self.image.cut(end) if places else self.image
        while places:
            first = places[0]
            refuse_uncertain(first.place)
            content = self.registry.carrier(first.place).detach(image, first.place, engine=UNWITNESSED)
            image = Image(content)
            places = find(image, self.registry)
        return content

    @cached_property
    def bare_sha256(self) -> str | None:
        """SHA-256 of :attr:`bare` in hex; None where that is uncertain."""
        for _, message in self._messages.values():
            self.keep_hashed(message)
        try:
            only_trailers = all(each.place.kind == "trailer" for each in self.places)
            done = self.sha256_up_to(self._trailers_start) if only_trailers else _sha256(self.bare)
        except ElfsigError:
            return None
        digest: str = done.hexdigest()
        return digest

    @property
    def _trailers_start(self) -> int:
        """Where the innermost trailer starts. Raises EditRefused where that is uncertain."""
        end = len(self.content)
        for each in self.places:
            if each.place.kind == "trailer":
                refuse_uncertain(each.place)
                end = each.place.start
        return end

    # ------------------------------------------------------------------ further modules

    def edited(self, content: bytes) -> Module:
        """The module with another content, decompressed; this one if the content is the same."""
        if content is self.content and self.compression is None:
            return self
        return Module(Evidence(self.path, content, content), self.registry)

    def renamed(self, path: str) -> Module:
        """The module under another name: that of a symbolic link to it."""
        return Module(
            replace(self.evidence, path=path, location=self.evidence.location or self.path), self.registry
        )

    def as_file(self) -> Module:
        """The file itself as content, compressed or not: for what is signed as it is."""
        if self.compression is None:
            return self
        return Module(Evidence(self.path, self.raw, self.raw, stat=self.stat), self.registry)


def _sha256(data: bytes = b"") -> Any:
    from hashlib import sha256

    return sha256(data)


def _identity(coverage: object) -> Hashable:
    """What identifies a coverage: a third party's may be of a type that cannot be hashed."""
    try:
        hash(coverage)
    except TypeError:
        return id(coverage)
    return coverage


DISPLACED = frozenset({"marker-not-at-end", "marker-no-newline", "marker-cr-lf"})
"""Faults of a trailer that is whole but for its last bytes, or what follows them."""


def refuse_uncertain(place: Place, force: bool = False) -> None:
    """Raises EditRefused for a damaged signature: it is not known where it starts and ends.

    ``force``: a whole trailer with something after it may be removed together with that.
    """
    fault = place.fault
    if fault is None:
        return
    text = f"not removed, its extent is uncertain: {fault.text}"
    code = "uncertain-extent"
    if fault.code not in DISPLACED or not place.blob or place.start >= (fault.offset or 0):
        raise EditRefused(text, offset=fault.offset, code=code)
    if not force:
        raise EditRefused(text, offset=fault.offset, code=code, hint="force-with-tail")


class HasModule(Protocol):
    """The result of an edit, which holds the new module already opened."""

    @property
    def module(self) -> Module:
        """The edited module."""
        ...


ModuleSource: TypeAlias = Source | Module | HasModule
"""What functions take as a module: a path, bytes, a binary stream, an opened module, an edit's result."""


def open_module(source: ModuleSource, registry: Registry | None = None, *, limit: int = LIMIT) -> Module:
    """Open a path, a bytes-like object or a binary stream as a Module; a Module, or that of a result, is
    returned unchanged.

    ``registry`` None: all installed formats. Raises ReadError, UsageError; see
    :func:`elfsig.opened.evidence.read`.
    """
    found = source if isinstance(source, Module) else getattr(source, "module", None)
    if isinstance(found, Module):
        return found
    return Module(read(cast("Source", source), limit=limit), registry or load())
