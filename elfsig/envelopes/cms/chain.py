"""Certificates embedded in a CMS: they prove nothing unless they lead to a given key.

Kernels do the same (crypto/asymmetric_keys/pkcs7_verify.c, pkcs7_trust.c): only signatures
are checked, not names, validity dates or basicConstraints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from elfsig.crypto import der
from elfsig.crypto.certificate import parse as parse_certificate
from elfsig.crypto.checks import Match, Unsupported
from elfsig.crypto.diagnosis import Signed, diagnose
from elfsig.crypto.names import shown_name
from elfsig.crypto.oids import BY_OID
from elfsig.crypto.public_keys import read_spki
from elfsig.crypto.remarks import weak_hash
from elfsig.envelopes.cms.statement import Statement, pss_hash
from elfsig.envelopes.cms.types import magnitude
from elfsig.errors import ParseError
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import (
    NO_FACTS,
    Cause,
    Certificate,
    Key,
    KeyId,
    Keyring,
    Outcome,
    Remark,
    Signature,
    Verdict,
    Why,
)

MAX_CHAIN = 16
"""Maximum certificates between a signer and a given key."""

MAX_NAMESAKES = 8
"""Maximum embedded certificates tried for the name of one issuer."""

SOURCE = "embedded in the signature"
"""The source of keys embedded in a signature."""

_CERTIFICATE = (
    der.Component("tbsCertificate", (0x30,)),
    der.Component("signatureAlgorithm", (0x30,)),
    der.Component("signature", (0x03,)),
)
_TBS = (
    der.Component("version", (0xA0,), optional=True),
    der.Component("serialNumber", (0x02,)),
    der.Component("signature", (0x30,)),
    der.Component("issuer", (0x30,)),
    der.Component("validity", (0x30,)),
    der.Component("subject", (0x30,)),
    der.Component("subjectPublicKeyInfo", (0x30,)),
    der.Component("issuerUniqueID", (0x81,), optional=True),
    der.Component("subjectUniqueID", (0x82,), optional=True),
    der.Component("extensions", (0xA3,), optional=True),
)
_SKID, _BASIC_CONSTRAINTS, _AKID = "2.5.29.14", "2.5.29.19", "2.5.29.35"
_DIRECTORY_NAME = 0xA4


@dataclass(frozen=True, eq=False)
class Embedded:
    """The parts needed of an X.509 certificate (RFC 5280, 4.1): its names, its key, its issuer.

    ``authority`` are the ids by which its authorityKeyIdentifier names the issuer's key.
    """

    issuer: bytes
    subject: bytes
    ids: tuple[KeyId, ...]
    authority: tuple[KeyId, ...]
    key: Key
    signed: Statement
    is_ca: bool

    @property
    def name(self) -> str:
        """The name of the certificate's holder in messages."""
        return self.key.label


def read_embedded(data: bytes) -> Embedded | None:
    """The certificate in ``data``; None if damaged, or if its key or signature algorithm is unknown."""
    try:
        return parse_embedded(data)
    except (ParseError, Unsupported):
        return None


def parse_embedded(data: bytes) -> Embedded:
    """The certificate in ``data``, read once however many signers a message has.

    Raises ParseError for a damaged one (code ``certificate-key`` if only its public key is), Unsupported
    for one whose key or signature is of an unknown algorithm.
    """
    found = _read_once(data)
    if isinstance(found, Embedded):
        return found
    raise found


@lru_cache(maxsize=512)
def _read_once(data: bytes) -> Embedded | ParseError | Unsupported:
    try:
        return _read(data)
    except (ParseError, Unsupported) as reason:
        return reason.with_traceback(None)


