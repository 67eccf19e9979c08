"""Certificates and public keys in PEM (RFC 7468), any number in one file, with whatever text around them.

The file is read line by line, once. It may begin with a byte-order mark, end its lines in any way, and be
UTF-16, as editors on Windows write it. What the text before a block says about its key (:mod:`marks`) counts.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping

from elfsig.errors import KeySourceError, ParseError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Loss, Why
from elfsig.recognition.text import MAX_TEXT, plain_text
from elfsig.trust import der_forms
from elfsig.trust.entries import MAX_LOSSES, Material, Origin, gather
from elfsig.trust.make import PRIVATE_KEY
from elfsig.trust.marks import Marks

TEXT_LIMIT = 1 << 20
"""How far to search for the first block of a PEM file, which may have text before it."""

_LINE = re.compile(rb"[^\r\n]+")
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,64})-----")
_END = re.compile(rb"-----END ([A-Z0-9 #]{1,64})-----")
_FIRST = re.compile(rb"(?:^|[\r\n])[ \t]*-----BEGIN (?!PGP )[A-Z0-9 #]{1,64}-----")


def is_pem(data: bytes) -> bool:
    """Whether this is text with a PEM block in it."""
    head = plain_text(data[:TEXT_LIMIT])
    return b"\0" not in head[:512] and _FIRST.search(head) is not None


def read_pem(data: bytes, origin: Origin) -> Material:
    """The keys of every PEM block; an unreadable one is skipped and reported.

    Raises KeySourceError for a private key, for too long a text, and for a block that is marked as revoked
    and cannot be read.
    """
    if len(data) > MAX_TEXT:
        raise KeySourceError(f"{origin.source}: PEM of more than {MAX_TEXT} bytes", code="key-source-limit")
    parts: list[Material] = []
    lost = 0
    for each in _blocks(plain_text(data)):
        part = _read(each, origin)
        lost += len(part.losses)
        parts.append(part)
        if lost >= MAX_LOSSES:
            text = f"more than {MAX_LOSSES} PEM blocks cannot be read; the rest was not examined"
            parts.append(Material(losses=(Loss(origin.source, "PEM", text, each.at),)))
            break
    return gather(parts)


class _Block(NamedTuple):
    """A PEM block: its label, its base64 text, its offset in the text and the marks before it.

    ``fault`` is why it is not valid.
    """

    label: str
    body: bytes
    at: int
    marks: Marks
    fault: str | None = None


def _blocks(text: bytes) -> Iterator[_Block]:
    """Every block, in order; each line is looked at once.

    What looks like a boundary but is not one becomes a block with a fault: damaged ones are not ignored.
    """
    before, inside = Marks(), Marks()
    open_label, at, lines = b"", 0, list[bytes]()
    for found in _LINE.finditer(text):
        line = found[0].strip()
        if not _is_boundary(line):
            (inside if open_label else before).read(line)
            if open_label:
                lines.append(line)
            continue
        begin, end = _BEGIN.fullmatch(line), _END.fullmatch(line)
        if open_label and end and end[1] == open_label:
            yield _Block(open_label.decode(), b"".join(lines), at, before)
        elif open_label:
            yield _Block(open_label.decode(), b"", at, before, "it has no END line")
        elif not begin:
            yield _Block(line[:64].decode(errors="replace"), b"", found.start(), before, "not a beginning")
        if open_label or not begin:
            before = inside if open_label else Marks()
        inside = Marks()
        open_label, at, lines = (begin[1] if begin else b""), found.start(), []
    if open_label:
        yield _Block(open_label.decode(), b"", at, before, "the file ends in the middle of it")


def _is_boundary(line: bytes) -> bool:
    """Whether a line begins or ends a block, or is a damaged one that did."""
    return line.startswith(b"----") or (b"--" in line and (b"BEGIN " in line or b"END " in line))


def _read(block: _Block, origin: Origin) -> Material:
    """The keys of one block. Raises KeySourceError."""
    if block.label.endswith("PRIVATE KEY"):
        raise KeySourceError(f"{origin.source} {PRIVATE_KEY}", offset=block.at, code="private-key")
    placed = block.marks.origin(origin.at(block.at))
    if block.label.startswith("PGP "):
        return _lost(block, placed, "an OpenPGP block, which must be in a separate file")
    read = LABELS.get(block.label)
    if block.fault or read is None:
        return _lost(block, placed, block.fault or "not a certificate or public key")
    try:
        found = read(_decoded(block), 0, placed)
    except ParseError as reason:
        return _lost(block, placed, reason.text)
    except KeySourceError as reason:
        if reason.code == "private-key":
            raise
        return _lost(block, placed, reason.text)
    keys = tuple(block.marks.key(key) for key in found.keys)
    return gather([Material(keys, found.unusable, losses=found.losses)])


def _decoded(block: _Block) -> bytes:
    body = block.body
    if b":" in body:
        raise ParseError("it has headers, like an encrypted block", code="pem")
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except binascii.Error as reason:
        raise ParseError(f"{reason}".lower(), offset=block.at, code="pem") from None


def _lost(block: _Block, origin: Origin, why: str) -> Material:
    """A block without a usable key. Raises KeySourceError for one that is marked as revoked."""
    loss = Loss(origin.source, f"PEM block {block.label}", why, block.at)
    if Why.REVOKED in block.marks.found:
        raise KeySourceError(f"{origin.source}: a revoked key cannot be read: {why}", code="revocation-lost")
    return Material(losses=(loss,))


LABELS: Mapping[str, der_forms.Reader] = {
    "CERTIFICATE": der_forms.certificate,
    "X509 CERTIFICATE": der_forms.certificate,
    "TRUSTED CERTIFICATE": der_forms.certificate,
    "PUBLIC KEY": der_forms.public_key,
    "RSA PUBLIC KEY": der_forms.rsa_public_key,
    "PKCS7": der_forms.pkcs7,
    "CMS": der_forms.pkcs7,
    "PKCS #7 SIGNED DATA": der_forms.pkcs7,
}
