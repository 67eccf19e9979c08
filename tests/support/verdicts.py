"""Files that booted kernels judged, rebuilt by recipe, and what those kernels answered.

The answers are those of Debian's kernels 6.1.192, 6.12.117 and 7.2.13, each in three modes, with the test
certificates in UEFI db. Every file fell into one of five classes, in all modes alike:

=========  ==========================  ============  ===========  ==========================
class      inside                      permissive    lockdown     module.sig_enforce=1
=========  ==========================  ============  ===========  ==========================
ok         0                           loads         loads        loads
unsigned   ENODATA                     loads, E      EPERM        EKEYREJECTED
crypto     ENOPKG                      loads, E      EPERM        EKEYREJECTED
nokey      ENOKEY                      loads, E      EPERM        EKEYREJECTED
an errno   that errno                  that errno    that errno   that errno
=========  ==========================  ============  ===========  ==========================
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from elfsig.carriers.trailer import INFO, MARKER
from elfsig.elf.table import SHF_ALLOC, SHT_NOTE, SHT_PROGBITS
from elfsig.model import Key
from elfsig.trust.entries import Material, Origin, Revocation, RevokedHash
from elfsig.trust.make import key_from_certificate
from elfsig.trust.ring import Ring
from tests.support import elf
from tests.support.cms import (
    CONTENT,
    NULL,
    SIGNED_DATA,
    Identity,
    algorithm,
    attributes,
    cms,
    identity,
    indefinite,
    issued,
    oid,
    private,
    signer_info,
    tlv,
)

INNER = {"ok": None, "unsigned": "ENODATA", "crypto": "ENOPKG", "nokey": "ENOKEY"}
FORGIVEN = ("unsigned", "crypto", "nokey")

MODULE = elf.toy()
RSA, OTHER = identity(), identity("rsa", 1)


@cache
def p384() -> Identity:
    return issued(private("p384"), "p384", hash_name="sha384")


def info(
    size: int,
    id_type: int = 2,
    algo: int = 0,
    hash_: int = 0,
    signer: int = 0,
    key_id: int = 0,
    pad: bytes = b"\0\0\0",
) -> bytes:
    return INFO.pack(algo, hash_, id_type, signer, key_id, pad, size)


def trailed(blob: bytes, content: bytes = MODULE, block: bytes | None = None) -> bytes:
    return content + blob + (info(len(blob)) if block is None else block) + MARKER


def good(who: Identity = RSA, content: bytes = MODULE, hash_name: str = "sha256", **more: Any) -> bytes:
    """A blob as sign-file makes it."""
    signed = signer_info(who, content, hash_name, **more)
    return cms(signed, version=3 if more.get("keyid") else 1)


def signed(who: Identity = RSA, content: bytes = MODULE, hash_name: str = "sha256", **more: Any) -> bytes:
    return trailed(good(who, content, hash_name, **more), content)


class Row(NamedTuple):
    """``name`` of the case, its file, the classes on 6.1, 6.12 and 7.2, and the certificates in db.

    ``revoked`` are certificates in dbx, ``blacklisted`` the contents whose SHA-256 is in dbx. ``log`` is a
    line that all of the kernels printed whose class is not "ok".
    """

    name: str
    make: Callable[[], bytes]
    classes: tuple[str, str, str]
    trusted: Sequence[Identity] = (RSA,)
    log: str | None = None
    revoked: Sequence[Identity] = ()
    blacklisted: Callable[[bytes], bytes] | None = None

    def ring(self, content: bytes, role: str = "platform") -> Ring:
        """The keys of the case, as the firmware has them."""
        keys: list[Key] = [key_from_certificate(w.certificate, Origin("db.esl", role)) for w in self.trusted]
        dbx = Origin("dbx.esl", "revoked", False)
        keys += [key_from_certificate(w.certificate, dbx) for w in self.revoked]
        hashes = []
        if self.blacklisted is not None:
            digest = hashlib.sha256(self.blacklisted(content)).digest()
            hashes.append(Revocation(RevokedHash("bin", "sha256", digest), dbx.source, dbx.provenance))
        return Ring(Material(tuple(keys), revocations=tuple(hashes)))


def same(word: str) -> tuple[str, str, str]:
    return word, word, word


OK, UNSIGNED, CRYPTO, NOKEY = map(same, ("ok", "unsigned", "crypto", "nokey"))
REJECTED, BADMSG, INVALID = map(same, ("EKEYREJECTED", "EBADMSG", "EINVAL"))
NEW = ("crypto", "ok", "ok")
OLD = ("ok", "crypto", "crypto")


# --------------------------------------------------------------------------- keys, digests, certificates


def _keys() -> Iterator[Row]:
    yield Row("no signature", lambda: MODULE, UNSIGNED)
    yield Row("RSA-2048, SHA-256, issuer+serial", signed, OK)
    yield Row("same, SignerInfo v3 with subjectKeyIdentifier", lambda: signed(keyid=True), OK)
    digests = {"md5": OLD, "sha1": OK, "sha224": OK, "sha384": OK, "sha512": OK}
    digests |= dict.fromkeys(("sha3-256", "sha3-384", "sha3-512"), NEW)
    for name, classes in digests.items():
        log = None if classes is OK else "Unsupported digest algo: N"
        yield Row(f"RSA-2048, {name}", partial(signed, hash_name=name), classes, log=log)
    small = identity("rsa1024")
    yield Row("RSA-1024, SHA-256", lambda: signed(small), OK, (small,))
    p256, p521 = identity("p256"), issued(private("p521"), "p521", hash_name="sha512")
    yield Row("ECDSA P-256, SHA-256", lambda: signed(p256), ("nokey", "ok", "ok"), (p256,))
    late = ("EKEYREJECTED", "ok", "ok")
    for name in ("sha1", "sha384", "sha512"):
        yield Row(f"ECDSA P-384, {name}", partial(signed, p384(), hash_name=name), late, (p384(),))
    yield Row("ECDSA P-384, SHA3-384", partial(signed, p384(), hash_name="sha3-384"), NEW, (p384(),))
    yield Row("ECDSA P-521", lambda: signed(p521, hash_name="sha512"), ("nokey", "ok", "ok"), (p521,))
    ed = identity("ed25519")
    yield Row("Ed25519", lambda: signed(ed, hash_name="sha512"), CRYPTO, (ed,), "Unsupported pkey algo: N")
    yield Row("RSA-PSS, SHA-256", _pss, CRYPTO, log="Unsupported pkey algo: N")
    yield Row("key the kernel does not hold", lambda: signed(OTHER), NOKEY)
    yield Row("same, by subjectKeyIdentifier", lambda: signed(OTHER, keyid=True), NOKEY)
    wrong = tlv(0x80, bytes(20))
    yield Row("wrong subjectKeyIdentifier", lambda: signed(keyid=True, sid=wrong), NOKEY)
    yield from _certificates()


def _pss() -> bytes:
    sha256 = hashes.SHA256()
    value = RSA.private.sign(MODULE, padding.PSS(padding.MGF1(sha256), 32), sha256)
    return signed(signature_algorithm=algorithm("1.2.840.113549.1.1.10"), value=value)


def with_sha1(who: Identity) -> Identity:
    """The same certificate signed with SHA-1, which today's libraries refuse to make."""
    old, new = (oid(f"1.2.840.113549.1.1.{n}") for n in (11, 5))
    tbs = who.parsed.tbs_certificate_bytes.replace(old, new)
    value = who.private.sign(tbs, padding.PKCS1v15(), hashes.SHA1())
    made = tlv(0x30, tbs, algorithm("1.2.840.113549.1.1.5", NULL), tlv(3, b"\0", value))
    return Identity(who.private, made)


