"""compare: whether two files are the same module under each coverage, ignoring signatures, and what differs
between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import zip_longest

from elfsig.coverages.catalogue import COVERAGES
from elfsig.coverages.textdata import TEXTDATA
from elfsig.elf.diff import Difference, Weight, compare_elf, first_difference
from elfsig.elf.image import Image
from elfsig.elf.side import Side
from elfsig.elf.symbols import labels
from elfsig.errors import ElfsigError, ParseError
from elfsig.model import Coverage, Message, Remark, optional
from elfsig.opened.module import Module
from elfsig.verbs.inspect.comparison import ComparedFile, Comparison, Conclusion, CoverageComparison
from elfsig.verbs.inspect.digest import coverages
from elfsig.verbs.verify.examine import Question, examine
from elfsig.verbs.verify.other_files import NOT_ELF, other_file


def compare(a: Module, b: Module, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Compare two files, which the conclusion's sentence calls by ``names``. Never raises because of their
    content."""
    one, other = _compared(a), _compared(b)
    known = coverages(a.registry)
    order = [*COVERAGES, *(name for name in known if name not in COVERAGES)]
    profiles = [_profile(known[name], one, other) for name in order]
    applicable = tuple(p for p in profiles if p.same is not None or _is_elf(one, other))
    differences, totals, fault = _differences(one, other, names)
    conclusion = _conclusion(one, other, applicable, differences, fault)
    sentence = _sentence(conclusion, one, other, differences, fault, names)
    return Comparison(one, other, conclusion, sentence, applicable, differences, totals)


def _compared(module: Module) -> ComparedFile:
    signatures = examine(module, Question(check=False)).signatures
    try:
        bare, remarks = module.bare, ()
    except ElfsigError as reason:
        text = f"its signatures could not all be removed ({reason}): only trailers are"
        return ComparedFile(
            module, signatures, Image(_without_trailers(module)), (Remark(reason.code, text),)
        )
    return ComparedFile(module, signatures, module.image if bare is module.content else Image(bare), remarks)


def _without_trailers(module: Module) -> bytes:
    """The content in front of the innermost trailer that is sound."""
    places = [found.place for found in module.places]
    trailers = [place for place in places if place.kind == "trailer" and place.fault is None]
    return module.content[: trailers[-1].start] if trailers else module.content


def _is_elf(one: ComparedFile, other: ComparedFile) -> bool:
    return one.image.is_elf and other.image.is_elf


# --------------------------------------------------------------------------- profiles


def _profile(coverage: Coverage, a: ComparedFile, b: ComparedFile) -> CoverageComparison:
    if a.bare == b.bare and optional.verbatim(coverage):
        return CoverageComparison(coverage.id, True, (len(a.bare), len(b.bare)))
    images = a.image, b.image
    messages: list[Message | None] = []
    faults = []
    for name, image in zip("AB", images, strict=True):
        try:
            messages.append(coverage.message(image, None))
        except ParseError as fault:
            messages.append(None)
            faults.append(f"{name}: {fault}")
    one, other = messages
    sizes = (one.size if one else None, other.size if other else None)
    if one is None or other is None:
        return CoverageComparison(coverage.id, None, sizes, fault="; ".join(faults))
    if _equal(one, other):
        return CoverageComparison(coverage.id, True, sizes)
    sections = _differing(_by_section(one, images[0]), _by_section(other, images[1]))
    offset = first_difference(a.bare, b.bare) if optional.verbatim(coverage) else None
    return CoverageComparison(coverage.id, False, sizes, sections, offset)


def _equal(one: Message, other: Message) -> bool:
    """Whether two streams are the same bytes, however they are cut into pieces."""
    if one.size != other.size:
        return False
    if all(x == y for x, y in zip_longest(one.chunks(), other.chunks())):
        return True
    return one.to_bytes() == other.to_bytes()


def _by_section(message: Message, image: Image) -> dict[str, list[bytes]]:
    """What each section contributes to the message; equal names are counted."""
    if image.elf is None or all(piece.section is None for piece in message.pieces):
        return {}
    names = labels(image.elf)
    found: dict[str, list[bytes]] = {}
    for piece, chunk in zip(message.pieces, message.chunks(), strict=True):
        if piece.section is not None:
            found.setdefault(names[piece.section], []).append(sha256(chunk).digest())
    return found


def _differing(old: dict[str, list[bytes]], new: dict[str, list[bytes]]) -> tuple[str, ...]:
    names = [*old, *(name for name in new if name not in old)]
    return tuple(name for name in names if old.get(name) != new.get(name))


# --------------------------------------------------------------------------- differences


def _differences(
    a: ComparedFile, b: ComparedFile, names: tuple[str, str]
) -> tuple[tuple[Difference, ...], Mapping[str, int], str | None]:
    """What differs between the unsigned contents, and why that is not known."""
    if a.bare == b.bare:
        return (), {}, None
    sides = []
    for name, part in zip(names, (a, b), strict=True):
        image = part.image
        if image.elf is None:
            return (
                (),
                {},
                _unread(name, image) if image.elf_fault is None else f"{name}: {image.elf_fault}",
            )
        try:
            sides.append(Side(image, image.elf))
        except ParseError as fault:
            return (), {}, f"{name}: {fault}"
    try:
        found = compare_elf(*sides)
    except ParseError as fault:
        return (), {}, str(fault)
    return found.differences, found.totals, None


