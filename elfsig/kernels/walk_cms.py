"""Steps of Linux 4.3 and later after the trailer: CMS, its rules for modules, and which keys count.

In the order of pkcs7_parse_message() (crypto/asymmetric_keys/pkcs7_parser.c), verify_pkcs7_message_sig()
(certs/system_keyring.c), pkcs7_verify() (pkcs7_verify.c) and pkcs7_validate_trust() (pkcs7_trust.c).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from elfsig.crypto.checks import Match, Unsupported
from elfsig.crypto.oids import BY_OID, SignatureAlgorithm
from elfsig.envelopes.cms.chain import Embedded, read_embedded
from elfsig.envelopes.cms.envelope import Cms, read
from elfsig.envelopes.cms.statement import Statement, stream_digest
from elfsig.envelopes.cms.types import DATA, SignedData, SignerInfo
from elfsig.errors import ParseError
from elfsig.kernels.keys import named, nameless
from elfsig.kernels.profile import Crypto
from elfsig.kernels.walk import Case, Said, Step, Stop, Went, compute
from elfsig.kernels.walk_trailer import HEAD, done, pkcs7_type, zero_fields
from elfsig.model import Key, Message, Signature

MS_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
ML_DSA = ("mldsa44", "mldsa65", "mldsa87")
MAX_CHAIN = 16


@dataclass
class Signer:
    """One signer as pkcs7_verify() leaves it: its embedded certificate, and whether it can be computed."""

    parsed: SignerInfo
    signature: Signature
    certificate: Embedded | None = None
    unsupported: str | None = None

    @property
    def name(self) -> str:
        """What the signature says about who made it."""
        claim = self.signature
        if claim.signer:
            return f'"{claim.signer}" (serial {claim.serial.hex() if claim.serial else "?"})'
        return f"key id {claim.key_id.hex() if claim.key_id else '?'}"


# --------------------------------------------------------------------------- parsing


def parse(case: Case) -> Said:
    """The structure, in BER; then what the parser's callbacks refuse, in the order of the bytes."""
    try:
        data = read(case.blob)
        signatures = Cms().parse(case.blob, None)
    except ParseError as fault:
        inner = "EINVAL" if "not signedData" in fault.text else "EBADMSG"
        return Stop(inner, "signature-damaged", f"the PKCS#7 cannot be parsed: {fault.text}")
    refused = next(_refusals(case, data, signatures), None)
    case.found["data"] = data
    case.found["signers"] = [Signer(p, s) for p, s in zip(data.signers, signatures, strict=True)]
    first = signatures[0]
    case.claims.update(signer=case.found["signers"][0].name, hash=first.hash_text or "?")
    if refused is not None:
        return refused
    text = "signed by " + " and ".join(s.name for s in case.found["signers"])
    behind = len(case.blob) - data.size
    return Went(text + (f"; {behind} bytes after the PKCS#7 are ignored" if behind else ""))


def _refusals(case: Case, data: SignedData, signatures: Sequence[Signature]) -> Iterator[Stop]:
    if data.version not in (1, 3):
        log = ("PKCS7: Unsupported SignedData version",)
        yield Stop("EINVAL", "signature-form", f"SignedData version {data.version}, known are 1 and 3", log)
    if data.content_type not in (DATA, MS_INDIRECT_DATA):
        text = f"content type {data.content_type} instead of data"
        yield Stop("EINVAL", "signature-form", text, ("PKCS7: Unsupported data type N",))
    for signer, signature in zip(data.signers, signatures, strict=True):
        yield from _signer_refusals(case, data, signer, signature)
    if len({s.signed is None for s in data.signers}) > 1:
        text = "some signers have signed attributes and some have not"
        yield Stop("ENOMEM", "signature-form", text)