def _certificates() -> Iterator[Row]:
    key = private("rsa", 2)
    kinds = {
        "certificate expired 2016": issued(key, "expired", years=(2012, 2016)),
        "certificate valid from 2040": issued(key, "early", years=(2040, 2060)),
        "certificate itself signed with SHA-1": with_sha1(issued(key, "sha1")),
        "certificate self-signed with SHA-512": issued(key, "sha512", hash_name="sha512"),
        "certificate without subjectKeyIdentifier": issued(key, "no skid", skid=False),
        "signed with a CA certificate": issued(key, "ca", ca=True),
        "certificate without keyUsage": issued(key, "leaf", ca=False),
        "RSA-3072, SHA-256": issued(rsa.generate_private_key(65537, 3072), "rsa3072"),
        "RSA-4096, SHA-256": issued(rsa.generate_private_key(65537, 4096), "rsa4096"),
    }
    for name, who in kinds.items():
        yield Row(name, partial(signed, who), OK, (who,))
    leaf = issued(key, "leaf", RSA, ca=False, serial=77)

    def embedding(who: Identity) -> Callable[[], bytes]:
        return lambda: trailed(cms(signer_info(who, MODULE), certificates=[who.certificate]))

    yield Row("leaf of trusted CA, leaf embedded in the PKCS#7", embedding(leaf), OK)
    yield Row("leaf of trusted CA, not embedded", lambda: signed(leaf), NOKEY)
    yield Row("trusted certificate also embedded", embedding(RSA), OK)
    yield Row("unknown key, own certificate embedded", embedding(OTHER), NOKEY)


