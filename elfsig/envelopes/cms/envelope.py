"""The envelope ``cms``: a detached CMS SignedData (RFC 5652), as Linux 4.3 to today reads it.

What kernels accept of it: crypto/asymmetric_keys/pkcs7_parser.c, pkcs7_verify.c and kernel/module_signing.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import ClassVar

from elfsig.crypto import der
from elfsig.crypto.names import shown_name
from elfsig.crypto.oids import BY_OID, hash_name
from elfsig.crypto.pkcs1 import digest_info
from elfsig.crypto.remarks import odd_name
from elfsig.envelopes.cms import facts as cms_facts
from elfsig.envelopes.cms import plain as cms_plain
from elfsig.envelopes.cms.types import Claim, SignedData, SignerInfo
from elfsig.errors import ParseError
from elfsig.lazy_dataclass import dataclass, replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import (
    Key,
    KeyId,
    Keyring,
    Message,
    Outcome,
    PacketSigner,
    Params,
    Part,
    PublicForm,
    Remark,
    RsaBody,
    Signature,
    SignedValue,
    Signer,
    SignOptions,
    Tool,
    TrailerInfo,
)

_VALUE_HEADERS = {
    512: b"\x04\x82\x02\x00",
    256: b"\x04\x82\x01\x00",
    384: b"\x04\x82\x01\x80",
    128: b"\x04\x81\x80",
}
"""DER headers of RSA values, by size, for which parsed skeletons are cached."""

MAX_CERTIFICATES = 256
"""Each is parsed, and may be tried as the issuer of another."""

MAX_SIGNERS = 64
"""Each may use another hash, and so need a pass over the file."""

_NONZERO = (("algo", 0), ("hash", 1), ("signer_len", 3), ("key_id_len", 4))
"""Fields of the info block that must be zero for a CMS, and their offsets in it; the padding follows."""


@dataclass(frozen=True, slots=True)
class Cms:
    """CMS SignedData: one signature per SignerInfo. Offsets in remarks count from the start of the blob."""

    suffix: ClassVar[str] = ".p7s"
    also_suffixes: ClassVar[tuple[str, ...]] = (".pkcs7",)
    modinfo_name: ClassVar[str] = "PKCS#7"
    opaque_value: ClassVar[bool] = True
    tool: ClassVar[Tool] = "cms"
    id: str = "cms"

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """The signers of ``blob``, in order. Raises ParseError with the offset inside ``blob``."""
        if not blob:
            raise ParseError("the signature is empty (sig_len 0)", offset=0)
        like = _like(blob)
        signatures = (
            _signatures(read(blob), blob) if like is None else [like[0].signature._replace(value=like[1])]
        )
        fault = _nonzero(params, len(blob)) if isinstance(params, TrailerInfo) else None
        return [s._replace(fault=fault) for s in signatures] if fault else signatures

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Check one signer. Embedded certificates count only when they lead to a key of ``keys``."""
        from elfsig.envelopes.cms.verify import verify

        return verify(signature, message, keys)

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """What the kernel's scripts/sign-file makes, and an info block of id_type 2. Raises SigningError."""
        from elfsig.envelopes.cms.make import create

        return create(message, signer, options), TrailerInfo(id_type=2)

    def from_file(self, data: bytes) -> bytes:
        """The DER out of PEM (``openssl cms -outform PEM``), in a ContentInfo if it lacks one: kernels
        read nothing else. Raises ParseError."""
        return with_content_info(unarmoured(data))

    def public_form(self, payload: str | None) -> PublicForm:
        """The signer is named by issuer and serial number, or by subject key id, of its certificate."""
        return "certificate"

    def parts(self, blob: bytes, signatures: Sequence[Signature]) -> Iterator[Part]:
        """Embedded certificates, which belong to all signers, and signed attributes as they are hashed."""
        for number, signature in enumerate(signatures):
            claim: Claim = signature.detail
            for place, certificate in enumerate(() if number else claim.certificates, 1):
                suffix = ".cert.der" if place == 1 else f".cert{place}.der"
                yield Part(suffix, certificate, "an embedded certificate")
            if claim.signed_der is not None:
                text = "the signed attributes, as they are hashed"
                yield Part(".attributes.der", claim.signed_der, text, number)

    def rsa_bodies(self, signature: Signature, message: Message) -> Iterator[RsaBody]:
        """Over the message, or over the signed attributes (RFC 5652, 5.4), whatever the message."""
        from elfsig.envelopes.cms.statement import stream_digest

        signed = signature.detail.signed_der
        stream, how = (message, message.coverage) if signed is None else (signed, "signed attributes")
        name = signature.hash or ""
        yield RsaBody(how, digest_info(name, stream_digest(stream, name)))

    def signed_values(self, signature: Signature, message: Message, key: Key | None) -> Iterator[SignedValue]:
        """The value over the message, or over the signed attributes, which hold its digest."""
        from elfsig.envelopes.cms.values import signed_values

        return signed_values(signature, key)

    def dump(self, blob: bytes) -> Iterator[str]:
        """The ASN.1 elements, as ``openssl asn1parse`` lists them."""
        from elfsig.envelopes.cms.dump import lines

        return lines(blob)


