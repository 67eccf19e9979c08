"""Private keys, wherever they are stored, and the options for making a signature."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from elfsig.lazy_tuple import NamedTuple
from elfsig.model.key import Certificate


@runtime_checkable
class Signer(Protocol):
    """A private key, wherever it is stored, with its certificate."""

    @property
    def algorithm(self) -> str:
        """rsa, dsa, ecdsa, ed25519, ed448, mldsa44, mldsa65 or mldsa87."""
        ...

    @property
    def key_bits(self) -> int:
        """Size of the key in bits: of the modulus, or of the curve's field."""
        ...

    @property
    def public(self) -> Any:
        """The public half, an object of the cryptography library."""
        ...

    @property
    def certificate(self) -> Certificate | None:
        """The key's certificate; None if there is none."""
        ...

    def sign_digest(self, digest: bytes, hash_name: str) -> bytes:
        """RSA: PKCS#1 v1.5 with DigestInfo, modulus-sized. DSA, ECDSA: DER SEQUENCE of r and s."""
        ...

    def sign_message(self, message: bytes) -> bytes:
        """ML-DSA and EdDSA: the signature over the message itself."""
        ...

    def sign_block(self, block: bytes) -> bytes:
        """RSA: ``block`` (modulus-sized, big-endian, padding included) to the private exponent."""
        ...


class PacketSigner(Protocol):
    """A signer that returns whole OpenPGP packets and no raw values: GnuPG."""

    @property
    def algorithm(self) -> str:
        """rsa or dsa: what kernels read in OpenPGP signatures."""
        ...

    @property
    def key_bits(self) -> int:
        """Size of the key in bits, as reported by GnuPG."""
        ...

    def sign_packet(self, stream: bytes, hash_name: str, options: SignOptions) -> bytes:
        """A binary detached OpenPGP signature over ``stream``."""
        ...

    def encrypt_packet(self, stream: bytes) -> bytes:
        """A binary OpenPGP message holding ``stream``, encrypted to this key."""
        ...


class SignOptions(NamedTuple):
    """Options for making a signature; None leaves the choice to the format.

    ``hash`` is elfsig's hash name (sha256, sha3-384...). ``keyid``: name the signer by subject key id
    (``sign-file -k``). ``payload``: gkh's openpgp, raw-rsa, encrypted-digest; digsig's v1, v2.
    ``kernel``: the elfsig.kernels.profile.Profile it is for; what that does not read is remarked.
    ``created``: signing time in seconds since 1970. ``key_created``: creation time that gives a PEM key
    its OpenPGP key id. ``force``: override safety refusals of the format.
    """

    hash: str | None = None
    coverage: str | None = None
    payload: str | None = None
    keyid: bool = False
    packet_version: int = 4
    section_name: str | None = None
    created: int | None = None
    key_created: int = 0
    force: bool = False
    digest_null: bool = False
    engine: str = "exact"
    kernel: Any = None
