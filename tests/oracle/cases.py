"""The matrix: files of every kind that a kernel may be shown, most of them made by elfsig's own verbs.

All are made from one real module of the kernel that is asked, without its signature, so that what is
accepted really loads; those of :mod:`tests.support.verdicts` are of a toy module, which no kernel loads.
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import rsa

from elfsig import registry
from elfsig.carriers.trailer import MARKER
from elfsig.compression.whole import Compression, pack
from elfsig.crypto.certificate import parse
from elfsig.crypto.public_keys import describe
from elfsig.model import Existing, SignOptions
from elfsig.opened import evidence
from elfsig.signers.pem import FileSigner
from elfsig.verbs.edit import convert as conversion
from elfsig.verbs.edit.own_key import own_ring
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.edit.strip import strip
from tests.oracle.kernel import COMPRESSIONS
from tests.oracle.machine import COMPRESSED
from tests.support import verdicts
from tests.support.cms import Identity, attributes, cms, identity, issued, private, signer_info
from tests.support.opened import decompressed, opened
from tests.support.verdicts import OTHER, RSA, flipped, good, info, p384, signed, trailed

REGISTRY = registry.load(plugins=False)
CREATED = 1_000_000_000


class Case(NamedTuple):
    """``content`` as the kernel gets it. ``loads`` False: what is accepted fails later, as no module of this
    kernel. ``unpack``: how it is compressed."""

    name: str
    content: bytes
    loads: bool = True
    unpack: Compression | None = None


@cache
def certified() -> Mapping[str, Identity]:
    """Every identity whose certificate is in db, by a word for it."""
    key = private("rsa", 2)
    return {
        "RSA-2048": RSA,
        "RSA-1024": identity("rsa1024"),
        "RSA-3072": issued(rsa.generate_private_key(65537, 3072), "larger"),
        "RSA-4096": issued(rsa.generate_private_key(65537, 4096), "largest"),
        "P-256": identity("p256"),
        "P-384": p384(),
        "P-521": issued(private("p521"), "curve", hash_name="sha512"),
        "Ed25519": identity("ed25519"),
        "ML-DSA-44": identity("mldsa44"),
        "expired": issued(key, "outdated", years=(2012, 2016)),
        "not yet valid": issued(key, "too early", years=(2040, 2060)),
        "no subjectKeyIdentifier": issued(key, "nameless", skid=False),
        "revoked": revoked(),
    }


@cache
def revoked() -> Identity:
    """In db, and in dbx as well."""
    return identity("rsa", 3)


def signer(who: Identity) -> FileSigner:
    public = who.private.public_key()
    algorithm, bits, _ = describe(public)
    return FileSigner(who.private, public, algorithm, bits, parse(who.certificate).certificate)


def made(content: bytes, form: str = "pkcs7", who: Identity = RSA, **options: Any) -> bytes:
    """``content`` signed by elfsig, on top of what is there."""
    chosen = SignOptions(created=CREATED, force=True)._replace(**options)
    module = decompressed(content)
    return sign(module, REGISTRY.get(form), signer(who), chosen, existing=Existing.STACK).content


# --------------------------------------------------------------------------- keys and hashes


def _keys(base: bytes) -> Iterator[Case]:
    yield Case("not signed", base)
    for name, who in certified().items():
        hash_name = "sha512" if name in ("Ed25519", "ML-DSA-44", "P-521") else "sha256"
        content = signed(who, base, hash_name) if name == "Ed25519" else made(base, who=who, hash=hash_name)
        yield Case(f"signed, {name}", content)
    yield Case("signed by subjectKeyIdentifier", made(base, keyid=True))
    yield Case("signed, P-384 by subjectKeyIdentifier", made(base, who=p384(), keyid=True, hash="sha384"))
    for hash_name in ("sha1", "sha224", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"):
        yield Case(f"signed, RSA with {hash_name}", made(base, hash=hash_name))
    yield Case("signed, RSA with md5", signed(RSA, base, "md5"))
    for hash_name in ("sha1", "sha384", "sha512", "sha3-384"):
        yield Case(f"signed, P-384 with {hash_name}", signed(p384(), base, hash_name))
    yield Case("unknown key", made(base, who=OTHER))
    yield Case("unknown key, by subjectKeyIdentifier", made(base, who=OTHER, keyid=True))
    leaf = issued(private("rsa", 4), "leaf", RSA, ca=False, serial=77)
    yield Case("issued by a trusted key, not embedded", made(base, who=leaf))
    orphan = issued(private("rsa", 5), "orphan", RSA, ca=False, authority=False)
    embedded = {
        "issued by a trusted key": leaf, "the same, not naming the issuer's key": orphan, "trusted": RSA,
        "unknown": OTHER,
    }  # fmt: skip
    for name, who in embedded.items():
        blob = cms(signer_info(who, base), certificates=[who.certificate])
        yield Case(f"certificate embedded, {name}", trailed(blob, base))


# --------------------------------------------------------------------------- damage


def _damaged(base: bytes) -> Iterator[Case]:
    blob, whole, size = good(RSA, base), made(base), len(good(RSA, base))
    yield Case("a bit of the module changed", flipped(whole, base.index(b"description=") + 12))
    yield Case("a bit of the RSA value changed", trailed(flipped(blob, size - 9), base))
    ec = good(p384(), base, "sha384")
    yield Case("a bit of the ECDSA value changed", trailed(flipped(ec, len(ec) - 9), base))
    yield Case("PKCS#7 cut", trailed(blob[:-10], base))
    yield Case("PKCS#7 cut, sig_len unchanged", trailed(blob[:-10], base, info(size)))
    yield Case("bytes after the PKCS#7", trailed(blob + b"\xff\0\xff\0", base))
    yield Case("bytes in front of the PKCS#7", trailed(blob, base + bytes(4)))
    yield Case("noise instead of the PKCS#7", trailed(hashlib.shake_256(b"noise").digest(300), base))
    yield Case("marker misspelt", flipped(whole, len(whole) - 5))
    yield Case("marker without its newline", whole[:-1])
    yield Case("marker followed by a byte", whole + b"\0")
    yield Case("marker alone after the module", base + MARKER)
    yield Case("file that is only a marker", MARKER, False)
    yield Case("file shorter than an info block", b"12345" + MARKER, False)
    yield Case("info block without a signature", trailed(b"", base))
    for name, length in (("0", 0), ("too large", size + 1), ("too small", size - 1), ("huge", 0x7FFFFFFF)):
        yield Case(f"sig_len {name}", trailed(blob, base, info(length)))
    little = int.from_bytes(size.to_bytes(4, "little"), "big")
    yield Case("sig_len little-endian", trailed(blob, base, info(little)))
    for kind in (0, 1, 3, 255):
        yield Case(f"id_type {kind}", trailed(blob, base, info(size, kind)))
    blocks = {
        "algo": info(size, algo=1), "hash": info(size, hash_=4), "signer_len": info(size, signer=1),
        "key_id_len": info(size, key_id=1), "__pad": info(size, pad=b"\0\1\0"),
    }  # fmt: skip
    for name, block in blocks.items():
        yield Case(f"{name} not zero", trailed(blob, base, block))


def _shapes(base: bytes) -> Iterator[Case]:
    attrs = attributes(base, "sha256")
    yield Case("signed attributes", signed(RSA, base, attrs=attrs))
    yield Case("content inside the PKCS#7", trailed(cms(signer_info(RSA, base), content=base), base))
    mine, theirs, bad = (signer_info(*w) for w in ((RSA, base), (OTHER, base), (RSA, b"something else")))
    for name, signers in (
        ("trusted and unknown", (mine, theirs)),
        ("good, and bad by a trusted key", (mine, bad)),
        ("md5 and sha256", (signer_info(RSA, base, "md5"), mine)),
        ("none", ()),
    ):
        yield Case(f"signers: {name}", trailed(cms(*signers), base))
    yield Case("SignedData version 5", trailed(cms(mine, version=5), base))
    yield Case("SignedData version 3, signer 1", trailed(cms(mine, version=3), base))
    for inner, outer in ((RSA, OTHER), (OTHER, RSA)):
        name = "outer unknown" if outer is OTHER else "inner unknown"
        yield Case(f"signed twice, {name}", made(made(base, who=inner), who=outer))


# --------------------------------------------------------------------------- other eras


FORMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "gkh, OpenPGP": ("gkh", {}),
    "gkh, raw RSA": ("gkh", {"payload": "raw-rsa"}),
    "gkh, by LIEF": ("gkh", {"engine": "lief"}),
    "redhat": ("redhat", {}),
    "note, sorted": ("note", {"coverage": "sorted"}),
    "note, fileorder": ("note", {"coverage": "fileorder"}),
    "note, by LIEF": ("note", {"coverage": "sorted", "engine": "lief"}),
    "crypto-pgp": ("crypto-pgp", {}),
    "crypto-digsig, v1": ("crypto-digsig", {}),
    "crypto-digsig, v2": ("crypto-digsig", {"payload": "v2"}),
    "x509-rc1": ("x509-rc1", {}),
    "x509": ("x509", {}),
}
"""Every form of another era that elfsig puts into a module, and how it is asked for."""


def _eras(base: bytes) -> Iterator[Case]:
    for name, (form, options) in FORMS.items():
        old = made(base, form, **options)
        yield Case(f"{name} alone", old)
        yield Case(f"pkcs7 on top of {name}", made(old))
        yield Case(f"{name} converted to pkcs7", converted(old))
        stripped = strip(opened(made(old))).content
        assert stripped == old, name
    for name in ("redhat", "note, sorted", "x509"):
        form, options = FORMS[name]
        yield Case(f"pkcs7 replaced by {name}", converted(made(base), form, **options))
    yield Case("stripped", strip(opened(made(base))).content)


def converted(content: bytes, to: str = "pkcs7", **options: Any) -> bytes:
    """What ``convert`` makes of a signed module, the old signature verified with the key that made it."""
    chosen = SignOptions(created=CREATED, force=True)._replace(**options)
    target = conversion.Target(REGISTRY.get(to), signer(RSA), chosen)
    how = conversion.plan([target], REGISTRY, own_ring([signer(RSA)]))
    subject = evidence.read(content)
    before = conversion.look(opened(subject), how)
    assert conversion.refusal(before, how) is None, before
    return conversion.convert(opened(subject), before, how).content


# --------------------------------------------------------------------------- compressed, revoked, foreign


def _others(base: bytes) -> Iterator[Case]:
    inside = {"signed": made(base), "unknown key": made(base, who=OTHER), "not signed": base}
    for kind in COMPRESSIONS:
        for name, content in inside.items():
            yield Case(f"{kind}, {name} inside", pack(content, kind), unpack=kind)
    behind = pack(base, "xz")
    yield Case("signed after the xz stream", made(behind), unpack="xz")
    yield Case("signed inside and after the xz stream", made(pack(made(base), "xz")), unpack="xz")
    yield Case("xz with CRC64, signed inside", lzma.compress(made(base)), unpack="xz")
    parts = (base, made(base)[len(base) :])
    streams = b"".join(lzma.compress(part, check=lzma.CHECK_CRC32) for part in parts)
    yield Case("xz, the signature in a second stream", streams, unpack="xz")
    yield Case("text file, signed", made(b"no module at all\n" * 40), False)
    yield Case("text file", b"no module at all\n" * 40, False)
    yield Case("ELF cut, signed", made(base[:-300]), False)
    yield Case("bytes after the ELF image, signed", made(base + b"1234"))
    yield Case("SHA-256 of the whole file revoked", revoked_file(base))
    yield Case("SHA-256 of the module alone revoked", made(base + b"revoked"))


def revoked_file(base: bytes) -> bytes:
    """The file whose SHA-256 is in dbx; that of ``base`` and "revoked" is there as well."""
    return made(base + b"!")


def _recipes() -> Iterator[Case]:
    """The recipes by which predictions are tested without a kernel: is a toy judged like a module?"""
    for row in verdicts.ROWS:
        if not row.revoked and row.blacklisted is None:
            yield Case(f"toy: {row.name}", row.make(), False)


def algorithms(known: Mapping[str, Identity]) -> Iterator[Case]:
    """Every algorithm with the keys ``known``, over a toy module."""
    base = verdicts.MODULE
    yield Case("not signed", base, False)
    for kind, who in known.items():
        for hash_name in ("sha256", "sha384", "sha512", "sha3-384"):
            yield Case(f"{kind} with {hash_name}", signed(who, base, hash_name), False)
        plain = signed(who, base, "sha512")
        yield Case(f"{kind} by subjectKeyIdentifier", signed(who, base, "sha512", keyid=True), False)
        yield Case(f"{kind} of elfsig's own", plain if kind == "ed25519" else made(base, who=who), False)
        yield Case(f"{kind}, a bit of the module changed", flipped(plain, 90), False)
        yield Case(f"{kind}, a bit of the value changed", flipped(plain, len(plain) - 60), False)
        attrs = attributes(base, "sha512")
        yield Case(f"{kind} with signed attributes", signed(who, base, "sha512", attrs=attrs), False)
        yield Case(f"{kind}, unknown key", signed(identity(kind), base, "sha512"), False)


def trusted() -> list[Identity]:
    """Whose certificates are in db: of the matrix, and of the recipes."""
    recipes = [who for row in verdicts.ROWS for who in row.trusted]
    return list({who.certificate: who for who in (*certified().values(), *recipes)}.values())


def matrix(base: bytes) -> list[Case]:
    """All cases, of the unsigned module ``base``."""
    groups = (_keys(base), _damaged(base), _shapes(base), _eras(base), _others(base), _recipes())
    return [case for group in groups for case in group]


def as_given(case: Case, unpacks: Compression | None) -> bytes:
    """What the kernel does not unpack itself, the loading tool does, as far as it can."""
    if case.unpack is None or case.unpack == unpacks:
        return case.content
    found = evidence.read(case.content)
    return found.content if found.tail_offset is None else b""


def file_name(number: int, case: Case, unpacks: Compression | None) -> str:
    """The name in the guest; ``unpacks``: what this kernel unpacks itself."""
    return f"{number:04}" + (COMPRESSED if case.unpack and case.unpack == unpacks else "")