_PEM = rb"-----BEGIN (CMS|PKCS7)-----([^-]*)-----END (?:CMS|PKCS7)-----"


def unarmoured(data: bytes) -> bytes:
    """The first CMS in PEM as DER; anything else as it is. Raises ParseError for damaged base64."""
    import binascii
    import re

    found = re.search(_PEM, data)
    if found is None:
        return data
    try:
        return binascii.a2b_base64(found[2])
    except binascii.Error as reason:
        raise ParseError(f"damaged PEM ({reason})", offset=found.start()) from None


def with_content_info(data: bytes) -> bytes:
    """A bare SignedData, which begins with its version number, in the ContentInfo that it should have
    (RFC 5652, 3); anything else as it is."""
    from elfsig.crypto.der import encode_oid
    from elfsig.envelopes.cms.types import SIGNED_DATA

    try:
        outer = der.read(data, 0, len(data))
        bare = outer.tag == der.SEQUENCE and data[outer.body : outer.body + 1] == b"\x02"
    except ParseError:
        return data
    whole = bare and outer.next == len(data)
    return der.encode(der.SEQUENCE, encode_oid(SIGNED_DATA), der.encode(0xA0, data)) if whole else data


def read(blob: bytes) -> SignedData:
    """The SignedData at the start of ``blob``: the usual form first, then strict DER, then BER.

    Raises ParseError with the offset, also for a SignedData without any SignerInfo.
    """
    outer = der.read(blob, 0, len(blob))
    data = cms_plain.parse(blob, outer.next)
    if data is None:
        from elfsig.envelopes.cms import schema as cms_schema

        data = cms_schema.parse(blob, outer.next)
    if data is None:
        from elfsig.envelopes.cms import ber as cms_ber

        data = cms_ber.parse(blob)
    if not data.signers:
        raise ParseError("a SignedData without any SignerInfo", offset=outer.start)
    for what, count, most in (
        ("signers", len(data.signers), MAX_SIGNERS),
        ("certificates", len(data.certificates), MAX_CERTIFICATES),
    ):
        if count > most:
            text = f"{count} {what}, and elfsig reads at most {most}"
            raise ParseError(text, offset=outer.start, code="over-limit")
    return data


# --------------------------------------------------------------------------- many blobs of one shape


class Skeleton(NamedTuple):
    """A SignedData with one signer, and its signature, for any value of this length."""

    data: SignedData
    signature: Signature


def read_with_signatures(blob: bytes) -> tuple[SignedData, Sequence[Signature]]:
    """:func:`read`, and the signatures in it, in order. Raises ParseError."""
    like = _like(blob)
    if like is None:
        data = read(blob)
        return data, _signatures(data, blob)
    (data, signature), value = like
    signer = replace(data.signers[0], value=value)
    return replace(data, signers=(signer,)), [signature._replace(value=value)]


