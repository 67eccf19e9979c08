"""ima_xattr: whether the hash or signature in a file's ``security.ima`` matches the file's content.

The value is a type byte followed by what the type says (security/integrity/integrity.h, enum
evm_ima_xattr_type): 1 a bare MD5 or SHA-1 digest, 4 a hash number and a digest, 3 a digsig over the file's
hash.
"""

from __future__ import annotations

import os
from typing import Final

from elfsig.coverages.whole_file import WHOLE_FILE
from elfsig.crypto.hashes import HASH_BY_KERNEL, HASHES, Hash
from elfsig.envelopes.digsig import Digsig
from elfsig.errors import ParseError
from elfsig.model import FileRange, Keyring, Message, Verdict
from elfsig.opened.module import Module

NAME: Final = "security.ima"
DIGEST, DIGSIG, DIGEST_NG = 1, 3, 4
_BARE: Final = {16: "md5", 20: "sha1"}


def value_of(path: str) -> bytes | None:
    """The attribute of the file, None where it has none or the file system keeps none."""
    try:
        return os.getxattr(path, NAME)
    except (OSError, ValueError):
        return None


def stale(value: bytes, module: Module, keys: Keyring | None) -> str | None:
    """Why the attribute does not match the file as stored; None where it does, or this cannot be decided."""
    kind, rest = value[:1], value[1:]
    if kind == bytes([DIGEST]):
        return _wrong(HASHES.get(_BARE.get(len(rest), "")), rest, module)
    if kind == bytes([DIGEST_NG]) and rest:
        return _wrong(HASH_BY_KERNEL.get(rest[0]), rest[1:], module)
    if kind == bytes([DIGSIG]) and keys is not None:
        return _mismatch(value, module, keys)
    return None


def _wrong(hash_: Hash | None, digest: bytes, module: Module) -> str | None:
    if hash_ is None:
        return None
    state = hash_.new()
    state.update(module.raw)
    if state.digest() == digest:
        return None
    return f"its {hash_.name} hash is of other content"


def _mismatch(value: bytes, module: Module, keys: Keyring) -> str | None:
    raw = module.raw
    message = Message(WHOLE_FILE, raw, (FileRange(0, len(raw)),))
    try:
        (signature,) = Digsig().parse(value, None)
    except ParseError as reason:
        return f"its signature cannot be read: {reason.text}"
    outcome = Digsig().verify(signature, message, keys)
    return "its signature is over other content" if outcome.verdict is Verdict.INVALID else None
