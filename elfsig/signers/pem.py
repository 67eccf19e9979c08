"""Private keys from files: PEM, DER, PKCS#12 or OpenPGP, encrypted or not, with the certificate in the same
file or another."""

from __future__ import annotations

import binascii
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from elfsig.crypto.certificate import parse
from elfsig.crypto.checks import MESSAGE_ALGORITHMS, prehashed
from elfsig.crypto.pkcs1 import digest_info, pkcs1_block
from elfsig.crypto.public_keys import load_spki, public_kind, restriction_of, too_large
from elfsig.envelopes.openpgp.keys import is_armoured
from elfsig.errors import ParseError, SigningError
from elfsig.model import Certificate, Remark
from elfsig.recognition.asn1 import BUNDLE, PKCS12
from elfsig.recognition.kinds import Family, hint_for
from elfsig.recognition.sniff import kind_of
from elfsig.recognition.text import PGP_SECRET, plain_text
from elfsig.signers import rounds
from elfsig.signers.loaded import Ask, Loaded
from elfsig.signers.openpgp_file import load_openpgp

_CERTIFICATE = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]*)-----END (?:X509 |TRUSTED )?CERTIFICATE-----"
)
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----")
_END = re.compile(rb"-----END ([A-Z0-9 ]*PRIVATE KEY)-----")


@dataclass(frozen=True, slots=True)
class FileSigner:
    """A private key in memory. Implements model.Signer; every value is checked before it is returned.

    ``remarks``: certificate-expired, certificate-not-yet-valid. ``key_created``: the creation time of an
    OpenPGP key, which decides its key id; 0 for keys that have none.
    """

    private: Any
    public: Any
    algorithm: str
    key_bits: int
    certificate: Certificate | None
    remarks: tuple[Remark, ...] = ()
    key_created: int = 0

    def sign_digest(self, digest: bytes, hash_name: str) -> bytes:
        """See model.Signer. Raises SigningError for hashes that this kind of key cannot sign."""
        scheme = prehashed(hash_name)
        if self.algorithm == "rsa":
            if scheme is None:
                return self.sign_block(padded_digest(digest, hash_name, self.key_bits))
            return self._checked(digest, PKCS1v15(), scheme)
        if scheme is None or self.algorithm not in ("dsa", "ecdsa"):
            raise SigningError(f"{self.algorithm} cannot sign a digest of {hash_name}")
        return self._checked(digest, scheme if self.algorithm == "dsa" else ECDSA(scheme))

    def sign_message(self, message: bytes) -> bytes:
        """See model.Signer. Raises SigningError for keys that sign digests."""
        if self.algorithm not in MESSAGE_ALGORITHMS:
            raise SigningError(f"{self.algorithm} signs a digest, not the message")
        return self._checked(message)

    def sign_block(self, block: bytes) -> bytes:
        """See model.Signer. Raises SigningError for keys other than RSA, and for a block of another size."""
        if self.algorithm != "rsa":
            raise SigningError(f"{self.algorithm} has no padded blocks")
        numbers = self.private.private_numbers()
        modulus, size = numbers.public_numbers.n, (self.key_bits + 7) // 8
        number = int.from_bytes(block, "big")
        if len(block) != size or number >= modulus:
            raise SigningError(f"a block of {len(block)} bytes does not fit a modulus of {size}")
        # Chinese remainder: a quarter of the work of one exponentiation modulo n.
        by_p, by_q = pow(number, numbers.dmp1, numbers.p), pow(number, numbers.dmq1, numbers.q)
        value = by_q + numbers.q * ((by_p - by_q) * numbers.iqmp % numbers.p)
        if pow(value, numbers.public_numbers.e, modulus) != number:
            raise SigningError("the private key is damaged: its signature does not verify")
        encoded: bytes = value.to_bytes(size, "big")
        return encoded

    def _checked(self, data: bytes, *scheme: Any) -> bytes:
        """Sign and verify: keys are loaded without the slow proof that their numbers are consistent."""
        try:
            value = bytes(self.private.sign(data, *scheme))
            self.public.verify(value, data, *scheme)
        except InvalidSignature:
            raise SigningError("the private key is damaged: its signature does not verify") from None
        except (ValueError, UnsupportedAlgorithm) as reason:
            raise SigningError(f"this {self.algorithm} key cannot make the signature: {reason}") from None
        return value


