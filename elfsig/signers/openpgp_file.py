"""OpenPGP secret keys in files, as gpg --export-secret-keys writes them (RFC 4880 5.5.3, RFC 6637).

Version 4 keys of RSA, DSA, ECDSA and EdDSA, with or without a passphrase. A file holds a primary key and
subkeys: what signs is the first of them that may sign and whose secret part is in the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from elfsig.crypto import der
from elfsig.envelopes.openpgp import packets
from elfsig.envelopes.openpgp.keys import armour_blocks, is_armoured
from elfsig.envelopes.openpgp.packets import Packet
from elfsig.errors import ParseError, SigningError
from elfsig.lazy_tuple import NamedTuple
from elfsig.signers.loaded import Ask, Loaded
from elfsig.signers.openpgp_protection import NotHere, unprotected

MAX_KEYS = 64
"""Keys of one file to look at."""

RSA, RSA_SIGN, DSA, ECDSA, EDDSA = 1, 3, 17, 19, 22
KEY_FLAGS, MAY_SIGN = 27, 2
DSA_OID = "1.2.840.10040.4.1"
_PUBLIC_NUMBERS = {RSA: 2, RSA_SIGN: 2, DSA: 4, ECDSA: 1, EDDSA: 1}
_SECRET_NUMBERS = {RSA: 4, RSA_SIGN: 4, DSA: 1, ECDSA: 1, EDDSA: 1}
_CURVES: dict[str, ec.EllipticCurve] = {
    "1.2.840.10045.3.1.7": ec.SECP256R1(),
    "1.3.132.0.34": ec.SECP384R1(),
    "1.3.132.0.35": ec.SECP521R1(),
    "1.3.132.0.10": ec.SECP256K1(),
    "1.3.36.3.3.2.8.1.1.7": ec.BrainpoolP256R1(),
    "1.3.36.3.3.2.8.1.1.11": ec.BrainpoolP384R1(),
    "1.3.36.3.3.2.8.1.1.13": ec.BrainpoolP512R1(),
}
_ED25519, _ED448 = "1.3.6.1.4.1.11591.15.1", "1.3.101.113"


class SecretKey(NamedTuple):
    """A secret-key packet: the public part's fields, and where the protected part starts in its body."""

    body: bytes
    created: int
    algorithm: int
    curve: str
    numbers: tuple[int, ...]
    end: int


def load_openpgp(data: bytes, ask: Ask, name: str) -> Loaded:
    """The private key that signs. Raises SigningError: no such key, wrong passphrase, a form not known."""
    try:
        return _load(data, ask, name)
    except ParseError as fault:
        text = f"{name}: an OpenPGP secret key that cannot be read: {fault}"
        raise SigningError(text, code="not-a-key") from None


def _load(data: bytes, ask: Ask, name: str) -> Loaded:
    why = "no key in it can sign"
    for packet, following in _keys(_binary(data)):
        try:
            key = read_secret(packet.body)
        except ParseError as fault:
            if fault.code != "key-algorithm":
                raise
            continue
        if not _may_sign(following, packet.tag == packets.SECRET_KEY):
            continue
        try:
            secret = unprotected(key.body, key.end, lambda: ask(name), name)
        except NotHere as elsewhere:
            why = str(elsewhere)
            continue
        return Loaded(private_key(key, secret), (), key.created)
    raise SigningError(f"{name}: an OpenPGP secret key file: {why}", code="not-a-key")


def _binary(data: bytes) -> bytes:
    """The packets, out of their armour. Raises ParseError."""
    if not is_armoured(data):
        return data
    blocks, faults = armour_blocks(data)
    found = next((block for kind, block in blocks if kind == "PRIVATE KEY BLOCK"), None)
    if found is None:
        raise faults[0] if faults else ParseError("no complete OpenPGP armour", offset=0)
    return found


