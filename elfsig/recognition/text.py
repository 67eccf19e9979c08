"""Kinds of text files: PEM by its label, reports of elfsig, scripts. Linear in what is looked at."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping

from elfsig.recognition import asn1
from elfsig.recognition.kinds import Family, Kind

MAX_TEXT = 64 << 20
"""Bytes of UTF-16 that are converted."""

HEAD = 1 << 16
"""How far to look for a label or a word."""

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,64})-----")
_BASE64 = re.compile(rb"[^-]{0,24000}")
_PARAMETERS = re.compile(r"(?:EC|DSA|DH|X9\.42 DH) PARAMETERS")
_PRINTED = re.compile(rb"(?:^|[\r\n])(?:\[key [0-9]{1,6}\]|Certificate:)[ \t]*[\r\n]")
_TEXT = bytes(range(0x20, 0x7F)) + b"\t\n\r\f\b\x1b"
SAMPLE = 512

PGP_SECRET = Kind("openpgp-secret-key", "an OpenPGP secret key", Family.PRIVATE_KEY)
PGP_PUBLIC = Kind("openpgp-public-key", "an OpenPGP public key", Family.CERTIFICATE)
PGP_SIGNATURE = Kind("openpgp-signature", "an OpenPGP signature", Family.SIGNATURE)
PGP_MESSAGE = Kind("openpgp-message", "an OpenPGP message", Family.OTHER)
OPENSSH_KEY = Kind(
    "openssh-private-key",
    "an OpenSSH private key",
    Family.FOREIGN_KEY,
    "convert a copy of it with ssh-keygen -p -m PKCS8 -f COPY",
)
REPORT = Kind("report", "a report of elfsig in JSON", Family.REPORT)
PRINTED = Kind("printed-certificate", "the text of a certificate", Family.CERTIFICATE)
TEXT = Kind("text", "text", Family.OTHER)

LABELS: Mapping[str, Kind] = {
    "CERTIFICATE": asn1.CERTIFICATE,
    "X509 CERTIFICATE": asn1.CERTIFICATE,
    "TRUSTED CERTIFICATE": asn1.CERTIFICATE,
    "CERTIFICATE REQUEST": asn1.REQUEST,
    "NEW CERTIFICATE REQUEST": asn1.REQUEST,
    "X509 CRL": asn1.CRL,
    "PUBLIC KEY": asn1.PUBLIC_KEY,
    "RSA PUBLIC KEY": asn1.PUBLIC_KEY,
    "ENCRYPTED PRIVATE KEY": asn1.ENCRYPTED_KEY,
    "TSS2 PRIVATE KEY": asn1.TPM_KEY,
    "TSS KEY BLOB": asn1.TPM_KEY,
    "OPENSSH PRIVATE KEY": OPENSSH_KEY,
    "PGP PUBLIC KEY BLOCK": PGP_PUBLIC,
    "PGP PRIVATE KEY BLOCK": PGP_SECRET,
    "PGP SIGNATURE": PGP_SIGNATURE,
    "PGP MESSAGE": PGP_MESSAGE,
    "PGP SIGNED MESSAGE": PGP_MESSAGE,
}
"""By the label of the first PEM or armour block (RFC 7468, RFC 4880 6.2)."""

_SIGNED = frozenset({"PKCS7", "CMS", "PKCS #7 SIGNED DATA"})


def plain_text(data: bytes) -> bytes:
    """Text in UTF-8 without a byte-order mark; UTF-16 is recognized by its mark, or by its first
    characters."""
    name = _UTF16.get(data[:2])
    if name is None and data[1:8:2] == bytes(4) != data[:8:2]:
        name = "utf-16-le"
    if name is None and data[:8:2] == bytes(4) != data[1:8:2]:
        name = "utf-16-be"
    if name is None or len(data) > MAX_TEXT:
        return data.removeprefix(_UTF8_BOM)
    return data.decode(name, "replace").removeprefix("\ufeff").encode("utf-8", "replace")


def text_kind(data: bytes) -> Kind | None:
    """What a text is; None for what is not text. Plain text is ``TEXT``."""
    head = plain_text(data[:HEAD])
    found = _pem(head) if b"\0" not in head[:SAMPLE] else None
    if found is not None:
        return found
    sample = head[:SAMPLE]
    if not sample or sample.translate(None, _TEXT):
        return None
    if sample.startswith(b"#!"):
        program = sample[2:].split(b"\n", 1)[0].strip().decode("ascii", "replace")[:60]
        return Kind("script", f"text (a script for {program})", Family.OTHER)
    if sample.lstrip()[:1] in (b"{", b"[") and b'"schema_version"' in head:
        return REPORT
    return PRINTED if _PRINTED.search(head) else TEXT


def _pem(head: bytes) -> Kind | None:
    """The kind of the first block that is more than parameters; None without one."""
    for found in _BEGIN.finditer(head):
        label = found[1].decode("ascii")
        if _PARAMETERS.fullmatch(label):
            continue
        if label in _SIGNED:
            return _signed(head, found.end())
        if label in LABELS:
            return LABELS[label]
        if label.endswith("PRIVATE KEY"):
            return asn1.PRIVATE_KEY
        return Kind("pem", f"a PEM file with a {label}", Family.OTHER)
    return None


def _signed(head: bytes, at: int) -> Kind:
    """A PKCS#7 block: a bundle of certificates, or a signature. A long one is not decoded to its end."""
    body = _BASE64.match(head, at)
    try:
        found = asn1.asn1_kind(binascii.a2b_base64(body[0] if body else b""))
    except binascii.Error:
        return asn1.SIGNED_DATA
    return found or asn1.SIGNED_DATA
