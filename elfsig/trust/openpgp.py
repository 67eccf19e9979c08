"""OpenPGP public key rings, binary and armoured, and rings compiled into old kernel images.

Layout: RFC 4880 11.1. The kernels of the section eras held such a ring in their image (``kernel.pub`` of
the RHEL and Fedora trees, turned into an array) and read tag-6 packets from it, skipping subkeys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_der_public_key

from elfsig.crypto import der
from elfsig.crypto.certificate import BIT_STRING
from elfsig.envelopes.openpgp.keys import PublicKeyPacket, read_public_key
from elfsig.envelopes.openpgp.packets import (
    PUBLIC_KEY,
    PUBLIC_SUBKEY,
    SECRET_KEY,
    SECRET_SUBKEY,
    SIGNATURE,
    USER_ID,
    Packet,
    read_packet,
    read_packets,
    read_signature,
)
from elfsig.errors import KeySourceError, ParseError
from elfsig.lazy_dataclass import replace
from elfsig.model import Key, Loss, Remark, Why
from elfsig.trust import armour
from elfsig.trust.entries import MAX_LOSSES, Material, Origin, material
from elfsig.trust.make import PRIVATE_KEY, key_from_public
from elfsig.trust.openpgp_binding import Bindings

KEY_REVOCATION, SUBKEY_REVOCATION = 0x20, 0x28
SUBKEY = Remark("openpgp-subkey", "a subkey: the kernels of the section eras ignore these")
REVOKED = Remark("openpgp-revoked", "its ring holds a revocation of this key, which kernels do not check")
KEYBOX = b"KBXf"
FOREIGN = "OpenPGP key of another algorithm"
DSA_OID = "1.2.840.10040.4.1"
MAX_TRIED = 10_000
"""Maximum places in an image to try as an OpenPGP key: real kernels have a handful."""

SIGNS = frozenset({19, 22, 27, 28})
"""Signature algorithms that are not supported here: ECDSA, EdDSA, Ed25519, Ed448 (RFC 9580 9.1)."""


def read(data: bytes, source: str, keyring: str | None = None, vouched: bool = True) -> list[Key]:
    """The RSA and DSA keys of a ring, primary keys and subkeys, in order.

    Raises KeySourceError for what is not a ring, holds secret keys, or has no RSA or DSA key.
    """
    return list(read_ring(data, Origin(source, keyring, vouched)).keys)


def read_ring(data: bytes, origin: Origin) -> Material:
    """As :func:`read`, in the form that keyrings are built from; an unreadable packet is skipped and
    reported.

    Subkeys count only with a valid signature of their primary key (:mod:`openpgp_binding`).
    """
    if data[8:12] == KEYBOX:
        text = f"{origin.source} is GnuPG's keybox: export the key with gpg --export"
        raise KeySourceError(text, code="keybox")
    rings, losses = _rings(data, origin)
    keys: list[Key] = []
    for ring in rings:
        reader = _Ring(origin)
        keys += reader.read(ring)
        losses += reader.losses
    if not keys and any(loss.what != FOREIGN for loss in losses):
        text = f"{origin.source} holds no OpenPGP key ring that can be read: {losses[0].reason}"
        raise KeySourceError(text, offset=losses[0].offset, code="not-a-ring")
    if not keys:
        why = f": {losses[0].reason}" if losses else ""
        text = f"{origin.source} holds no OpenPGP key of kind RSA or DSA{why}"
        raise KeySourceError(text, code="no-key")
    return material(keys, losses)


def _rings(data: bytes, origin: Origin) -> tuple[list[bytes], list[Loss]]:
    """The binary rings in ``data``, and the parts of its armour that could not be read."""
    blocks, faults = armour.rings(data)
    if blocks and all(kind == "SIGNATURE" for kind, _ in blocks):
        text = f"{origin.source}: an OpenPGP signature, not a key source"
        raise KeySourceError(text, code="not-key-source")
    losses = [Loss(origin.source, "OpenPGP armour", f.text, f.offset) for f in faults[:MAX_LOSSES]]
    return [block for _, block in blocks], losses


class _Ring:
    """Reads one ring. ``losses`` are the packets of it that could not be read."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.losses: list[Loss] = []
        self._bindings = Bindings()
        self._primary: tuple[Packet, Key | None] | None = None
        self._label = ""

    def read(self, data: bytes) -> Iterator[Key]:
        """The keys, in order. The packets after a key, up to the next key, describe it."""
        packets = self._packets(data)
        starts = [i for i, p in enumerate(packets) if p.tag in armour.KEYS]
        for start, end in zip(starts, [*starts, len(packets)][1:], strict=True):
            if len(self.losses) >= MAX_LOSSES:
                return
            packet, following = packets[start], packets[start + 1 : end]
            if packet.tag in (SECRET_KEY, SECRET_SUBKEY):
                text = f"{self.origin.source} {PRIVATE_KEY}"
                raise KeySourceError(text, offset=packet.start, code="private-key")
            try:
                key = self._one(packet, following)
            except ParseError as fault:
                self._lose(FOREIGN if fault.code == "key-algorithm" else "OpenPGP key", fault)
                continue
            if key is not None:
                yield replace(key, remarks=(*key.remarks, REVOKED)) if _revoked(packet, following) else key

    def _packets(self, data: bytes) -> list[Packet]:
        """The packets up to the first that cannot be read."""
        found: list[Packet] = []
        try:
            found.extend(read_packets(data))
        except ParseError as fault:
            self._lose("OpenPGP packet", fault)
            found = _up_to(data, fault.offset)
        return found

    def _lose(self, what: str, fault: ParseError) -> None:
        if len(self.losses) < MAX_LOSSES:
            self.losses.append(Loss(self.origin.source, what, fault.text, fault.offset))

    def _one(self, packet: Packet, following: Sequence[Packet]) -> Key | None:
        if packet.tag == PUBLIC_KEY:
            self._label = next((p.body.decode("utf-8", "replace") for p in following if p.tag == USER_ID), "")
            self._primary = packet, None
        origin = self.origin.at(packet.start)
        if packet.tag == PUBLIC_SUBKEY and not self._bound(packet, following):
            origin = origin.only_tried(Why.UNBOUND)
        key = _key(packet, self._label, origin)
        if packet.tag == PUBLIC_KEY:
            self._primary = packet, key
        return key

    def _bound(self, subkey: Packet, following: Sequence[Packet]) -> bool:
        primary, key = self._primary or (None, None)
        if primary is None or key is None or key.public is None:
            return False
        return self._bindings.bound(primary, key, subkey, following)