def _signer_refusals(
    case: Case, data: SignedData, signer: SignerInfo, signature: Signature
) -> Iterator[Stop]:
    crypto = case.profile.crypto
    if signer.version not in (1, 3):
        yield Stop("EINVAL", "signature-form", f"SignerInfo version {signer.version}, known are 1 and 3")
    if (signer.version == 1) != (data.version == 1):
        text = f"SignerInfo version {signer.version} does not go with SignedData version {data.version}"
        yield Stop("EBADMSG", "signature-form", text, ("PKCS7: SignedData-SignerInfo version mismatch",))
    if signature.hash not in crypto.hashes:
        text = f"digest algorithm {signature.hash_text}: this kernel's parser does not know it"
        log = (f"PKCS7: Unknown OID: [..] {signer.digest.oid}", "Unsupported digest algo: N")
        yield Stop("ENOPKG", "unsupported-hash", text, log)
    known = BY_OID.get(signer.algorithm.oid)
    if not _parsable(known, crypto):
        yield _unknown_algorithm(known, signer.algorithm.oid)


def _unknown_algorithm(known: SignatureAlgorithm | None, oid: str) -> Stop:
    text = f"signature algorithm {known.name if known else oid}: this kernel's parser does not know it"
    log: tuple[str, ...] = ("Unsupported pkey algo: N",)
    if known is not None and known.algorithm == "rsa":
        text += "; for RSA only plain rsaEncryption will do"
    else:
        log = (f"PKCS7: Unknown OID: [..] {oid}", *log)
    return Stop("ENOPKG", "unsupported-algorithm", text, log)


def _parsable(known: SignatureAlgorithm | None, crypto: Crypto) -> bool:
    """Whether the parser has a case for this identifier. RSA goes by its plain one only."""
    if known is None or known.algorithm not in crypto.algorithms:
        return False
    return known.hash is None or (known.algorithm != "rsa" and known.hash in crypto.hashes)


# --------------------------------------------------------------------------- rules for modules


def detached(case: Case) -> Said:
    """The module is handed over beside the PKCS#7, which must not hold content of its own."""
    data: SignedData = case.found["data"]
    if data.content is not None:
        log = ("PKCS7: Data already supplied", "PKCS#7 signature with non-detached data")
        return Stop(
            "EBADMSG", "embedded-content", f"{len(data.content)} bytes of content are inside the PKCS#7", log
        )
    return Went("no content of its own: it is about the bytes in front of it")


def usage(case: Case) -> Said:
    """A module's signature is over plain data, without signed attributes."""
    data: SignedData = case.found["data"]
    if data.content_type != DATA:
        log = ("PKCS7: Invalid module sig (not pkcs7-data)",)
        return Stop("EKEYREJECTED", "signature-form", f"content type {data.content_type}", log)
    signers: list[Signer] = case.found["signers"]
    if not any(s.parsed.signed is not None for s in signers):
        return Went("plain data, no signed attributes, as modules must be signed")
    if case.profile.crypto.waives_attributes and all(s.signature.algorithm in ML_DSA for s in signers):
        case.log.append("PKCS7: Waived invalid module sig (has authattrs)")
        return Went("signed attributes, which this build waives for ML-DSA")
    log = ("PKCS7: Invalid module sig (has authattrs)",)
    return Stop(
        "EKEYREJECTED", "signed-attributes", "it has signed attributes, which modules must not have", log
    )


def digest(case: Case) -> Said:
    """The digest for each signer, and the certificates that came along."""
    message = compute(case)
    assert isinstance(message, Message)
    case.message = message
    signers: list[Signer] = case.found["signers"]
    pool = [c for c in map(read_embedded, case.found["data"].certificates) if c]
    for signer in signers:
        signer.unsupported = _not_computable(case, signer)
        if signer.unsupported:
            continue
        signer.certificate = next((c for c in pool if set(c.ids) & set(signer.signature.key_ids)), None)
        if signer.certificate and not _value_matches(case, signer, signer.certificate.key):
            text = f"the value does not match the embedded certificate of {signer.certificate.name}"
            return Stop("EKEYREJECTED", "mismatch", text)
    case.found["pool"] = pool
    missing = [s.unsupported for s in signers if s.unsupported]
    if len(missing) == len(signers):
        return Stop("ENOPKG", "unsupported-hash", missing[0] or "")
    hashes = ", ".join(dict.fromkeys(str(s.signature.hash) for s in signers))
    text = f"{message.size} bytes are digested with {hashes}"
    return Went(text + (f"; {len(missing)} signer(s) passed over" if missing else ""))


