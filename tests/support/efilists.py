"""EFI signature lists and signed updates of variables, laid out by hand (UEFI specification 32.4.1, 8.2)."""

from __future__ import annotations

import struct
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

X509 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
SHA256 = "c1c41626-504c-4092-aca9-41f936934328"
X509_SHA256 = "3bd2a492-96c0-4079-b420-fcf98ef103ed"
X509_SHA384 = "7076876e-80c2-4ee6-aad2-28b349a6865b"
X509_SHA512 = "446dbf63-2502-4cda-bcfa-2465d2b0fe9d"
UNKNOWN = "11111111-2222-3333-4444-555555555555"
PKCS7_GUID = "4aafd29d-68df-49ee-8aa9-347d375665a7"
TIME = struct.pack("<HBBBBBBIhBB", 2024, 5, 6, 7, 8, 9, 0, 0, 0, 0, 0)
ATTRIBUTES = b"\x07\0\0\0"


def esl(kind: str, *entries: bytes) -> bytes:
    """One EFI_SIGNATURE_LIST; all entries have the size of the first."""
    body = b"".join(bytes(16) + each for each in entries)
    sizes = (28 + len(body), 0, 16 + len(entries[0]))
    return UUID(kind).bytes_le + struct.pack("<III", *sizes) + body


def update(payload: bytes, certificate: bytes, key: object, *, bare: bool = True) -> bytes:
    """An EFI_VARIABLE_AUTHENTICATION_2 with ``payload``; the signature is over the payload alone."""
    signed = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(payload)
        .add_signer(x509.load_der_x509_certificate(certificate), key, hashes.SHA256())  # type: ignore[arg-type]
        .sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary])
    )
    if bare:  # without the ContentInfo: 30 82 LLLL, the identifier, a0 82 LLLL
        signed = signed[4 + 11 + 4 :]
    header = struct.pack("<IHH", 24 + len(signed), 0x0200, 0x0EF1) + UUID(PKCS7_GUID).bytes_le
    return TIME + header + signed + payload
