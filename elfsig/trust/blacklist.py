"""The kernel's own list of blacklisted hashes, as supplied to its build (CONFIG_SYSTEM_BLACKLIST_HASH_LIST).

Text of entries "tbs:HEX" (the hash of a certificate's signed part) and "bin:HEX" (of a file), as the strings
of a C initialiser (certs/blacklist_hashes.c includes it in one; scripts/check-blacklist-hashes.awk splits it
at commas); or without quotes, with blanks or commas between them. Every entry revokes.
"""

from __future__ import annotations

import re

from elfsig.errors import ParseError
from elfsig.recognition.text import plain_text
from elfsig.trust.entries import Material, Origin, Revocation, RevokedHash

_ENTRY = re.compile(rb'(?:"(tbs|bin):([0-9a-f]+)"|(tbs|bin):([0-9a-f]+))(?=[\s,]|$)')
_BETWEEN = re.compile(rb"[\s,]*")
_HASHES = {40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
NAME = "kernel blacklist"


def is_list(data: bytes) -> bool:
    """Whether the first word is an entry."""
    return _ENTRY.match(plain_text(data[:4096]).lstrip()) is not None


def read(data: bytes, origin: Origin) -> Material:
    """The hashes. Raises ParseError for what is not an entry: a list with a gap would let it pass."""
    text = plain_text(data)
    found: list[Revocation] = []
    at = _after(text, 0)
    while at < len(text):
        match = _ENTRY.match(text, at)
        kind, digits = (match[1] or match[3], match[2] or match[4]) if match else (b"", b"")
        name = _HASHES.get(len(digits))
        if match is None or name is None:
            raise ParseError("neither tbs: nor bin: with a hash", offset=at, code="revocation-lost")
        hashed = RevokedHash(kind.decode(), name, bytes.fromhex(digits.decode()))
        where = origin.at(at).provenance._replace(container=NAME)
        found.append(Revocation(hashed, origin.source, where, in_kernel=True))
        at = _after(text, match.end())
    return Material(revocations=tuple(found))


def _after(text: bytes, at: int) -> int:
    """Where the next entry starts, after blanks and commas."""
    between = _BETWEEN.match(text, at)
    return between.end() if between else at