def _up_to(data: bytes, end: int | None) -> list[Packet]:
    """The packets of ``data`` that end at ``end`` or before."""
    found: list[Packet] = []
    at = 0
    while end is not None and at < end:
        try:
            found.append(read_packet(data, at))
        except ParseError:
            break
        at = found[-1].end
    return found


def _key(packet: Packet, label: str, origin: Origin) -> Key | None:
    """None for a key that only encrypts. Raises ParseError for one that cannot be used here."""
    parsed = _parse(packet)
    if parsed.algorithm is None:
        if parsed.algorithm_id in SIGNS:
            text = f"a key of {parsed.algorithm_text}, which was never used for modules"
            raise ParseError(text, offset=packet.start, code="key-algorithm")
        return None
    public = public_key(parsed)
    if public is None:
        raise ParseError("its numbers are not a usable key", offset=packet.start)
    text = label or f"OpenPGP key {parsed.key_id.hex().upper()}"
    return key_from_public(
        public,
        origin,
        ids=(("openpgp", parsed.key_id),),
        label=f"{text} (subkey)" if parsed.subkey else text,
        openpgp_fingerprint=parsed.fingerprint,
        created=parsed.created,
        remarks=(SUBKEY,) if parsed.subkey else (),
        subkey=parsed.subkey,
    )


def _parse(packet: Packet) -> PublicKeyPacket:
    try:
        return read_public_key(packet)
    except ParseError as fault:
        raise ParseError(fault.text, offset=packet.body_start + (fault.offset or 0)) from None


