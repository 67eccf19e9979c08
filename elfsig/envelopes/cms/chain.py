"""Certificates embedded in a CMS: they prove nothing, unless they lead to a key that was given.

Kernels do the same (crypto/asymmetric_keys/pkcs7_verify.c, pkcs7_trust.c): names, validity dates and
basicConstraints play no part beside the signatures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from elfsig.crypto import der
from elfsig.crypto.checks import Match, Unsupported, public_kind
from elfsig.crypto.names import common_name
from elfsig.crypto.oids import BY_OID
from elfsig.envelopes.cms.statement import Statement
from elfsig.envelopes.cms.types import magnitude
from elfsig.errors import ParseError
from elfsig.model import Key, KeyId, Keyring, Outcome, Remark, Signature, Verdict

MAX_CHAIN = 16
"""Certificates looked at between a signer and a key that was given."""

_CERTIFICATE = (
    der.Part("tbsCertificate", (0x30,)),
    der.Part("signatureAlgorithm", (0x30,)),
    der.Part("signature", (0x03,)),
)
_TBS = (
    der.Part("version", (0xA0,), optional=True),
    der.Part("serialNumber", (0x02,)),
    der.Part("signature", (0x30,)),
    der.Part("issuer", (0x30,)),
    der.Part("validity", (0x30,)),
    der.Part("subject", (0x30,)),
    der.Part("subjectPublicKeyInfo", (0x30,)),
    der.Part("issuerUniqueID", (0x81,), optional=True),
    der.Part("subjectUniqueID", (0x82,), optional=True),
    der.Part("extensions", (0xA3,), optional=True),
)
_SKID, _BASIC_CONSTRAINTS, _AKID = "2.5.29.14", "2.5.29.19", "2.5.29.35"
_DIRECTORY_NAME = 0xA4


@dataclass(frozen=True, eq=False)
class Embedded:
    """What is needed of an X.509 certificate (RFC 5280, 4.1): its names, its key, who signed it.

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
        return common_name(self.subject) or "without a common name"


def read_embedded(data: bytes) -> Embedded | None:
    """The certificate in ``data``; None for a damaged one, or one whose key or signature is unknown here."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        outer = der.fields(data, der.read(data, 0, len(data)), _CERTIFICATE)
        tbs = der.fields(data, outer["tbsCertificate"], _TBS)
        spki = _bytes(data, tbs["subjectPublicKeyInfo"])
        kind = public_kind(public := load_der_public_key(spki))
        signed = _statement(data, outer)
        extensions = _extensions(data, tbs.get("extensions"))
        authority = tuple(_authority(extensions.get(_AKID)))
    except (ParseError, ValueError, TypeError, UnsupportedAlgorithm, Unsupported):
        return None
    if kind is None:
        return None
    subject = _bytes(data, tbs["subject"])
    key = Key(
        public=public,
        algorithm=kind[0],
        bits=kind[1],
        curve=kind[2],
        ids=frozenset(),
        source="embedded in the signature",
        role="embedded",
        trusted=False,
        fingerprint=sha256(spki).hexdigest(),
        label=common_name(subject) or "embedded certificate",
    )
    is_ca = b"\x01\x01\xff" in extensions.get(_BASIC_CONSTRAINTS, b"")
    ids = tuple(_ids(data, tbs, extensions))
    return Embedded(_bytes(data, tbs["issuer"]), subject, ids, authority, key, signed, is_ca)


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
    hash_name = row.hash if row.algorithm != "rsa-pss" else _pss_hash(params)
    value = data[outer["signature"].body + 1 : outer["signature"].end]
    return Statement(row.algorithm, hash_name, params, value, _bytes(data, outer["tbsCertificate"]))


def _pss_hash(params: bytes | None) -> str | None:
    """hashAlgorithm of RSASSA-PSS-params, which a certificate names nowhere else. Raises ParseError."""
    from elfsig.crypto.oids import hash_name

    data = params or b"\x30\x00"
    for field in der.children(data, der.read(data, 0, len(data))):
        if field.tag == 0xA0:
            oid = der.descend(data, field, 0, 0)
            return hash_name(der.oid_text(data, oid))[0]
    return "sha1"


def _extensions(data: bytes, node: der.Node | None) -> dict[str, bytes]:
    """Contents of the extensions' OCTET STRINGs by OID. Raises ParseError."""
    found: dict[str, bytes] = {}
    for each in der.children(data, der.descend(data, node, 0)) if node else ():
        oid, *_, value = der.children(data, each)
        found[der.oid_text(data, oid)] = data[value.body : value.end]
    return found


# --------------------------------------------------------------------------- from the signer to a key


def through_embedded(signature: Signature, statement: Statement, keys: Keyring, direct: Outcome) -> Outcome:
    """The outcome when embedded certificates are followed; ``direct`` is what it is without them."""
    pool = [c for c in map(read_embedded, signature.detail.certificates) if c]
    signer = next((c for c in pool if set(c.ids) & set(signature.key_ids)), None)
    if signer is None:
        return direct
    try:
        matches = statement.attempt(signer.key) is Match.YES
        chain = _chain(signer, pool)
        anchor = _anchor(chain, keys)
    except Unsupported as missing:
        return Outcome(Verdict.UNSUPPORTED, f"{missing.args[0]} cannot be checked here")
    if not matches:
        text = f"does not match the certificate of {signer.name} that is embedded in it"
        return Outcome(Verdict.INVALID, text, anchor[1] if anchor else None)
    if anchor is None:
        text = f"{direct.reason}; the certificate of {signer.name} is embedded, which proves nothing"
        return direct if direct.verdict is Verdict.UNTRUSTED else direct._replace(reason=text)
    revoked = _revoked(chain[: anchor[0] + 1], keys)
    if revoked is not None:
        return Outcome(
            Verdict.UNTRUSTED, f"matches, but {revoked.source} revokes a key of its chain", revoked
        )
    return _anchored(chain[: anchor[0] + 1], anchor[1], direct)


def _chain(signer: Embedded, pool: Sequence[Embedded]) -> list[Embedded]:
    """``signer``, the embedded certificate that signed it, and so on. Raises Unsupported."""
    chain = [signer]
    while len(chain) < MAX_CHAIN:
        last = chain[-1]
        candidates = (c for c in pool if c.subject == last.issuer and c not in chain)
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
    """Keys whose certificate bears the issuer's name, then those that come without certificate."""
    for key in keys.keys:
        if key.certificate is None or key.certificate.subject == link.issuer:
            yield key


def _revoked(chain: Sequence[Embedded], keys: Keyring) -> Key | None:
    prints = {link.key.fingerprint for link in chain}
    return next((k for k in keys.keys if k.role == "revoked" and k.fingerprint in prints), None)


def _anchored(chain: Sequence[Embedded], key: Key, direct: Outcome) -> Outcome:
    names = ", issued by ".join(link.name for link in chain)
    text = f"made by {names}, issued by {key.label}: the chain is embedded"
    remarks: list[Remark] = []
    issuers = [link.is_ca for link in chain[1:]]
    if key.certificate is not None:
        given = read_embedded(key.certificate.der)
        issuers.append(given is not None and given.is_ca)
    if not all(issuers):
        remarks.append(Remark("issuer-not-ca", "an issuer in the chain is no CA; kernels do not look"))
    if key.trusted:
        return Outcome(Verdict.VALID, text, key, tuple(remarks))
    if direct.verdict is Verdict.UNTRUSTED:
        return direct
    return Outcome(Verdict.UNTRUSTED, f"{text}, and nobody vouched for {key.source}", key, tuple(remarks))
