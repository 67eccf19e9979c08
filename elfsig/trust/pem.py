"""Certificates and public keys in PEM (RFC 7468), any number in one file, with whatever text around them.

The file is read line by line, once. It may begin with a byte-order mark, end its lines in any way, and be
UTF-16, as editors on Windows write it. What the text before a block says about its key (:mod:`marks`) counts.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping

from elfsig.crypto import der
from elfsig.errors import KeySourceError, ParseError
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Loss, Why
from elfsig.recognition.text import MAX_TEXT, plain_text
from elfsig.trust import der_forms, settings
from elfsig.trust.entries import MAX_LOSSES, Material, Origin, gather
from elfsig.trust.make import PRIVATE_KEY
from elfsig.trust.marks import Marks

TEXT_LIMIT = 1 << 20
"""How far to search for the first block of a PEM file, which may have text before it."""

_LINE = re.compile(rb"[^\r\n]+")
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,64})-----")
_END = re.compile(rb"-----END ([A-Z0-9 #]{1,64})-----")
_MEANT = re.compile(
    rb"[^A-Za-z0-9]*[^A-Za-z0-9\s](?:BEGIN|END) (?:[A-Z0-9#]{1,16} ){0,3}"
    rb"(?:CERTIFICATE|KEY|PKCS7|CMS|DATA|CRL|REQUEST)[^A-Za-z0-9]*"
)
"""A boundary in other dashes, as word processors and mail programs make them."""

_STRAY = (
    (re.compile(rb"[\0-\x07\x0b\x0e-\x19\x1c-\x1f\x7f]"), "bytes that are not text"),
    (
        re.compile(rb"^\[SHA-?[0-9]{1,3}\]$|^\"?(?:tbs|bin):[0-9a-f]{40}"),
        "hashes, which must be in a separate file",
    ),
)
"""What is not a text around blocks: DER, and lists of hashes."""

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
    text = plain_text(data)
    objects = settings.Objects(text)
    for each in _blocks(text):
        if objects.distrusts(each.at):
            each.marks.found.add(Why.REVOKED)
        part = _read(each, origin)
        lost += len(part.losses)
        parts.append(part)
        if lost >= MAX_LOSSES:
            why = f"more than {MAX_LOSSES} PEM blocks cannot be read; the rest was not examined"
            parts.append(Material(losses=(Loss(origin.source, "PEM", why, each.at),)))
            break
    objects.complete(origin.source)
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

    What looks like a boundary but is not one becomes a block with a fault, and so does what is between blocks
    and may be a key or a hash: neither is ignored.
    """
    state = _Splitter()
    for found in _LINE.finditer(text):
        yield from state.take(found.start(), found[0].strip())
    yield from state.end()


class _Splitter:
    """What is known between two lines: the open block, what is in it, and what was before it."""

    def __init__(self) -> None:
        self.label, self.at, self.lines = b"", 0, list[bytes]()
        self.before, self.inside = Marks(), Marks()
        self.told = False
        self.printed = self.blocks = 0

    def take(self, at: int, line: bytes) -> Iterator[_Block]:
        """The block that a line ends or is."""
        if _is_boundary(line):
            yield from self._boundary(at, line)
        elif self.label:
            self.inside.read(line)
            self.lines.append(line)
        else:
            self.before.read(line)
            self.printed += line == b"Certificate:"
            why = next((why for stray, why in _STRAY if stray.search(line.strip(b"\0"))), None)
            if why and not self.told:
                self.told = True
                yield _Block("", b"", at, self.before, why)

    def _boundary(self, at: int, line: bytes) -> Iterator[_Block]:
        begin, end = _BEGIN.fullmatch(line), _END.fullmatch(line)
        if self.label and end and end[1] == self.label:
            yield self._closed(b"".join(self.lines))
        elif self.label:
            yield self._closed(b"", "it has no END line")
        elif not begin:
            yield _Block(line[:64].decode(errors="replace"), b"", at, self.before, "not a beginning")
        if self.label or not begin:
            self.before = self.inside if self.label else Marks()
        self.inside, self.told = Marks(), False
        self.label, self.at, self.lines = (begin[1] if begin else b""), at, []

    def _closed(self, body: bytes, fault: str | None = None) -> _Block:
        self.blocks += 1
        return _Block(self.label.decode(), body, self.at, self.before, fault)

    def end(self) -> Iterator[_Block]:
        """What is still open at the end of the text."""
        if self.label:
            yield self._closed(b"", "the file ends in the middle of it")
        if self.printed > self.blocks:
            text = f"{self.printed} certificates are printed and only {self.blocks} are in PEM"
            yield _Block("", b"", 0, Marks(), text)


def _is_boundary(line: bytes) -> bool:
    """Whether a line begins or ends a block, or is a damaged one that did."""
    dashed = line.startswith(b"----") or (b"--" in line and (b"BEGIN " in line or b"END " in line))
    return dashed or _MEANT.fullmatch(line) is not None


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
        decoded = _decoded(block)
        found, over = read(decoded, 0, placed), _over(read, decoded)
    except ParseError as reason:
        return _lost(block, placed, reason.text)
    except KeySourceError as reason:
        if reason.code == "private-key":
            raise
        return _lost(block, placed, reason.text)
    keys = tuple(block.marks.key(key) for key in found.keys)
    rest = [_lost(block, placed, f"{over} bytes after what its label names")] if over else []
    return gather([Material(keys, found.unusable, losses=found.losses), *rest])


def _over(read: der_forms.Reader, decoded: bytes) -> int:
    """How many bytes of a block follow the value that ``read`` takes. Raises ParseError."""
    return 0 if read is SETTINGS else len(decoded) - der.read(decoded, 0, len(decoded)).next


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
    what = f"PEM block {block.label}" if block.label else "text around PEM blocks"
    loss = Loss(origin.source, what, why, block.at)
    if Why.REVOKED in block.marks.found:
        raise KeySourceError(f"{origin.source}: a revoked key cannot be read: {why}", code="revocation-lost")
    return Material(losses=(loss,))


SETTINGS: der_forms.Reader = settings.trusted_certificate
"""Reads its block to the end: settings may follow the certificate."""

LABELS: Mapping[str, der_forms.Reader] = {
    "CERTIFICATE": der_forms.certificate,
    "X509 CERTIFICATE": der_forms.certificate,
    "TRUSTED CERTIFICATE": SETTINGS,
    "PUBLIC KEY": der_forms.public_key,
    "RSA PUBLIC KEY": der_forms.rsa_public_key,
    "PKCS7": der_forms.pkcs7,
    "CMS": der_forms.pkcs7,
    "PKCS #7 SIGNED DATA": der_forms.pkcs7,
}
