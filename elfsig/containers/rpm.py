"""RPM packages: lead, signature header, header, and a payload: a compressed cpio archive.

Layout and tags: rpm's "RPM V4 Package format" and lib/rpmtag.h. The digests of the header and of the payload
are verified as far as the package has them; what the header says about each file is in the notes of its
member: ``digest`` (``ALGORITHM:HEX``), and ``security.ima`` from RPMTAG_FILESIGNATURES. A file of the header
that is not in the payload is reported, except those that packages only list (``%ghost``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from elfsig.compression import streams
from elfsig.containers import cpio
from elfsig.containers.contract import Container, Context, Member, damaged, trailing
from elfsig.containers.names import plain
from elfsig.containers.readers import PIECE, Reader, reader_of
from elfsig.containers.rpm_header import ALGORITHMS, Files, Header, read_header
from elfsig.errors import ContainerError
from elfsig.recognition.magics import marks

MAGIC = b"\xed\xab\xee\xdb"
LEAD = 96

_SIG_SHA1, _SIG_SHA256, _SIG_MD5, _SIG_FILES = 269, 273, 1004, 274
_FORMAT, _PAYLOAD_DIGEST, _PAYLOAD_ALGORITHM = 1124, 5092, 5093


def _open(reader: Reader, context: Context) -> Iterator[Member]:
    reader.exactly(LEAD, "the lead")
    signature = read_header(reader, "the signature header")
    reader.exactly(-len(signature.raw) % 8, "the padding of the signature header")
    at = reader.tell()
    header = read_header(reader, "the header")
    fault = _header_fault(signature, header, at)
    if header.text(_FORMAT) not in (b"", b"cpio"):
        text = f"a payload of format {header.text(_FORMAT).decode('ascii', 'replace')}"
        raise ContainerError(text, code="unsupported", offset=reader.tell())
    digest = _Digest(signature, header)
    start = reader.tell()
    payload = Reader(lambda: digest.updated(reader.take(PIECE)))
    try:
        yield from _members(payload, context, Files(header, signature.texts(_SIG_FILES)))
    except ContainerError as reason:
        raise _moved(reason, payload, start) from None
    payload.finish()
    if fault is None and not digest.matches:
        fault = damaged(f"the {digest.name} of the payload does not match", start)
    if fault is not None:
        raise fault


def _moved(reason: ContainerError, payload: Reader, start: int) -> ContainerError:
    """The fault of a payload, with the offset of the compressed bytes read so far in the package."""
    origin = payload.origin
    at = (origin.offset if origin is not None else None) or start + payload.tell()
    return ContainerError(reason.text, code=reason.code, offset=at, hint=reason.hint)


def _header_fault(signature: Header, header: Header, at: int) -> ContainerError | None:
    """What a digest of the header does not match; None where all do."""
    for tag, name in ((_SIG_SHA256, "sha256"), (_SIG_SHA1, "sha1")):
        value = signature.text(tag)
        if (
            value
            and hashlib.new(name, header.raw, usedforsecurity=False).hexdigest().encode() != value.lower()
        ):
            return damaged(f"the {name} of the header does not match", at)
    return None


class _Digest:
    """The digest of the payload: the one in the header, or before rpm 4.14 MD5 over header and payload."""

    def __init__(self, signature: Header, header: Header) -> None:
        values = header.texts(_PAYLOAD_DIGEST)
        numbers = header.numbers(_PAYLOAD_ALGORITHM)
        self.name = ALGORITHMS.get(numbers[0] if numbers else 8)
        self._wanted = values[0].lower() if values and self.name else b""
        old = signature.binary(_SIG_MD5)
        if not self._wanted and len(old) == 16:
            self.name, self._wanted = "md5", old.hex().encode()
            self._hash = hashlib.md5(header.raw, usedforsecurity=False)
        elif self.name is not None:
            self._hash = hashlib.new(self.name, usedforsecurity=False)

    def updated(self, data: bytes) -> bytes:
        """``data``, which is part of the payload."""
        if self._wanted:
            self._hash.update(data)
        return data

    @property
    def matches(self) -> bool:
        """Whether the digest is that of what was read, or there is none."""
        return not self._wanted or self._hash.hexdigest().encode() == self._wanted


def _members(payload: Reader, context: Context, files: Files) -> Iterator[Member]:
    kind = streams.kind_of(payload.peek(streams.HEAD))
    archive = payload
    if kind is not None:
        archive = reader_of(context.counted(streams.decompress(payload, kind)))
    missing = files.stored()
    faults: list[ContainerError] = []
    for member in cpio.archive(archive, faults, files.stripped):
        name = plain(member.name)
        missing.discard(name)
        yield member._replace(notes={**member.notes, **files.notes(name)})
    trailing(archive, "the archive of the payload")
    trailing(payload, "the payload")
    if faults:
        raise faults[0]
    if missing:
        example = min(missing).decode("utf-8", "backslashreplace")
        text = f"{len(missing)} file(s) of the header are not in the payload: {example}"
        raise damaged(text, payload.tell())


RPM: Container = Container("rpm", marks("rpm"), _open)
