"""The text of ``verify``: the path, the verdict, and a sentence that says what was established."""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.cli.render.words import algorithm_words, key_words, painted, remark_words
from elfsig.cli.settings import visible
from elfsig.coverages.whole_file import WHOLE_FILE
from elfsig.crypto.judge import CERTIFICATE_MISSING, KEYS_UNTRIED, OTHER_ID
from elfsig.model import FileReport, SignatureReport, Verdict
from elfsig.verbs.verify.layers import OTHER_LAYER, OTHER_SIGNER, deciding

SENTENCES = {
    Verdict.VALID: "{what} matches {key}",
    Verdict.UNTRUSTED: "{what} matches {key}, which is not trusted",
    Verdict.UNKNOWN_KEY: "{what} by {claim}: not made by any of the given keys",
    Verdict.INVALID: "{what} does not match {key}",
    Verdict.UNSUPPORTED: "{what} cannot be checked",
    Verdict.NOT_A_SIGNATURE: "{what} proves nothing even if intact",
    Verdict.MALFORMED: "remains of a signature",
    Verdict.UNCHECKED: "{what} by {claim}: no keys were given",
}

BY_CAUSE = dict.fromkeys((OTHER_ID, KEYS_UNTRIED, CERTIFICATE_MISSING), "{what} by {claim}")
"""Instead of the sentence of the verdict, where the reason says all that was established."""

GENUINE = "{what} is not of this content"
"""For a signature that its key made over something else: the reason names the key."""

SAID = frozenset({Verdict.UNTRUSTED, Verdict.UNKNOWN_KEY, Verdict.UNCHECKED})
"""Verdicts whose sentence says all that there is to say, where nothing is known of the cause."""

NAMES_SECTION = frozenset({"section-empty", "section-nobits"})
"""Causes whose text names the section."""

BARE = {
    Verdict.UNSIGNED: "no trace of a signature",
    Verdict.MALFORMED: "damaged",
}
"""For files without a signature."""


def lines(report: FileReport, color: bool = False, require: str | None = None) -> Iterator[str]:
    """One line for the verdict of the file, and one for each signature that does not determine it.

    ``require`` is the format of which a valid signature is required.
    """
    path = visible(report.path)
    if report.error is not None:
        return
    first = next((f for f in report.signatures if f.effective), None)
    if first is None:
        yield f"{path}: {_bare(report, color)}"
    else:
        yield f"{path}: {_verdict(first, report, color)}"
    for each in report.signatures:
        if each is not first:
            yield f"{path}: {_relation(each, first)}: {_verdict(each, None, color)}"
    if require is not None and not _has_valid(report, require):
        yield f"{path}: no valid {require} signature, which is required"


def _has_valid(report: FileReport, format_id: str) -> bool:
    decided = deciding(report.signatures)
    return any(f.format == format_id and f.verdict is Verdict.VALID for f in decided)


def _relation(other: SignatureReport, first: SignatureReport | None) -> str:
    """How a signature is related to the one that determines the verdict."""
    if first is not None and other.blob == first.blob:
        return "another signer of the same signature"
    return f"layer {other.layer}"


def _bare(report: FileReport, color: bool) -> str:
    verdict = Verdict.MALFORMED if report.verdict is None else report.verdict
    reasons = remark_words(report.warnings)
    if verdict is Verdict.UNSIGNED or not reasons:
        reasons = [BARE.get(verdict, "no signature"), *reasons]
    return f"{painted(verdict, color)}: {'; '.join(reasons)}"


def _verdict(sig: SignatureReport, report: FileReport | None, color: bool) -> str:
    # Signatures that do not determine the verdict have lines of their own.
    about_file = report.warnings if report is not None else ()
    of_file = (w for w in about_file if w.code not in (OTHER_SIGNER, OTHER_LAYER))
    warnings = (*sig.warnings, *of_file)
    sentence = _sentence(sig)
    if not warnings:
        return f"{painted(sig.verdict, color)}: {sentence}"
    others = (remark for remark in warnings if sig.cause is None or remark.code != sig.cause.code)
    notes = remark_words(others)
    tail = f"; warning: {'; '.join(notes)}" if notes else ""
    return f"{painted(sig.verdict, color)}: {sentence}{tail}"


def _sentence(sig: SignatureReport) -> str:
    """What the verdict means here. Names that are only claimed by the file are marked as such."""
    if sig.verdict in (Verdict.MALFORMED, Verdict.UNSUPPORTED) and sig.reason:
        text = f"{_section(sig)}{_located(sig.reason, sig)}"
        return visible(f"{sig.format or 'unknown form'}: {text}")
    named = sig.anchor or sig.key
    key = key_words(named) if named is not None else "any given key"
    sentence = BY_CAUSE.get(sig.cause.code if sig.cause else "") or SENTENCES[sig.verdict]
    if _is_genuine(sig):
        sentence = GENUINE
    text = sentence.format(what=_what(sig), key=key, claim=_claim(sig) if "{claim}" in sentence else "")
    reason = sig.reason
    said = sig.verdict in SAID and sig.cause is None
    return f"{text}: {visible(reason)}" if reason and not said else text


def _is_genuine(sig: SignatureReport) -> bool:
    """Whether the value was made by the key, over other content, which the reason says at length."""
    return (
        sig.cause is not None
        and sig.key is not None
        and sig.cause.code in ("content-changed", "message-digest")
    )


def _section(sig: SignatureReport) -> str:
    """The section that contains the signature, unless the reason names it."""
    place = sig.place
    if place.section is None or (sig.cause is not None and sig.cause.code in NAMES_SECTION):
        return ""
    return f"section [{place.index}] {place.section}: "


def _located(reason: str, sig: SignatureReport) -> str:
    """The reason, with the offset of the warning that it is."""
    code = sig.cause.code if sig.cause is not None else None
    return next(iter(remark_words(w for w in sig.warnings if w.code == code)), reason)


def _what(sig: SignatureReport) -> str:
    coverage = f" over {sig.coverage}" if sig.coverage not in (None, WHOLE_FILE) else ""
    return f"{sig.format} signature ({algorithm_words(sig)}){coverage}"


def _claim(sig: SignatureReport) -> str:
    """The signer that the signature claims."""
    signature = sig.claims
    if signature is None:
        return "an unnamed signer"
    named = signature.serial or signature.key_id
    name = f'"{visible(signature.signer)}"' if signature.signer else ""
    key = f"key {named.hex()}" if named else ""
    return (
        " ".join(part for part in (name, f"({key})" if name and key else key) if part) or "an unnamed signer"
    )
