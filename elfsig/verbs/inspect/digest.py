"""digest: the exact bytes of a file that each coverage hashes, without its signatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from elfsig.coverages.catalogue import COVERAGES, SIGNED_AS
from elfsig.coverages.textdata import KERNEL_HASHES_MORE
from elfsig.crypto.hashes import Hash
from elfsig.elf.image import Image
from elfsig.errors import ParseError, UsageError
from elfsig.kernels.profile import version_of
from elfsig.model import Coverage, Message, Place, Remark, optional
from elfsig.model.brief import brief
from elfsig.model.json_form import Json, carrier_object, remark_object
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature
from elfsig.registry import Registry

TEXTDATA_BEFORE = (2, 6, 9)
"""The first kernel version of which no tree is known that computed ``textdata``."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One coverage's message over a file, or why there is none.

    ``found`` is the signature that is left out, None where the file has none with this coverage: then it
    is what a new signature would cover.
    """

    coverage: str
    found: LocatedSignature | None
    message: Message | None = None
    fault: ParseError | None = None

    @property
    def place(self) -> Place | None:
        return self.found.place if self.found else None


@dataclass(frozen=True, slots=True)
class CoverageDigest:
    """The digest of one coverage over a file: an entry of ``digests`` in the JSON.

    ``layer`` and ``place`` are those of the signature that is left out, None where the file has none with
    this coverage: then it is the digest that a new signature would have. ``size`` is the length in bytes of
    what was hashed, ``digest`` is in hex; both are None where the coverage cannot be computed: ``error``.
    """

    coverage: str
    layer: int | None
    place: Place | None
    size: int | None
    hash: str
    digest: str | None
    warnings: tuple[Remark, ...] = ()
    error: Remark | None = None

    def __repr__(self) -> str:
        return brief(self)

    @classmethod
    def of(cls, stream: Stream, hash_: Hash) -> CoverageDigest:
        """The digest of ``stream``."""
        layer = stream.found.layer if stream.found else None
        fault = Remark.of(stream.fault) if stream.fault is not None else None
        if stream.message is None:
            return cls(stream.coverage, layer, stream.place, None, hash_.name, None, error=fault)
        hasher = hash_.new()
        stream.message.feed(hasher)
        value, size = str(hasher.hexdigest()), stream.message.size
        remarks = stream.message.remarks
        return cls(stream.coverage, layer, stream.place, size, hash_.name, value, remarks, fault)

    def to_json(self) -> Json:
        """The entry of ``digests``, as ``elfsig digest --json`` writes it."""
        return {
            "coverage": self.coverage,
            "layer": self.layer,
            "without": carrier_object(self.place) if self.place is not None else None,
            "size": self.size,
            "hash": self.hash,
            "digest": self.digest,
            "warnings": [remark_object(remark) for remark in self.warnings],
            "error": remark_object(self.error) if self.error is not None else None,
        }


def coverages(registry: Registry) -> Mapping[str, Coverage]:
    """The coverages that exist, by id: the built-in ones and those of third-party formats."""
    pairs = (pair.coverage for format_ in registry.formats for pair in format_.pairs)
    return {**{coverage.id: coverage for coverage in pairs}, **COVERAGES}


def streams(module: Module, coverage: str | None = None) -> list[Stream]:
    """The messages under ``coverage``, or under every one that applies to this kind of file.

    One entry for each signature that may have the coverage, outermost first, else one for the unsigned
    file. Raises UsageError for an unknown coverage. What cannot be computed is an entry with its fault.
    """
    known = coverages(module.registry)
    if coverage is not None and coverage not in known:
        choices = ", ".join(known)
        raise UsageError(f"unknown coverage {coverage!r}: choose from {choices}", code="unknown-coverage")
    asked: Iterable[str] = (coverage,) if coverage else _applicable(module.image, known)
    return [each for name in asked for each in _under(known[name], module)]


def _applicable(image: Image, known: Mapping[str, Coverage]) -> list[str]:
    """All of them for ELF files (also damaged ones, to say why not), else those that need no sections."""
    order = [*COVERAGES, *(name for name in known if name not in COVERAGES)]
    return order if image.is_elf else [name for name in order if optional.verbatim(known[name])]


def _under(coverage: Coverage, module: Module) -> list[Stream]:
    signed_as = SIGNED_AS.get(coverage.id, coverage.id)
    own = [
        found
        for found in module.places
        if any(pair.coverage.id == signed_as for format_ in found.claimants for pair in format_.pairs)
        and not (found.place.fault and found.place.kind == "trailer")
    ]
    return [_stream(module, coverage, found.image, found) for found in own] or [
        _stream(module, coverage, _bare(coverage, module), None)
    ]


def _bare(coverage: Coverage, module: Module) -> Image:
    """Where an unsigned file of this coverage ends: sections do not account for trailers after them."""
    image = module.image
    if optional.verbatim(coverage):
        return image
    trailers = [f for f in module.places if f.place.kind == "trailer" and f.place.fault is None]
    return image.cut(trailers[-1].place.start) if trailers else image


def _stream(module: Module, coverage: Coverage, image: Image, found: LocatedSignature | None) -> Stream:
    try:
        message = module.message(coverage, image, found.place if found else None)
    except ParseError as fault:
        return Stream(coverage.id, found, fault=fault)
    if found is None and _is_later(module):
        kept = tuple(remark for remark in message.remarks if remark.code != KERNEL_HASHES_MORE)
        message = message._replace(remarks=kept)
    return Stream(coverage.id, found, message)


def _is_later(module: Module) -> bool:
    """Whether the module was built, by its vermagic, for a kernel that never computed ``textdata``."""
    return module.vermagic is not None and version_of(module.vermagic) >= TEXTDATA_BEFORE


def chosen(candidates: list[Stream], layer: int | None) -> Stream:
    """The selected stream. Raises UsageError where a choice is needed, or where there is no stream."""
    layers = [each.found.layer for each in candidates if each.found]
    if layer is not None:
        for each in candidates:
            if each.found and each.found.layer == layer:
                return each
        there = ", ".join(map(str, layers)) or "none"
        raise UsageError(f"no signature of this coverage at layer {layer}: there are {there}")
    if len(candidates) > 1:
        numbers = ", ".join(map(str, layers))
        text = f"{len(candidates)} signatures of this coverage, at the layers {numbers}"
        raise UsageError(text, code="ambiguous-layer", hint="layer")
    return candidates[0]
