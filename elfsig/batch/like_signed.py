"""Modules that are signed like one that was examined before: their reports, without a full examination.

Like means: a relocatable ELF file that ends with its section header table, one module trailer right
after that, no section with the name of a signature; and the trailer is, except for the signature's value,
byte for byte that of a module that was examined before. Then the findings for that module hold for this one,
as long as checking the value gives the same outcome. The findings are kept as a report; whatever differs
in any way is left to :func:`elfsig.verbs.verify.examine.examine`.
"""

from __future__ import annotations

import os
from functools import lru_cache
from operator import add, attrgetter
from stat import S_ISREG
from typing import Any

from elfsig.carriers.trailer import ModuleTrailer
from elfsig.compression.whole import Compression
from elfsig.coverages.whole_file import WholeFile
from elfsig.crypto.checks import Unsupported, digest_of
from elfsig.elf.modinfo import MOST, SECTION
from elfsig.elf.table import (
    ET_REL,
    LAYOUTS,
    MAGIC,
    SHN_LORESERVE,
    SHT_NOBITS,
    SHT_NULL,
    Header,
    Layout,
    summary_of,
)  # fmt: skip
from elfsig.elf.words import ElfSummary
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import (
    Envelope,
    FileRange,
    FileReport,
    Message,
    Outcome,
    Place,
    Remark,
    Signature,
    SignatureReport,
    optional,
)
from elfsig.opened.evidence import FLAGS
from elfsig.opened.module import Module
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Question
from elfsig.verbs.verify.key_sources import loss_remarks
from elfsig.verbs.verify.misnamed import has_own_name
from elfsig.verbs.verify.no_keys import NoKeys

HEAD = 64
"""Bytes of the ELF header, at most."""

TAIL = 16 << 10
"""Bytes read from the end: a signature, a section header table and its names take some 5 KiB."""

BY_DIGEST = frozenset({"rsa", "dsa", "ecdsa"})
"""Algorithms that sign a digest of the message: the others need the message itself."""

MAX_KEPT = 32
"""Trailers that are kept, the most recent one first."""

_FIELDS = ("format", "layer", "blob", "effective", "place", "claims", "coverage", "verdict", "reason", "key",
           "warnings", "anchor", "chain", "cause")  # fmt: skip
_values = attrgetter(*_FIELDS)


class Ends(NamedTuple):
    """The first bytes of a file, its last, and its size. ``tail`` may be the whole file."""

    head: bytes
    tail: bytes
    size: int


class Known(NamedTuple):
    """A trailer of ``size`` bytes: what is before and after the value in it, and the findings."""

    size: int
    before: bytes
    after: bytes
    signature: SignatureReport
    envelope: Envelope
    outcome: Outcome | None


class Prepared(NamedTuple):
    """What is needed of a file to report on its signature once there are keys.

    ``trailer`` starts at ``start``; ``hashed`` is an object of the signature's ``hash`` that has processed
    everything before it. ``sha256`` and ``bare`` are SHA-256 of the file and of its content without the
    trailer, in hex, where they are wanted.
    """

    path: str
    size: int
    compression: Compression | None
    elf: ElfSummary
    start: int
    trailer: bytes
    hash: str
    hashed: Any
    sha256: str | None
    bare: str | None


class Plain(NamedTuple):
    """A file with nothing to report except its trailer: its header, and where its .modinfo section is."""

    elf: ElfSummary
    modinfo: tuple[int, int] | None


