"""Reading and checking OpenPGP signatures (RFC 4880 5.2), as kernels from 2003 to 2012 read them.

A blob is a sequence of packets; each signature packet is one signature. Others are skipped, as by the
kernels' ``ksign`` parser (crypto/signature/ksign-parse.c of RHEL 4 to 6), with a remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from elfsig.crypto import der
from elfsig.crypto.checks import Match, Unsupported, digest_of, try_digest
from elfsig.crypto.diagnosis import signed_message
from elfsig.crypto.hashes import HASH_BY_OPENPGP, HASHES
from elfsig.crypto.judge import judge
from elfsig.crypto.pkcs1 import digest_info, from_number
from elfsig.envelopes.openpgp.keys import dearmour, is_armoured
from elfsig.envelopes.openpgp.make import hash_for
from elfsig.envelopes.openpgp.packets import (
    ALGORITHM_NAMES,
    ALGORITHMS,
    EXPIRES,
    ISSUER,
    SIGNATURE,
    SIGNER_UID,
    Packet,
    SignaturePacket,
    Subpacket,
    notation_name,
    read_packets,
    read_signature,
)
from elfsig.errors import ParseError
from elfsig.model import (
    Cause,
    Key,
    KeyId,
    Keyring,
    Message,
    Outcome,
    RecordedDigest,
    Remark,
    RsaBody,
    Signature,
    SignedValue,
    Verdict,
)

BINARY_DOCUMENT = 0x00
CLASS_NAMES = {
    0x00: "binary document",
    0x01: "text document",
    0x02: "standalone",
    0x10: "user id certification",
    0x11: "user id certification",
    0x12: "user id certification",
    0x13: "user id certification",
    0x18: "subkey binding",
    0x19: "primary key binding",
    0x1F: "direct key",
    0x20: "key revocation",
    0x28: "subkey revocation",
    0x30: "certification revocation",
    0x40: "timestamp",
    0x50: "third-party confirmation",
}
"""RFC 4880 5.2.1."""

_CHECKABLE = ("rsa", "dsa")


def parse(blob: bytes, lenient: bool) -> Sequence[Signature]:
    """One signature per signature packet. Raises ParseError if there is none."""
    if is_armoured(blob[:64]):
        if not lenient:
            raise ParseError("ASCII armour instead of binary packets", offset=0, code="armoured")
        return [s._replace(facts={**s.facts, "armoured": True}) for s in parse(dearmour(blob)[0][1], lenient)]
    packets = list(read_packets(blob, lenient=lenient))
    skipped = tuple(
        Remark("packet-skipped", f"{p.name} packet, skipped", p.start) for p in packets if p.tag != SIGNATURE
    )
    found = [_signature(p, skipped) for p in packets if p.tag == SIGNATURE]
    if not found:
        held = ", ".join(dict.fromkeys(p.name for p in packets)) or "nothing"
        raise ParseError(f"no OpenPGP signature packet: {held}", offset=0, code="no-signature-packet")
    return found


def verify(signature: Signature, message: Message, keys: Keyring) -> Outcome:
    """Check a signature returned by :func:`parse` over ``message`` and the packet's own completion."""
    packet: SignaturePacket = signature.detail
    if why := _cannot_check(signature, packet):
        return Outcome(Verdict.UNSUPPORTED, why)
    critical = next((s for s in packet.unknown_critical if s.hashed), None)
    if critical is not None:
        text = f"{_critical_words(critical)} makes it unusable (RFC 4880 5.2.3.1): GnuPG calls it bad"
        return Outcome(Verdict.UNSUPPORTED, text, cause=Cause("critical-subpacket", text))
    hash_name, algorithm = signature.hash or "", signature.algorithm or ""
    try:
        digest = digest_of(message, hash_name, packet.completion)
    except Unsupported as missing:
        return Outcome(Verdict.UNSUPPORTED, f"{missing.args[0]} cannot be computed here")
    checked_as = hash_for(algorithm, hash_name)

    def attempt(key: Key) -> Match:
        value = signature.value
        whole = from_number(key, value) if key.algorithm == "rsa" == algorithm else value
        return try_digest(key, algorithm, checked_as, digest, whole)

    signed = signed_message(message, packet.completion, as_number=True)
    outcome = judge(signature, keys, attempt, signed)
    remarks = (
        *_left16(packet.left16, digest, outcome.verdict, message.coverage),
        *_key_remarks(signature, outcome.key, digest),
    )
    return outcome._replace(remarks=(*outcome.remarks, *remarks))


