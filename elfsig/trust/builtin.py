"""Finding certificates in an unpacked kernel, and which of them are on its trusted list.

The list (certs/system_certificates.S) is certificates one after the other, the build's own first, then
perhaps a reserved area of zeros and a count, then, aligned to 8: the size of the list, and from 5.13 on,
aligned again, the size of the build's own. Both are of the machine's word size. The list of revoked
certificates (certs/revocation_certificates.S, 5.13 on) is followed by one size only. Kernels before 3.13
(kernel/modsign_certificate.S) have no size at all: only symbols delimit their list.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator

from elfsig.crypto import der
from elfsig.crypto.certificate import VERSION, Parsed, parse
from elfsig.elf.table import MAGIC as ELF_MAGIC
from elfsig.elf.table import SHT_SYMTAB, ElfTable
from elfsig.errors import ParseError
from elfsig.lazy_tuple import NamedTuple

START = re.compile(rb"\x30\x82..\x30[\x81\x82]", re.DOTALL)
ZEROS = re.compile(rb"\0*")
WORDS = ("<Q", ">Q", "<I", ">I")
MAX_FOUND = 4096
MAX_TRIED = 400_000
TBS_BEGINS = (VERSION, der.INTEGER)
MAX_LIST = 1 << 20
BANNER = re.compile(rb"Linux version ([0-9]{1,2})\.([0-9]{1,3})")
PUBLIC_KEY = re.compile(
    rb"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\0\x03\x82"  # rsaEncryption, NULL, a BIT STRING
    rb"|\x2a\x86\x48\xce\x3d\x02\x01\x06[\x05-\x09].{5,9}?\x03[\x20-\x81]",  # ecPublicKey, a curve, that
    re.DOTALL,
)
PUBLIC_KEY_OR_NAME = re.compile(PUBLIC_KEY.pattern + rb"|\x06\x03\x55\x04\x03", re.DOTALL)
"""The middle of an RSA or EC SubjectPublicKeyInfo (RFC 3279 2.3.1, RFC 5480 2); a commonName's identifier."""

SYMBOLS = (
    ("builtin", b"system_certificate_list", b"system_certificate_list_size"),
    ("builtin", b"__cert_list_start", b"__cert_list_end"),
    ("builtin", b"modsign_certificate_list", b"modsign_certificate_list_end"),
    ("revoked", b"revocation_certificate_list", b"revocation_certificate_list_size"),
)
"""Role, first symbol, and the one after the list (a size variable also comes after it)."""


class FoundCertificate(NamedTuple):
    """A certificate at offset ``at`` of an unpacked kernel; role is builtin, revoked or embedded."""

    at: int
    parsed: Parsed
    role: str

    @property
    def end(self) -> int:
        return self.at + len(self.parsed.certificate.der)


class Span(NamedTuple):
    """A list of certificates, by the role of what is on it."""

    start: int
    end: int
    role: str


class Gap(NamedTuple):
    """A part of a list that could not be read: the list's role, where the part is, and why."""

    role: str
    at: int
    reason: str


class Lists(NamedTuple):
    """The certificates of an unpacked kernel, in order, and the gaps in its lists."""

    found: list[FoundCertificate]
    gaps: list[Gap]


def certificates(data: bytes) -> list[FoundCertificate]:
    """Every certificate in ``data``, in order, each with the role that the data itself proves."""
    return lists(data).found


def lists(data: bytes) -> Lists:
    """Every certificate in ``data`` with the role that the data itself proves, and the gaps in lists.

    Raises ParseError for data with too many places that look like certificates.
    """
    found = list(_scan(data))
    spans, gaps = _symbol_lists(data) if found else _Delimited([], [])
    if not any(span.role == "builtin" for span in spans):
        sized = _sized_lists(data, found)
        spans += sized.spans
        gaps += sized.unclear
    gaps += [gap for span in spans for gap in _gaps(data, span, found)]
    broken = {gap.role for gap in gaps}
    return Lists([each._replace(role=_role(each, spans, broken)) for each in found], gaps)