def _read(data: bytes) -> Embedded:
    certificate = parse_certificate(data).certificate
    outer = der.fields(data, der.read(data, 0, len(data)), _CERTIFICATE)
    tbs = der.fields(data, outer["tbsCertificate"], _TBS)
    extensions = _extensions(data, tbs.get("extensions"))
    authority = tuple(_authority(extensions.get(_AKID)))
    ids = tuple(_ids(data, tbs, extensions))
    signed = _statement(data, outer)
    key = _key(_bytes(data, tbs["subjectPublicKeyInfo"]), certificate)
    is_ca = b"\x01\x01\xff" in extensions.get(_BASIC_CONSTRAINTS, b"")
    return Embedded(certificate.issuer, certificate.subject, ids, authority, key, signed, is_ca)


def _key(spki: bytes, certificate: Certificate) -> Key:
    """The key of an embedded certificate. Raises ParseError, Unsupported."""
    try:
        found = read_spki(spki)
    except ParseError:
        found = None
    if found is None or found.unreadable:
        raise ParseError("its public key cannot be read", code="certificate-key")
    if found.why is not None:
        raise Unsupported(found.algorithm)
    return Key(
        public=found.public,
        algorithm=found.algorithm,
        bits=found.bits,
        curve=found.curve,
        ids=frozenset(),
        source=SOURCE,
        keyring="user",
        vouched=False,
        fingerprint=hashlib.sha256(found.spki).hexdigest(),
        label=shown_name(certificate.subject) or "a certificate without a name",
        certificate=certificate,
        why=Why.EMBEDDED,
        restriction=found.restriction,
    )


def _authority(data: bytes | None) -> Iterator[KeyId]:
    """Of an AuthorityKeyIdentifier (RFC 5280, 4.2.1.1): key id, issuer with serial. Raises ParseError."""
    if data is None:
        return
    parts = {each.tag: each for each in der.children(data, der.read(data, 0, len(data)))}
    if key_id := parts.get(0x80):
        yield "skid", data[key_id.body : key_id.end]
    names, serial = parts.get(0xA1), parts.get(0x82)
    for name in der.children(data, names) if names and serial else ():
        if name.tag == _DIRECTORY_NAME and serial:
            number = magnitude(int.from_bytes(data[serial.body : serial.end], "big", signed=True))
            yield "issuer-serial", data[name.body : name.end] + b"|" + number


def _ids(data: bytes, tbs: dict[str, der.Node], extensions: dict[str, bytes]) -> Iterator[KeyId]:
    serial = tbs["serialNumber"]
    number = magnitude(int.from_bytes(data[serial.body : serial.end], "big", signed=True))
    yield "issuer-serial", _bytes(data, tbs["issuer"]) + b"|" + number
    if _SKID in extensions:
        yield "skid", extensions[_SKID][2:]


def _bytes(data: bytes, node: der.Node) -> bytes:
    return data[node.start : node.next]


def _statement(data: bytes, outer: dict[str, der.Node]) -> Statement:
    """The issuer's signature over the certificate. Raises ParseError, Unsupported."""
    algorithm = list(der.children(data, outer["signatureAlgorithm"]))
    if not algorithm:
        raise ParseError("an empty signatureAlgorithm", offset=outer["signatureAlgorithm"].start)
    oid = der.oid_text(data, algorithm[0])
    row = BY_OID.get(oid)
    if row is None or row.algorithm is None:
        raise Unsupported(oid)
    params = _bytes(data, algorithm[1]) if len(algorithm) > 1 else None
    hash_name = row.hash if row.algorithm != "rsa-pss" else pss_hash(params)[0]
    value = data[outer["signature"].body + 1 : outer["signature"].end]
    return Statement(row.algorithm, hash_name, params, value, _bytes(data, outer["tbsCertificate"]))


def _extensions(data: bytes, node: der.Node | None) -> dict[str, bytes]:
    """Contents of the extensions' OCTET STRINGs by OID. Raises ParseError."""
    found: dict[str, bytes] = {}
    for each in der.children(data, der.descend(data, node, 0)) if node else ():
        parts = list(der.children(data, each))
        if len(parts) < 2:
            raise ParseError("an extension without a value", offset=each.start)
        oid, value = parts[0], parts[-1]
        found[der.oid_text(data, oid)] = data[value.body : value.end]
    return found