def rsa_bodies(signature: Signature, message: Message) -> Iterator[RsaBody]:
    """See :meth:`elfsig.envelopes.openpgp.envelope.OpenPgp.rsa_bodies`."""
    packet, name = signature.detail, signature.hash or ""
    digest = digest_of(message, name, packet.completion)
    if packet.left16 == digest[:2]:
        yield RsaBody(message.coverage, digest_info(name, digest))


def signed_values(signature: Signature, key: Key | None) -> Iterator[SignedValue]:
    """See :meth:`elfsig.envelopes.openpgp.envelope.OpenPgp.signed_values`."""
    packet: SignaturePacket = signature.detail
    algorithm, hash_name = signature.algorithm, signature.hash
    if key is None or key.algorithm != algorithm or hash_name is None:
        return
    if _cannot_check(signature, packet) is not None:
        return
    if algorithm == "rsa":
        yield SignedValue("rsa", hash_name, from_number(key, signature.value), packet.completion)
    elif algorithm == "dsa":
        yield SignedValue("dsa", hash_name, signature.value, packet.completion)


def recorded_digest(signature: Signature, message: Message) -> RecordedDigest | None:
    """The 16 bits in the packet, and those of the digest of ``message`` and the packet's completion.

    None for a packet whose form cannot be checked, and for hashes that this machine lacks.
    """
    packet: SignaturePacket = signature.detail
    if _cannot_check(signature, packet) is not None:
        return None
    try:
        return RecordedDigest(packet.left16, digest_of(message, signature.hash or "", packet.completion)[:2])
    except Unsupported:
        return None


def _critical_words(subpacket: Subpacket) -> str:
    name = notation_name(subpacket)
    if name is None:
        return f"critical subpacket of unknown type {subpacket.type}"
    return f"critical notation {name.decode('utf-8', 'backslashreplace')!r}, which is unknown,"


def _cannot_check(signature: Signature, packet: SignaturePacket) -> str | None:
    """Why a signature packet is of a form that cannot be checked over a message; None if it can."""
    if packet.version not in (2, 3, 4):
        return f"OpenPGP signature of version {packet.version}"
    if packet.sig_class != BINARY_DOCUMENT:
        kind = CLASS_NAMES.get(packet.sig_class, "unknown kind")
        return f"signature class {packet.sig_class:#04x} ({kind}) is not one over a file's bytes"
    if signature.algorithm not in _CHECKABLE:
        return f"{signature.algorithm_text} signatures were never used for modules and cannot be checked"
    if signature.hash is None:
        return f"hash algorithm {signature.hash_text} is unknown"
    return None


# --------------------------------------------------------------------------- from packet to signature


def _signature(packet: Packet, remarks: tuple[Remark, ...]) -> Signature:
    try:
        parsed = read_signature(packet.body)
    except ParseError as fault:
        raise ParseError(
            fault.text, offset=packet.body_start + (fault.offset or 0), code=fault.code
        ) from None
    row = HASH_BY_OPENPGP.get(parsed.hash)
    algorithm = ALGORITHMS.get(parsed.algorithm)
    if parsed.algorithm == 2 or not parsed.numbers:
        algorithm = None
    signer = parsed.first(SIGNER_UID, 1)
    return Signature(
        "openpgp",
        algorithm,
        row.name if row else None,
        _value(parsed.numbers, algorithm),
        _key_ids(parsed),
        ALGORITHM_NAMES.get(parsed.algorithm, f"algorithm {parsed.algorithm}"),
        row.name if row else f"OpenPGP {parsed.hash}",
        signer=signer.data.decode("utf-8", "replace") if signer else None,
        key_id=parsed.key_id,
        created=parsed.created,
        remarks=(*remarks, *_packet_remarks(packet, parsed)),
        facts=_facts(packet, parsed),
        detail=parsed,
    )


