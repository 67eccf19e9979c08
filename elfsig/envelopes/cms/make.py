"""Making a CMS: byte for byte what the kernel's scripts/sign-file writes with OpenSSL.

Shape (scripts/sign-file.c, RFC 5652): no content, no certificates, no attributes, one SignerInfo.
Versions are 1 with issuer and serial number, 3 with a subject key id (``sign-file -k``).
"""

from __future__ import annotations

from elfsig.crypto import der
from elfsig.crypto.checks import MESSAGE_ALGORITHMS, Unsupported, digest_of
from elfsig.crypto.hashes import HASHES, Hash, hash_named
from elfsig.crypto.oids import FOR_SIGNING
from elfsig.envelopes.cms.types import DATA, SIGNED_DATA
from elfsig.errors import SigningError
from elfsig.model import Certificate, Message, PacketSigner, Signer, SignOptions

NULL = b"\x05\x00"

_NULL_HASHES = frozenset({"md4", "md5", "rmd160", "sm3"})
"""Hashes whose identifier OpenSSL writes with NULL parameters; those of the SHA families have none."""

_KERNELS_READ = frozenset({"rsa", "ecdsa", "mldsa44", "mldsa65", "mldsa87"})


def create(message: Message, signer: Signer | PacketSigner, options: SignOptions) -> bytes:
    """The DER of a detached SignedData over ``message``.

    ``options.hash`` defaults to SHA-256; Ed25519 and ML-DSA sign the message itself and name SHA-512
    (RFC 8419, RFC 9882), Ed448 likewise here. Raises SigningError.
    """
    if not isinstance(signer, Signer):
        raise SigningError("a CMS needs a key with an X.509 certificate; GnuPG makes OpenPGP packets only")
    if signer.certificate is None:
        raise SigningError("a CMS needs the signer's certificate", code="no-certificate", hint="cert")
    if signer.algorithm not in _KERNELS_READ and not options.force:
        raise SigningError(f"no kernel verifies {signer.algorithm} in a PKCS#7 signature")
    whole = signer.algorithm in MESSAGE_ALGORITHMS
    hash_ = HASHES["sha512"] if whole else hash_named(options.hash or "sha256")
    algorithm = _signature_algorithm(signer.algorithm, hash_)
    value = signer.sign_message(message.to_bytes()) if whole else _sign(message, signer, hash_)
    digest = der.encode(der.SEQUENCE, der.encode_oid(hash_.oid), _digest_params(hash_, options))
    return _assemble(signer.certificate, options.keyid, digest, algorithm, value)


def _sign(message: Message, signer: Signer, hash_: Hash) -> bytes:
    try:
        return signer.sign_digest(digest_of(message, hash_.name), hash_.name)
    except Unsupported as missing:
        raise SigningError(f"{missing.args[0]} is not available in this Python") from None


def _digest_params(hash_: Hash, options: SignOptions) -> bytes:
    return NULL if options.digest_null or hash_.name in _NULL_HASHES else b""


def _signature_algorithm(algorithm: str, hash_: Hash) -> bytes:
    """AlgorithmIdentifier: plain rsaEncryption with NULL, the combined ones of EC and DSA without."""
    if algorithm == "rsa":
        return der.encode(der.SEQUENCE, der.encode_oid(FOR_SIGNING["rsa", None]), NULL)
    oid = FOR_SIGNING.get((algorithm, None if algorithm in MESSAGE_ALGORITHMS else hash_.name))
    if oid is None:
        raise SigningError(f"there is no identifier for {algorithm} with {hash_.name}")
    return der.encode(der.SEQUENCE, der.encode_oid(oid))


def _assemble(certificate: Certificate, keyid: bool, digest: bytes, algorithm: bytes, value: bytes) -> bytes:
    """ContentInfo around SignedData (RFC 5652, 3 and 5.1)."""
    version = der.encode_integer(3 if keyid else 1)
    signer = der.encode(
        der.SEQUENCE, version, _sid(certificate, keyid), digest, algorithm, der.encode(der.OCTETS, value)
    )
    signed = der.encode(
        der.SEQUENCE,
        version,
        der.encode(der.SET, digest),
        der.encode(der.SEQUENCE, der.encode_oid(DATA)),
        der.encode(der.SET, signer),
    )
    return der.encode(der.SEQUENCE, der.encode_oid(SIGNED_DATA), der.encode(0xA0, signed))


def _sid(certificate: Certificate, keyid: bool) -> bytes:
    if not keyid:
        return der.encode(der.SEQUENCE, certificate.issuer, der.encode_integer(certificate.serial))
    if certificate.skid is None:
        raise SigningError("the certificate has no subjectKeyIdentifier to name the signer by")
    return der.encode(0x80, certificate.skid)
