"""Envelope ``digsig``: IMA's digsig, versions 1 and 2; big-endian unless said otherwise.

Version 1 (lib/digsig.c, include/linux/digsig.h): 16 packed bytes (version, 4-byte timestamp in the
signer's own byte order, algorithm, hash, 8-byte key id, number of MPIs), then one MPI. Signed is
``SHA1(hash of the message || header)`` in PKCS#1 type 1 padding *without* a DigestInfo. Version 2
(security/integrity/integrity.h): version, hash, 4-byte key id, 2-byte size, then an ordinary RSA PKCS#1
v1.5 or ECDSA signature over the hash of the message. In detached files both are preceded by a type
byte 0x03 that is not part of a module's trailer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Any, ClassVar

from elfsig.crypto.checks import Match, Unsupported, digest_of, plain_bodies, plain_value, try_digest
from elfsig.crypto.hashes import HASH_BY_KERNEL, HASHES, hash_named
from elfsig.crypto.pkcs1 import from_number, open_padding
from elfsig.envelopes import ima_attribute
from elfsig.errors import ParseError, SigningError
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import (
    Key,
    Keyring,
    MagicInfo,
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
    Verdict,
)

V1 = Struct(">B4sBB8sB")
V2 = Struct(">BB4sH")
TYPE_BYTE = b"\x03"
V1_HASHES = {0: "sha1", 1: "sha256"}
V1_GUESSES = ("sha1", "sha256", "sha512", "sha384", "sha224")
"""Hashes of a file that evmctl could use, whatever the header says; kernels never checked its hash byte."""

PLAUSIBLE_TIMES = range(0x3F00_0000, 0x8000_0000)
"""Mid 2003 to 2038: selects one of the two readings of a version 1 timestamp."""


class Parsed(NamedTuple):
    """What ``verify`` needs: the version and the header that is hashed after the message's hash."""

    version: int
    header: bytes


def raw_signer(signer: Signer | PacketSigner, envelope: str) -> Signer:
    """A signer that returns raw values. Raises SigningError for GnuPG, which does not."""
    if isinstance(signer, Signer):
        return signer
    raise SigningError(f"{envelope} needs a key file or a token: GnuPG makes OpenPGP packets only")


def plausible(blob: bytes) -> bool:
    """Whether ``blob`` looks like a digsig: a known version, and lengths that add up?"""
    try:
        Digsig().parse(blob, MagicInfo("u16"))
    except ParseError:
        return False
    return True


def key_blob(public: Any) -> bytes:
    """The binary public key of version 1 (``evmctl import --rsa``): 7-byte header, MPIs n and e."""
    numbers = public.public_numbers()
    return b"\x01" + bytes(4) + b"\0\x02" + _mpi(numbers.n) + _mpi(numbers.e)


def _mpi(number: int) -> bytes:
    return number.bit_length().to_bytes(2, "big") + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _sha1(data: bytes) -> bytes:
    state = HASHES["sha1"].new()
    state.update(data)
    return bytes(state.digest())


def key_id_v1(public: Any) -> bytes:
    """Bytes 12 to 19 of the SHA-1 over :func:`key_blob`."""
    return _sha1(key_blob(public))[12:20]