def _role(each: FoundCertificate, spans: list[Span], broken: set[str]) -> str:
    """A list of the kernel's own keys counts only where all of it can be read."""
    of = (span.role for span in spans if span.start <= each.at and each.end <= span.end)
    return next((role for role in of if role == "revoked" or role not in broken), "embedded")


def _gaps(data: bytes, span: Span, found: list[FoundCertificate]) -> Iterator[Gap]:
    """Where a list has something other than certificates that directly follow each other."""
    at = span.start
    for each in found:
        if span.start <= each.at and each.end <= span.end:
            if each.at != at:
                yield Gap(span.role, at, f"{each.at - at} bytes that are not a certificate")
            at = each.end
    if any(data[at : span.end]):
        yield Gap(span.role, at, f"{span.end - at} bytes that are not a certificate")


def _scan(data: bytes) -> Iterator[FoundCertificate]:
    """Raises ParseError for data with too many places that look like certificates."""
    at, count, tried = 0, 0, 0
    while count < MAX_FOUND and (match := START.search(data, at)):
        tried += 1
        if tried > MAX_TRIED:
            text = f"more than {MAX_TRIED} places in it look like a certificate"
            raise ParseError(text, offset=at, code="image-limit")
        each = _certificate(data, match.start())
        if each is None:
            at = match.start() + 1
            continue
        yield each
        at, count = each.end, count + 1


def _certificate(data: bytes, at: int) -> FoundCertificate | None:
    """The certificate at ``at``, None if there is no certificate. Lengths are definite: the list is in
    DER."""
    end = at + 4 + int.from_bytes(data[at + 2 : at + 4])
    wide = data[at + 5 : at + 6] == b"\x82"
    body = at + (8 if wide else 7)
    following = body + int.from_bytes(data[at + 6 : body])
    if not following < end <= len(data) or data[body] not in TBS_BEGINS or data[following] != der.SEQUENCE:
        return None
    try:
        return FoundCertificate(at, parse(data, at), "embedded")
    except ParseError:
        return None


def _runs(found: list[FoundCertificate]) -> Iterator[list[FoundCertificate]]:
    """Certificates that directly follow each other."""
    run: list[FoundCertificate] = []
    for each in found:
        if run and run[-1].end != each.at:
            yield run
            run = []
        run.append(each)
    if run:
        yield run


class _Delimited(NamedTuple):
    """Lists whose two ends are known, and the places of lists of which a decisive part is unknown."""

    spans: list[Span]
    unclear: list[Gap]


def _sized_lists(data: bytes, found: list[FoundCertificate]) -> _Delimited:
    """Lists that are followed by their size or sizes.

    Only the list of the kernel's own keys has two sizes. A list with one size is that of the revoked ones if
    there is such a list; else it is that of the own keys, before 5.13 or with the second size elsewhere, as
    long as nothing else in the data can have been a list.
    """
    spans: list[Span] = []
    single: list[tuple[int, int]] = []
    for run in _runs(found):
        start, end = run[0].at, run[-1].end
        sizes = _sizes_after(data, start, end, run[0].end - start)
        if sizes == 2:
            spans.append(Span(start, end, "builtin"))
        elif sizes == 1:
            single.append((start, end))
        elif (longer := _longer(data, start, end)) is not None:
            single.append((longer, end))
    if len({data[span.start : span.end] for span in spans}) > 1:
        own = [Gap("builtin", span.start, "more than one list could be the kernel's own") for span in spans]
        return _Delimited([Span(start, end, "revoked") for start, end in single], own)
    role = "revoked" if spans else "builtin"
    unclear = [] if spans or not single or (len(single) == 1 and not _remains(data, found)) else single
    gaps = [Gap("revoked", start, "the purpose of this list is not known") for start, _ in unclear]
    return _Delimited(spans + [Span(start, end, role) for start, end in single], gaps)


