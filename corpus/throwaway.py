"""The test keys under ``keys/``: thrown away by being published. They sign samples and nothing else.

``python -m corpus.throwaway NAME rsa2048|rsa3072|ec384`` makes one that is not there yet; a key that is
there is never replaced, since the samples' hashes depend on it.
"""

from __future__ import annotations

import datetime
import sys
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from corpus import KEYS

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def key(name: str) -> PrivateKey:
    """The private key ``name``."""
    loaded = serialization.load_pem_private_key((KEYS / f"{name}.key.pem").read_bytes(), None)
    if not isinstance(loaded, PrivateKey):
        raise TypeError(f"{name} is a {type(loaded).__name__}")
    return loaded


@cache
def certificate(name: str) -> x509.Certificate:
    """The self-signed certificate of ``name``."""
    return x509.load_pem_x509_certificate((KEYS / f"{name}.cert.pem").read_bytes())


def subject_key_id(name: str) -> bytes:
    """Content of the certificate's SubjectKeyIdentifier extension, 20 bytes."""
    return certificate(name).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def generate(kind: str) -> PrivateKey:
    """A new private key."""
    if kind == "ec384":
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))


def self_signed(name: str, private: PrivateKey) -> x509.Certificate:
    """A certificate with the extensions of the kernel's x509.genkey, valid for 100 years."""
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "elfsig corpus"),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"THROW-AWAY test key {name}"),
        ]
    )
    start = datetime.datetime(2012, 1, 1, tzinfo=datetime.UTC)
    skid = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
         "crl_sign", "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder(subject, subject, private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2112))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=False)
        .add_extension(skid, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(skid), critical=False)
        .sign(private, hashes.SHA256())
    )


def main(name: str, kind: str) -> None:
    """Make and keep the key ``name``."""
    target = KEYS / f"{name}.key.pem"
    if target.exists():
        sys.exit(f"{target.name} is there")
    private = generate(kind)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    target.write_bytes(pem)
    public = self_signed(name, private).public_bytes(serialization.Encoding.PEM)
    (KEYS / f"{name}.cert.pem").write_bytes(public)


if __name__ == "__main__":
    main(*sys.argv[1:])