class LikeSigned:
    """The trailers met so far, for one question.

    Nothing is kept where that could change a result: with third-party carriers that need the whole file
    to find out whether they have a place in it, and with lists that revoke files by their hash.
    """

    def __init__(self, registry: Registry, question: Question) -> None:
        self._registry, self._question = registry, question
        self._known: list[Known] = []
        self._said = tuple(loss_remarks(question.keys)) if question.check else ()
        self._blind = (
            bool(registry.sections_among(b""))
            or any(getattr(carrier, "may_end", None) is None for carrier in registry.trailers)
            or not isinstance(registry.trailers[0], ModuleTrailer)
            or (question.keys is not None and question.keys.revokes_files)
        )

    def learn(self, module: Module, report: FileReport) -> None:
        """Remember what was found for ``module``, where it qualifies."""
        if self._blind or len(report.signatures) != 1 or module.tail_offset is not None:
            return
        if report.warnings != self._said:
            return
        (signature,) = report.signatures
        if _plain(Ends(module.content[:HEAD], module.content, len(module.content)), signature.place.start,
                  self._registry) is None:  # fmt: skip
            return
        known = _known(module, signature, self._question)
        if known is not None:
            self._known = [known, *self._known[: MAX_KEPT - 1]]

    def report(self, module: Module) -> FileReport | None:
        """The report on ``module``; None where it has to be examined."""
        found = self._find(module)
        return None if found is None else _checked(module, *found, self._question, self._said)

    def _find(self, module: Module) -> tuple[Known, ElfSummary] | None:
        content = module.content
        if not self._known or len(content) <= HEAD or module.tail_offset is not None:
            return None
        known = self._match(content)
        if known is None:
            return None
        size = len(content)
        plain = _plain(Ends(content[:HEAD], content, size), size - known.size, self._registry)
        if plain is None:
            return None
        module.modinfo_span = plain.modinfo
        return known, plain.elf

    def prepare(self, module: Module, hashes: bool) -> Prepared | None:
        """What :meth:`report_prepared` needs, from a module that was examined without checking anything.

        None where it has to be examined as a whole: also for a module that may be stored under another name.
        """
        found = self._find(module)
        claims = None if found is None else found[0].signature.claims
        if found is None or claims is None or not claims.hash or claims.algorithm not in BY_DIGEST:
            return None
        if not has_own_name(module):
            return None
        (known, elf), content = found, module.content
        start = len(content) - known.size
        message = Message(_WHOLE_FILE, content, (FileRange(0, start),))
        try:
            digest_of(message, claims.hash)
        except Unsupported:
            return None
        sha256 = bare = None
        if hashes:
            module.keep_hashed(message)
            bare, sha256 = module.sha256_up_to(start).hexdigest(), module.sha256
        hashed = message.hashed[claims.hash]
        return Prepared(module.path, module.size, module.compression, elf, start, content[start:],
                        claims.hash, hashed, sha256, bare)  # fmt: skip

    def report_prepared(self, ready: Prepared) -> FileReport | None:
        """The report on a file that was prepared; None where it has to be examined."""
        known = self._match(ready.trailer)
        if known is None or known.size != len(ready.trailer) or known.outcome is None:
            return None
        signature = _moved(known, ready.start, ready.trailer)
        claims = signature.claims
        if claims is None or claims.hash != ready.hash or claims.algorithm not in BY_DIGEST:
            return None
        message = Message(_WHOLE_FILE, b"", (FileRange(0, 0),))  # all that is asked for is its digest
        message.hashed[ready.hash] = ready.hashed
        if known.envelope.verify(claims, message, self._question.keys or _NO_KEYS) != known.outcome:
            return None
        return FileReport(
            ready.path, ready.size, ready.sha256, ready.compression, ready.bare, ready.elf, (signature,),
            signature.verdict, self._said,
        )  # fmt: skip

    def report_from_ends(self, path: str) -> FileReport | None:
        """The report on the file, from its two ends alone: for questions that check nothing.

        None where it has to be examined. Never raises: what cannot be read is None, too.
        """
        if not self._known or self._question.check or self._question.hashes:
            return None
        ends = _ends(path)
        known = None if ends is None else self._match(ends.tail)
        if ends is None or known is None:
            return None
        plain = _plain(ends, ends.size - known.size, self._registry)
        if plain is None:
            return None
        start, base = ends.size - known.size, ends.size - len(ends.tail)
        signature = _moved(known, start, ends.tail[start - base :])
        return FileReport(path, ends.size, None, None, None, plain.elf, (signature,), signature.verdict)

    def _match(self, tail: bytes) -> Known | None:
        for known in self._known:
            if tail.endswith(known.after) and tail.startswith(known.before, len(tail) - known.size):
                if known is not self._known[0]:
                    self._known.remove(known)
                    self._known.insert(0, known)
                return known
        return None


# --------------------------------------------------------------------------- what to keep


def _known(module: Module, signature: SignatureReport, question: Question) -> Known | None:
    """What to keep of a module with this one signature; None where another could differ in more than the
    value."""
    found, place, claims = module.places[0], signature.place, signature.claims
    if claims is None or place.kind != "trailer" or place.carrier != ModuleTrailer().id or place.fault:
        return None
    if len(found.claimants) != 1 or len(found.claimants[0].pairs) != 1 or found.claimants[0].advise:
        return None
    pair = found.claimants[0].pairs[0]
    if not isinstance(pair.coverage, WholeFile) or not optional.opaque_value(pair.envelope):
        return None
    said = (*signature.warnings, *claims.remarks, *place.remarks)
    if any(remark.offset is not None for remark in said) or not place.blob.endswith(claims.value):
        return None
    if not claims.value or place.end != len(module.content) or place.where != "content":
        return None
    content, end = module.content, place.blob_start + len(place.blob)
    before, after = content[place.start : end - len(claims.value)], content[end:]
    outcome = _outcome(module, pair.envelope, claims, place.start, question) if question.check else None
    return Known(place.end - place.start, before, after, signature, pair.envelope, outcome)


def _outcome(
    module: Module, envelope: Envelope, claims: Signature, start: int, question: Question
) -> Outcome:
    message = Message(_WHOLE_FILE, module.content, (FileRange(0, start),))
    outcome = envelope.verify(claims, message, question.keys or _NO_KEYS)
    module.keep_hashed(message)
    return outcome


_WHOLE_FILE = WholeFile().id
_NO_KEYS = NoKeys()


# --------------------------------------------------------------------------- reports from it