def _not_computable(case: Case, signer: Signer) -> str | None:
    if signer.signature.hash in case.profile.crypto.absent and signer.signature.algorithm not in ML_DSA:
        return f"this kernel was built without {signer.signature.hash}"
    try:
        stream_digest(b"", signer.signature.hash)
    except Unsupported as missing:
        return f"{missing.args[0]} cannot be computed"
    return None


def _value_matches(case: Case, signer: Signer, key: Key) -> bool:
    """public_key_verify_signature(): the value must also be exactly as long as an RSA modulus."""
    claim, signature, message = signer.signature.detail, signer.signature, case.message
    assert message is not None
    if key.algorithm in case.profile.crypto.absent or key.algorithm != signature.algorithm:
        return False
    if key.algorithm == "rsa" and len(signature.value) != (key.bits + 7) // 8:
        return False
    if key.algorithm == "rsa" and signature.hash in case.profile.crypto.unhashed:
        return False
    attributes = claim.signed_der
    try:
        if attributes is not None and stream_digest(message, signature.hash) != claim.message_digest:
            return False
        stream = message if attributes is None else attributes
        statement = Statement(key.algorithm, signature.hash, claim.params, signature.value, stream)
        return statement.attempt(key) is Match.YES
    except Unsupported:
        return False


# --------------------------------------------------------------------------- trust


def revoked(case: Case) -> Said:
    """is_key_on_revocation_list(): since 6.6 it is asked before any keyring."""
    when = case.profile.trust.revoked_keys
    if when == "never":
        return Went("this kernel keeps no list of revoked keys for modules")
    if when == "platform":
        return Went("this kernel asks for revoked keys only before it asks the platform keyring")
    return _refuse_revoked(case) or Went("not made by a key that is revoked")


def _refuse_revoked(case: Case) -> Stop | None:
    if _ask(case, case.keys.revoked) is not None:
        return None
    source = case.key.source if case.key else "a list"
    return Stop("EKEYREJECTED", "revoked", f"made by a key that {source} revokes")


def trust(case: Case) -> Said:
    """Is it made by a key in one of the keyrings that count? They are asked in order."""
    asked = []
    said: Stop | None = None
    rule = case.profile.trust
    for roles in rule.rings:
        asks = rule.revoked_keys == "platform" and "platform" in roles
        if asks and (stop := _refuse_revoked(case)) is not None:
            return stop
        said = _ask(case, case.keys.held(roles))
        asked.append(", ".join(sorted(roles)))
        if said is None:
            assert case.key is not None
            _note_revocation(case, case.key)
            how = case.found.get("how") or "it matches"
            return Went(f"{how} the key {case.key.label} from {case.key.source} ({_ring_words(case.key)})")
        if said.inner != "ENOKEY":
            return said
    assert said is not None
    signers: list[Signer] = case.found["signers"]
    case.found["ids"] = [each for s in signers for each in s.signature.key_ids]
    return said._replace(text=f"{said.text} (asked: {'; then '.join(asked)})")


def _note_revocation(case: Case, key: Key) -> None:
    """Says so where a list revokes the key and this kernel does not look at that list for modules."""
    source = case.keys.revokes_key(key)
    if source is not None:
        case.notes.append(f"{source} revokes this key, but this kernel does not ask that list for modules")


def _ring_words(key: Key) -> str:
    return "counted as compiled in" if key.role in ("user", "embedded") else f"keyring {key.role}"


def _ask(case: Case, held: Sequence[Key]) -> Stop | None:
    """pkcs7_validate_trust(): None where one signer is trusted and none spoils it."""
    answer: Stop | None = Stop("ENOKEY", "unknown-key", "no key of this kernel made it")
    for signer in case.found["signers"]:
        said = _ask_one(case, signer, held)
        if said is None:
            answer = None
        elif said.inner == "ENOPKG":
            answer = said if answer is not None and answer.inner == "ENOKEY" else answer
        elif said.inner != "ENOKEY":
            return said
    return answer


