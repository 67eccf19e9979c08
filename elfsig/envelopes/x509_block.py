"""The envelope ``x509-block`` of Linux 3.7 to 4.2: signer name, key id, and a bare RSA value.

Layout (kernel/module_signing.c and scripts/sign-file of 3.7): ``signer_len`` bytes of name,
``key_id_len`` bytes of subject key id, a big-endian 16-bit length, the RSA PKCS#1 v1.5 value. The info
block's ``sig_len`` counts the last two; its ``algo`` and ``hash`` name the algorithms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from elfsig.crypto.checks import Match, Unsupported, digest_of, plain_bodies, plain_value, try_digest
from elfsig.crypto.hashes import HASH_BY_KERNEL, HASHES, hash_named
from elfsig.crypto.remarks import odd_name
from elfsig.errors import ParseError, SigningError
from elfsig.lazy_dataclass import dataclass
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
    TrailerInfo,
    Verdict,
)

ALGORITHMS: Mapping[int, str] = {0: "dsa", 1: "rsa"}
"""``enum pkey_algo``; kernels took RSA only."""

HASHES_OF_LATER = {
    8: "rmd128", 9: "rmd256", 10: "rmd320", 11: "wp256", 12: "wp384", 13: "wp512", 14: "tgr128",
    15: "tgr160", 16: "tgr192",
}  # fmt: skip
"""Values of ``enum hash_algo`` that elfsig has no hash for; up to 3.12 the table ended at 7."""

_PREFIX = 2


@dataclass(frozen=True, slots=True)
class X509Block:
    """One RSA signature, with its signer named as kernels describe a key: name, colon, key id in hex."""

    suffix: ClassVar[str] = ".x509-block"
    modinfo_name: ClassVar[str] = "X509"
    opaque_value: ClassVar[bool] = True
    id: str = "x509-block"

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """The only signature of ``blob``. Raises ParseError with the offset, in the order of the kernel."""
        if not isinstance(params, TrailerInfo):
            raise ParseError("an X.509-era signature needs its info block")
        names = params.signer_len + params.key_id_len
        name, key_id = blob[: params.signer_len], blob[params.signer_len : names]
        body = blob[names:]
        if len(name) + len(key_id) != names:
            raise ParseError(f"name and key id take {names} bytes, there are {len(blob)}", offset=0)
        if ALGORITHMS.get(params.algo) != "rsa" or params.hash not in HASH_BY_KERNEL:
            return [_signature(name, key_id, body, params, len(blob))]  # ENOPKG before the body is examined
        if len(body) <= _PREFIX:
            text = f"sig_len {len(body)} leaves no room for a length of 2 bytes and an RSA value"
            raise ParseError(text, offset=names)
        stated = int.from_bytes(body[:_PREFIX], "big")
        if stated != len(body) - _PREFIX:
            text = f"RSA value of {stated} bytes declared, {len(body) - _PREFIX} present"
            raise ParseError(text, offset=names)
        return [_signature(name, key_id, body[_PREFIX:], params, len(blob))]

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Check it as 3.7 to 4.2 did: RSA PKCS#1 v1.5 over the digest of the message."""
        from elfsig.crypto.diagnosis import signed_message
        from elfsig.crypto.judge import judge

        if signature.fault is not None:
            return Outcome(Verdict.MALFORMED, signature.fault.text, None, (signature.fault,))
        if signature.algorithm != "rsa":
            text = f"algorithm {signature.algorithm_text}: kernels of this time verify RSA only (ENOPKG)"
            return Outcome(Verdict.UNSUPPORTED, text)
        if signature.hash is None:
            text = f"hash {signature.hash_text} cannot be checked here (kernels: ENOPKG)"
            return Outcome(Verdict.UNSUPPORTED, text)
        hash_name = signature.hash
        digest: list[bytes] = []

        def attempt(key: Key) -> Match:
            if not digest:
                digest.append(digest_of(message, hash_name))
            return try_digest(key, "rsa", hash_name, digest[0], signature.value)

        try:
            HASHES[hash_name].new()
        except ValueError:
            return Outcome(Verdict.UNSUPPORTED, f"hash {hash_name} cannot be checked here")
        return judge(signature, keys, attempt, signed_message(message))

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """What scripts/sign-file of 3.7 makes with an RSA key and its certificate. Raises SigningError."""
        if not isinstance(signer, Signer):
            raise SigningError("x509 needs a key with an X.509 certificate; GnuPG makes OpenPGP packets only")
        if signer.algorithm != "rsa":
            raise SigningError(f"kernels 3.7 to 4.2 verify RSA only, not {signer.algorithm}")
        name, key_id = _names(signer)
        hash_ = hash_named(options.hash or "sha256")
        if hash_.kernel is None or (hash_.kernel > 7 and not options.force):
            raise SigningError(f"kernels 3.7 to 4.2 have no number for {hash_.name}")
        try:
            value = signer.sign_digest(digest_of(message, hash_.name), hash_.name)
        except Unsupported as missing:
            raise SigningError(f"{missing.args[0]} is not available in this Python") from None
        blob = name + key_id + len(value).to_bytes(_PREFIX, "big") + value
        return blob, TrailerInfo(1, hash_.kernel, 1, len(name), len(key_id))

    def public_form(self, payload: str | None) -> PublicForm:
        """The signer is named by the subject and subject key id of its certificate."""
        return "certificate"

    def parts(self, blob: bytes, signatures: Sequence[Signature]) -> Iterator[Part]:
        """The signer's name and key id."""
        for signature in signatures:
            yield Part(".signer", signature.facts["signer_name"], "the signer's name")
            yield Part(".keyid", signature.key_id or b"", "the signer's key id")

    def rsa_bodies(self, signature: Signature, message: Message) -> Iterator[RsaBody]:
        """A DigestInfo of the message."""
        return plain_bodies(signature, message)

    def signed_values(self, signature: Signature, message: Message, key: Key | None) -> Iterator[SignedValue]:
        """An ordinary RSA signature of the message."""
        return plain_value(signature, key)