def _value(numbers: tuple[int, ...], algorithm: str | None) -> bytes:
    """RSA: the number, big-endian. DSA and the like: DER SEQUENCE of r and s."""
    if algorithm == "rsa":
        return numbers[0].to_bytes((numbers[0].bit_length() + 7) // 8)
    return der.encode(der.SEQUENCE, *map(der.encode_integer, numbers)) if numbers else b""


def _key_ids(parsed: SignaturePacket) -> tuple[KeyId, ...]:
    """Every id by which the packet names its key, the decisive one first."""
    ids = [parsed.key_id] if parsed.key_id else []
    ids += [s.data for s in parsed.issuers] + [s.data[-8:] for s in parsed.fingerprints]
    return tuple(("openpgp", each) for each in dict.fromkeys(ids))


def _issuer_area(parsed: SignaturePacket) -> str | None:
    if parsed.version < 4:
        return "packet"
    issuer = next(iter(parsed.issuers), None)
    return None if issuer is None else "hashed" if issuer.hashed else "unhashed"


def _facts(packet: Packet, parsed: SignaturePacket) -> dict[str, Any]:
    """What kernels of the time checked, and what may interest a reader."""
    facts: dict[str, Any] = {
        "packet_version": parsed.version,
        "signature_class": parsed.sig_class,
        "public_key_algorithm": parsed.algorithm,
        "hash_algorithm": parsed.hash,
        "issuer_area": _issuer_area(parsed),
        "issuers": [s.data.hex() for s in parsed.issuers],
        "hash16": parsed.left16.hex(),
        "header": "new" if packet.new_format else "old",
        "bytes_behind": parsed.behind,
        "length_cut": packet.cut,
        "armoured": False,
    }
    if fingerprint := next(iter(parsed.fingerprints), None):
        facts["issuer_fingerprint"] = fingerprint.data[1:].hex()
    return facts


def _packet_remarks(packet: Packet, parsed: SignaturePacket) -> Iterator[Remark]:
    base = packet.body_start
    for sub in parsed.unknown_critical:
        text = f"{_critical_words(sub)}: GnuPG refuses it"
        yield Remark("critical-subpacket", text, base + sub.offset)
    named = dict.fromkeys(key_id for _, key_id in _key_ids(parsed))
    if len(named) > 1:
        ids = ", ".join(each.hex() for each in named)
        last = parsed.issuers[-1].data.hex() if parsed.issuers else "none"
        text = f"names several issuers ({ids}); RHEL 4 and 5 take the first, RHEL 6 the last ({last})"
        yield Remark("issuers-differ", text, base)
    if not named and parsed.version == 4:
        yield Remark("issuer-missing", "names no issuer", base)
    if any(s.type == ISSUER and len(s.data) != 8 for s in parsed.subpackets):
        yield Remark("issuer-size", "an issuer subpacket that is not 8 bytes long", base)
    if parsed.behind:
        text = f"{parsed.behind} bytes after the signature's value"
        yield Remark("bytes-behind-value", text, packet.end - parsed.behind)
    if packet.cut:
        text = f"the packet's length runs {packet.cut} bytes past the end"
        yield Remark("length-past-end", text, packet.start)
    expires = parsed.first(EXPIRES, 4)
    if expires and parsed.created is not None and (after := int.from_bytes(expires.data[:4])):
        when = datetime.fromtimestamp(parsed.created + after, UTC)
        if when < datetime.now(UTC):
            text = f"says that it expired {when.date().isoformat()}"
            yield Remark("signature-expired", text, base + expires.offset)


# --------------------------------------------------------------------------- remarks on the outcome


def _left16(claimed: bytes, digest: bytes, verdict: Verdict, coverage: str) -> Iterator[Remark]:
    """The first two bytes of the digest are in the packet; no kernel checks them, GnuPG does for v3."""
    if claimed != digest[:2]:
        have = digest[:2].hex()
        text = f"the signature records a digest starting {claimed.hex()}, that of {coverage} starts {have}"
        yield Remark("hash16-differs", text)
    elif verdict is Verdict.INVALID:
        text = f"the packet's 16 bits of the hash match {coverage}: the signature's value is wrong"
        yield Remark("hash16-fits", text)
    elif verdict is Verdict.UNKNOWN_KEY:
        text = f"the packet's 16 bits of the hash match {coverage}, though nothing protects them"
        yield Remark("hash16-fits", text)


def _key_remarks(signature: Signature, key: Key | None, digest: bytes) -> Iterator[Remark]:
    """Remarks on the value once the key is known: out of range, or other rules in old kernels."""
    if key is None or key.algorithm != signature.algorithm:
        return
    numbers = signature.detail.numbers
    if key.algorithm == "rsa":
        if numbers[0] >= key.public.public_numbers().n:
            yield Remark("value-out-of-range", "the signature's number is not below the key's modulus")
        return
    q: int = key.public.parameters().parameter_numbers().q
    if any(value >= q for value in numbers):
        yield Remark("value-out-of-range", "r and s are not below the key's q")
    bits, size = q.bit_length(), HASHES[signature.hash or "sha1"].size * 8
    if size > bits:
        text = f"{size} bits of hash, cut to {bits} as RFC 4880 says"
        yield Remark("dsa-hash-cut", text)
    elif size < bits:
        yield Remark("dsa-hash-short", f"{size} bits of hash under a q of {bits}: GnuPG refuses that")