# --------------------------------------------------------------------------- damaged content


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _damaged() -> Iterator[Row]:
    blob = good()
    yield Row("one bit of the module changed", lambda: flipped(signed(), 90), REJECTED)
    yield Row("one bit of the RSA value changed", lambda: trailed(flipped(blob, len(blob) - 9)), REJECTED)
    ec = good(p384(), hash_name="sha384")
    yield Row(
        "one bit of the ECDSA value changed", lambda: trailed(flipped(ec, len(ec) - 9)), REJECTED, (p384(),)
    )
    yield Row("PKCS#7 cut by 10 bytes, sig_len adjusted", lambda: trailed(blob[:-10]), BADMSG)
    cut = info(len(blob))
    yield Row("PKCS#7 cut by 10 bytes, sig_len unchanged", lambda: trailed(blob[:-10], block=cut), BADMSG)
    yield Row("4 zero bytes after the PKCS#7", lambda: trailed(blob + bytes(4)), OK)
    yield Row("4 bytes FF after the PKCS#7", lambda: trailed(blob + b"\xff" * 4), OK)
    yield Row("4 zero bytes in front of the PKCS#7", lambda: trailed(blob, MODULE + bytes(4)), REJECTED)
    noise = hashlib.shake_256(b"noise").digest(300)
    yield Row("random bytes instead of the PKCS#7", lambda: trailed(noise), BADMSG)
    yield Row("outer tag SET instead of SEQUENCE", lambda: trailed(b"\x31" + blob[1:]), BADMSG)
    other_hash = RSA.private.sign(MODULE, padding.PKCS1v15(), hashes.SHA512())
    yield Row("digestAlgorithm sha256, value made with sha512", lambda: signed(value=other_hash), REJECTED)
    value = RSA.private.sign(MODULE, padding.PKCS1v15(), hashes.SHA256())
    yield Row("RSA value one byte short", lambda: signed(value=value[:-1]), REJECTED)
    yield Row("empty RSA value", lambda: signed(value=b""), REJECTED)
    yield Row("RSA value with a leading zero byte", lambda: signed(value=b"\0" + value), REJECTED)


# --------------------------------------------------------------------------- trailer and marker


