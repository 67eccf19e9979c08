"""verify: verify every signature of one file against a set of keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from elfsig.carriers.remains import behind_elf
from elfsig.coverages.gaps import gaps
from elfsig.crypto.checks import KEY_UNSUPPORTED
from elfsig.crypto.remarks import expired, small_key, weaknesses
from elfsig.elf.image import Image
from elfsig.errors import ElfsigError, ParseError
from elfsig.kernels import responses
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import (
    Cause,
    FileReport,
    Format,
    Keyring,
    Message,
    Outcome,
    Pair,
    Place,
    Remark,
    Signature,
    SignatureReport,
    SignOptions,
    Verdict,
)
from elfsig.opened.module import Module
from elfsig.opened.places import LocatedSignature, anomalies, innermost, outer_trailers
from elfsig.verbs.verify import after_compression
from elfsig.verbs.verify.digest_bits import DigestBits
from elfsig.verbs.verify.key_sources import loss_remarks, unless_revoked
from elfsig.verbs.verify.layers import beside, mark_effective
from elfsig.verbs.verify.near_misses import explained
from elfsig.verbs.verify.no_keys import NoKeys
from elfsig.verbs.verify.other_files import about_other, not_a_module
from elfsig.verbs.verify.refused_forms import with_refusal

UNREAD = frozenset({"no-kernel-reads-it", "few-kernels-read-it"})
"""Codes of a format's advice on signing that apply to existing signatures too."""

NO_KEYS = "no keys were given"


class Checked(NamedTuple):
    """One signature as one (coverage, envelope) pair of one format sees it."""

    format: Format
    pair: Pair
    signature: Signature | None
    outcome: Outcome
    message: Message | None


Outside = Callable[[Module], LocatedSignature]
"""Gives a signature that is kept outside a module its place: see :mod:`elfsig.verbs.verify.detached`."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to find out about a file: the keys to check against (None: none were given), and whether the
    SHA-256 of the file and of its unsigned content are wanted (they cost a pass over the file each).

    ``any_file``: files that are not modules are expected, and are unsigned where they have no signature.
    ``walked``: the file was found by its name; plain text is then unsigned.
    ``recorded``: compare what signatures record of their digest with the file even where ``check`` is False.
    """

    keys: Keyring | None = None
    hashes: bool = False
    check: bool = True
    any_file: bool = False
    walked: bool = False
    recorded: bool = False


def examine(module: Module, question: Question, outside: Outside | None = None) -> FileReport:
    """Everything about one file. ``check=False`` parses signatures and checks none (``list``, ``show``).

    ``outside`` gives a signature that is kept elsewhere; it is then the outermost one.
    Never raises because of the file's content: damage is reported as ``malformed`` with its offset.
    """
    looked_at, found = located(module)
    image = looked_at.image
    if outside is not None:
        found = with_outside(looked_at, outside, found)
    signatures = [f for each in found for f in signatures_at(looked_at, each, question)]
    if looked_at is module and module.tail_offset is not None:
        signatures = after_compression.with_trailer(module, module.tail_offset, signatures)
    oddities = [responses.complete(each) for each in anomalies(image, module.registry)]
    keys = question.keys if question.check else None
    signatures = mark_effective(unless_revoked(signatures, module, keys))
    effective = next((f for f in signatures if f.effective), None)
    others: Iterable[Remark] = ()
    reasons: Iterable[Remark] = ()
    error = None
    if effective is None:
        verdict, reasons = _without_signature(image, oddities)
        if verdict is Verdict.UNSIGNED and not question.any_file:
            error = not_a_module(module, question.check and not question.walked)
    else:
        verdict = effective.verdict
        others = beside(signatures, effective) if question.check else ()
    about_file = _file_warnings(looked_at, module, found, signatures)
    bare = looked_at.bare_sha256 if question.hashes else None  # first: the file's hash goes on from it
    warnings = (*reasons, *others, *about_file, *oddities, *loss_remarks(keys)) if error is None else ()
    return FileReport(
        path=module.path,
        size=module.size,
        sha256=module.sha256 if question.hashes else None,
        compression=module.compression,
        content_sha256=bare,
        elf=image.elf.summary() if image.elf else None,
        signatures=tuple(signatures),
        verdict=verdict if error is None else None,
        warnings=warnings,
        error=error,
    )