def _names(signer: Signer) -> tuple[bytes, bytes]:
    """Signer name and subject key id of the signer's certificate. Raises SigningError, as sign-file did."""
    from elfsig.crypto.names import signer_name

    if signer.certificate is None:
        raise SigningError("x509 needs the signer's certificate", code="no-certificate", hint="cert")
    if not signer.certificate.skid:
        raise SigningError("the certificate has no subjectKeyIdentifier, by which kernels 3.7 to 4.2 find it")
    try:
        name = signer_name(signer.certificate.subject)
    except ParseError as fault:
        raise SigningError(f"the certificate's subject cannot be read: {fault}") from None
    if not name:
        raise SigningError("the certificate's subject has no organisation, common name or e-mail address")
    if max(len(name), len(signer.certificate.skid)) > 255:
        raise SigningError("signer name and key id may have at most 255 bytes each")
    return name, signer.certificate.skid


def _signature(name: bytes, key_id: bytes, value: bytes, params: TrailerInfo, end: int) -> Signature:
    row = HASH_BY_KERNEL.get(params.hash)
    algorithm = ALGORITHMS.get(params.algo)
    described: KeyId = ("x509-name", name + b": " + key_id.hex().encode())
    remarks = []
    if params.pad != b"\0\0\0":
        text = f"padding {params.pad.hex()} in the info block"
        remarks.append(Remark("nonzero-padding", text, end + 5))
    if params.hash == 8:
        text = "hash number 8, which modinfo prints as sm3"
        remarks.append(Remark("hash-number", text, end + 1))
    if odd := odd_name(name):
        remarks.append(odd)
    return Signature(
        envelope="x509-block",
        algorithm=algorithm,
        hash=row.name if row else None,
        value=value,
        key_ids=(described, ("skid", key_id)),
        algorithm_text=algorithm or f"number {params.algo}",
        hash_text=row.name if row else HASHES_OF_LATER.get(params.hash, f"number {params.hash}"),
        key_bits=8 * len(value) if algorithm == "rsa" else None,
        signer=name.decode("utf-8", "backslashreplace"),
        key_id=key_id,
        remarks=tuple(remarks),
        facts={
            "algo": params.algo,
            "hash_number": params.hash,
            "signer_name": name,
            "value_offset": params.signer_len + params.key_id_len + _PREFIX,
            "value_size": len(value),
        },
    )