def _trailers() -> Iterator[Row]:
    blob, whole = good(), signed()
    size = len(blob)
    yield Row("marker with one letter changed", lambda: flipped(whole, len(whole) - 5), UNSIGNED)
    yield Row("marker without its newline", lambda: whole[:-1], UNSIGNED)
    yield Row("one byte after the marker", lambda: whole + b"\0", UNSIGNED)
    not_pkcs7 = "module: not signed with expected PKCS#7 message"
    yield Row("module + marker only", lambda: MODULE + MARKER, CRYPTO, log=not_pkcs7)
    yield Row("trailer with sig_len 0, no PKCS#7", lambda: trailed(b""), BADMSG)
    lengths = {
        "sig_len 0 although a PKCS#7 is there": 0,
        "sig_len one too large": size + 1,
        "sig_len one too small": size - 1,
        "sig_len 0x7fffffff": 0x7FFFFFFF,
        "sig_len in little-endian byte order": int.from_bytes(size.to_bytes(4, "little"), "big"),
        "sig_len covers the whole file": len(MODULE) + size,
    }
    for name, length in lengths.items():
        yield Row(name, partial(trailed, blob, block=info(length)), BADMSG)
    for kind in (0, 1, 255, 3):
        row = info(size, kind)
        yield Row(f"id_type {kind}", partial(trailed, blob, block=row), CRYPTO, log=not_pkcs7)
    blocks = {
        "algo 1": info(size, algo=1),
        "hash 4": info(size, hash_=4),
        "signer_len 1": info(size, signer=1),
        "key_id_len 1": info(size, key_id=1),
        "__pad[0] 1": info(size, pad=b"\1\0\0"),
        "__pad[1] 1": info(size, pad=b"\0\1\0"),
        "__pad[2] 1": info(size, pad=b"\0\0\1"),
    }
    nonzero = "module: PKCS#7 signature info has unexpected non-zero params"
    for name, block in blocks.items():
        yield Row(name, partial(trailed, blob, block=block), BADMSG, log=nonzero)
    old = b"Somebody" + RSA.skid + (256).to_bytes(2, "big") + bytes(256)
    block = info(258, 1, 1, 4, 8, 20)
    yield Row("Linux 3.7 layout", lambda: trailed(old, block=block), CRYPTO, log=not_pkcs7)
    yield Row("file shorter than trailer", lambda: b"12345" + MARKER, BADMSG)
    yield Row("file that is only the marker", lambda: MARKER, UNSIGNED)


# --------------------------------------------------------------------------- PKCS#7 shape, several signers


def _shapes() -> Iterator[Row]:
    attrs = attributes(MODULE, "sha256")
    has_attributes = "PKCS7: Invalid module sig (has authattrs)"
    yield Row("signed attributes", lambda: signed(attrs=attrs), REJECTED, log=has_attributes)
    attached = cms(signer_info(RSA, MODULE), content=MODULE)
    yield Row("attached", lambda: trailed(attached), BADMSG, log="PKCS#7 signature with non-detached data")
    mine, theirs = signer_info(RSA, MODULE), signer_info(OTHER, MODULE)
    bad = signer_info(RSA, b"something else")
    for name, signers, classes in (
        ("two signers: trusted, unknown", (mine, theirs), OK),
        ("two signers: unknown, trusted", (theirs, mine), OK),
        ("two signers: good, trusted but bad value", (mine, bad), REJECTED),
        ("two signers: MD5 and SHA-256, both trusted", (signer_info(RSA, MODULE, "md5"), mine), OLD),
        ("no SignerInfo", (), BADMSG),
    ):
        yield Row(name, partial(trailed, cms(*signers)), classes)
    kinds: tuple[tuple[str, dict[str, Any], tuple[str, str, str], str | None], ...] = (
        ("content type signedData", {"kind": SIGNED_DATA}, INVALID, "PKCS7: Unsupported data type N"),
        ("SignedData version 5", {"version": 5}, INVALID, "PKCS7: Unsupported SignedData version"),
        ("version 3 with v1 signer", {"version": 3}, BADMSG, "PKCS7: SignedData-SignerInfo version mismatch"),
        ("indefinite outer length", {"wrap": indefinite}, OK, None),
    )
    for name, more, classes, log in kinds:
        yield Row(name, partial(trailed, cms(mine, **more)), classes, log=log)
    for arc in ("11", "5"):
        made = partial(signed, signature_algorithm=algorithm(f"1.2.840.113549.1.1.{arc}", NULL))
        yield Row(
            f"signatureAlgorithm 1.2.840.113549.1.1.{arc}", made, CRYPTO, log="Unsupported pkey algo: N"
        )
    twice = {
        "both trusted": (RSA, RSA, OK),
        "outer unknown": (RSA, OTHER, NOKEY),
        "inner unknown": (OTHER, RSA, OK),
    }
    for name, (inner, outer, classes) in twice.items():
        yield Row(f"signed twice, {name}", partial(signed, outer, signed(inner)), classes)


