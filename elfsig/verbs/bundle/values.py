"""One signature's value as facts that openssl establishes."""

from __future__ import annotations

from collections.abc import Iterable

from elfsig.crypto.hashes import HASHES
from elfsig.crypto.pkcs1 import digest_info
from elfsig.model import SignedValue
from elfsig.verbs.bundle.checks import Line, Want, fact
from elfsig.verbs.bundle.entry import Entry


def openssl_name(hash_name: str) -> str:
    """What ``openssl dgst`` calls a hash: sha256, sha3-256, ripemd160."""
    return HASHES[hash_name].hashlib.replace("_", "-")


def add_values(
    entry: Entry, stem: str, stream: str, values: Iterable[SignedValue], key: str, want: Want
) -> list[str]:
    """Facts that one of ``values``, by the key in the file ``key``, is over the file ``stream``.

    Returns the names of the files of the values. Where a value is over a statement that holds the digest of
    the stream, that it does is a fact of its own, if the signature should match.
    """
    group, names = entry.group(), []
    digests = entry.group()
    for each in values:
        if each.hash and each.hash not in HASHES:
            continue
        name = entry.small(stem, ".value", each.value)
        names.append(name)
        suffix = entry.small(stem, ".suffix", each.suffix) if each.suffix else "-"
        signed = stream
        if each.statement is not None:
            signed = entry.small(stem, ".statement", each.statement)
            if each.digest_hash is not None and want == "yes":
                entry.checks.append(_holds_digest(digests, each, stream, signed))
        entry.checks.append(_line(group, want, each, (signed, suffix, name), key))
    return names


def _holds_digest(group: int, value: SignedValue, stream: str, statement: str) -> Line:
    row = HASHES[value.digest_hash or ""]
    size = str(row.size)
    name = openssl_name(row.name)
    return fact(group, "yes", "digest", name, stream, statement, value.digest_at, size)


def _line(group: int, want: Want, value: SignedValue, files: tuple[str, str, str], key: str) -> Line:
    """``files`` are what is hashed, what is hashed after it, and the value."""
    signed, suffix, name = files
    if value.scheme == "message":
        return fact(group, want, "message", signed, name, key)
    hash_name = openssl_name(value.hash)
    if value.scheme == "rsa":
        prefix = "-"
        if value.form == "info":
            size = HASHES[value.hash].size
            prefix = digest_info(value.hash, bytes(size))[:-size].hex()
        return fact(group, want, "rsa", value.form, hash_name, signed, suffix, name, key, prefix)
    if value.scheme == "rsa-pss":
        mask = openssl_name(value.mask_hash) if value.mask_hash in HASHES else hash_name
        return fact(group, want, "pss", hash_name, mask, value.salt, signed, name, key)
    return fact(group, want, "pair", hash_name, signed, suffix, name, key)
