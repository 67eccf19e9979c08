"""How the secret part of an OpenPGP key is protected: string-to-key, cipher, sums (RFC 4880 3.7, 5.5.3)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers import algorithms as old
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers import algorithms as today

from elfsig.envelopes.openpgp.packets import byte_at, take
from elfsig.errors import ParseError, SigningError
from elfsig.lazy_tuple import NamedTuple

NONE, CHECKSUM, SHA1 = 0, 255, 254
SIMPLE, SALTED, ITERATED, GNU = 0, 1, 3, 101
GNU_DUMMY, GNU_CARD = 1, 2
_HASHES = {1: "md5", 2: "sha1", 3: "ripemd160", 8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224"}


class _CipherKind(NamedTuple):
    """A cipher by its OpenPGP number: its class, and the sizes of key and block in bytes."""

    make: Any
    key: int
    block: int


_CIPHERS = {
    2: _CipherKind(old.TripleDES, 24, 8),
    3: _CipherKind(old.CAST5, 16, 8),
    4: _CipherKind(old.Blowfish, 16, 8),
    7: _CipherKind(today.AES, 16, 16),
    8: _CipherKind(today.AES, 24, 16),
    9: _CipherKind(today.AES, 32, 16),
    11: _CipherKind(old.Camellia, 16, 16),
    12: _CipherKind(old.Camellia, 24, 16),
    13: _CipherKind(old.Camellia, 32, 16),
}


class NotHere(Exception):
    """The secret part is not in the file: it is on a card, or was left out."""


class _Stretch(NamedTuple):
    """String-to-key: the hash, a salt, and how many bytes to hash (0: the passphrase once)."""

    hash: str
    salt: bytes = b""
    octets: int = 0

    def key(self, passphrase: bytes, size: int) -> bytes:
        """``size`` bytes of key: several hashes, each after one more zero byte."""
        made, zeros = b"", 0
        text = self.salt + passphrase
        total = max(self.octets, len(text))
        while len(made) < size:
            state = hashlib.new(self.hash, bytes(zeros), usedforsecurity=False)
            whole, rest = divmod(total, len(text)) if text else (0, 0)
            batch = max(1, (1 << 16) // max(1, len(text)))
            for _ in range(whole // batch):
                state.update(text * batch)
            state.update(text * (whole % batch) + text[:rest])
            made, zeros = made + state.digest(), zeros + 1
        return made[:size]


def unprotected(body: bytes, at: int, ask: Callable[[], bytes], name: str) -> bytes:
    """The secret numbers in ``body`` from ``at`` on, without their checksum; ``ask`` gives the passphrase.

    Raises NotHere, ParseError for a damaged or unknown form, SigningError for a wrong passphrase.
    """
    usage = byte_at(body, at, "protection of the secret part")
    if usage == NONE:
        return _summed(body[at + 1 :], at + 1)
    if usage in (CHECKSUM, SHA1):
        number = byte_at(body, at + 1, "cipher")
        stretch, at = _stretch(body, at + 2)  # first: what is not in the file has no cipher
        cipher = _cipher(number, at)
    elif usage in _CIPHERS:
        # The form before string-to-key specifiers: a cipher's number, keyed by the passphrase's MD5.
        cipher, stretch, at = _CIPHERS[usage], _Stretch("md5"), at + 1
    else:
        raise ParseError(f"protection {usage} of the secret part is not known", offset=at)
    start = take(body, at, cipher.block, "initial vector")
    try:
        plain = _decrypted(cipher, stretch.key(ask(), cipher.key), start, body[at + cipher.block :])
    except (ValueError, UnsupportedAlgorithm) as reason:
        raise ParseError(f"its protection is not supported here: {reason}", offset=at) from None
    found = _hashed(plain) if usage == SHA1 else _checked(plain)
    if found is None:
        text = f"{name}: an OpenPGP secret key that cannot be read: the passphrase is wrong"
        raise SigningError(text, code="not-a-key")
    return found


def _cipher(number: int, at: int) -> _CipherKind:
    if number not in _CIPHERS:
        raise ParseError(f"cipher {number} is not supported", offset=at)
    return _CIPHERS[number]


def _stretch(body: bytes, at: int) -> tuple[_Stretch, int]:
    """The string-to-key specifier, and where it ends. Raises ParseError, NotHere."""
    kind, number = byte_at(body, at, "string-to-key"), byte_at(body, at + 1, "hash of string-to-key")
    if kind == GNU:
        mode = take(body, at + 2, 4, "GnuPG's extension")
        card = mode == b"GNU" + bytes([GNU_CARD])
        raise NotHere("its secret part is on a card" if card else "its secret part is not in the file")
    if number not in _HASHES:
        raise ParseError(f"hash {number} of string-to-key is not known", offset=at + 1)
    if kind == SIMPLE:
        return _Stretch(_HASHES[number]), at + 2
    if kind not in (SALTED, ITERATED):
        raise ParseError(f"string-to-key {kind} is not known", offset=at)
    salt = take(body, at + 2, 8, "salt")
    if kind == SALTED:
        return _Stretch(_HASHES[number], salt), at + 10
    coded = byte_at(body, at + 10, "count")
    return _Stretch(_HASHES[number], salt, (16 + (coded & 15)) << ((coded >> 4) + 6)), at + 11


def _decrypted(cipher: _CipherKind, key: bytes, start: bytes, data: bytes) -> bytes:
    decryptor = Cipher(cipher.make(key), CFB(start)).decryptor()
    return bytes(decryptor.update(data) + decryptor.finalize())


def _hashed(plain: bytes) -> bytes | None:
    digest = hashlib.sha1(plain[:-20], usedforsecurity=False).digest()
    return plain[:-20] if hmac.compare_digest(digest, plain[-20:]) else None


def _checked(plain: bytes) -> bytes | None:
    return plain[:-2] if sum(plain[:-2]) & 0xFFFF == int.from_bytes(plain[-2:]) else None


def _summed(plain: bytes, at: int) -> bytes:
    found = _checked(plain)
    if len(plain) < 2 or found is None:
        raise ParseError("the checksum of the secret numbers is wrong", offset=at)
    return found
