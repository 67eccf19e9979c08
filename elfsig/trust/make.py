"""From public keys and certificates to :class:`elfsig.model.Key`: algorithm, size, and all its names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from elfsig.crypto import der
from elfsig.crypto.certificate import Parsed, element, parse
from elfsig.crypto.names import shown_name, signer_name
from elfsig.crypto.public_keys import describe, encode_spki, load_spki
from elfsig.envelopes.cms.types import magnitude
from elfsig.errors import ParseError
from elfsig.lazy_dataclass import replace
from elfsig.model import Key, KeyId, Remark
from elfsig.trust.entries import Origin

PRIVATE_KEY = "holds a private key; give the certificate or the public key instead"


def issuer_serial_id(issuer: bytes, serial: int) -> KeyId:
    """Identify a certificate by its issuer (DER) and the magnitude of its serial number, big-endian."""
    return "issuer-serial", issuer + b"|" + magnitude(serial)


def x509_name_id(name: bytes, keyid: bytes) -> KeyId:
    """Identify a key as kernels 3.7 to 4.2 describe it: signer name, colon, key id in hex."""
    return "x509-name", name + b": " + keyid.hex().encode()


def digsig_blob(modulus: int, exponent: int) -> bytes:
    """The kernel's binary form of an RSA key (include/linux/digsig.h, struct pubkey_hdr and two MPIs).

    version 1, u32 time 0, algorithm 0 (RSA), 2 MPIs; each is a big-endian u16 bit length and its bytes.
    """
    mpis = (n.bit_length().to_bytes(2) + n.to_bytes((n.bit_length() + 7) // 8) for n in (modulus, exponent))
    return b"\1\0\0\0\0\0\2" + b"".join(mpis)


def _public_ids(public: Any, algorithm: str, spki: bytes) -> set[KeyId]:
    """The ids that follow from the key alone: IMA's two, and the SHA-1 that a SKID usually is."""
    bits = hashlib.sha1(_key_bits(spki), usedforsecurity=False).digest()
    ids: set[KeyId] = {("digsig2", bits[-4:]), ("skid", bits)}
    if algorithm == "rsa":
        numbers = public.public_numbers()
        blob = hashlib.sha1(digsig_blob(numbers.n, numbers.e), usedforsecurity=False).digest()
        ids.add(("digsig1", blob[12:20]))
    return ids


def _key_bits(spki: bytes) -> bytes:
    """The subjectPublicKey bits of a DER SubjectPublicKeyInfo, without the count of unused bits."""
    bits = der.descend(spki, der.read(spki, 0, len(spki)), 1)
    return spki[bits.body + 1 : bits.end]


def key_from_public(
    public: Any, origin: Origin, *, ids: Iterable[KeyId] = (), label: str = "", **more: Any
) -> Key:
    """A key that comes without a certificate; ``ids`` are added to those that follow from the key itself.

    ``more`` are further fields of :class:`elfsig.model.Key`. Raises KeySourceError (see :func:`describe`).
    """
    algorithm, bits, curve = describe(public)
    spki = encode_spki(public)
    return Key(
        public=public,
        algorithm=algorithm,
        bits=bits,
        curve=curve,
        ids=frozenset(_public_ids(public, algorithm, spki)) | frozenset(ids),
        source=origin.source,
        keyring=origin.ring_name,
        vouched=origin.vouches,
        fingerprint=hashlib.sha256(spki).hexdigest(),
        label=label or f"{algorithm}-{bits} public key",
        why=origin.reason,
        revoked=origin.revoking,
        provenance=origin.provenance,
        **more,
    )


def key_from_spki(spki: bytes, origin: Origin) -> Key:
    """The key in a DER SubjectPublicKeyInfo; for an unknown algorithm, one with ``public`` None.

    Raises ParseError where it is not a SubjectPublicKeyInfo.
    """
    public = load_spki(spki)
    return _unusable(spki, origin) if public is None else key_from_public(public, origin)


def _unusable(spki: bytes, origin: Origin) -> Key:
    algorithm = der.descend(spki, element(spki, 0, len(spki), der.SEQUENCE, "public key"), 0)
    named = element(spki, algorithm.body, algorithm.end, der.OID, "public key algorithm")
    oid = der.decode_oid(spki[named.body : named.end])
    return Key(
        public=None,
        algorithm=oid,
        bits=0,
        curve=None,
        ids=frozenset(),
        source=origin.source,
        keyring=origin.ring_name,
        vouched=origin.vouches,
        fingerprint=hashlib.sha256(spki).hexdigest(),
        label=f"public key of algorithm {oid}",
        remarks=(Remark("key-unsupported", f"public key algorithm {oid} cannot be checked"),),
        why=origin.reason,
        revoked=origin.revoking,
        provenance=origin.provenance,
    )


def key_from_certificate(data: bytes, origin: Origin, at: int = 0) -> Key:
    """The key of the DER certificate at offset ``at`` of ``data``. Raises ParseError."""
    return key_from_parsed(parse(data, at), origin)


def _era_name(subject: bytes) -> bytes | None:
    try:
        return signer_name(subject)
    except ParseError:
        return None


def key_from_parsed(parsed: Parsed, origin: Origin) -> Key:
    """The key of a certificate. One of an unknown algorithm has ``public`` None. Raises ParseError."""
    certificate = parsed.certificate
    key = key_from_spki(parsed.spki, origin)
    ids = {each for each in key.ids if each[0] != "skid"}
    ids.add(issuer_serial_id(certificate.issuer, certificate.serial))
    if certificate.skid:
        ids |= {("skid", certificate.skid), ("digsig2", certificate.skid[-4:])}
        name = _era_name(certificate.subject)
        if name:
            ids.add(x509_name_id(name, certificate.skid))
    remarks = list(key.remarks)
    if parsed.odd_dates:
        remarks.append(Remark("validity-unreadable", "the certificate's validity cannot be read"))
    return replace(
        key,
        ids=frozenset(ids),
        certificate=certificate,
        label=shown_name(certificate.subject) or key.label,
        remarks=tuple(remarks),
    )
