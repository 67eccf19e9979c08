"""The Secure Boot matrix: who signed, with what, and what was revoked or changed afterwards."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from typing import NamedTuple

from cryptography import x509

from elfsig.compression.whole import pack
from tests.oracle.cases import Case, made
from tests.oracle.kernel import Kernel
from tests.oracle.secure_keys import Files, keys
from tests.support.cms import Identity, attributes, cms, signer_info, tlv
from tests.support.verdicts import flipped, good, signed, trailed


class Matrix(NamedTuple):
    """The cases, and the contents whose SHA-256 is revoked."""

    cases: list[Case]
    revoked: Files


def matrix(kernel: Kernel) -> Matrix:
    """All cases over a module of ``kernel``."""
    base = kernel.base
    shipped = kernel.shipped
    cases = [Case("as shipped, unpacked", shipped.content), Case("not signed", base)]
    if shipped.compression:
        cases.append(Case("as shipped", shipped.raw, unpack=shipped.compression))
    for group in (_by_each_key, _hashes, _changed, _several, _embedded, _packed):
        cases += group(base)
    files = Files([_mok(base + b"dbx"), base + b"inside"], [_mok(base + b"mokx")])
    cases.append(Case("SHA-256 of the whole file in dbx", files.dbx[0]))
    cases.append(Case("SHA-256 of the whole file in MokListX", files.mokx[0]))
    cases.append(Case("SHA-256 of the module alone in dbx", _mok(files.dbx[1])))
    return Matrix(cases, files)


def who(name: str) -> Identity:
    return keys()[name].identity


def _mok(content: bytes, hash_name: str = "sha256") -> bytes:
    return signed(who("mok"), content, hash_name)


_OWN_HASH = {"mok_ed25519": "sha512", "mok_p521": "sha512", "mok_p384": "sha384"}


def _by_each_key(base: bytes) -> Iterator[Case]:
    for name, placed in keys().items():
        content = signed(placed.identity, base, _OWN_HASH.get(name, "sha256"))
        yield Case(f"signed by {name}", content)
    nameless = who("mok_noskid")
    skid = x509.SubjectKeyIdentifier.from_public_key(nameless.private.public_key()).digest
    named = signer_info(nameless, base, sid=tlv(0x80, skid), version=3)
    yield Case("mok_noskid, named by key id", trailed(cms(named, version=3), base))
    yield Case("mok, named by key id", signed(who("mok"), base, keyid=True))


def _hashes(base: bytes) -> Iterator[Case]:
    for hash_name in ("sha1", "sha384", "sha512", "sha3-256", "sha3-512"):
        yield Case(f"mok, {hash_name}", _mok(base, hash_name))
    yield Case("mok_p256, sha512", signed(who("mok_p256"), base, "sha512"))
    yield Case("mok_p384, sha3-384", signed(who("mok_p384"), base, "sha3-384"))


def _changed(base: bytes) -> Iterator[Case]:
    yield Case("mok, signed attributes", signed(who("mok"), base, attrs=attributes(base, "sha256")))
    blob = good(who("mok"), base)
    yield Case("mok, value damaged", trailed(flipped(blob, len(blob) - 1), base))
    yield Case("mok, a bit of the module changed", flipped(_mok(base), base.index(b"description=") + 12))
    yield Case("x509 form, mok", made(base, "x509", who("mok")))


def _several(base: bytes) -> Iterator[Case]:
    pairs = (("mok", "stranger"), ("stranger", "mok"), ("mok", "mok_dbx"), ("stranger", "leaf"))
    for pair in pairs:
        infos = [signer_info(who(name), base) for name in pair]
        yield Case(f"two signers, {pair[0]} and {pair[1]}", trailed(cms(*infos), base))
    right, wrong = signer_info(who("mok"), base), signer_info(who("db"), base + b"something else")
    yield Case("two signers, mok right and db wrong", trailed(cms(right, wrong), base))
    for inner, outer in (("mok", "stranger"), ("stranger", "mok")):
        content = signed(who(outer), signed(who(inner), base))
        yield Case(f"signed twice, {inner} inside, {outer} outside", content)


def _embedded(base: bytes) -> Iterator[Case]:
    for name, more in (("mok", ()), ("leaf", ()), ("stranger", ()), ("leaf", ("mok_ca",))):
        certificates = [who(each).certificate for each in (name, *more)]
        blob = cms(signer_info(who(name), base), certificates=certificates)
        yield Case(f"certificate embedded, {' and '.join((name, *more))}", trailed(blob, base))


def _packed(base: bytes) -> Iterator[Case]:
    inside = {"mok": _mok(base), "stranger": signed(who("stranger"), base), "no signature": base}
    for name, content in inside.items():
        yield Case(f"xz, {name} inside", pack(content, "xz"), unpack="xz")
    packed = lzma.compress(base, check=lzma.CHECK_CRC32)
    yield Case("xz, mok after it", _mok(packed), unpack="xz")
