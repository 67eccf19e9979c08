"""Whether an OpenPGP subkey belongs to the primary key that it follows: RFC 4880 5.2.1, signature type 0x18.

Anyone can put any subkey after anyone's primary key; only a binding signature, made by the primary key over
both, says that they belong together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from elfsig.crypto import der
from elfsig.crypto.checks import Match, Unsupported, try_digest
from elfsig.crypto.hashes import HASH_BY_OPENPGP, HASHES
from elfsig.envelopes.openpgp.make import hash_for
from elfsig.envelopes.openpgp.packets import ALGORITHMS, SIGNATURE, Packet, SignaturePacket, read_signature
from elfsig.errors import ParseError
from elfsig.model import Key

SUBKEY_BINDING = 0x18
MAX_BODY = 1 << 14
MAX_CHECKS = 256
"""Maximum binding signatures to check in one ring; subkeys after these count as not bound."""


class Bindings:
    """Checks the binding signatures of one ring."""

    def __init__(self) -> None:
        self.left: int = MAX_CHECKS

    def bound(self, primary: Packet, key: Key, subkey: Packet, following: Iterable[Packet]) -> bool:
        """Whether one of the packets after ``subkey`` is its binding by ``primary``, which is ``key``."""
        if max(len(primary.body), len(subkey.body)) > MAX_BODY:
            return False
        signed = _framed(primary.body) + _framed(subkey.body)
        return any(self._binds(key, signed, each.body) for each in following if each.tag == SIGNATURE)

    def _binds(self, key: Key, signed: bytes, body: bytes) -> bool:
        try:
            packet = read_signature(body)
        except ParseError:
            return False
        row = HASH_BY_OPENPGP.get(packet.hash)
        algorithm = ALGORITHMS.get(packet.algorithm)
        if packet.sig_class != SUBKEY_BINDING or row is None or algorithm != key.algorithm:
            return False
        if not packet.numbers or packet.unknown_critical or not self.left:
            return False
        self.left -= 1
        try:
            state: Any = HASHES[row.name].new()
        except ValueError:
            return False
        state.update(signed + packet.completion)
        digest = bytes(state.digest())
        if digest[:2] != packet.left16:
            return False
        try:
            value = _value(packet, key)
            return try_digest(key, algorithm, hash_for(algorithm, row.name), digest, value) is Match.YES
        except (Unsupported, OverflowError):
            return False


def _framed(body: bytes) -> bytes:
    """A key packet's body as signatures over keys hash it (RFC 4880 5.2.4)."""
    return b"\x99" + (len(body) & 0xFFFF).to_bytes(2) + body


def _value(packet: SignaturePacket, key: Key) -> bytes:
    """RSA: the number, as long as the modulus. DSA: DER SEQUENCE of r and s."""
    if key.algorithm == "rsa":
        return packet.numbers[0].to_bytes((key.bits + 7) // 8)
    return der.encode(der.SEQUENCE, *map(der.encode_integer, packet.numbers))
