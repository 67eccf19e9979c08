"""Why a signature does not match, where the file shows it: it signs something close to what it should sign,
such as the compressed file, the file with or without an older signature, or headers before strip.

Each is tried once, and only for signatures that are invalid already: nothing here makes one valid.
"""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.compression import whole as compression
from elfsig.coverages.whole_file import WHOLE_FILE
from elfsig.elf.image import Image
from elfsig.elf.table import SHT_REL, SHT_RELA, ElfTable
from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import (
    Cause,
    Coverage,
    FileRange,
    Format,
    Keyring,
    Message,
    Outcome,
    Signature,
    Verdict,
    optional,
)
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature

UNDECIDED = frozenset({"content-changed", "mismatch", "message-digest", "embedded-certificate"})
"""Causes that only say that something else was signed."""

MAX_LAYERS = 8
"""Older signatures that are taken into account."""

LAYERS, SIGNERS = 2, 4
"""Only the outermost signatures, and the first signers of each, are explained: it takes time."""

RECOMPRESSED = 256 << 10
"""Largest content, in bytes, that is compressed to see whether the compressed file was signed."""

SHF_INFO_LINK = 0x40


class Candidate(NamedTuple):
    """Something else that may have been signed, and the cause it is if it was."""

    cause: Cause
    coverage: Coverage | None
    message: Message


def explained(
    module: Module,
    found: LocatedSignature,
    format_: Format,
    signature: Signature | None,
    outcome: Outcome,
    keys: Keyring | None,
) -> Outcome:
    """``outcome``; an undecided mismatch gets the cause that is found for it.

    ``found`` is the place of ``signature`` in ``module``. The verdict stays ``invalid``.
    """
    if signature is None or keys is None or not _is_undecided(module, outcome, found):
        return outcome
    if found.layer >= LAYERS or signature.facts.get("signer_index", 0) >= SIGNERS:
        return outcome
    for candidate in _candidates(module, found, format_):
        for pair in format_.pairs:
            if pair.envelope.id != signature.envelope or candidate.coverage not in (None, pair.coverage):
                continue
            tried = pair.envelope.verify(signature, candidate.message, keys)
            if tried.verdict in (Verdict.VALID, Verdict.UNTRUSTED):
                cause = candidate.cause
                return tried._replace(verdict=Verdict.INVALID, reason=cause.text, cause=cause)
    return outcome


def _is_undecided(module: Module, outcome: Outcome, found: LocatedSignature) -> bool:
    """A mismatch whose cause is not known; in a section also one without a named key: keys without an
    id cannot be distinguished from others there until the value matches."""
    if outcome.verdict is Verdict.UNKNOWN_KEY:
        return module.registry.in_elf(found.place)
    code = outcome.cause.code if outcome.cause is not None else None
    return outcome.verdict is Verdict.INVALID and code in UNDECIDED


def _candidates(module: Module, found: LocatedSignature, format_: Format) -> Iterator[Candidate]:
    if module.registry.in_elf(found.place):
        yield from _before_strip(found, format_)
        return
    if any(optional.verbatim(pair.coverage) for pair in format_.pairs):
        yield from _around_trailers(module, found)
        yield from _compressed(module, found)


def _plain(data: bytes, end: int | None = None) -> Message:
    return Message(WHOLE_FILE, data, (FileRange(0, len(data) if end is None else end),))


# --------------------------------------------------------------------------- trailers and compression


def _around_trailers(module: Module, found: LocatedSignature) -> Iterator[Candidate]:
    """The content up to where each older trailer begins, which kernels count as content."""
    inner = [f for f in module.places if f.place.kind == "trailer" and f.place.start < found.image.end]
    for each in inner[:MAX_LAYERS]:
        if found.place.kind == "trailer" and each.place.start >= found.place.start:
            continue
        name = each.claimants[0].id if each.claimants else "older"
        text = (
            f"made by this key over the file without its {name} signature at {each.place.start:#x}, which is"
            " still there, and counts as content"
        )
        yield Candidate(Cause("older-signature-inside", text), None, _plain(module.content, each.place.start))


def _compressed(module: Module, found: LocatedSignature) -> Iterator[Candidate]:
    text = "made by this key over the compressed file: kernels and elfsig look at what is inside"
    cause = Cause("compressed-file", text)
    if module.compression is not None:
        yield Candidate(cause, None, _plain(module.raw))
    end = found.place.start if found.place.kind == "trailer" else found.image.end
    if end > RECOMPRESSED:
        return
    content = module.content[:end]
    if module.compression is not None:
        yield Candidate(cause, None, _plain(module.packed(content)))
    for packed in _packed(content):
        yield Candidate(cause, None, _plain(packed))


def _packed(content: bytes) -> Iterator[bytes]:
    """``content`` as the kernel's build compresses it, and as xz does without options."""
    import lzma

    for _, kind in compression.MAGICS:
        yield compression.pack(content, kind)
    yield lzma.compress(content)


# --------------------------------------------------------------------------- sections


def _before_strip(found: LocatedSignature, format_: Format) -> Iterator[Candidate]:
    """The file with the flag cleared that GNU strip and objcopy add to relocation sections of old compilers.

    The headers are part of what is signed. The flag is SHF_INFO_LINK (gABI, section attribute flags).
    """
    table = found.image.elf
    if table is None:
        return
    data, count = without_info_link(found.image.data, table)
    if not count:
        return
    sections = f"{count} relocation section{'s' if count > 1 else ''}"
    text = (
        f"a later strip or objcopy changed the headers of {sections} (it set SHF_INFO_LINK), which are"
        " signed; all else is as it was signed"
    )
    cause = Cause("relocation-headers-altered", text, {"sections": count})
    image = Image(data, found.image.end)
    for pair in format_.pairs:
        try:
            yield Candidate(cause, pair.coverage, pair.coverage.message(image, found.place))
        except ParseError:
            continue


def without_info_link(data: bytes, table: ElfTable) -> tuple[bytes, int]:
    """``data`` with SHF_INFO_LINK cleared in the headers of relocation sections, and in how many."""
    changed, count = bytearray(data), 0
    size = table.layout.row.size
    for number, row in enumerate(table.rows):
        if row.type in (SHT_REL, SHT_RELA) and row.flags & SHF_INFO_LINK:
            plain = row._replace(flags=row.flags & ~SHF_INFO_LINK)
            at = table.header.shoff + number * size
            changed[at : at + size] = table.layout.row.pack(*plain)
            count += 1
    return bytes(changed), count
