"""Key sources that are bad for their readers: PEM, armour, DER, EFI lists, kernel images."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Mapping
from uuid import UUID

import elfsig
from elfsig.crypto import der
from elfsig.envelopes.openpgp.keys import key_body
from elfsig.kernels.x509_parser import facts
from elfsig.recognition.late import recognized
from elfsig.signers.outside import read_public
from elfsig.trust.entries import Origin
from elfsig.trust.forms import read_source
from elfsig.trust.ring import Ring
from tests.linear.measure import Call, Shape
from tests.support.efilists import PKCS7_GUID, SHA256, TIME, UNKNOWN, X509, X509_SHA256, esl, update
from tests.support.keysources import (
    arm64_image,
    certificate,
    certificate_list,
    ec_key,
    noise,
    pem,
    rsa_key,
    spki,
    vmlinux,
)
from tests.support.modules import plain
from tests.support.openpgp import signer

CERT = certificate("a", ec_key(), organisation="o", skid=b"")
KEY = spki(ec_key())
PRIVATE = rsa_key()
BEGIN, END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
PGP, PGP_END = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", b"-----END PGP PUBLIC KEY BLOCK-----\n"
BODY = key_body(signer("rsa1024").public, 0)
SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
INDEFINITE = b"\x30\x82\xff\xf0\x30\x82\xff\x00\x02\x01\x01\x30\x00\x30\x80\x30\x80"


def asked(_: str) -> bytes:
    raise elfsig.SigningError("no passphrase here")


CALLS: Mapping[str, Call] = {
    "trust": lambda data: Ring(read_source(data, Origin("x"))),
    "revocations": lambda data: Ring(read_source(data, Origin("x", name="dbx"))),
    "list": elfsig.list_keys,
    "private key": lambda data: elfsig.open_signer(data, ask=asked),
    "certificate": lambda data: elfsig.open_signer(PRIVATE, data),
    "public half": lambda data: read_public(data, "x"),
    "as kernels read it": facts,
    "named as what it is": recognized,
    "a module instead": lambda data: elfsig.verify(data, (), ()),
    "detached signature": lambda data: elfsig.verify(plain(), detached=data),
}


def filled(part: bytes, before: bytes = b"", after: bytes = b"") -> Callable[[int], bytes]:
    """``part`` again and again."""
    return lambda size: before + part * (size // len(part)) + after


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0x81 | tag << 2]) + len(body).to_bytes(2) + body


def bundle(size: int) -> bytes:
    """A PKCS#7 of certificates that are none."""
    data = der.encode(0x30, bytes.fromhex("06092a864886f70d010701"))
    held = der.encode(0xA0, b"\x30\3\2\1\1" * (size // 5))
    signed = der.encode(0x30, b"\2\1\1", der.encode(0x31), data, held, b"\x31\0")
    return der.encode(0x30, SIGNED_DATA, der.encode(0xA0, signed))


def indefinite(size: int) -> bytes:
    """A PKCS#7 in BER, with certificates of indefinite length."""
    head = b"\x30\x80" + SIGNED_DATA + b"\xa0\x80\x30\x80\2\1\1\x31\0\x30\0\xa0\x80"
    return head + b"\x30\x80\0\0" * (size // 4) + b"\0\0\x31\0\0\0\0\0\0\0"


def nested_indefinite(size: int) -> bytes:
    return b"\x30\x80" * (size // 4) + bytes(size // 2)


def efi(kind: str, width: int) -> Callable[[int], bytes]:
    """One list of entries that are all different."""
    return lambda size: esl(kind, *(nr.to_bytes(width, "big") for nr in range(size // (width + 16))))


def efi_lists(size: int) -> bytes:
    """Lists of one entry of one byte each."""
    return esl(UNKNOWN, b"?") * (size // 45)


def signed_update(size: int) -> bytes:
    """A list after a signature of this size, which is none."""
    header = struct.pack("<IHH", 24 + size, 0x0200, 0x0EF1) + UUID(PKCS7_GUID).bytes_le
    return TIME + header + bytes(size) + efi_lists(45)


def image(body: Callable[[int], bytes]) -> Callable[[int], bytes]:
    return lambda size: arm64_image(body(size))


def linked(size: int) -> bytes:
    """A vmlinux of many symbols."""
    names = {f"symbol_{nr}": (b"x", 256) for nr in range(size // 48)}
    return vmlinux({"system_certificate_list": (certificate_list([CERT]), 512), **names})


def extensions(size: int) -> bytes:
    """A certificate of many extensions."""
    outer = der.read(CERT, 0, len(CERT))
    body, algorithm, value = [CERT[n.start : n.next] for n in der.children(CERT, outer)]
    inner = [CERT[n.start : n.next] for n in der.children(CERT, der.descend(CERT, outer, 0))]
    each = der.encode(0x30, bytes.fromhex("0603551d0e"), b"\4\0")
    more = der.encode(0xA3, der.encode(0x30, each * (size // len(each))))
    assert body
    return der.encode(0x30, der.encode(0x30, *inner[:-1], more), algorithm, value)


def user_ids(size: int) -> bytes:
    """A key with user ids."""
    return packet(6, BODY) + packet(13, b"a") * (size // 4)


SHAPES = (
    Shape("PEM: beginnings", filled(BEGIN)),
    Shape("PEM: beginnings and foreign ends", filled(BEGIN + b"-----END X-----\n")),
    Shape("PEM: ends", filled(END, BEGIN)),
    Shape("PEM: short lines", filled(b"A\n", BEGIN)),
    Shape("PEM: empty lines", filled(b"\n", BEGIN)),
    Shape("PEM: text before", filled(b"#\n", after=BEGIN)),
    Shape("PEM: names before", filled(b"# same signer as x\n", after=pem("CERTIFICATE", CERT))),
    Shape("PEM: blanks", filled(b" ", after=b"\n" + pem("CERTIFICATE", CERT))),
    Shape("PEM: hyphens", filled(b"-", BEGIN)),
    Shape("PEM: public keys", filled(pem("PUBLIC KEY", KEY))),
    Shape("PEM: private keys", filled(b"-----BEGIN PRIVATE KEY-----\n")),
    Shape("PEM: certificates", filled(pem("CERTIFICATE", CERT))),
    Shape("PEM: bad certificates", filled(BEGIN + b"AAAA\n" + END, pem("CERTIFICATE", CERT))),
    Shape("PEM: CMS", filled(b"-----BEGIN CMS-----\n")),
    Shape("PEM: PKCS7", filled(b"-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n")),
    Shape("UTF-16", filled("A\n".encode("utf-16-le"), BEGIN.decode().encode("utf-16"))),
    Shape("DER: keys", filled(KEY)),
    Shape("DER: certificates", filled(CERT)),
    Shape("DER: empty sequences", filled(b"\x30\0", CERT)),
    Shape("DER: nested", nested_indefinite),
    Shape("DER: never closed", filled(b"\x30\x80")),
    Shape("PKCS#7: certificates", bundle),
    Shape("PKCS#7: indefinite lengths", indefinite),
    Shape("EFI: hashes", efi(SHA256, 32)),
    Shape("EFI: certificate hashes", efi(X509_SHA256, 48)),
    Shape("EFI: certificates of one byte", efi(X509, 3)),
    Shape("EFI: unknown entries of one byte", efi(UNKNOWN, 3)),
    Shape("EFI: lists", efi_lists),
    Shape("EFI: a signed update", lambda size: update(efi(SHA256, 32)(size), CERT, PRIVATE)),
    Shape("EFI: a long signature of an update", signed_update),
    Shape("a key of IMA", lambda size: b"\1\0\0\0\0\0\2\xff\xff" + b"\xff" * size),
    Shape("DER: extensions of a certificate", extensions),
    Shape("EFI: empty lists", filled(esl(SHA256, bytes(32))[:16] + b"\x1c\0\0\0" + bytes(4) + b"\x30\0\0\0")),
    Shape("armour: beginnings", filled(PGP)),
    Shape("armour: foreign ends", filled(b"-----END PGP X-----\n", PGP)),
    Shape("armour: short lines", filled(b"A\n", PGP, PGP_END)),
    Shape("armour: headers", filled(b"Comment: x\n", PGP, b"\n" + PGP_END)),
    Shape("armour: blocks", filled(PGP + b"\nmA==\n" + PGP_END)),
    Shape("OpenPGP: keys", filled(packet(6, BODY))),
    Shape("OpenPGP: subkeys", filled(packet(14, BODY), packet(6, BODY))),
    Shape(
        "OpenPGP: signatures of a subkey",
        filled(packet(2, b"\4\x18\1\2"), packet(6, BODY) + packet(14, BODY)),
    ),
    Shape("OpenPGP: user ids", user_ids),
    Shape("OpenPGP: secret keys", filled(packet(5, BODY + b"\0"))),
    Shape("OpenPGP: empty packets", filled(b"\x98\0", packet(6, BODY))),
    Shape("OpenPGP: open lengths", filled(b"\xe0a", packet(6, BODY) + b"\xc6")),
    Shape("printed: beginnings", filled(b"Certificate:\n")),
    Shape("printed: digits", filled(b"aa:bb:cc\n", b"Certificate:\nModulus:\n")),
    Shape("printed: hashes", filled(b"[SHA-256]\n" + b"ab" * 32 + b"\n")),
    Shape("a blacklist", filled(b'"tbs:' + b"ab" * 32 + b'",\n')),
    Shape("an IMA signature", filled(b"\xff", b"\3\2\4" + bytes(4))),
    Shape("image: certificates", image(filled(CERT))),
    Shape("image: lookalikes", image(filled(b"\x30\x82\x7f\xff\x30\x82\x7f\0"))),
    Shape("image: indefinite lengths", image(filled(INDEFINITE))),
    Shape("image: rings", image(filled(packet(6, BODY)))),
    Shape("image: pieces of keys", image(filled(b"\x2a\x86\x48\xce\x3d\x02\x01\x06\x05"))),
    Shape("image: sizes of lists", image(filled(b"\x10\x02\0\0\0\0\0\0", certificate_list([CERT])))),
    Shape("image: symbols", linked),
    Shape("image: gzip streams", image(filled(gzip.compress(b"x")))),
    Shape("image: beginnings of streams", image(filled(b"\x1f\x8b\x08\0\0\0\0\0\0\3"))),
    Shape("image: beginnings of zstd", image(filled(b"\x28\xb5\x2f\xfd\0\0"))),
    Shape("image: beginnings of lzma", image(filled(b"\x5d\0\0\0\1" + b"\xff" * 8))),
    Shape("image: banners", image(filled(b"Linux version 6.1"))),
    Shape("image: configurations", image(filled(b"IKCFG_ST"))),
    Shape("noise", noise),
)
