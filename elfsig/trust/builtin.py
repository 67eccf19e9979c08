"""Finding certificates in an unpacked kernel, and which of them are on its trusted list.

The list (certs/system_certificates.S) is certificates one behind the other, the build's own first, then
perhaps a reserved area of zeros and a count, then, aligned to 8: the size of the list, and from 5.13 on,
aligned again, the size of the build's own. Both are of the machine's word size. The list of revoked
certificates (certs/revocation_certificates.S, 5.13 on) is followed by one size only. Kernels before 3.13
(kernel/modsign_certificate.S) have no size at all: only symbols delimit their list.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from elfsig.crypto.certificate import Parsed, parse
from elfsig.elf.table import MAGIC as ELF_MAGIC
from elfsig.elf.table import SHT_SYMTAB, ElfTable
from elfsig.errors import ParseError

START = re.compile(rb"\x30\x82..\x30[\x81\x82]", re.DOTALL)
ZEROS = re.compile(rb"\0*")
WORDS = ("<Q", ">Q", "<I", ">I")
MAX_FOUND = 4096

SYMBOLS = (
    ("builtin", b"system_certificate_list", b"system_certificate_list_size"),
    ("builtin", b"__cert_list_start", b"__cert_list_end"),
    ("builtin", b"modsign_certificate_list", b"modsign_certificate_list_end"),
    ("revoked", b"revocation_certificate_list", b"revocation_certificate_list_size"),
)
"""Role, first symbol, and the one behind the list (a size variable also lies behind it)."""


class Found(NamedTuple):
    """A certificate at offset ``at`` of an unpacked kernel; role is builtin, revoked or embedded."""

    at: int
    parsed: Parsed
    role: str

    @property
    def end(self) -> int:
        return self.at + len(self.parsed.certificate.der)


def certificates(data: bytes) -> list[Found]:
    """Every certificate in ``data``, in order, each with the role that the data itself proves."""
    found = list(_scan(data))
    spans = _symbol_spans(data) if found else []
    if not any(role == "builtin" for _, _, role in spans):
        spans += _sized_spans(data, found)
    return [each._replace(role=_role(each, spans)) for each in found]


def _role(each: Found, spans: list[tuple[int, int, str]]) -> str:
    return next((role for start, end, role in spans if start <= each.at and each.end <= end), "embedded")


def _scan(data: bytes) -> Iterator[Found]:
    at, count = 0, 0
    while count < MAX_FOUND and (match := START.search(data, at)):
        try:
            each = Found(match.start(), parse(data, match.start()), "embedded")
        except ParseError:
            at = match.start() + 1
            continue
        yield each
        at, count = each.end, count + 1


def _runs(found: list[Found]) -> Iterator[list[Found]]:
    """Certificates that lie one directly behind the other."""
    run: list[Found] = []
    for each in found:
        if run and run[-1].end != each.at:
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _sized_spans(data: bytes, found: list[Found]) -> list[tuple[int, int, str]]:
    """Lists that are followed by their size; with one size only, the other list decides what it is."""
    spans, single = [], []
    for run in _runs(found):
        start, end = run[0].at, run[-1].end
        sizes = _sizes_behind(data, start, end, run[0].end - start)
        if sizes == 2:
            spans.append((start, end, "builtin"))
        elif sizes == 1:
            single.append((start, end))
    role = "revoked" if spans else "builtin"
    return spans + [(start, end, role) for start, end in single]


def _sizes_behind(data: bytes, start: int, end: int, first: int) -> int:
    """How many of the two sizes stand behind the list ``start:end``: 0, 1 or 2."""
    zeros = ZEROS.match(data, end)
    reserved = zeros.end() if zeros else end
    best = 0
    for at in sorted({end + 7 & ~7, end + 3 & ~3, reserved & ~7, (reserved & ~7) + 8, reserved & ~3}):
        for word in WORDS:
            size = struct.calcsize(word)
            if at < end or _word(data, at, word) != end - start:
                continue
            best = max(best, 1)
            second = {_word(data, at + size, word), _word(data, at + size + 7 & ~7, word)}
            if first in second:
                return 2
    return best


def _word(data: bytes, at: int, word: str) -> int | None:
    if at + struct.calcsize(word) > len(data):
        return None
    value: int = struct.unpack_from(word, data, at)[0]
    return value


def _symbol_spans(data: bytes) -> list[tuple[int, int, str]]:
    """The lists that symbols of an ELF vmlinux delimit, as file offsets."""
    if not data.startswith(ELF_MAGIC):
        return []
    try:
        table = ElfTable(data)
        places = _symbol_offsets(table, {name for _, *names in SYMBOLS for name in names})
    except ParseError:
        return []
    return [
        (places[first], places[last], role)
        for role, first, last in SYMBOLS
        if first in places and places[first] < places.get(last, 0)
    ]


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
