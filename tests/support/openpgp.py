"""Keys, signers and key rings in memory for the OpenPGP tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import dsa, rsa

from elfsig.model import Candidates, FileRange, Key, KeyId, Loss, Message
from elfsig.signers.pem import FileSigner


@lru_cache
def private_key(kind: str) -> Any:
    """A throw-away key, made once a run: "rsa2048", "dsa1024" ..."""
    bits = int(kind[3:])
    return dsa.generate_private_key(bits) if kind[:3] == "dsa" else rsa.generate_private_key(65537, bits)


def signer(kind: str) -> FileSigner:
    """A signer with the throw-away key of this kind."""
    private = private_key(kind)
    return FileSigner(private, private.public_key(), kind[:3], private.key_size, None)


@dataclass(frozen=True)
class Keys:
    """model.Keyring over a list."""

    keys: Sequence[Key]

    def find(self, key_id: KeyId) -> Sequence[Key]:
        return [key for key in self.keys if key_id in key.ids]

    def nameless(self, kind: str) -> Sequence[Key]:
        return [key for key in self.keys if all(each != kind for each, _ in key.ids)]

    def candidates(self, ids: Iterable[KeyId]) -> Candidates:
        wanted = list(ids)
        named = dict.fromkeys(key for each in wanted for key in self.find(each))
        kinds = sorted({kind for kind, _ in wanted} or {""})
        rest = dict.fromkeys(key for kind in kinds for key in self.nameless(kind) if key not in named)
        return Candidates(tuple(named), tuple(rest))

    losses: Sequence[Loss] = ()
    revokes_files: bool = False

    def revokes(
        self, certificate: bytes | None = None, key: Key | str | None = None, file: bytes | None = None
    ) -> str | None:
        return key.source if isinstance(key, Key) and key.revoked else None


def message(data: bytes) -> Message:
    """A message that is exactly ``data``."""
    return Message("test", data, (FileRange(0, len(data)),))