def _ask_one(case: Case, signer: Signer, held: Sequence[Key]) -> Stop | None:
    """pkcs7_validate_trust_one(): along the embedded chain, then whoever issued its end, then directly."""
    if signer.unsupported:
        return Stop("ENOPKG", "unsupported-hash", signer.unsupported)
    if signer.certificate is not None:
        said = _along_chain(case, signer, held)
        if not isinstance(said, str):
            return said
        if said == "root":
            return Stop(
                "ENOKEY", "unknown-key", f"{signer.certificate.name} is embedded, which proves nothing"
            )
    ids = signer.signature.key_ids
    found = named(held, ids)
    if not found:
        found = [key for key in nameless(held, ids) if _value_matches(case, signer, key)]
        if found:
            case.notes.append(
                f"{found[0].source} is a bare key: it is taken for granted that its certificate has the name"
                " that the signature gives"
            )
    if not found:
        return Stop("ENOKEY", "unknown-key", f"no key of this kernel is the one of {signer.name}")
    return _settle(case, found[0], _value_matches(case, signer, found[0]), signer.name)


def _settle(case: Case, key: Key, good: bool, who: str) -> Stop | None:
    if good:
        case.key = key
        return None
    case.found["culprit"] = key
    text = f"{key.label} is held by this kernel and is the key of {who}, and the value does not match"
    if key.algorithm in case.profile.crypto.absent:
        text += f": this kernel was built without {key.algorithm}"
    return Stop("EKEYREJECTED", "mismatch", text)


def _along_chain(case: Case, signer: Signer, held: Sequence[Key]) -> Stop | str | None:
    """None or a Stop where the chain decides; "root" where it ends in itself, "open" where it does not."""
    pool: list[Embedded] = case.found["pool"]
    link, below = signer.certificate, None
    for _ in range(MAX_CHAIN):
        assert link is not None
        found = named(held, link.ids)
        if found:
            good = (
                _value_matches(case, signer, found[0])
                if below is None
                else below.signed.attempt(found[0]) is Match.YES
            )
            return _settle(case, found[0], good, link.name)
        if link.issuer == link.subject:
            return "root"
        above = next((c for c in pool if set(c.ids) & set(link.authority) and c is not link), None)
        if above is None:
            break
        link, below = above, link
    assert link is not None
    # The issuer is looked for by authorityKeyIdentifier alone: its name plays no part.
    issuers = named(held, link.authority)
    if not issuers:
        return "open"
    case.found["how"] = f"made by {link.name}, whose embedded certificate was issued by"
    return _settle(case, issuers[0], _issued(link, issuers[0]), link.name)


def _issued(link: Embedded, key: Key) -> bool:
    try:
        return link.signed.attempt(key) is Match.YES
    except Unsupported:
        return False


def revoked_file(case: Case) -> Said:
    """A patch of Debian and others: the SHA-256 of the whole file, signature included, may be on dbx."""
    if not case.profile.trust.revoked_files:
        return Went("this kernel does not compare the file's own hash with a list")
    digest_hex = case.keys.revokes_file(case.image.bytes())
    if digest_hex:
        log = (f"Module hash {digest_hex} is blacklisted",)
        return Stop(
            "EKEYREJECTED", "revoked", "the SHA-256 of the whole file is on the list of revoked ones", log
        )
    return Went("the file's SHA-256 is not on a list of revoked ones")


_BODY = (
    *HEAD,
    Step("id_type", pkcs7_type),
    Step("zero fields", zero_fields),
    Step("PKCS#7", parse),
    Step("detached", detached),
    Step("usage", usage),
    Step("digest", digest),
)

CMS = (
    *_BODY,
    Step("revoked keys", revoked),
    Step("trusted keys", trust),
    Step("revoked file", revoked_file),
    Step("verdict", done),
)