# --------------------------------------------------------------------------- from the signer to a key


def through_embedded(
    signature: Signature, statement: Statement, keys: Keyring, direct: Outcome, signed: Signed
) -> Outcome:
    """The outcome when embedded certificates are followed; ``direct`` is the outcome without them.

    ``statement`` is the value over what it should sign, which ``signed`` gives for a diagnosis.

    Kernels check the value with the signer's embedded certificate first, whatever keys they have: if it
    does not match, or the certificate is damaged, the whole message is refused (pkcs7_verify_one()).
    """
    pool, damaged = _pool(signature)
    signer = next((c for c in pool if set(c.ids) & set(signature.key_ids)), None)
    if signer is None:
        return _sunk(direct, damaged) if damaged else direct
    try:
        match = statement.attempt(signer.key)
        if match is Match.RESTRICTED:
            return direct
        if match is not Match.YES:
            return _mismatch(signature, signer, direct, signed)
        if direct.verdict is Verdict.VALID:
            return _unless_revoked(signer, pool, keys, direct)
        chain = _chain(signer, pool)
        anchor = _anchor(chain, keys)
    except Unsupported as missing:
        return Outcome(Verdict.UNSUPPORTED, f"{missing.args[0]} cannot be checked here")
    if anchor is None:
        text = f"{direct.reason}; the certificate of {signer.name} is embedded, which proves nothing"
        return direct if direct.verdict is not Verdict.UNKNOWN_KEY else direct._replace(reason=text)
    revoked = _revoked(chain, keys)
    return _withdrawn(signer, revoked) if revoked else _anchored(chain[: anchor[0] + 1], anchor[1], direct)


class _Revoked(NamedTuple):
    """A revoked key of a chain, and the source that revokes it."""

    key: Key
    source: str


def _withdrawn(signer: Embedded, revoked: _Revoked) -> Outcome:
    text = f"matches, but {revoked.source} revokes a key of its chain"
    cause = Cause("revoked", text, {"source": revoked.source})
    return Outcome(Verdict.UNTRUSTED, text, signer.key, anchor=revoked.key, cause=cause)


def _unless_revoked(signer: Embedded, pool: Sequence[Embedded], keys: Keyring, direct: Outcome) -> Outcome:
    """A revoked embedded certificate makes a signature invalid even if a given key verifies it."""
    try:
        revoked = _revoked([signer], keys) or _revoked(_chain(signer, pool), keys)
    except Unsupported:
        return direct
    return _withdrawn(signer, revoked) if revoked else direct


def _pool(signature: Signature) -> tuple[list[Embedded], str | None]:
    """The readable embedded certificates, and what is wrong with the signer's own if it is unreadable."""
    pool: list[Embedded] = []
    damaged = None
    for data in signature.detail.certificates:
        try:
            pool.append(parse_embedded(data))
        except Unsupported:
            continue
        except ParseError as fault:
            if _belongs(data, signature):
                damaged = f"the signer's certificate, which is embedded, is damaged: {fault.text}"
    return pool, damaged


def _belongs(data: bytes, signature: Signature) -> bool:
    """Whether a damaged certificate is the signer's, judging by its readable part."""
    try:
        certificate = parse_certificate(data).certificate
    except ParseError:
        return False
    ids: set[KeyId] = {("issuer-serial", certificate.issuer + b"|" + magnitude(certificate.serial))}
    if certificate.skid is not None:
        ids.add(("skid", certificate.skid))
    return bool(ids & set(signature.key_ids))


def _mismatch(signature: Signature, signer: Embedded, direct: Outcome, signed: Signed) -> Outcome:
    if direct.verdict is Verdict.INVALID:
        return direct
    text, facts = f"does not match the embedded certificate of {signer.name}", NO_FACTS
    if signer.key.algorithm == "rsa" == signature.algorithm and signature.hash:
        why = diagnose(signer.key, signature.hash, signature.value, signed)
        text, facts = f"{text}: {why.text}", {**why.facts, "diagnosis": why.code}
    return _sunk(direct, text, facts)