def with_outside(
    module: Module, outside: Outside, found: Sequence[LocatedSignature]
) -> tuple[LocatedSignature, ...]:
    """The signature that is kept elsewhere as the outermost one, then those in ``found``."""
    first = 0 if module.outside_mark is None else 1
    return replace(outside(module), layer=first), *(replace(f, layer=f.layer + 1) for f in found)


def failed(path: str, fault: ElfsigError) -> FileReport:
    """The report of a file that could not be read."""
    error = Remark.of(fault)
    return FileReport(path, None, None, None, None, None, (), None, error=error)


# --------------------------------------------------------------------------- one place


def signatures_at(module: Module, found: LocatedSignature, question: Question) -> Iterator[SignatureReport]:
    """One report per signature at a place of ``module``: of the first claimant that verifies, else of the
    first. Raises InternalError for a plug-in that fails."""
    place = found.place
    if place.fault is not None or not found.claimants:
        yield _bare_report(found)
        return
    best: list[SignatureReport] = []
    for format_ in found.claimants:
        try:
            checked = _best_pair(module, found, format_, question)
            good = any(map(_is_good, checked))
            reports = list(_reports(module, found, checked, question)) if good or not best else []
        except Exception as bug:
            module.registry.blame(format_, bug)
            raise
        best = reports or best
        if good:
            best = list(with_refusal(reports))
            break
    yield from best


def _bare_report(found: LocatedSignature) -> SignatureReport:
    """A place that is damaged, or that no format claims."""
    place, ids = found.place, [f.id for f in found.claimants]
    if place.fault is None:
        odd = next((r for r in place.remarks if r.code == "id-type-unknown"), None)
        fault = odd or Remark("unclaimed", "no known format has a signature like this", place.start)
        verdict = Verdict.UNSUPPORTED
    else:
        fault, verdict = place.fault, Verdict.MALFORMED
    said = responses.complete(fault, unsigned=place.fault is not None and place.treated_as_unsigned)
    others = (responses.complete(remark) for remark in place.remarks if remark != fault)
    format_id, remarks = ids[0] if ids else None, tuple(dict.fromkeys((said, *others)))
    return SignatureReport(
        format_id, found.layer, found.layer, False, place, None, None, verdict, said.text, None, remarks,
        cause=Cause(fault.code, said.text),
    )  # fmt: skip


def _is_good(checked: Checked) -> bool:
    return checked.outcome.verdict in (Verdict.VALID, Verdict.UNTRUSTED)


def _best_pair(module: Module, found: LocatedSignature, format_: Format, question: Question) -> list[Checked]:
    """The signatures as the first pair sees under which one matches, else as the first that parses."""
    attempts: list[list[Checked]] = []
    for pair in _pairs(format_, question):
        attempt = _attempt(module, found, format_, pair, question)
        if any(map(_is_good, attempt)):
            return attempt
        attempts.append(attempt)
    parsed, keys = [a for a in attempts if a[0].signature is not None], question.keys
    if not parsed:
        return attempts[0]
    tried = [a[0].pair.coverage.id for a in parsed if a[0].pair.envelope.id == parsed[0][0].pair.envelope.id]
    best = [_say_tried(checked, tried) for checked in next(filter(_says_fits, parsed), parsed[0])]
    return [c._replace(outcome=explained(module, found, format_, c.signature, c.outcome, keys)) for c in best]


def _says_fits(attempt: list[Checked]) -> bool:
    """Whether the 16 bits of the hash stored in the signature fit this coverage, where no key decides."""
    return any(remark.code == "hash16-fits" for each in attempt for remark in each.outcome.remarks)