def _revoked(packet: Packet, following: Sequence[Packet]) -> bool:
    """Whether a revocation follows a key; who made it is not checked."""
    wanted = KEY_REVOCATION if packet.tag == PUBLIC_KEY else SUBKEY_REVOCATION
    for each in following:
        if each.tag == SIGNATURE:
            try:
                if read_signature(each.body).sig_class == wanted:
                    return True
            except ParseError:
                continue  # a damaged signature in a ring takes nothing from its key
    return False


def public_key(parsed: PublicKeyPacket) -> Any | None:
    """The cryptography library's object, None where it rejects the numbers."""
    try:
        return _BUILDERS[parsed.algorithm or ""](*parsed.numbers)
    except ValueError:
        return None


def _rsa(n: int, e: int) -> Any:
    return RSAPublicNumbers(e, n).public_key()


def _dsa(p: int, q: int, g: int, y: int) -> Any:
    """Through DER (RFC 3279 2.3.2), which takes groups of all sizes that GnuPG 1 made, such as 768 bits."""
    group = der.encode(der.SEQUENCE, *map(der.encode_integer, (p, q, g)))
    kind = der.encode(der.SEQUENCE, der.encode_oid(DSA_OID), group)
    value = der.encode(BIT_STRING, b"\0", der.encode_integer(y))
    return load_der_public_key(der.encode(der.SEQUENCE, kind, value))


_BUILDERS: dict[str, Callable[..., Any]] = {"rsa": _rsa, "dsa": _dsa}


# --------------------------------------------------------------------------- rings inside kernel images

_PLAUSIBLE = re.compile(
    rb"(?:\x98[\x80-\xff]|\x99[\x00-\x0f].)"  # old header, public key, one or two bytes of length
    rb"\x04....[\x01\x03\x11][\x02-\x20].",  # version 4, time, RSA or DSA, a number of 512 to 8447 bits
    re.DOTALL,
)
_SMALL_PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)


def scan(data: bytes, origin: Origin) -> list[Key]:
    """OpenPGP public keys compiled into a decompressed kernel image, in order, each once.

    Finds v4 RSA and DSA primary keys whose packet holds nothing but plausible numbers, with the user id
    after them. Raises ParseError for data with too many places that look like keys.
    """
    found: dict[bytes, Key] = {}
    for number, match in enumerate(_PLAUSIBLE.finditer(data)):
        if number == MAX_TRIED:
            text = f"more than {MAX_TRIED} places in it look like an OpenPGP key"
            raise ParseError(text, offset=match.start(), code="image-limit")
        key = _embedded(data, match.start(), origin.at(match.start()))
        if key is not None and key.openpgp_fingerprint is not None:
            found.setdefault(key.openpgp_fingerprint, key)
    return list(found.values())


def _embedded(data: bytes, at: int, origin: Origin) -> Key | None:
    try:
        packet = read_packet(data, at)
        if not _plausible(read_public_key(packet)):
            return None
        return _key(packet, _user_id_behind(data, packet.end), origin)
    except ParseError:
        return None


def _plausible(parsed: PublicKeyPacket) -> bool:
    """Arithmetic that random bytes do not satisfy."""
    if parsed.algorithm == "dsa":
        p, q, g, y = parsed.numbers
        return q.bit_length() in (160, 224, 256) and (p - 1) % q == 0 and 1 < g < p and 1 < y < p
    n, e = parsed.numbers
    return bool(n & e & 1) and e < 1 << 64 and all(n % prime for prime in _SMALL_PRIMES)


def _user_id_behind(data: bytes, at: int) -> str:
    """The user id in the next packet or the one after it (a direct signature, or GnuPG's trust packet)."""
    for _ in range(2):
        try:
            packet = read_packet(data, at)
        except ParseError:
            break
        if packet.tag == USER_ID and len(packet.body) < 1024:
            return packet.body.decode("utf-8", "replace")
        at = packet.end
    return ""