def padded_digest(digest: bytes, hash_name: str, bits: int) -> bytes:
    """The block that an RSA key of ``bits`` signs for a digest. Raises SigningError if it is too small."""
    block = pkcs1_block(digest_info(hash_name, digest), (bits + 7) // 8)
    if block is None:
        raise SigningError("the key is too small for this hash")
    return block


def load_signer(
    key: bytes,
    cert: bytes | None,
    ask: Ask,
    *,
    key_name: str = "the key",
    cert_name: str = "the certificate",
) -> FileSigner:
    """The signer for a private key and, if there is one, its certificate.

    ``cert`` None: it is searched for in ``key`` itself. ``ask`` is called with ``key_name`` for an
    encrypted key. Raises SigningError: not a key, wrong passphrase, a certificate of another key.
    """
    try:
        found = private_of(key, ask, key_name)
    except SigningError as fault:
        raise _swapped(fault, key, cert, key_name, cert_name) from None
    if cert is not None:
        signer = _signer(found.private, cert, key_name, cert_name, required=True)
    else:
        held = b"".join(map(_pem, found.certificates)) or key
        signer = _signer(found.private, held, key_name, key_name)
    return replace(signer, key_created=found.created) if found.created else signer


def _pem(certificate: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n%b-----END CERTIFICATE-----\n" % binascii.b2a_base64(certificate)


def _swapped(
    fault: SigningError, key: bytes, cert: bytes | None, key_name: str, cert_name: str
) -> SigningError:
    """``fault``, or that key and certificate were given in each other's place."""
    first, second = kind_of(key), None if cert is None else kind_of(cert)
    if first is None or second is None:
        return fault
    if first.family is Family.CERTIFICATE and second.family is Family.PRIVATE_KEY:
        text = f"key and certificate are swapped: {cert_name} is {second.name}, {key_name} is {first.name}"
        return SigningError(f"{text}; not a private key, no private key", code="swapped", hint="key-and-cert")
    return fault


def signer_of(
    private: Any, cert: bytes | None, *, key_name: str = "the key", cert_name: str = "the certificate"
) -> FileSigner:
    """The signer for a private key object of the cryptography library and, optionally, its certificate.

    Raises SigningError: a key that cannot make signatures, a certificate of another key.
    """
    return _signer(private, cert, key_name, cert_name, required=True)


def signing_kind(public: Any, name: str, given: Any) -> tuple[str, int, str | None]:
    """(algorithm, bits, curve) of the key of a signer, which was ``given``. Raises SigningError for one that
    makes no signatures, or none that can be verified."""
    kind = public_kind(public)
    if kind is None:
        raise SigningError(f"{name}: a {type(given).__name__} cannot make signatures", code="not-a-key")
    if (why := too_large(public)) is not None:
        raise SigningError(f"{name}: {why}", code="not-a-key")
    return kind


def _signer(
    private: Any, source: bytes | None, key_name: str, cert_name: str, *, required: bool = False
) -> FileSigner:
    """``source``: what contains the certificate, which must be present if ``required``."""
    public = private.public_key()
    kind = signing_kind(public, key_name, private)
    certificate = None if source is None else _certificate(source, public, cert_name, required=required)
    remarks = tuple(certificate_remarks(certificate)) if certificate else ()
    return FileSigner(private, public, kind[0], kind[1], certificate, remarks)


# --------------------------------------------------------------------------- the private key


def private_of(data: bytes, ask: Ask, name: str) -> Loaded:
    """The private key in a file of any form that is read, and the certificates of a PKCS#12 file.

    ``ask`` is called with ``name`` where the key is protected. Raises SigningError.
    """
    kind = kind_of(data)
    if kind is PKCS12:
        from elfsig.signers.pkcs12 import load_pkcs12  # takes as long to import as all the rest

        return load_pkcs12(data, ask, name)
    if kind is PGP_SECRET:
        return load_openpgp(plain_text(data) if is_armoured(data) else data, ask, name)
    if kind is not None and kind.family is not Family.PRIVATE_KEY and _private_block(data) is None:
        text = f"{name}: no private key in this file: {kind.words}, not a private key"
        raise SigningError(text, code="not-a-key", hint=hint_for("key", kind))
    if kind is not None and kind.family is Family.FOREIGN_KEY:
        raise SigningError(f"{name}: {kind.words}", code="not-a-key")
    return Loaded(_load_private(plain_text(data), ask, name))


def _private_block(data: bytes) -> bytes | None:
    """The first PEM block of a private key in ``data``, from its first line to its last."""
    ends = {found[1]: found.start() for found in _END.finditer(data)}
    for begun in _BEGIN.finditer(data):
        if ends.get(begun[1], -1) >= begun.end():
            last = b"-----END " + begun[1] + b"-----"
            return data[begun.start() : data.index(last, begun.end()) + len(last)]
    return None


def _load_private(data: bytes, ask: Ask, name: str) -> Any:
    block = _private_block(data)
    if block is None and b"-----BEGIN " in data[:4096]:
        raise SigningError(f"{name}: no private key in this file", code="not-a-key")
    load = serialization.load_der_private_key if block is None else serialization.load_pem_private_key
    content = data if block is None else block + b"\n"
    try:
        return _loaded(load, content, None, name)
    except TypeError:  # cryptography's error when a password is needed
        rounds.check(content, name)
        return _loaded(load, content, ask(name), name, "; or the passphrase is wrong")


def _loaded(
    load: Callable[..., Any], data: bytes, passphrase: bytes | None, name: str, more: str = ""
) -> Any:
    try:
        # Proving that an RSA key's numbers are consistent takes longer than signing; see FileSigner._checked.
        return load(data, passphrase, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm) as reason:
        if passphrase is None and isinstance(reason, TypeError):
            raise
        text = f"{name}: not a private key that can be read ({reason}){more}"
        raise SigningError(text, code="not-a-key") from None


# --------------------------------------------------------------------------- the certificate


def certificates(data: bytes, name: str) -> Iterator[bytes]:
    """The DER certificates in PEM blocks or PKCS#7 bundles, or the one that ``data`` is."""
    data = plain_text(data)
    kind = kind_of(data)
    if kind is BUNDLE:
        from elfsig.signers.pkcs7_bundle import bundled

        yield from bundled(data, name)
        return
    if b"-----BEGIN " not in data:
        if kind is not None and kind.family is not Family.CERTIFICATE:
            hint = hint_for("certificate", kind)
            text = f"{name}: {kind.words}, not a certificate: no certificate in this file"
            raise SigningError(text, code="not-a-certificate", hint=hint)
        yield data
    for block in _CERTIFICATE.finditer(data):
        try:
            yield binascii.a2b_base64(block[1])
        except binascii.Error as reason:
            raise SigningError(f"{name}: damaged PEM ({reason})", code="not-a-certificate") from None


def _certificate(data: bytes, public: Any, name: str, *, required: bool) -> Certificate | None:
    """The certificate of ``public`` in ``data``. Raises SigningError if it only holds other keys' ones."""
    if not required and b"-----BEGIN " not in plain_text(data):
        return None
    seen = 0
    for each in certificates(data, name):
        try:
            parsed = parse(each)
        except ParseError as fault:
            raise SigningError(f"{name}: not a certificate: {fault}", code="not-a-certificate") from None
        if load_spki(parsed.spki) == public:
            return parsed.certificate
        seen += 1
    if seen:
        raise SigningError(f"{name}: the certificate does not belong to the key", code="certificate-of-other")
    if required:
        kind = kind_of(data)
        which = f", which is {kind.name}" if kind is not None else ""
        hint = None if kind is None else hint_for("certificate", kind)
        raise SigningError(f"{name}: no certificate in this file{which}", code="not-a-certificate", hint=hint)
    return None


def certificate_remarks(certificate: Certificate) -> Iterator[Remark]:
    """Remarks on a certificate that has expired, or is not valid yet, by this machine's clock, and on one
    whose key is not for the signatures that elfsig makes."""
    if restriction_of(certificate.der) is not None:
        text = (
            "the certificate restricts its key to RSASSA-PSS (RFC 4055 1.2), and the signature is PKCS#1 v1.5"
        )
        yield Remark("key-restricted", f"{text}: kernels do not load such a key, and OpenSSL refuses it")
    now = time.time()
    for wrong, code, when, text in (
        (certificate.not_after < now, "certificate-expired", certificate.not_after, "expired"),
        (certificate.not_before > now, "certificate-not-yet-valid", certificate.not_before, "is valid from"),
    ):
        if wrong:
            date = datetime.fromtimestamp(when, UTC).date().isoformat()
            yield Remark(code, f"the certificate {text} {date}; kernels do not check dates")