def _pairs(format_: Format, question: Question) -> Iterator[Pair]:
    """The pairs to try; without checking, one coverage for each envelope is enough."""
    seen: set[str] = set()
    for pair in format_.pairs:
        if question.check or pair.envelope.id not in seen:
            yield pair
        seen.add(pair.envelope.id)


def _say_tried(checked: Checked, tried: Sequence[str]) -> Checked:
    if checked.outcome.verdict is not Verdict.INVALID or len(tried) < 2:
        return checked
    reason = f"{checked.outcome.reason} (tried: {', '.join(tried)})"
    return checked._replace(outcome=checked.outcome._replace(reason=reason))


def _attempt(
    module: Module, found: LocatedSignature, format_: Format, pair: Pair, question: Question
) -> list[Checked]:
    """Parse the blob and check each signature in it; at least one entry."""
    place = found.place
    try:
        signatures = pair.envelope.parse(place.blob, place.params)
    except ParseError as fault:
        where = None if fault.offset is None else place.blob_start + fault.offset
        remark = Remark(fault.code, fault.text, where)
        return [Checked(format_, pair, None, _faulty(remark, pair), None)]
    if not question.check:
        return [Checked(format_, pair, s, _unchecked(s, format_, pair), None) for s in signatures]
    try:
        message = module.message(pair.coverage, found.image, place)
    except ParseError as fault:
        word = Verdict.UNSUPPORTED if fault.code.startswith("unsupported") else Verdict.MALFORMED
        outcome = Outcome(word, f"{pair.coverage.id} cannot be computed: {fault}")
        return [Checked(format_, pair, s, outcome, None) for s in signatures]
    return [
        Checked(format_, pair, s, _outcome(s, message, format_, pair, question), message) for s in signatures
    ]


def _unchecked(signature: Signature, format_: Format, pair: Pair) -> Outcome:
    """What can be said about a signature without checking it."""
    if signature.fault is not None:
        return _faulty(signature.fault, pair)
    if "verify" in format_.capabilities:
        return Outcome(Verdict.UNCHECKED)
    return Outcome(Verdict.UNSUPPORTED, format_.why_unsupported)


def _faulty(fault: Remark, pair: Pair) -> Outcome:
    text = responses.complete(fault, pair.envelope.id).text
    return Outcome(Verdict.MALFORMED, text, None, (fault,), cause=Cause(fault.code, text))


def _outcome(
    signature: Signature, message: Message, format_: Format, pair: Pair, question: Question
) -> Outcome:
    if signature.fault is not None:
        return _faulty(signature.fault, pair)
    if "verify" not in format_.capabilities and format_.why_unsupported:
        return Outcome(Verdict.UNSUPPORTED, format_.why_unsupported)
    outcome = pair.envelope.verify(signature, message, question.keys or NoKeys())
    if outcome.verdict is Verdict.UNKNOWN_KEY and question.keys is None:
        return Outcome(Verdict.UNCHECKED, NO_KEYS)
    return outcome


def _reports(
    module: Module, found: LocatedSignature, checked: Sequence[Checked], question: Question
) -> Iterator[SignatureReport]:
    bits = DigestBits(module, found, checked[0].format) if question.check or question.recorded else None
    return (_signature_report(module, found, each, bits) for each in checked)


def _signature_report(
    module: Module, found: LocatedSignature, checked: Checked, bits: DigestBits | None
) -> SignatureReport:
    signature, outcome, message = checked.signature, checked.outcome, checked.message
    warnings = [*outcome.remarks, *found.place.remarks]
    if signature is not None:
        remarks: Sequence[Remark] = outcome.remarks
        if bits is not None:
            remarks = bits.among(remarks, signature, outcome.verdict)
        said = (*remarks, *signature.remarks)
        warnings = [*_in_content(said, found.place), *found.place.remarks]
        warnings += weaknesses(signature, outcome.key)
    warnings += _about_keys(outcome)
    warnings = [responses.complete(remark, checked.pair.envelope.id) for remark in warnings]
    if message is not None and _is_good(checked):
        warnings += _unread(checked, module)
        warnings += [
            *message.remarks,
            *gaps(message, module.image, found.place, outer_trailers(module.places, found)),
        ]
    return SignatureReport(
        checked.format.id,
        found.layer,
        found.layer,
        False,
        found.place,
        signature,
        checked.pair.coverage.id if _is_good(checked) else None,
        outcome.verdict,
        outcome.reason,
        outcome.key,
        tuple(dict.fromkeys(warnings)),
        outcome.anchor,
        outcome.chain,
        outcome.cause,
    )


