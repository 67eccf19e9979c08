"""The public key that made two RSA signatures, from the signatures alone.

A PKCS#1 v1.5 signature ``s`` by the key (n, e) over a message whose padded form (RFC 8017, 9.2) is ``em``
means that n divides ``s**e - em``. With two of them n divides the greatest common divisor, which is nearly
always n times a small number. What is found is proven: both signatures must verify under it.

The numbers are e times as long as the modulus, 268 million bits for RSA-4096 and the usual exponent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations, islice
from typing import Any, NamedTuple

from elfsig.crypto.checks import Unsupported
from elfsig.crypto.pkcs1 import pkcs1_block
from elfsig.errors import UsageError
from elfsig.model import Envelope, Message, RsaBody, Signature, optional

EXPONENTS = (3, 5, 17, 41, 257, 65537)
"""Tried in this order, and all but the last are cheap. GnuPG 1 began at 41, PGP at 17."""

PLAIN_LIMIT = 1 << 21
"""Maximum size of the numbers for Python's own arithmetic, in bits: about ten seconds, and growing with the
square. GMP takes about a minute for 268 million."""

MAX_PAIRS = 10
"""Maximum pairs to try: each may take minutes, and the first one is usually the answer."""

GMP_LIMIT = 1 << 31
"""Bits: twice RSA-16384 with the usual exponent, a gigabyte of memory or two."""

MIN_BITS, MAX_BITS = 512, 16384
_SMALL = 1 << 16
_WORD = 8


class Equation(NamedTuple):
    """``value**e`` is congruent to the padded form of one of ``bodies``, modulo the unknown key."""

    value: bytes
    bodies: tuple[RsaBody, ...]

    @property
    def number(self) -> int:
        return int.from_bytes(self.value)


class Solution(NamedTuple):
    """An RSA public key."""

    modulus: int
    exponent: int


# --------------------------------------------------------------------------- from signatures to equations


def equation(envelope: Envelope, signature: Signature, message: Message) -> Equation | None:
    """The equation of a signature over ``message``; None where it is not an RSA PKCS#1 v1.5 signature whose
    padding ``envelope`` knows, or where it cannot be computed on this machine."""
    bits = len(signature.value) * 8
    if signature.algorithm != "rsa" or not MIN_BITS <= bits <= MAX_BITS:
        return None
    try:
        bodies = tuple(optional.rsa_bodies(envelope, signature, message))
    except Unsupported:
        return None
    return Equation(signature.value, bodies) if bodies else None


# --------------------------------------------------------------------------- arithmetic


class Arithmetic(NamedTuple):
    """``number`` makes the integers, ``gcd`` is their greatest common divisor. They may have ``limit`` bits;
    ``beyond`` says what to do about longer ones."""

    number: Callable[[int], Any]
    gcd: Callable[[Any, Any], Any]
    limit: int
    beyond: str


PLAIN = Arithmetic(
    int,
    math.gcd,
    PLAIN_LIMIT,
    "for which Python's own arithmetic needs hours: install gmpy2 (pip install 'elfsig[recover]')",
)


def arithmetic() -> Arithmetic:
    """GMP's where gmpy2 is installed, else Python's own."""
    try:
        import gmpy2
    except ImportError:
        return PLAIN
    return Arithmetic(gmpy2.mpz, gmpy2.gcd, GMP_LIMIT, "which are too long")


Tell = Callable[[str], None]


def recover(
    equations: Sequence[Equation], exponents: Sequence[int], tell: Tell, by: Arithmetic
) -> Solution | None:
    """The key that made at least two of ``equations``; None where no two are by the same key.

    Pairs are tried in order, each with every exponent. ``tell`` gets a line before each long step. Raises
    UsageError where the numbers are too long for ``by``.
    """
    for exponent in exponents:
        for first, second in islice(combinations(equations, 2), MAX_PAIRS):
            for pair in _same_way(first, second):
                for size in _sizes(first, second):
                    found = _from_pair(first, second, pair, size, exponent, tell, by)
                    if found is not None:
                        return found
    return None


def _same_way(first: Equation, second: Equation) -> Iterator[tuple[bytes, bytes]]:
    """Pairs of bodies that the two signatures may be over: as many as the longer list has, not all
    combinations."""
    ways = max(len(first.bodies), len(second.bodies))
    for way in range(ways):
        a, b = (each.bodies[min(way, len(each.bodies) - 1)] for each in (first, second))
        yield a.content, b.content


def _sizes(first: Equation, second: Equation) -> list[int]:
    """Bytes that the modulus may have: values may be shorter, since OpenPGP and IMA drop leading zeros."""
    longest = max(len(first.value.lstrip(b"\0")), len(second.value.lstrip(b"\0")))
    return list(dict.fromkeys((-(-longest // _WORD) * _WORD, longest)))


def _from_pair(
    first: Equation,
    second: Equation,
    bodies: tuple[bytes, bytes],
    size: int,
    exponent: int,
    tell: Tell,
    by: Arithmetic,
) -> Solution | None:
    padded = [pkcs1_block(body, size) for body in bodies]
    if first.number == second.number or None in padded:
        return None
    bits = size * 8 * exponent
    _check_length(bits, size, exponent, by)
    if bits > PLAIN_LIMIT:
        tell(f"RSA-{size * 8}, exponent {exponent}: numbers of {bits // 1_000_000} million bits")
    pairs = [(each.number, int.from_bytes(p)) for each, p in zip((first, second), padded, strict=True) if p]
    left, right = (by.number(value) ** exponent - em for value, em in pairs)
    modulus = _without_small_factors(int(by.gcd(left, right)))
    if not (size - 1) * 8 < modulus.bit_length() <= size * 8:
        return None
    holds = all(value < modulus and pow(value, exponent, modulus) == em for value, em in pairs)
    return Solution(modulus, exponent) if holds else None


def _check_length(bits: int, size: int, exponent: int, by: Arithmetic) -> None:
    if bits > by.limit:
        length = f"numbers of {bits // 1_000_000} million bits"
        raise UsageError(
            f"RSA-{size * 8} with the exponent {exponent} takes {length}, {by.beyond}", code="needs-gmpy2"
        )


def _without_small_factors(number: int) -> int:
    """``number`` without its prime factors below 65536, which no modulus has."""
    product = math.gcd(number, _small_primes())
    while product > 1:
        number //= product
        product = math.gcd(number, product)
    return number


@cache
def _small_primes() -> int:
    """The product of the primes below 65536, which takes longer than all else for a small exponent."""
    sieve = bytearray([1]) * _SMALL
    for n in range(2, math.isqrt(_SMALL) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, _SMALL, n)))
    return math.prod(n for n in range(2, _SMALL) if sieve[n])


def made_by(each: Equation, found: Solution) -> bool:
    """Whether the signature verifies under the recovered key."""
    opened = pow(each.number, found.exponent, found.modulus)
    size = (found.modulus.bit_length() + 7) // 8
    blocks = (pkcs1_block(body.content, size) for body in each.bodies)
    return each.number < found.modulus and any(
        block is not None and int.from_bytes(block) == opened for block in blocks
    )
