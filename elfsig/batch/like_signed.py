"""Modules that are signed like one that was examined before: their reports, without a full examination.

Like means: a relocatable ELF file that ends with its section header table, one module trailer right
after that, no section with the name of a signature; and the trailer is, except for the signature's value,
byte for byte that of a module that was examined before. Then the findings for that module hold for this one,
as long as checking the value gives the same outcome. The findings are kept as a report; whatever differs
in any way is left to :func:`elfsig.verbs.verify.examine.examine`.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from elfsig.batch.plain_file import HEAD, Ends, plain_file, read_ends
from elfsig.carriers.trailer import ModuleTrailer
from elfsig.compression.whole import Compression
from elfsig.coverages.whole_file import WholeFile
from elfsig.crypto.checks import Unsupported, digest_of
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
from elfsig.opened.module import Module
from elfsig.registry import Registry
from elfsig.verbs.verify.examine import Question
from elfsig.verbs.verify.key_sources import loss_remarks
from elfsig.verbs.verify.misnamed import has_own_name
from elfsig.verbs.verify.no_keys import NoKeys

BY_DIGEST = frozenset({"rsa", "dsa", "ecdsa"})
"""Algorithms that sign a digest of the message: the others need the message itself."""

MAX_KEPT = 32
"""Trailers that are kept, the most recent one first."""

_FIELDS = ("format", "layer", "blob", "effective", "place", "claims", "coverage", "verdict", "reason", "key",
           "warnings", "anchor", "chain", "cause")  # fmt: skip
_values = attrgetter(*_FIELDS)


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
        if plain_file(Ends(module.content[:HEAD], module.content, len(module.content)), signature.place.start,
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
        plain = plain_file(Ends(content[:HEAD], content, size), size - known.size, self._registry)
        if plain is None:
            return None
        module.modinfo_span, module.image.known_sound = plain.modinfo, True
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
        ends = read_ends(path)
        known = None if ends is None else self._match(ends.tail)
        if ends is None or known is None:
            return None
        plain = plain_file(ends, ends.size - known.size, self._registry)
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
