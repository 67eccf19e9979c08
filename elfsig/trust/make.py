"""From public keys and certificates to :class:`elfsig.model.Key`: algorithm, size, and all its names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from elfsig.crypto import der
from elfsig.crypto.certificate import Parsed, parse
from elfsig.crypto.checks import KEY_UNSUPPORTED
from elfsig.crypto.names import shown_name, signer_name
from elfsig.crypto.public_keys import Described, described, read_spki
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


MAX_MPI_BITS = 0xFFFF
"""The largest number of the kernel's binary form: its size in bits has two bytes."""


def digsig_blob(modulus: int, exponent: int) -> bytes:
    """The kernel's binary form of an RSA key (include/linux/digsig.h, struct pubkey_hdr and two MPIs).

    version 1, u32 time 0, algorithm 0 (RSA), 2 MPIs; each is a big-endian u16 bit length and its bytes.
    """
    mpis = (n.bit_length().to_bytes(2) + n.to_bytes((n.bit_length() + 7) // 8) for n in (modulus, exponent))
    return b"\1\0\0\0\0\0\2" + b"".join(mpis)


def _public_ids(found: Described) -> set[KeyId]:
    """The ids that follow from the key alone: IMA's two, and the SHA-1 that a SKID usually is.

    An RSA key whose numbers do not fit into the kernel's binary form has no id of IMA's first version.
    """
    try:
        bits = hashlib.sha1(_key_bits(found.spki), usedforsecurity=False).digest()
    except ParseError:
        return set()
    ids: set[KeyId] = {("digsig2", bits[-4:]), ("skid", bits)}
    if found.algorithm == "rsa" and found.loaded is not None:
        numbers = found.loaded.public_numbers()
        if max(numbers.n, numbers.e).bit_length() <= MAX_MPI_BITS:
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

    ``more`` are further fields of :class:`elfsig.model.Key`. One that the library loads and never checks
    with has ``public`` None. Raises KeySourceError (see :func:`describe`).
    """
    found = described(public)
    return _key(found, origin, ids=(*_public_ids(found), *ids), label=label, **more)


def key_from_spki(spki: bytes, origin: Origin) -> Key:
    """The key in a DER SubjectPublicKeyInfo; for one that cannot be checked with, ``public`` is None.

    Raises ParseError where it is not a SubjectPublicKeyInfo.
    """
    found = read_spki(spki)
    return _key(found, origin, ids=_public_ids(found))


def _key(
    found: Described,
    origin: Origin,
    *,
    ids: Iterable[KeyId],
    label: str = "",
    remarks: tuple[Remark, ...] = (),
    **more: Any,
) -> Key:
    unusable = (Remark(KEY_UNSUPPORTED, found.why),) if found.why else ()
    size = f"{found.algorithm}-{found.bits} public key"
    return Key(
        public=found.public,
        algorithm=found.algorithm,
        bits=found.bits,
        curve=found.curve,
        ids=frozenset(ids),
        source=origin.source,
        keyring=origin.ring_name,
        vouched=origin.vouches,
        fingerprint=hashlib.sha256(found.spki).hexdigest(),
        label=label or (size if found.bits else f"public key of algorithm {found.algorithm}"),
        remarks=(*remarks, *unusable),
        why=origin.reason,
        revoked=origin.revoking,
        provenance=origin.provenance,
        restriction=found.restriction,
        **more,
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
