"""The kernel's own list of blacklisted hashes, as supplied to its build (CONFIG_SYSTEM_BLACKLIST_HASH_LIST).

Text of entries "tbs:HEX" (the hash of a certificate's signed part) and "bin:HEX" (of a file), with or without
quotes and commas (certs/blacklist_hashes.c, scripts/check-blacklist-hashes.awk). Every entry revokes.
"""

from __future__ import annotations

import re

from elfsig.errors import ParseError
from elfsig.trust.entries import Material, Origin, Revocation, RevokedHash

_ENTRY = re.compile(rb'"?(tbs|bin):([0-9a-f]+)"?,?')
_HASHES = {40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
NAME = "kernel blacklist"


def is_list(data: bytes) -> bool:
    """Whether the first word is an entry."""
    first = data[:4096].split(None, 1)
    return bool(first) and _ENTRY.fullmatch(first[0]) is not None


def read(data: bytes, origin: Origin) -> Material:
    """The hashes. Raises ParseError for a word that is not an entry: a list with a gap would let it pass."""
    found: list[Revocation] = []
    at = 0
    for word in data.split():
        at = data.index(word, at)
        match = _ENTRY.fullmatch(word)
        name = _HASHES.get(len(match[2])) if match else None
        if match is None or name is None:
            raise ParseError("neither tbs: nor bin: with a hash", offset=at, code="revocation-lost")
        hashed = RevokedHash(match[1].decode(), name, bytes.fromhex(match[2].decode()))
        where = origin.at(at).provenance._replace(container=NAME)
        found.append(Revocation(hashed, origin.source, where, in_kernel=True))
        at += len(word)
    return Material(revocations=tuple(found))
