"""CMS made by hand, byte by byte, for tests: every shape that kernels were shown, and keys to go with it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.x509.oid import NameOID

from elfsig.model import FileRange, Key, Message
from elfsig.trust.entries import Material, Origin
from elfsig.trust.make import key_from_certificate
from elfsig.trust.ring import Ring

CONTENT = b"a module, or anything else with a trailer\n" * 40
DATA, SIGNED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2"
NULL = b"\x05\x00"

HASHES: dict[str, tuple[str, Any]] = {
    "md5": ("1.2.840.113549.2.5", hashes.MD5()),
    "sha1": ("1.3.14.3.2.26", hashes.SHA1()),
    "sha224": ("2.16.840.1.101.3.4.2.4", hashes.SHA224()),
    "sha256": ("2.16.840.1.101.3.4.2.1", hashes.SHA256()),
    "sha384": ("2.16.840.1.101.3.4.2.2", hashes.SHA384()),
    "sha512": ("2.16.840.1.101.3.4.2.3", hashes.SHA512()),
    "sha3-256": ("2.16.840.1.101.3.4.2.8", hashes.SHA3_256()),
    "sha3-384": ("2.16.840.1.101.3.4.2.9", hashes.SHA3_384()),
    "sha3-512": ("2.16.840.1.101.3.4.2.10", hashes.SHA3_512()),
}
ECDSA_OIDS = {
    "sha1": "1.2.840.10045.4.1", "sha256": "1.2.840.10045.4.3.2", "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4", "sha3-384": "2.16.840.1.101.3.4.3.11",
}  # fmt: skip
MESSAGE_OIDS = {
    "ed25519": "1.3.101.112", "ed448": "1.3.101.113", "mldsa44": "2.16.840.1.101.3.4.3.17",
    "mldsa65": "2.16.840.1.101.3.4.3.18", "mldsa87": "2.16.840.1.101.3.4.3.19",
}  # fmt: skip


# --------------------------------------------------------------------------- DER


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element in DER."""
    body = b"".join(parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(length)]) + length + body


def indefinite(tag: int, *parts: bytes) -> bytes:
    """One constructed element in BER, with an indefinite length."""
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


@cache
def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    body = b""
    for arc in (first * 40 + second, *rest):
        groups = [arc & 127]
        while arc := arc >> 7:
            groups.insert(0, arc & 127 | 128)
        body += bytes(groups)
    return tlv(6, body)


def integer(value: int) -> bytes:
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def algorithm(dotted: str, params: bytes = b"") -> bytes:
    return tlv(0x30, oid(dotted), params)


# --------------------------------------------------------------------------- keys


def private(kind: str = "rsa", number: int = 0) -> Any:
    """A throw-away private key: rsa, rsa1024, dsa, p256, p384, p521, ed25519, ed448, mldsa44, 65, 87."""
    return _private(kind, number)


@cache
def _private(kind: str, number: int) -> Any:
    makers: dict[str, Any] = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
        "dsa": lambda: dsa.generate_private_key(1024),
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
        "mldsa44": mldsa.MLDSA44PrivateKey.generate,
        "mldsa65": mldsa.MLDSA65PrivateKey.generate,
        "mldsa87": mldsa.MLDSA87PrivateKey.generate,
    }
    return makers[kind]()


class Identity(NamedTuple):
    """A private key and its certificate in DER."""

    private: Any
    certificate: bytes

    @property
    def parsed(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.certificate)

    @property
    def issuer(self) -> bytes:
        return self.parsed.issuer.public_bytes()

    @property
    def skid(self) -> bytes:
        return self.parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest

    def pem(self) -> tuple[bytes, bytes]:
        """Key (PKCS#8) and certificate in PEM."""
        form, encoding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
        key: bytes = self.private.private_bytes(encoding, form, serialization.NoEncryption())
        return key, self.parsed.public_bytes(encoding)


_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


def issued(
    key: Any,
    name: str = "Glacier signing key",
    issuer: Identity | None = None,
    *,
    organisation: str | None = None,
    ca: bool | None = True,
    skid: bool = True,
    authority: bool = True,
    own_authority: bool = False,
    serial: int = 0x66F54E1566A043CC,
    years: tuple[int, int] = (2020, 2120),
    hash_name: str = "sha256",
    usage: Sequence[str] = (),
    purposes: Sequence[str] = (),
) -> Identity:
    """A certificate for ``key``, self-signed or by ``issuer``, which ``authority`` names by its key id;
    ``own_authority``: a self-signed one names itself, as the kernel's build makes its key.

    ``ca`` None: without basicConstraints. ``usage`` are the names of keyUsage bits, ``purposes`` the OIDs of
    extendedKeyUsage.
    """
    entries = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    if organisation:
        entries.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    subject = x509.Name(entries)
    signer = issuer.private if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.parsed.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(datetime.datetime(years[0], 1, 2))
        .not_valid_after(datetime.datetime(years[1], 1, 2))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), True)
    if usage:
        bits = dict.fromkeys(_USAGES, False) | dict.fromkeys(usage, True)
        builder = builder.add_extension(x509.KeyUsage(**bits), True)
    if purposes:
        named = [x509.ObjectIdentifier(each) for each in purposes]
        builder = builder.add_extension(x509.ExtendedKeyUsage(named), False)
    if skid:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    if issuer and authority:
        by = x509.AuthorityKeyIdentifier(issuer.skid, None, None)
        builder = builder.add_extension(by, False)
    if own_authority:
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        builder = builder.add_extension(by, False)
    plain = hasattr(signer, "curve") or isinstance(signer, (rsa.RSAPrivateKey, dsa.DSAPrivateKey))
    made = builder.sign(signer, HASHES[hash_name][1] if plain else None)
    return Identity(key, made.public_bytes(serialization.Encoding.DER))