def _moved(known: Known, start: int, trailer: bytes) -> SignatureReport:
    """The findings for a trailer like this one that starts at ``start``."""
    old, claims = known.signature.place, known.signature.claims
    assert claims is not None  # see _known
    first = old.blob_start - old.start
    blob = trailer[first : first + len(old.blob)]
    place = Place(
        old.kind, old.carrier, start, start + known.size, start + first, blob, old.params, remarks=old.remarks
    )
    values = list(_values(known.signature))
    values[4:6] = place, claims._replace(value=trailer[len(known.before) : -len(known.after)])
    return SignatureReport(*values)


def _checked(
    module: Module, known: Known, elf: ElfSummary, question: Question, said: tuple[Remark, ...]
) -> FileReport | None:
    """The report, where checking the value gives the same outcome as it did before."""
    content = module.content
    start = len(content) - known.size
    signature = _moved(known, start, content[start:])
    if known.outcome is not None:
        assert signature.claims is not None  # see _known
        outcome = _outcome(module, known.envelope, signature.claims, start, question)
        if outcome != known.outcome:
            return None
    sha256 = bare = None
    if question.hashes:
        bare, sha256 = module.sha256_up_to(start).hexdigest(), module.sha256
    return FileReport(
        module.path, module.size, sha256, module.compression, bare, elf, (signature,), signature.verdict, said
    )


# --------------------------------------------------------------------------- which files qualify


def _ends(path: str) -> Ends | None:
    try:
        fd = os.open(path, FLAGS)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(fd)
        size = status.st_size
        if not S_ISREG(status.st_mode) or size <= HEAD:
            return None
        head, tail = os.pread(fd, HEAD, 0), os.pread(fd, TAIL, max(0, size - TAIL))
        return Ends(head, tail, size) if len(tail) == min(size, TAIL) else None
    except OSError:
        return None
    finally:
        os.close(fd)


def _plain(ends: Ends, end: int, registry: Registry) -> Plain | None:
    """What is known of a file that has nothing to report except its trailer, which starts at ``end``.

    None for all others. That is: a sound relocatable file that ends with its section header table, no section
    of which reaches further or has a name that marks a signature, with no sign of another trailer at its end.
    """
    head, tail, base = ends.head, ends.tail, ends.size - len(ends.tail)
    layout = LAYOUTS.get((head[4], head[5])) if ends.size > HEAD and head[:4] == MAGIC else None
    if layout is None or end - base < optional.ENOUGH:
        return None
    header = Header._make(layout.header.unpack_from(head, 16))
    table = header.shoff - base
    sound = (
        header.type == ET_REL
        and not header.phnum
        and header.shentsize == layout.row.size
        and header.shoff + header.shnum * layout.row.size == end
        and 0 < header.shstrndx < header.shnum < SHN_LORESERVE
        and table >= 0
    )
    if not sound:
        return None
    columns = Columns._make(zip(*layout.span.iter_unpack(memoryview(tail)[table : end - base]), strict=True))
    if _reaches_beyond(columns, end):
        return None
    names = _names(columns, header.shstrndx, tail, base)
    if not names or registry.sections_among(names):
        return None
    inner = tail[end - base - optional.ENOUGH : end - base]
    for may_end in registry.may_end:
        if may_end(inner):
            return None
    return Plain(_summary_of(layout, header.machine), _modinfo(columns, names))


class Columns(NamedTuple):
    """A section header table by its columns."""

    names: tuple[int, ...]
    kinds: tuple[int, ...]
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


@lru_cache(maxsize=32)
def _summary_of(layout: Layout, machine: int) -> ElfSummary:
    """The header of a relocatable file in words."""
    return summary_of(layout, ET_REL, machine)


def _reaches_beyond(columns: Columns, end: int) -> bool:
    """Whether a section has bytes after the section header table, which ends at ``end``."""
    _, kinds, offsets, sizes = columns
    if max(map(add, offsets, sizes)) <= end:
        return False
    rows = zip(kinds, offsets, sizes, strict=True)
    return any(kind not in (SHT_NULL, SHT_NOBITS) and offset + size > end for kind, offset, size in rows)


def _names(columns: Columns, index: int, tail: bytes, base: int) -> bytes:
    """The section name table; b"" where it is not sound, or not in ``tail``."""
    start, size = columns.offsets[index] - base, columns.sizes[index]
    names = tail[start : start + size] if start >= 0 else b""
    return b"" if columns.kinds[index] == SHT_NOBITS or len(names) != size or names[-1:] != b"\0" else names


def _modinfo(columns: Columns, names: bytes) -> tuple[int, int] | None:
    """Where the section of this name is; None where that is not plain to see."""
    at = names.find(_MODINFO) + 1
    if not at or names.count(_MODINFO[1:]) != 1 or columns.names.count(at) != 1:
        return None
    index = columns.names.index(at)
    if not index or columns.kinds[index] in (SHT_NULL, SHT_NOBITS) or columns.sizes[index] > MOST:
        return None
    return columns.offsets[index], columns.offsets[index] + columns.sizes[index]


_MODINFO = b"\0" + SECTION + b"\0"