def key_id_v2(public: Any) -> bytes:
    """Last four bytes of the SHA-1 over the subjectPublicKey bits (RSA: PKCS#1; EC: the point)."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if hasattr(public.public_numbers(), "n"):
        bits = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    else:
        bits = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return _sha1(bits)[-4:]


@dataclass(frozen=True, slots=True)
class Digsig:
    """IMA digsig, version 1 (default when signing) or 2 (payload v2)."""

    suffix: ClassVar[str] = ".digsig"
    also_suffixes: ClassVar[tuple[str, ...]] = (".sig",)
    id: str = "digsig"

    def parse(self, blob: bytes, params: Params) -> Sequence[Signature]:
        """One signature. Raises ParseError with the offset in ``blob``.

        In a detached file it may also be another attribute of IMA or EVM, which is named but not checked.
        """
        other = ima_attribute.parse(blob) if params is None else None
        if other is not None:
            return (other,)
        shift = 1 if blob[:1] == TYPE_BYTE else 0
        body = blob[shift:]
        version = body[0] if body else None
        parser = _PARSERS.get(version) if version is not None else None
        if parser is None:
            said = "an empty digsig" if version is None else f"digsig version {version}"
            raise ParseError(f"{said}, version 1 or 2 expected", offset=shift)
        try:
            signature = parser(body)
        except ParseError as fault:
            raise ParseError(fault.text, offset=(fault.offset or 0) + shift, code=fault.code) from None
        if shift and isinstance(params, MagicInfo):
            text = "a type byte 03 precedes the digsig, as in detached files; in modules evmctl leaves it out"
            signature = signature._replace(remarks=(Remark("digsig-type-byte", text, 0), *signature.remarks))
        return (signature,)

    def verify(self, signature: Signature, message: Message, keys: Keyring) -> Outcome:
        """Version 1: RSA only. Version 2: RSA or ECDSA, whichever the key is."""
        parsed: Parsed | None = signature.detail
        if parsed is None:
            return Outcome(Verdict.UNSUPPORTED, f"{signature.algorithm_text}: not checked")
        return _VERIFIERS[parsed.version](signature, message, keys)

    def create(
        self, message: Message, signer: Signer | PacketSigner, options: SignOptions
    ) -> tuple[bytes, Params]:
        """The blob as stored in a module's trailer, without the type byte."""
        values = raw_signer(signer, "IMA digsig")
        make = _MAKERS.get(options.payload or "v1")
        if make is None:
            raise SigningError(f"digsig has the payloads v1 and v2, not {options.payload!r}")
        return make(message, values, options), MagicInfo("u16")

    def from_file(self, data: bytes) -> bytes:
        """Without the type byte that evmctl writes in front."""
        return data.removeprefix(TYPE_BYTE)

    def public_form(self, payload: str | None) -> PublicForm:
        """Version 1 names a bare RSA key; evmctl verifies version 2 with a certificate."""
        return "certificate" if payload == "v2" else "key"

    def parts(self, blob: bytes, signatures: Sequence[Signature]) -> Iterator[Part]:
        """The same signature as evmctl reads it."""
        yield Part(".sig", TYPE_BYTE + blob, "the same as evmctl writes it")

    def rsa_bodies(self, signature: Signature, message: Message) -> Iterator[RsaBody]:
        """Version 2 is an ordinary signature. Version 1 (lib/digsig.c) has a SHA-1 without DigestInfo over
        the digest and the header, and old signers left the hash's number at 0 whatever the hash they used."""
        parsed: Parsed | None = signature.detail
        if parsed is None:
            return
        if parsed.version == 2:
            yield from plain_bodies(signature, message)
            return
        names = [signature.hash or "sha1"]
        if signature.facts["hash_number"] == 0:
            names += ["sha256", "sha512"]
        for name in names:
            yield RsaBody(f"{message.coverage}, {name}", _v1_digest(digest_of(message, name), parsed.header))

    def signed_values(self, signature: Signature, message: Message, key: Key | None) -> Iterator[SignedValue]:
        """Version 1: a bare SHA-1 over the digest, by each hash that may have been used, and the header."""
        parsed: Parsed | None = signature.detail
        if parsed is not None and parsed.version == 2:
            yield from plain_value(signature, key)
        elif parsed is not None and key is not None and key.algorithm == signature.algorithm == "rsa":
            value = from_number(key, signature.value)
            for name in _v1_names(signature):
                statement = digest_of(message, name) + parsed.header
                yield SignedValue("rsa", "sha1", value, b"", statement, name, 0, "bare")


# --------------------------------------------------------------------------- version 1