def _keys(data: bytes) -> Iterator[tuple[Packet, Sequence[Packet]]]:
    """Each secret key with the packets that follow it. Raises ParseError."""
    found = list(packets.read_packets(data))
    wanted = (packets.SECRET_KEY, packets.SECRET_SUBKEY)
    starts = [at for at, packet in enumerate(found) if packet.tag in wanted][:MAX_KEYS]
    for start, end in zip(starts, [*starts, len(found)][1:], strict=True):
        yield found[start], found[start + 1 : end]


def _may_sign(following: Sequence[Packet], without_flags: bool) -> bool:
    """Whether the signatures on a key say that it signs data (RFC 4880 5.2.3.21), ``without_flags`` where
    they do not mention it. Raises ParseError."""
    flags: list[int] = []
    for packet in following:
        if packet.tag == packets.SIGNATURE:
            for each in packets.read_signature(packet.body).subpackets:
                if each.type == KEY_FLAGS and each.hashed and each.data:
                    flags.append(each.data[0])
    return any(flag & MAY_SIGN for flag in flags) if flags else without_flags


def read_secret(body: bytes) -> SecretKey:
    """The public part of a secret-key packet. Raises ParseError; key-algorithm for keys that do not sign."""
    version = packets.byte_at(body, 0, "version of the key")
    if version != 4:
        raise ParseError(f"secret key of version {version}: only 4 is known", offset=0)
    created = int.from_bytes(packets.take(body, 1, 4, "creation time of the key"))
    algorithm = packets.byte_at(body, 5, "algorithm of the key")
    if algorithm not in _PUBLIC_NUMBERS:
        raise ParseError(f"algorithm {algorithm} does not sign", offset=5, code="key-algorithm")
    at, curve = 6, ""
    if algorithm in (ECDSA, EDDSA):
        size = packets.byte_at(body, at, "length of the curve's identifier")
        curve = der.decode_oid(packets.take(body, at + 1, size, "identifier of the curve"))
        at += 1 + size
    numbers, end = packets.read_mpis(body, at, _PUBLIC_NUMBERS[algorithm])
    return SecretKey(body, created, algorithm, curve, numbers, end)


def private_key(key: SecretKey, secret: bytes) -> Any:
    """The cryptography library's object. Raises ParseError for numbers that are not a key."""
    numbers, end = packets.read_mpis(secret, 0, _SECRET_NUMBERS[key.algorithm])
    if end != len(secret):
        raise ParseError(f"{len(secret) - end} bytes after the secret numbers", offset=key.end)
    try:
        if key.algorithm in (RSA, RSA_SIGN):
            return _rsa(*key.numbers, *numbers)
        if key.algorithm == DSA:
            return _dsa(key.numbers, numbers[0])
        return _on_curve(key.curve, numbers[0])
    except (ValueError, OverflowError, ZeroDivisionError) as reason:
        raise ParseError(f"its numbers are not a key: {reason}", offset=key.end) from None


def _rsa(n: int, e: int, d: int, p: int, q: int, _: int) -> Any:
    if p * q != n:
        raise ValueError("the primes do not give the modulus")
    inner = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(e, n)
    )
    return inner.private_key(unsafe_skip_rsa_key_validation=True)


def _dsa(public: tuple[int, ...], x: int) -> Any:
    """Through PKCS#8, which takes groups of all sizes that GnuPG 1 made, such as 768 bits."""
    group = der.encode(der.SEQUENCE, *map(der.encode_integer, public[:3]))
    kind = der.encode(der.SEQUENCE, der.encode_oid(DSA_OID), group)
    inner = der.encode(der.OCTETS, der.encode_integer(x))
    return load_der_private_key(der.encode(der.SEQUENCE, der.encode_integer(0), kind, inner), None)


def _on_curve(curve: str, scalar: int) -> Any:
    if curve == _ED25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(scalar.to_bytes(32))
    if curve == _ED448:
        return ed448.Ed448PrivateKey.from_private_bytes(scalar.to_bytes(57))
    if curve not in _CURVES:
        raise ValueError(f"the curve {curve} is not known")
    return ec.derive_private_key(scalar, _CURVES[curve])