# --------------------------------------------------------------------------- payload, sections, dbx


def _payloads() -> Iterator[Row]:
    yield Row("text file, good signature", lambda: signed(content=CONTENT), OK)
    yield Row("ELF cut by 300 bytes, good signature", lambda: signed(content=MODULE[:-300]), OK)
    yield Row("4 bytes after the ELF image, covered", lambda: signed(content=MODULE + b"1234"), OK)
    other = elf.toy(extra=[elf.Sec(".modinfo", b"vermagic=5.0.0 SMP mod_unload \0")])
    yield Row("other vermagic, good signature", lambda: signed(content=other), OK)
    yield Row("other vermagic, unsigned", lambda: other, UNSIGNED)
    narrow = MODULE[:4] + b"\1" + MODULE[5:]
    yield Row("EI_CLASS 1, good signature", lambda: signed(content=narrow), OK)
    foreign = elf.repatched(MODULE, machine=3)
    yield Row("e_machine i386, good signature", lambda: signed(content=foreign), OK)
    note = elf.note(b"module.sig\0", 100, bytes(512))
    sections = {
        "module_sig": elf.Sec("module_sig", bytes(512)),
        ".module_sig": elf.Sec(".module_sig", bytes(512)),
        "module_sig, ALLOC": elf.Sec("module_sig", bytes(512), SHT_PROGBITS, SHF_ALLOC),
        ".note.module.sig": elf.Sec(".note.module.sig", note, SHT_NOTE, 0, align=4),
        ".note.module.sig, ALLOC": elf.Sec(".note.module.sig", note, SHT_NOTE, SHF_ALLOC, align=4),
    }
    for name, section in sections.items():
        module = elf.toy(after=[section])
        yield Row(f"section {name}; unsigned", partial(bytes, module), UNSIGNED)
        yield Row(f"section {name}; signed on top", partial(signed, content=module), OK)
    for tool in ("strip -g", "objcopy"):
        yield Row(f"good, then {tool}", lambda: signed()[: len(MODULE)], UNSIGNED)


def _dbx() -> Iterator[Row]:
    blacklists = ("EKEYREJECTED", "EKEYREJECTED", "ok")
    yield Row("certificate in db and dbx", signed, OK, revoked=(RSA,))
    yield Row("SHA-256 of the whole file in dbx", signed, blacklists, blacklisted=lambda whole: whole)
    yield Row("SHA-256 of the module alone in dbx", signed, OK, blacklisted=lambda whole: MODULE)
    yield Row(
        "SHA-256 without the marker in dbx", signed, OK, blacklisted=lambda whole: whole[: -len(MARKER)]
    )


ROWS: tuple[Row, ...] = (
    *_keys(), *_damaged(), *_trailers(), *_shapes(), *_payloads(), *_dbx()
)  # fmt: skip
