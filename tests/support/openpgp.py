"""Keys, signers and key rings in memory for the OpenPGP tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from elfsig.algorithms import HASHES
from elfsig.model import Certificate, FileRange, Key, KeyId, Message


@lru_cache
def private_key(kind: str) -> Any:
    """A throw-away key, made once a run: "rsa2048", "dsa1024" ..."""
    bits = int(kind[3:])
    return dsa.generate_private_key(bits) if kind[:3] == "dsa" else rsa.generate_private_key(65537, bits)


@dataclass(frozen=True)
class PlainSigner:
    """model.Signer over a key in memory."""

    private: Any
    algorithm: str
    certificate: Certificate | None = None

    @property
    def key_bits(self) -> int:
        return int(self.private.key_size)

    @property
    def public(self) -> Any:
        return self.private.public_key()

    def sign_digest(self, digest: bytes, hash_name: str) -> bytes:
        prehashed = Prehashed(getattr(hashes, HASHES[hash_name].hashlib.upper())())
        padding = (PKCS1v15(),) if self.algorithm == "rsa" else ()
        value: bytes = self.private.sign(digest, *padding, prehashed)
        return value

    def sign_message(self, message: bytes) -> bytes:
        raise AssertionError("OpenPGP signs digests")

    def sign_block(self, block: bytes) -> bytes:
        numbers = self.private.private_numbers()
        n = numbers.public_numbers.n
        opened: int = pow(int.from_bytes(block), numbers.d, n)
        return opened.to_bytes(len(block))


def signer(kind: str) -> PlainSigner:
    """A signer with the throw-away key of this kind."""
    return PlainSigner(private_key(kind), kind[:3])


@dataclass(frozen=True)
class Keys:
    """model.Keyring over a list."""

    keys: Sequence[Key]

    def find(self, key_id: KeyId) -> Sequence[Key]:
        return [key for key in self.keys if key_id in key.ids]

    def nameless(self, kind: str) -> Sequence[Key]:
        return [key for key in self.keys if all(each != kind for each, _ in key.ids)]


def message(data: bytes) -> Message:
    """A message that is exactly ``data``."""
    return Message("test", data, (FileRange(0, len(data)),))