def _about_keys(outcome: Outcome) -> Iterator[Remark]:
    """Remarks on the signer's key, the keys above it in the chain, and the anchor."""
    above = [*outcome.chain, *([outcome.anchor] if outcome.anchor is not outcome.key else [])]
    for key in (outcome.key, *above):
        if key is not None:
            # Why a key cannot be used is in the reason of the outcome.
            yield from (each for each in key.remarks if each.code != KEY_UNSUPPORTED)
            yield from expired(key, "" if key is outcome.key else f" of {key.label}")
    for key in above:
        if key is not None and key.algorithm in ("rsa", "rsa-pss", "dsa"):
            yield from small_key(key.bits, f" of {key.label}, which issued a certificate of the chain")


def _unread(checked: Checked, module: Module) -> Iterator[Remark]:
    """What the format says about matching signatures that kernels of its time did not read."""
    signature, advise = checked.signature, checked.format.advise
    if signature is None or signature.algorithm is None or advise is None:
        return
    made = SignOptions(hash=signature.hash, payload=checked.pair.payload, force=True)
    for remark in advise(signature.algorithm, made, module.vermagic):
        if remark.code in UNREAD:
            yield remark


def _in_content(remarks: Iterable[Remark], place: Place) -> Iterator[Remark]:
    """An envelope's remarks, with offsets in the content instead of in its blob."""
    for remark in remarks:
        at = remark.offset
        yield remark if at is None else remark._replace(offset=place.blob_start + at)


# --------------------------------------------------------------------------- the file


def _without_signature(image: Image, oddities: Sequence[Remark]) -> tuple[Verdict, tuple[Remark, ...]]:
    """The verdict for a file in which no signature was found, and the reason where it is not simply
    unsigned."""
    if not image.end:
        return Verdict.MALFORMED, (Remark("empty", "the file is empty", 0),)
    if image.elf_fault is not None:
        return Verdict.MALFORMED, ()
    # A signature section of the wrong type is not a signature to any kernel, but the file is not plain
    # either.
    return (Verdict.MALFORMED if oddities else Verdict.UNSIGNED), ()


def located(module: Module) -> tuple[Module, tuple[LocatedSignature, ...]]:
    """What is examined, and the signatures in it: the content; but for a compressed file that does not hold a
    module and is signed as it is (such as an initramfs), the file itself."""
    if module.tail_offset is not None and not module.holds_module:
        whole = module.as_file()
        found = whole.places
        if found and found[-1].place.start == module.tail_offset and found[-1].place.fault is None:
            return whole, tuple(replace(f, place=replace(f.place, where="file")) for f in found)
    return module, module.places


def _file_warnings(
    looked_at: Module,
    module: Module,
    found: Sequence[LocatedSignature],
    signatures: Sequence[SignatureReport],
) -> Iterator[Remark]:
    image = looked_at.image
    fault, content = image.elf_fault, innermost(image, found)
    if fault is not None:
        yield Remark("elf-damaged", f"damaged ELF file: {fault.text}", fault.offset)
    elif image.end:
        sound = any(f.verdict is not Verdict.MALFORMED for f in signatures)
        yield from about_other(content or image, sound)
    if content is not None and (behind := behind_elf(content)) is not None:
        yield behind
    tail = module.tail_offset
    if tail is not None and looked_at is module and module.outside_mark is None:
        size = module.size - tail
        yield Remark("compressed-tail", f"{size} bytes follow the compressed stream in the file", None)
