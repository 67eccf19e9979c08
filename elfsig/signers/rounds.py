"""How often a passphrase is hashed to get the key of a protected file: bounded before it is begun.

The number is in the file, after the identifier of the method (RFC 8018, appendix A; RFC 7292, appendices B
and C; RFC 7914, 7); libraries take any, and one of ten digits takes hours.
"""

from __future__ import annotations

import binascii
import re

from elfsig.crypto import der
from elfsig.errors import ParseError, SigningError

MOST = 10_000_000
"""Rounds, or what takes as long: some seconds. Tools write up to two million."""

_COUNTED = tuple(
    der.encode_oid(each)
    for each in (
        "1.2.840.113549.1.5.12",
        *(f"1.2.840.113549.1.5.{kind}" for kind in (1, 3, 4, 6, 10, 11)),
        *(f"1.2.840.113549.1.12.1.{kind}" for kind in range(1, 7)),
    )
)
"""PBKDF2, and the methods of PBES1 and PKCS#12: salt and number follow."""
_PARAMETERS = 512
"""Bytes of the parameters, at most."""
_SCRYPT = der.encode_oid("1.3.6.1.4.1.11591.4.11")
_PEM = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----(.*?)-----END", re.DOTALL)


def check(data: bytes, name: str) -> None:
    """Raises SigningError where the passphrase of ``data``, a file or a PEM block, is hashed too often."""
    if found := _PEM.search(data):
        try:
            data = binascii.a2b_base64(found[1])
        except binascii.Error:
            return
    most = max([_of_mac(data), *(_count(data, at) for each in _COUNTED for at in _ends(data, each))])
    most = max([most, *(_cost(data, at) for at in _ends(data, _SCRYPT))])
    if most > MOST:
        text = f"{name}: too many rounds of hashing for its passphrase: more than {MOST} are not tried"
        raise SigningError(text, code="not-a-key")


def _ends(data: bytes, oid: bytes) -> list[int]:
    return [found.end() for found in re.finditer(re.escape(oid), data)]


def _numbers(data: bytes, at: int) -> list[int]:
    """The numbers that follow the salt in the parameters at ``at``; none where there are no parameters."""
    try:
        _, *rest = der.children(data, der.read(data, at, min(len(data), at + _PARAMETERS)))
    except (ParseError, ValueError):
        return []
    return [int.from_bytes(data[each.body : each.end]) for each in rest if each.tag == 2]


def _count(data: bytes, at: int) -> int:
    return max(_numbers(data, at)[:1], default=0)


def _cost(data: bytes, at: int) -> int:
    """scrypt's N, r and p multiplied, which is about the rounds of PBKDF2 that take as long."""
    numbers = _numbers(data, at)[:3]
    return numbers[0] * numbers[1] * numbers[2] if len(numbers) == 3 else 0


def _of_mac(data: bytes) -> int:
    """The rounds for the MAC of a PKCS#12 file."""
    try:
        _, _, mac, *_ = der.children(data, der.read(data, 0, len(data)))
        _, _, rounds, *_ = der.children(data, mac)
    except (ParseError, ValueError):
        return 0
    return int.from_bytes(data[rounds.body : rounds.end])
