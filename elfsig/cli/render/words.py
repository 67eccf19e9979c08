"""Words and colours for verdicts, signatures and keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from elfsig.cli.hints import hinted
from elfsig.cli.settings import visible
from elfsig.model import FileReport, Key, Place, Remark, SectionInfo, SignatureReport, Verdict, Why

PAINT = {
    Verdict.VALID: "32",
    Verdict.UNTRUSTED: "33",
    Verdict.UNKNOWN_KEY: "33",
    Verdict.UNCHECKED: "33",
    Verdict.UNSUPPORTED: "33",
    Verdict.INVALID: "1;31",
    Verdict.MALFORMED: "1;31",
    Verdict.NOT_A_SIGNATURE: "1;31",
    Verdict.UNSIGNED: "31",
}
"""SGR codes (ECMA-48, 8.3.117)."""

SECTION_TYPES = {
    0: "NULL", 1: "PROGBITS", 2: "SYMTAB", 3: "STRTAB", 4: "RELA", 5: "HASH", 6: "DYNAMIC", 7: "NOTE",
    8: "NOBITS", 9: "REL", 11: "DYNSYM", 14: "INIT_ARRAY", 15: "FINI_ARRAY", 16: "PREINIT_ARRAY", 17: "GROUP",
    18: "SYMTAB SECTION INDICES", 0x6FFFFFF6: "GNU_HASH", 0x6FFFFFFD: "VERDEF", 0x6FFFFFFE: "VERNEED",
    0x6FFFFFFF: "VERSYM", 0x70000001: "X86_64_UNWIND",
}  # fmt: skip
"""Section types as readelf prints them."""

ROLES = {
    "builtin": "built-in key of {}",
    "embedded": "embedded in {}, role unknown",
    "recovered": "recovered from {}, owner unknown",
}


def painted(verdict: Verdict, color: bool) -> str:
    """The verdict, in colour if ``color``."""
    return f"\x1b[{PAINT[verdict]}m{verdict.value}\x1b[0m" if color else verdict.value


def plural(count: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def type_word(place: Place) -> str:
    """The Type column: the section type as readelf prints it, TRAILER, or DETACHED."""
    if isinstance(place.params, SectionInfo):
        return SECTION_TYPES.get(place.params.type, f"{place.params.type:#010x}")
    return {"section": "PROGBITS", "note": "NOTE"}.get(place.kind, place.kind.upper())


@lru_cache(maxsize=64)
def key_words(key: Key) -> str:
    """The key, and where it comes from."""
    source = visible(key.source)
    if key.provenance is None and key.why is Why.EMBEDDED:  # in the signature itself, not in a key source
        return f'"{visible(key.label)}" ({source})'
    origin = ROLES[key.role].format(source) if key.role in ROLES else f"from {source}"
    if key.role not in ROLES and key.role != "user":
        origin = f"{key.role} key {origin}"
    return f'"{visible(key.label)}" ({origin})'


def algorithm_words(sig: SignatureReport) -> str:
    """Such as ``rsa-4096 sha256``; a question mark for what is unknown."""
    signature = sig.claims
    if signature is None:
        return "?"
    name = signature.algorithm or signature.algorithm_text or "?"
    key = sig.key
    curve, bits = (key and key.curve) or signature.curve, (key and key.bits) or signature.key_bits
    size = f"-{curve}" if curve else f"-{bits}" if bits else ""
    return visible(f"{name}{size} {signature.hash or signature.hash_text or '?'}")


def remark_words(remarks: Iterable[Remark]) -> list[str]:
    """The texts, each once, with the offset where there is one, and what can be done about it."""
    texts = (hinted(r.text if r.offset is None else f"{r.text} (at {r.offset:#x})", r.hint) for r in remarks)
    return [visible(text) for text in dict.fromkeys(texts)]


SUMMARY_ORDER = (
    "accepted",
    "refused",
    "signed",
    *(verdict.value for verdict in Verdict),
    "not a module",
    "unreadable",
)


def failed_word(report: FileReport) -> str:
    """The word under which a file with an error is counted."""
    other = report.error is not None and report.error.code == "not-a-module"
    return "not a module" if other else "unreadable"


def summary(counts: Mapping[str, int]) -> str:
    """The line on stderr after several files: the number of files for each word."""
    listed = ", ".join(f"{counts[word]} {word}" for word in SUMMARY_ORDER if counts.get(word))
    return f"{plural(sum(counts.values()), 'file')}: {listed}"