def _sunk(direct: Outcome, text: str, facts: Mapping[str, Any] = NO_FACTS) -> Outcome:
    """Invalid whatever the keys; ``direct`` gives the keys to name."""
    cause = Cause("embedded-certificate", text, facts)
    return Outcome(Verdict.INVALID, text, direct.key, anchor=direct.anchor, cause=cause)


def _chain(signer: Embedded, pool: Sequence[Embedded]) -> list[Embedded]:
    """``signer``, the embedded certificate that signed it, and so on. Raises Unsupported.

    Among certificates with the issuer's name, those named by the authorityKeyIdentifier come first.
    """
    chain = [signer]
    while len(chain) < MAX_CHAIN:
        last = chain[-1]
        named = [c for c in pool if c.subject == last.issuer and c not in chain]
        candidates = sorted(named, key=lambda c: not set(c.ids) & set(last.authority))[:MAX_NAMESAKES]
        above = next((c for c in candidates if last.signed.attempt(c.key) is Match.YES), None)
        if above is None:
            break
        chain.append(above)
    return chain


def _anchor(chain: Sequence[Embedded], keys: Keyring) -> tuple[int, Key] | None:
    """Which certificate of the chain was signed by a key of ``keys``, a trusted one if there is any."""
    found = [
        (number, key)
        for number, link in enumerate(chain)
        for key in _issuers(link, keys)
        if link.signed.attempt(key) is Match.YES
    ]
    return min(found, key=lambda f: not f[1].trusted, default=None)


def _issuers(link: Embedded, keys: Keyring) -> Iterator[Key]:
    """Keys whose certificate has the issuer's name, then those without a certificate."""
    for key in keys.keys:
        if key.certificate is None or key.certificate.subject == link.issuer:
            yield key


def _revoked(chain: Sequence[Embedded], keys: Keyring) -> _Revoked | None:
    """The first revoked certificate of a chain, or revoked key that issued one of them.

    Kernels check their list of revoked keys likewise, along the whole chain (is_key_on_revocation_list()).
    Raises Unsupported.
    """
    for link in chain:
        certificate = link.key.certificate.der if link.key.certificate else None
        if (source := keys.revokes(certificate, link.key)) is not None:
            return _Revoked(link.key, source)
    for link in chain:
        for key in _issuers(link, keys):
            source = keys.revokes(key=key)
            if source is not None and link.signed.attempt(key) is Match.YES:
                return _Revoked(key, source)
    return None


def _anchored(chain: Sequence[Embedded], anchor: Key, direct: Outcome) -> Outcome:
    names = ", issued by ".join(link.name for link in chain)
    text = f"made by {names}, issued by {anchor.label}: the chain is embedded"
    remarks = tuple(_chain_remarks(chain, anchor))
    keys = tuple(link.key for link in chain)
    if not anchor.trusted and direct.verdict is Verdict.UNTRUSTED:
        return direct
    verdict = Verdict.VALID if anchor.trusted else Verdict.UNTRUSTED
    if not anchor.trusted:
        text = f"{text}, and nobody vouched for {anchor.source}"
    return Outcome(verdict, text, keys[0], remarks, anchor, keys[1:], Cause("chain", text))


def _chain_remarks(chain: Sequence[Embedded], anchor: Key) -> Iterator[Remark]:
    """Weaknesses of the certificates between the value and the given key."""
    issuers = [link.is_ca for link in chain[1:]]
    if anchor.certificate is not None:
        given = read_embedded(anchor.certificate.der)
        issuers.append(given is not None and given.is_ca)
    if not all(issuers):
        yield Remark("issuer-not-ca", "an issuer in the chain is not a CA")
    for link in chain:
        yield from weak_hash(link.signed.hash, f"the certificate of {link.name} is signed with ")