def _unread(name: str, image: Image) -> str:
    other = other_file(image)
    return f"{name} is not an ELF file" + ("" if other == NOT_ELF else f": {other}")


# --------------------------------------------------------------------------- conclusions


def _conclusion(
    a: ComparedFile,
    b: ComparedFile,
    profiles: Sequence[CoverageComparison],
    differences: Sequence[Difference],
    fault: str | None,
) -> Conclusion:
    if a.module.raw == b.module.raw:
        return Conclusion.IDENTICAL
    if a.module.content == b.module.content and not (a.module.tail_offset or b.module.tail_offset):
        return Conclusion.REPACKED
    if a.bare == b.bare:
        return Conclusion.MOVED if a.signatures and _values(a) == _values(b) else Conclusion.RESIGNED
    if fault is not None:
        return Conclusion.DIFFERENT
    if not any(d.weight is Weight.LOADED for d in differences):
        return _same_code(differences)
    if not any(p.coverage == TEXTDATA.id and p.same for p in profiles):
        return Conclusion.DIFFERENT
    redirected = any(d.weight is Weight.LOADED and d.kind == "relocation" for d in differences)
    return Conclusion.RELOCATIONS if redirected else Conclusion.SAME_TEXTDATA


MINOR = frozenset({".comment", ".note.GNU-stack"})
"""Sections that linkers add, drop and rewrite."""


def _same_code(differences: Sequence[Difference]) -> Conclusion:
    """The relation of two files whose loaded content is the same."""
    rest = [d for d in differences if d.weight is Weight.UNLOADED and d.name not in MINOR]
    if not rest:
        return Conclusion.RELINKED
    ways = {d.what for d in rest}
    return Conclusion.STRIPPED if len(ways) == 1 and "changed" not in ways else Conclusion.UNLOADED


SENTENCES = {
    Conclusion.IDENTICAL: "every byte of the two files is the same",
    Conclusion.REPACKED: "the same content, compressed differently",
    Conclusion.MOVED: "the same content with the same signatures, which are in another place of the file",
    Conclusion.STRIPPED: "{less} is {more} without {what}; what is loaded is the same",
    Conclusion.RELINKED: "what is loaded is the same, in a different layout or numbering",
    Conclusion.UNLOADED: "what is loaded is the same; what is not loaded differs: {unloaded}",
    Conclusion.RELOCATIONS: "the same under textdata, but the relocations differ: a signature of the gkh "
    "scheme fits both, and the code does something else",
    Conclusion.SAME_TEXTDATA: "the same under textdata; what else is loaded differs: {loaded}",
    Conclusion.DIFFERENT: "what is loaded differs: {loaded}",
}


def _sentence(
    conclusion: Conclusion,
    a: ComparedFile,
    b: ComparedFile,
    differences: Sequence[Difference],
    fault: str | None,
    names: tuple[str, str],
) -> str:
    """The conclusion in words."""
    if conclusion is Conclusion.RESIGNED:
        return _resigned(a, b, names)
    if fault is not None:
        return f"no further comparison is possible: {fault}"
    unloaded = [d for d in differences if d.weight is Weight.UNLOADED]
    less, more = names[::-1] if any(d.what == "removed" for d in unloaded) else names
    return SENTENCES.get(conclusion, "").format(
        less=less, more=more, what=_lacking(unloaded), unloaded=_names(unloaded),
        loaded=_names([d for d in differences if d.weight is Weight.LOADED]),
    )  # fmt: skip


def _resigned(a: ComparedFile, b: ComparedFile, names: tuple[str, str]) -> str:
    if not a.signatures or not b.signatures:
        if not a.signatures and not b.signatures:
            return "the same content; what follows it differs"
        signed = names[0 if a.signatures else 1]
        return f"the same content; only {signed} is signed"
    return "the same content with different signatures"


def _values(part: ComparedFile) -> Counter[tuple[str | None, bytes]]:
    """Format and bytes of every signature, wherever it is."""
    blobs = {each.blob: (each.format, each.place.blob) for each in part.signatures}
    return Counter(blobs.values())


def _lacking(differences: Sequence[Difference]) -> str:
    """What one of the two files lacks."""
    sections = [d.name for d in differences if d.kind == "section"]
    symbols = sum(d.kind == "symbol" for d in differences)
    debug = [name for name in sections if ".debug" in name or name.startswith(".stab")]
    words = ["debug data"] if debug else []
    words += [name for name in sections if name not in debug]
    words += [f"{symbols} symbol{'s' if symbols > 1 else ''}"] if symbols else []
    return _listed(words)


def _names(differences: Sequence[Difference]) -> str:
    """Where the differences are, each place once."""
    kinds = {"header": "the ELF header", "modinfo": ".modinfo"}
    named = ("section", "field", "relocation", "layout")
    words = [kinds.get(d.kind) or (d.name if d.kind in named else "symbols") for d in differences]
    return _listed(list(dict.fromkeys(words)))


FEW = 6


def _listed(words: Sequence[str]) -> str:
    """Words with commas, and the last with "and"; many are cut short."""
    shown = list(words[:FEW])
    if len(words) > FEW:
        shown.append(f"{len(words) - FEW} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