def _like(blob: bytes) -> tuple[Skeleton, bytes] | None:
    """The skeleton and the value of a blob that differs from an earlier one in its value alone; None for
    others.

    Sound because the value is an OCTET STRING at the very end: everything before it, lengths
    included, is the same, and was parsed by :func:`read`.
    """
    for size, header in _VALUE_HEADERS.items():
        if blob[-size - len(header) : -size] == header:
            found = _skeleton(blob[:-size], size)
            break
    else:
        return None
    return None if found is None else (found, blob[-size:])


@lru_cache(maxsize=64)
def _skeleton(head: bytes, size: int) -> Skeleton | None:
    """What ``head`` followed by a value of ``size`` zero bytes holds, if that is one signature."""
    blob = head + bytes(size)
    try:
        data = read(blob)
    except ParseError:
        return None
    signer = data.signers[0]
    plain = len(data.signers) == 1 and data.size == len(blob) and signer.value_start == len(head)
    return Skeleton(data, _signatures(data, blob)[0]) if plain and len(signer.value) == size else None


# --------------------------------------------------------------------------- from SignerInfo to Signature


def _nonzero(params: TrailerInfo, end: int) -> Remark | None:
    """mod_check_sig() refuses these with EBADMSG; modinfo shows five fields nevertheless."""
    if not (params.algo or params.hash or params.signer_len or params.key_id_len or any(params.pad)):
        return None
    fields = [(name, getattr(params, name), at) for name, at in _NONZERO]
    fields += [(f"__pad[{i}]", byte, 5 + i) for i, byte in enumerate(params.pad)]
    wrong = [(name, value, at) for name, value, at in fields if value]
    text = ", ".join(f"{name} {value}" for name, value, _ in wrong)
    text = f"non-zero fields with a PKCS#7 signature: {text}"
    return Remark("nonzero-params", text, end + wrong[0][2])


def _signatures(data: SignedData, blob: bytes) -> list[Signature]:
    shared = tuple(cms_facts.common_remarks(data, len(blob)))
    refused = cms_facts.fault(data)
    return [_signature(data, number, shared, refused) for number in range(len(data.signers))]


def _signature(data: SignedData, number: int, shared: tuple[Remark, ...], fault: Remark | None) -> Signature:
    signer = data.signers[number]
    known = BY_OID.get(signer.algorithm.oid)
    hash_, hash_text = hash_name(signer.digest.oid)
    algorithm = known.algorithm if known else None
    name = shown_name(signer.issuer) or None if signer.issuer else None
    odd = odd_name((name or "").encode("utf-8", "surrogatepass"))
    return Signature(
        envelope="cms",
        algorithm=algorithm,
        hash=hash_,
        value=signer.value,
        key_ids=tuple(_key_ids(signer)),
        algorithm_text=known.name if known else signer.algorithm.oid,
        hash_text=hash_text,
        key_bits=8 * len(signer.value) or None if algorithm in ("rsa", "rsa-pss") else None,
        signer=name,
        key_id=signer.skid,
        serial=signer.serial,
        created=cms_facts.signing_time(signer),
        fault=fault,
        remarks=(
            *shared,
            *cms_facts.signer_remarks(data, signer, known),
            *([odd._replace(offset=signer.start)] if odd else []),
        ),
        facts=cms_facts.facts(data, number),
        detail=Claim(
            signer.signed_der,
            cms_facts.message_digest(signer),
            signer.algorithm.params,
            data.certificates,
        ),
    )


def _key_ids(signer: SignerInfo) -> Iterator[KeyId]:
    if signer.skid is not None:
        yield "skid", signer.skid
    elif signer.issuer is not None and signer.serial is not None:
        yield "issuer-serial", signer.issuer + b"|" + signer.serial
