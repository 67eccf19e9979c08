"""Roots of trees of module hashes: given as text, or read from a kernel image (proposal v5 of May 2026).

A kernel built so keeps the root in the section ``.module_hashes`` of vmlinux: number of levels, u32 in the
kernel's byte order, then 32 bytes of SHA-256. There is no key; the root takes its role.
"""

from __future__ import annotations

import re

from elfsig.elf.table import MAGIC, ElfTable
from elfsig.envelopes.merkle import HASH_SIZE, MAX_LEVELS, merkle_id
from elfsig.errors import KeySourceError, ParseError
from elfsig.model import Key, Why
from elfsig.trust.entries import MerkleRoot, Origin

SECTION = b".module_hashes"
_WORDS = re.compile(r"merkle:([0-9a-fA-F]{64})/([0-9]{1,2})")


def from_words(text: str, trusted: bool = True) -> MerkleRoot:
    """The root in ``merkle:HEX/LEVELS``. Raises KeySourceError."""
    found = _WORDS.fullmatch(text)
    if found is None or int(found[2]) > MAX_LEVELS:
        raise KeySourceError(
            f"{text}: expected merkle:HEX/LEVELS, 64 hex digits and at most {MAX_LEVELS} levels",
            code="merkle-root",
        )
    why = Why.SOURCE if trusted else Why.TRIED
    return MerkleRoot(bytes.fromhex(found[1]), int(found[2]), text, trusted, why)


def from_image(content: bytes, origin: Origin) -> MerkleRoot | None:
    """The root in a decompressed vmlinux, None where there is no valid one. Never raises."""
    if content[:4] != MAGIC or SECTION not in content:
        return None
    try:
        table = ElfTable(content)
        sections = table.named(SECTION)
        data = table.content(sections[0].nr) if sections else b""
    except ParseError:
        return None
    levels = int.from_bytes(data[:4], "big" if table.layout.order == ">" else "little")
    if len(data) < 4 + HASH_SIZE or levels > MAX_LEVELS or not any(data[4 : 4 + HASH_SIZE]):
        return None
    digest = data[4 : 4 + HASH_SIZE]
    return MerkleRoot(digest, levels, origin.source, origin.vouches, origin.reason, builtin=True)


def as_key(root: MerkleRoot) -> Key:
    """The root as a :class:`elfsig.model.Key`, like everything else that is looked up; ``public`` is None."""
    return Key(
        public=None,
        algorithm="merkle",
        bits=8 * HASH_SIZE,
        curve=None,
        ids=frozenset({("merkle", merkle_id(root.levels, root.digest))}),
        source=root.source,
        keyring="builtin" if root.builtin else "user",
        vouched=root.trusted,
        fingerprint=root.digest.hex(),
        label=f"root of {root.levels} levels of module hashes",
        why=root.why,
    )