def _remains(data: bytes, found: list[FoundCertificate]) -> bool:
    """Whether there are parts of a certificate outside those that could be read.

    In a kernel, names alone do not indicate one: its self tests have signatures that name their signer.
    """
    starts = [each.at for each in found]
    marks = PUBLIC_KEY if BANNER.search(data) else PUBLIC_KEY_OR_NAME
    for mark in marks.finditer(data):
        nr = bisect_right(starts, mark.start()) - 1
        if nr < 0 or found[nr].end <= mark.start():
            return True
    return False


def _places(data: bytes, end: int) -> list[int]:
    """Where the size of a list that ends at ``end`` may be: aligned, after perhaps a reserved area."""
    zeros = ZEROS.match(data, end)
    reserved = zeros.end() if zeros else end
    places = {end + 7 & ~7, end + 3 & ~3, reserved & ~7, (reserved & ~7) + 8, reserved & ~3}
    return sorted(at for at in places if at >= end)


def _sizes_after(data: bytes, start: int, end: int, first: int) -> int:
    """How many of the two sizes follow the list ``start:end``: 0, 1 or 2."""
    best = 0
    for at in _places(data, end):
        for word in WORDS:
            size = struct.calcsize(word)
            if _word(data, at, word) != end - start:
                continue
            best = max(best, 1)
            second = {_word(data, at + size, word), _word(data, at + size + 7 & ~7, word)}
            if first in second:
                return 2
    return best


def _longer(data: bytes, start: int, end: int) -> int | None:
    """The start of a list whose size after ``end`` says that it is longer than the part that could be
    read."""
    for at in _places(data, end):
        for word in WORDS:
            size = _word(data, at, word)
            if size and end - start < size <= min(end, MAX_LIST) and START.match(data, end - size):
                return end - size
    return None


def _word(data: bytes, at: int, word: str) -> int | None:
    if at + struct.calcsize(word) > len(data):
        return None
    value: int = struct.unpack_from(word, data, at)[0]
    return value


def _symbol_lists(data: bytes) -> _Delimited:
    """The lists that symbols of an ELF vmlinux delimit, as file offsets.

    A list of revoked certificates that has a beginning and no end is a gap: something on it is lost.
    """
    try:
        names = {name for _, *names in SYMBOLS for name in names}
        places = _symbol_offsets(ElfTable(data), names) if data.startswith(ELF_MAGIC) else {}
    except ParseError:
        places = {}
    spans, gaps = [], []
    for role, first, last in SYMBOLS:
        start, end = places.get(first), places.get(last, -1)
        if start is not None and start < end:
            spans.append(Span(start, end, role))
        elif start is not None and start != end and role == "revoked":
            gaps.append(
                Gap(role, start, f"its end is not known: the symbol {last.decode()} does not mark it")
            )
    return _Delimited(spans, gaps)


def _symbol_offsets(table: ElfTable, names: set[bytes]) -> dict[bytes, int]:
    """File offsets of the symbols of these names. Raises ParseError."""
    found = {}
    for nr, row in enumerate(table.rows):
        if row.type != SHT_SYMTAB or row.link >= len(table.rows):
            continue
        strings, wide = table.content(row.link), table.layout.bits == 64
        at = {m.start() + 1: name for name in names for m in re.finditer(b"\0" + name + b"\0", strings)}
        symbols = table.content(nr)
        size = table.layout.symbol.size
        for entry in table.layout.symbol.iter_unpack(memoryview(symbols)[: len(symbols) // size * size]):
            if entry[0] not in at:
                continue
            value, index = (entry[4], entry[3]) if wide else (entry[1], entry[5])
            if 0 < index < len(table.rows):
                home = table.rows[index]
                found[at[entry[0]]] = home.offset + value - home.addr
    return found