def identity(kind: str = "rsa", number: int = 0) -> Identity:
    """A self-signed identity, the same one for the same words."""
    return _identity(kind, number)


@cache
def _identity(kind: str, number: int) -> Identity:
    return issued(private(kind, number), f"{kind} key {number}", serial=0x1234 + number)


def ring(*trusted: bytes, tried: Sequence[bytes] = (), revoked: Sequence[bytes] = ()) -> Ring:
    """A ring of certificates in DER."""
    keys: list[Key] = [key_from_certificate(c, Origin("trusted.pem")) for c in trusted]
    keys += [key_from_certificate(c, Origin("tried.pem", vouched=False)) for c in tried]
    keys += [key_from_certificate(c, Origin("dbx.esl", "revoked", vouched=False)) for c in revoked]
    return Ring(Material(tuple(keys)))


def message(content: bytes = CONTENT) -> Message:
    return Message("whole-file", content, (FileRange(0, len(content)),))


# --------------------------------------------------------------------------- CMS


def sign_value(key: Any, data: bytes, hash_name: str) -> tuple[bytes, bytes]:
    """(signature algorithm in DER, value) as the kernel's sign-file would choose them."""
    made = HASHES[hash_name][1]
    if isinstance(key, rsa.RSAPrivateKey):
        return algorithm("1.2.840.113549.1.1.1", NULL), key.sign(data, padding.PKCS1v15(), made)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return algorithm(ECDSA_OIDS[hash_name]), key.sign(data, ec.ECDSA(made))
    if isinstance(key, dsa.DSAPrivateKey):
        return algorithm("2.16.840.1.101.3.4.3.2"), key.sign(data, made)
    words = type(key).__name__.lower()
    kind = next(k for k in MESSAGE_OIDS if words.startswith(k))
    return algorithm(MESSAGE_OIDS[kind]), key.sign(data)


def attributes(data: bytes, hash_name: str, *more: bytes, kind: str = DATA) -> bytes:
    """The elements of signed attributes over ``data``, sorted as DER wants a SET."""
    state = hashes.Hash(HASHES[hash_name][1])
    state.update(data)
    found = [
        tlv(0x30, oid("1.2.840.113549.1.9.3"), tlv(0x31, oid(kind))),
        tlv(0x30, oid("1.2.840.113549.1.9.4"), tlv(0x31, tlv(4, state.finalize()))),
        *more,
    ]
    return b"".join(sorted(found))


def signer_info(
    who: Identity,
    content: bytes = CONTENT,
    hash_name: str = "sha256",
    *,
    keyid: bool = False,
    version: int | None = None,
    sid: bytes | None = None,
    digest: bytes | None = None,
    signature_algorithm: bytes | None = None,
    attrs: bytes | None = None,
    unsigned: bytes = b"",
    value: bytes | None = None,
) -> bytes:
    """One SignerInfo; whatever is given replaces what would be right."""
    chosen, made = sign_value(who.private, content if attrs is None else tlv(0x31, attrs), hash_name)
    if sid is None:
        serial = integer(who.parsed.serial_number)
        sid = tlv(0x80, who.skid) if keyid else tlv(0x30, who.issuer, serial)
    return tlv(
        0x30,
        integer((3 if keyid else 1) if version is None else version),
        sid,
        algorithm(HASHES[hash_name][0]) if digest is None else digest,
        tlv(0xA0, attrs) if attrs is not None else b"",
        chosen if signature_algorithm is None else signature_algorithm,
        tlv(4, made if value is None else value),
        unsigned,
    )


RSASSA_PSS = "1.2.840.113549.1.1.10"


def pss_parameters(hash_name: str, salt: int, mask: str | None = None) -> bytes:
    """RSASSA-PSS-params (RFC 4055 3.1) with MGF1 over ``mask``, or the same hash."""
    digest = algorithm(HASHES[hash_name][0])
    masked = algorithm("1.2.840.113549.1.1.8", algorithm(HASHES[mask or hash_name][0]))
    return tlv(0x30, tlv(0xA0, digest), tlv(0xA1, masked), tlv(0xA2, integer(salt)))


def pss_info(
    who: Identity, hash_name: str, salt: int, *, mask: str | None = None, content: bytes = CONTENT
) -> bytes:
    """A SignerInfo with RSASSA-PSS; the parameters of SHA-1 with a salt of 20 bytes are left out."""
    scheme = padding.PSS(padding.MGF1(HASHES[mask or hash_name][1]), salt)
    params = tlv(0x30) if (hash_name, salt) == ("sha1", 20) else pss_parameters(hash_name, salt, mask)
    return signer_info(
        who,
        content,
        hash_name,
        signature_algorithm=algorithm(RSASSA_PSS, params),
        value=who.private.sign(content, scheme, HASHES[hash_name][1]),
    )


def cms(
    *signers: bytes,
    version: int = 1,
    kind: str = DATA,
    content: bytes | None = None,
    certificates: Sequence[bytes] = (),
    digests: bytes | None = None,
    wrap: Any = tlv,
) -> bytes:
    """A ContentInfo with a SignedData; ``wrap`` encodes the outermost SEQUENCE."""
    embedded = tlv(0xA0, tlv(4, content)) if content is not None else b""
    body = tlv(
        0x30,
        integer(version),
        tlv(0x31, algorithm(HASHES["sha256"][0]) if digests is None else digests),
        tlv(0x30, oid(kind), embedded),
        tlv(0xA0, *sorted(certificates)) if certificates else b"",
        tlv(0x31, *sorted(signers)),
    )
    made: bytes = wrap(0x30, oid(SIGNED_DATA), tlv(0xA0, body))
    return made
