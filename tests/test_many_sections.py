"""A file with thousands of signature sections: all are reported, and few are examined."""

from __future__ import annotations

import struct
import time

import pytest

import corpus
import elfsig
from elfsig.opened.places import MAX_SECTIONS
from tests.support.vectors import module as vector
from tests.support.vectors import vectors

ROW = struct.Struct("<IIQQQQIIQQ")
VECTORS = {"gkh": ("module_sig", 1), "redhat": (".module_sig", 1), "note": (".note.module.sig", 7)}


def crowded(name: str, kind: int, blob: bytes, count: int) -> bytes:
    """A relocatable file with ``count`` sections of this name over one and the same signature."""
    names = b"\0.shstrtab\0" + name.encode() + b"\0"
    body = 64 + len(names)
    table = (body + len(blob) + 7) // 8 * 8
    data = (names + blob).ljust(table - 64, b"\0")
    rows = [ROW.pack(*[0] * 10), ROW.pack(1, 3, 0, 0, 64, len(names), 0, 0, 1, 0)]
    rows += [ROW.pack(11, kind, 3, 0, body, len(blob), 0, 0, 1, 0)] * count
    fields = (1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, count + 2, 1)
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *fields)
    return header + data + b"".join(rows)


@pytest.mark.timed
@pytest.mark.parametrize("format_id", list(VECTORS))
def test_thousands_of_signature_sections_cost_little(format_id: str) -> None:
    name, kind = VECTORS[format_id]
    signed = (vector(each) for each in vectors())
    place = next(
        s.place for m in signed for s in elfsig.list_signatures(m) if s.claims and s.place.section == name
    )
    blob = place.blob if kind == 1 else corpus_note(place)
    start = time.process_time()
    report = elfsig.verify(crowded(name, kind, blob, 3000), trust=corpus.KEYS / "signer.cert.pem")
    assert time.process_time() - start < 10
    codes = [s.cause.code if s.cause else None for s in report.signatures]
    assert len(codes) == 3000 and codes.count("too-many-sections") == 3000 - MAX_SECTIONS
    assert report.verdict is not elfsig.Verdict.VALID


def corpus_note(place: elfsig.Place) -> bytes:
    """The ELF note around a signature: owner, type 100 and the packet."""
    owner = b"module.sig\0"
    return struct.pack("<III", len(owner), len(place.blob), 100) + owner.ljust(12, b"\0") + place.blob
