"""Making OpenPGP signatures and public rings with a bare RSA or DSA key (RFC 4880 5.2, 5.5, 11.1)."""

from __future__ import annotations

import time
from collections.abc import Callable

from elfsig.crypto import der
from elfsig.crypto.hashes import HASHES, hash_named
from elfsig.envelopes.openpgp.keys import key_body, v4_fingerprint
from elfsig.envelopes.openpgp.packets import (
    ALGORITHM_IDS,
    CREATED,
    ISSUER,
    PUBLIC_KEY,
    SIGNATURE,
    USER_ID,
    mpi,
    subpacket,
    v4_completion,
    write_packet,
)
from elfsig.errors import SigningError
from elfsig.model import Hasher, Message, PacketSigner, Signer, SignOptions

DEFAULT_HASH = "sha1"
POSITIVE_CERTIFICATION = 0x13
KEY_FLAGS = 27
_TIMES = range(1 << 32)
Feed = Callable[[Hasher], object]


def hash_for(algorithm: str, hash_name: str) -> str:
    """For DSA, which does not depend on the hash's name: a hash of the same size in cryptography."""
    return "sha1" if algorithm == "dsa" and hash_name == "rmd160" else hash_name


def make_signature(message: Message, signer: Signer | PacketSigner, options: SignOptions) -> bytes:
    """A signature packet of class 0x00 over ``message``. Raises SigningError."""
    hash_name = hash_named(options.hash or DEFAULT_HASH).name
    if not isinstance(signer, Signer):
        return signer.sign_packet(message.to_bytes(), hash_name, options)
    _check_wish(signer, hash_name, options)
    created = int(time.time()) if options.created is None else options.created
    key_id = v4_fingerprint(key_body(signer.public, created_of(signer, options.key_created)))[-8:]
    body = _v3 if options.packet_version == 3 else _v4
    return write_packet(SIGNATURE, body(message.feed, signer, hash_name, created, key_id))


def created_of(signer: Signer, wished: int = 0) -> int:
    """The creation time that decides the key's OpenPGP id: the one wished for, else the key's own, else 0.

    Raises SigningError for a time that OpenPGP cannot express.
    """
    _check_time(wished)
    return wished or int(getattr(signer, "key_created", 0))


def _check_time(when: int | None) -> None:
    if when is not None and when not in _TIMES:
        raise SigningError("OpenPGP times are seconds since 1970, below 2^32", code="time-out-of-range")


def _check_wish(signer: Signer, hash_name: str, options: SignOptions) -> None:
    if signer.algorithm not in ALGORITHM_IDS:
        raise SigningError(
            f"OpenPGP signatures of modules are RSA or DSA, not {signer.algorithm}", code="wrong-key"
        )
    if HASHES[hash_name].openpgp is None:
        raise SigningError(f"OpenPGP has no number for {hash_name}", code="unknown-hash")
    if options.packet_version not in (3, 4):
        raise SigningError(f"OpenPGP signatures are made of version 3 or 4, not {options.packet_version}")
    _check_time(options.created)
    _check_time(options.key_created)
    if signer.algorithm == "dsa" and not options.force:
        q: int = signer.public.parameters().parameter_numbers().q
        if HASHES[hash_name].size * 8 < q.bit_length():
            raise SigningError(
                f"{hash_name} is shorter than this DSA key's q of {q.bit_length()} bits: GnuPG refuses such "
                "signatures; take a longer hash, or a key with a q of 160 bits",
                code="hash-too-short",
            )


def _v3(feed: Feed, signer: Signer, hash_name: str, created: int, key_id: bytes) -> bytes:
    """Body of a v3 signature: RFC 4880 5.2.2."""
    hashed = b"\x00" + created.to_bytes(4)
    left16, value = _sign(feed, hashed, signer, hash_name)
    return b"\x03\x05" + hashed + key_id + _algorithms(signer, hash_name) + left16 + value


def _v4(
    feed: Feed,
    signer: Signer,
    hash_name: str,
    created: int,
    key_id: bytes,
    sig_class: int = 0x00,
    more: bytes = b"",
) -> bytes:
    """Body of a v4 signature as GnuPG 1.x wrote it: creation time (and ``more``) hashed, issuer not."""
    area = subpacket(CREATED, created.to_bytes(4)) + more
    head = bytes([4, sig_class]) + _algorithms(signer, hash_name) + len(area).to_bytes(2) + area
    left16, value = _sign(feed, v4_completion(head), signer, hash_name)
    unhashed = subpacket(ISSUER, key_id)
    return head + len(unhashed).to_bytes(2) + unhashed + left16 + value


def _algorithms(signer: Signer, hash_name: str) -> bytes:
    return bytes([ALGORITHM_IDS[signer.algorithm], HASHES[hash_name].openpgp or 0])


def _sign(feed: Feed, completion: bytes, signer: Signer, hash_name: str) -> tuple[bytes, bytes]:
    """(left 16 bits of the digest, the signature's numbers)."""
    state = HASHES[hash_name].new()
    feed(state)
    state.update(completion)
    digest: bytes = state.digest()
    value = signer.sign_digest(digest, hash_for(signer.algorithm, hash_name))
    numbers = [int.from_bytes(value)] if signer.algorithm == "rsa" else _pair(value)
    return digest[:2], b"".join(map(mpi, numbers))


def _pair(value: bytes) -> list[int]:
    """r and s of a DER SEQUENCE of two INTEGERs."""
    outer = der.read(value, 0, len(value))
    return [int.from_bytes(value[node.body : node.end], signed=True) for node in der.children(value, outer)]


def make_ring(
    signer: Signer, user_id: str, *, key_created: int = 0, created: int | None = None, hash: str | None = None
) -> bytes:
    """A binary public ring for a PEM key: public key, user id, and the self-signature that GnuPG requires.

    ``created`` is the time of the self-signature, the key's own creation time unless given; ``hash`` its
    hash, SHA-256 unless given. Raises SigningError.
    """
    hash_name = hash_named(hash or "sha256").name
    _check_wish(signer, hash_name, SignOptions(created=created, key_created=key_created))
    key_created = created_of(signer, key_created)
    body, name = key_body(signer.public, key_created), user_id.encode()
    # RFC 4880 5.2.4: a certification hashes the key and the user id, each after a fixed header.
    certified = b"\x99" + len(body).to_bytes(2) + body + b"\xb4" + len(name).to_bytes(4) + name
    flags = subpacket(KEY_FLAGS, b"\x03")  # certifies and signs
    self_signature = _v4(
        lambda state: state.update(certified),
        signer,
        hash_name,
        key_created if created is None else created,
        v4_fingerprint(body)[-8:],
        POSITIVE_CERTIFICATION,
        flags,
    )
    return (
        write_packet(PUBLIC_KEY, body) + write_packet(USER_ID, name) + write_packet(SIGNATURE, self_signature)
    )