def _parse_v1(blob: bytes) -> Signature:
    if len(blob) < V1.size + 2:
        raise ParseError(f"digsig v1 of {len(blob)} bytes, at least 18 expected", offset=len(blob))
    _, stamp, algorithm, hash_number, key_id, count = V1.unpack_from(blob)
    bits = int.from_bytes(blob[V1.size : V1.size + 2], "big")
    value = blob[V1.size + 2 :]
    if count != 1:
        raise ParseError(f"digsig v1 with {count} numbers, expected 1", offset=15)
    if (bits + 7) // 8 != len(value):
        raise ParseError(f"number of {bits} bits in {len(value)} bytes", offset=V1.size)
    created, order = _timestamp(stamp)
    return Signature(
        envelope="digsig",
        algorithm="rsa" if algorithm == 0 else None,
        algorithm_text=None if algorithm == 0 else f"digsig algorithm {algorithm}",
        hash=V1_HASHES.get(hash_number),
        hash_text=V1_HASHES.get(hash_number, f"digsig number {hash_number}"),
        value=value,
        key_ids=(("digsig1", key_id),),
        key_id=key_id,
        key_bits=bits,
        created=created,
        remarks=tuple(_v1_remarks(hash_number)),
        facts={
            "digsig_version": 1,
            "timestamp_order": order,
            "hash_number": hash_number,
            "key_description": f"{int.from_bytes(key_id, 'big'):X}",
        },
        detail=Parsed(1, blob[: V1.size]),
    )


def _v1_remarks(hash_number: int) -> Iterator[Remark]:
    """Whatever the file's hash is, a SHA-1 over it and the header is signed."""
    if hash_number:
        yield Remark("weak-hash", "digsig v1 signs a SHA-1 of the file's hash: collisions are practical")
    if hash_number not in V1_HASHES:
        text = f"hash {hash_number} is neither 0 (SHA-1) nor 1 (SHA-256)"
        yield Remark("digsig-hash-byte", text, 6)


def _timestamp(stamp: bytes) -> tuple[int, str]:
    """The timestamp, and the byte order in which it is plausible (x86 signers: little)."""
    little, big = int.from_bytes(stamp, "little"), int.from_bytes(stamp, "big")
    if big in PLAUSIBLE_TIMES and little not in PLAUSIBLE_TIMES:
        return big, "big"
    return little, "little"


def _verify_v1(signature: Signature, message: Message, keys: Keyring) -> Outcome:
    """Before ima-evm-utils 00caa1d (July 2013) the hash byte stayed 0 whatever hash had been used, so a
    SHA-1 that does not match is followed by the other hashes."""
    from elfsig.crypto.judge import judge

    if signature.algorithm is None:
        return Outcome(Verdict.UNSUPPORTED, f"{signature.algorithm_text} is not one that kernels know")
    stated = signature.hash
    first: Outcome | None = None
    for name in _v1_names(signature):
        outcome = judge(signature, keys, _v1_attempt(signature, message, name))
        if outcome.verdict in (Verdict.VALID, Verdict.UNTRUSTED):
            return outcome if name == stated else _with_quirk(outcome, signature, name)
        first = first or outcome
        if outcome.verdict is not Verdict.INVALID:
            break
    assert first is not None
    return first


def _v1_names(signature: Signature) -> Sequence[str]:
    """The hashes of the file that its digest may be made by."""
    return ["sha256"] if signature.hash == "sha256" else V1_GUESSES


def _with_quirk(outcome: Outcome, signature: Signature, name: str) -> Outcome:
    text = f"the hash byte says {signature.hash_text} and the file hash is {name}"
    if signature.hash == "sha1":
        text += ", as evmctl before July 2013 left it"
    return outcome._replace(remarks=(*outcome.remarks, Remark("digsig-hash-byte", text)))


def _v1_attempt(signature: Signature, message: Message, hash_name: str) -> Callable[[Key], Match]:
    file_hash = digest_of(message, hash_name)
    signed = _v1_digest(file_hash, signature.detail.header)

    def attempt(key: Key) -> Match:
        if key.algorithm != "rsa":
            return Match.FOREIGN
        inside = open_padding(key, from_number(key, signature.value))
        if inside is None:
            return Match.FOREIGN
        return Match.YES if inside == signed else Match.NO

    return attempt


def _v1_digest(file_hash: bytes, header: bytes) -> bytes:
    return _sha1(file_hash + header)


