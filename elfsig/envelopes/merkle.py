"""Envelope ``merkle``: the proof that a module belongs to a kernel build (proposal v5 of May 2026).

Layout, big-endian: u32 position of the leaf, then one SHA-256 per level. Leaf =
SHA256(01 || position || module), node = SHA256(02 || left || right); bit i of the position says whether
the running hash is the left (0) or the right (1) child. There is no key: the root and the number of levels
suffice to check. A root is given as a key with the id ("merkle", u32 levels || root).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from elfsig.errors import ParseError, SigningError
from elfsig.lazy_dataclass import dataclass
from elfsig.model import (
    Cause,
    HashStep,
    Keyring,
    Message,
    Outcome,
    PacketSigner,
    Params,
    Signature,
    Signer,
    SignOptions,
    Verdict,
)

HASH_SIZE = 32
MAX_LEVELS = 32


@dataclass(frozen=True, slots=True)
class Merkle:
    """A path of sibling hashes from the module to the root."""

    suffix: ClassVar[str] = ".merkle"
    id: str = "merkle"

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """One signature. Raises ParseError with the offset in ``blob``."""
        levels, rest = divmod(len(blob) - 4, HASH_SIZE)
        if len(blob) < 4 or rest or levels > MAX_LEVELS:
            raise ParseError(
                f"a Merkle proof is 4 bytes and 32 for each of at most {MAX_LEVELS} levels, not {len(blob)}",
                offset=len(blob),
            )
        position = int.from_bytes(blob[:4], "big")
        if position >> levels:
            raise ParseError(
                f"leaf position {position} does not exist in a tree of {levels} levels", offset=0
            )
        facts = {"merkle_position": position, "merkle_levels": levels}
        return (Signature("merkle", "merkle", "sha256", blob[4:], facts=facts),)

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Walk the path; VALID if the resulting root was vouched for."""
        root = walk(message, signature.facts["merkle_position"], signature.value)
        levels = signature.facts["merkle_levels"]
        for key in keys.find(("merkle", merkle_id(levels, root))):
            word = Verdict.VALID if key.trusted else Verdict.UNTRUSTED
            return Outcome(word, f"leads to the root {root.hex()} of {levels} levels", key)
        if any(kind == "merkle" for key in keys.keys for kind, _ in key.ids):
            text = f"leads to the root {root.hex()}, which is not one of those given"
            cause = Cause("other-root", text, {"root": root.hex(), "levels": levels})
            return Outcome(Verdict.UNKNOWN_KEY, text, cause=cause)
        return Outcome(
            Verdict.UNSUPPORTED,
            f"a Merkle proof has no key; it leads to the root {root.hex()} of {levels} levels, and the "
            "kernel's own root was not given (as merkle:HEX/LEVELS)",
        )

    def hash_steps(self, signature: Signature) -> Sequence[HashStep]:
        """The leaf, then one node for each level; the last is the root."""
        return steps(signature.facts["merkle_position"], signature.value)

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """Always SigningError: a proof is made from all modules of a kernel build at once."""
        raise SigningError("a Merkle proof is made by the kernel build over all of its modules")


def merkle_id(levels: int, root: bytes) -> bytes:
    """The key id of a root: u32 levels, big-endian, then the 32 bytes of the root."""
    return levels.to_bytes(4, "big") + root


def walk(message: Message, position: int, siblings: bytes) -> bytes:
    """The root that a proof leads to, 32 bytes."""
    from hashlib import sha256

    first, *levels = steps(position, siblings)
    leaf = sha256(first.before)
    message.feed(leaf)
    node = leaf.digest()
    for step in levels:
        node = sha256(step.before + node + step.after).digest()
    return node


def steps(position: int, siblings: bytes) -> list[HashStep]:
    """The hashes that lead from the message to the root, in order."""
    found = [HashStep(b"\x01" + position.to_bytes(4, "big"))]
    for level in range(len(siblings) // HASH_SIZE):
        sibling = siblings[level * HASH_SIZE : (level + 1) * HASH_SIZE]
        is_right = position >> level & 1
        found.append(HashStep(b"\x02" + sibling) if is_right else HashStep(b"\x02", sibling))
    return found