def _make_v1(message: Message, signer: Signer, options: SignOptions) -> bytes:
    numbers = {name: number for number, name in V1_HASHES.items()}
    hash_name = hash_named(options.hash or "sha1").name
    if signer.algorithm != "rsa":
        raise SigningError(
            f"digsig v1 supports RSA only, this key is {signer.algorithm}: use v2", hint="payload"
        )
    if hash_name not in numbers:
        raise SigningError(
            f"digsig v1 supports {', '.join(numbers)}, not {hash_name}: use v2", hint="payload"
        )
    created = int(time.time()) if options.created is None else options.created
    stamp = (created & 0xFFFF_FFFF).to_bytes(4, "little")
    header = V1.pack(1, stamp, 0, numbers[hash_name], key_id_v1(signer.public), 1)
    signed = _v1_digest(digest_of(message, hash_name), header)
    size = (signer.key_bits + 7) // 8
    value = signer.sign_block(b"\0\x01" + b"\xff" * (size - 3 - len(signed)) + b"\0" + signed)
    return header + (8 * size).to_bytes(2, "big") + value


# --------------------------------------------------------------------------- version 2


def _parse_v2(blob: bytes) -> Signature:
    if len(blob) < V2.size:
        raise ParseError(f"digsig v2 of {len(blob)} bytes, at least {V2.size} expected", offset=len(blob))
    _, hash_number, key_id, size = V2.unpack_from(blob)
    value = blob[V2.size :]
    if size != len(value):
        raise ParseError(f"digsig v2 signature of {size} bytes, {len(value)} present", offset=6)
    row = HASH_BY_KERNEL.get(hash_number)
    return Signature(
        envelope="digsig",
        algorithm="ecdsa" if _is_der_pair(value) else "rsa",
        hash=row.name if row else None,
        hash_text=None if row else f"kernel hash number {hash_number}",
        value=value,
        key_ids=(("digsig2", key_id),),
        key_id=key_id,
        key_bits=None if _is_der_pair(value) else 8 * size,
        facts={"digsig_version": 2, "hash_number": hash_number},
        detail=Parsed(2, blob[: V2.size]),
    )


def _is_der_pair(value: bytes) -> bool:
    """Whether this is ECDSA's DER SEQUENCE of two INTEGERs: the header does not name the algorithm."""
    head = 3 if value[1:2] == b"\x81" else 2
    return value[:1] == b"\x30" and len(value) > head and value[head : head + 1] == b"\x02" and (
        value[head - 1] == len(value) - head
    )  # fmt: skip


def _verify_v2(signature: Signature, message: Message, keys: Keyring) -> Outcome:
    from elfsig.crypto.diagnosis import signed_message
    from elfsig.crypto.judge import judge

    name = signature.hash
    if name is None:
        return Outcome(Verdict.UNSUPPORTED, f"{signature.hash_text} is unknown")
    try:
        digest = digest_of(message, name)
    except Unsupported as missing:
        return Outcome(Verdict.UNSUPPORTED, f"{missing.args[0]} is not available in this Python")
    algorithm = str(signature.algorithm)
    return judge(
        signature,
        keys,
        lambda key: try_digest(key, algorithm, name, digest, signature.value),
        signed_message(message),
    )


def _make_v2(message: Message, signer: Signer, options: SignOptions) -> bytes:
    row = HASHES[hash_named(options.hash or "sha1").name]
    if row.kernel is None or signer.algorithm not in ("rsa", "ecdsa"):
        raise SigningError(f"digsig v2 has no number for {row.name} or {signer.algorithm}")
    value = signer.sign_digest(digest_of(message, row.name), row.name)
    skid = signer.certificate.skid if signer.certificate else None
    key_id = skid[-4:] if skid else key_id_v2(signer.public)
    return V2.pack(2, row.kernel, key_id, len(value)) + value


_PARSERS: dict[int, Callable[[bytes], Signature]] = {1: _parse_v1, 2: _parse_v2}
_VERIFIERS = {1: _verify_v1, 2: _verify_v2}
_MAKERS = {"v1": _make_v1, "v2": _make_v2}
