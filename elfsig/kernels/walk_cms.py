"""Steps of Linux 4.3 and later after the trailer: CMS, its rules for modules, and which keys count.

In the order of pkcs7_parse_message() (crypto/asymmetric_keys/pkcs7_parser.c), verify_pkcs7_message_sig()
(certs/system_keyring.c), pkcs7_verify() (pkcs7_verify.c) and pkcs7_validate_trust() (pkcs7_trust.c).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elfsig.crypto.checks import Unsupported
from elfsig.crypto.oids import BY_OID, SignatureAlgorithm
from elfsig.envelopes.cms.chain import Embedded, read_embedded
from elfsig.envelopes.cms.envelope import read_with_signatures
from elfsig.envelopes.cms.statement import stream_digest
from elfsig.envelopes.cms.types import DATA, SignedData, SignerInfo
from elfsig.errors import ParseError
from elfsig.kernels.cms_chain import chain_of, signers_certificate
from elfsig.kernels.cms_signer import Signer, value_matches
from elfsig.kernels.forms import ML_DSA, parsable
from elfsig.kernels.loading import judge_certificate
from elfsig.kernels.walk import Case, Said, Step, Stop, Went, compute
from elfsig.kernels.walk_cms_trust import loading, revoked, revoked_file, trust
from elfsig.kernels.walk_trailer import HEAD, done, pkcs7_type, zero_fields
from elfsig.model import Message, Signature

MS_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"

BEFORE_ECDSA = frozenset({"1.2.840.10040.4.1", "1.2.840.10045.2.1", "1.2.840.10045.4.1"})
"""id-dsa, id-ecPublicKey and ecdsa-with-SHA1: from the start in include/linux/oid_registry.h, so that
kernels before 5.13, whose parser of PKCS#7 knows RSA only, refuse them without "Unknown OID"."""


# --------------------------------------------------------------------------- parsing


def parse(case: Case) -> Said:
    """The structure, in BER; then what the parser's callbacks refuse, in the order of the bytes."""
    try:
        data, signatures = read_with_signatures(case.blob)
    except ParseError as fault:
        inner = "EINVAL" if fault.code == "cms-not-signed-data" else "EBADMSG"
        return Stop(inner, "signature-damaged", f"the PKCS#7 cannot be parsed: {fault.text}")
    refused = next(_refusals(case, data, signatures), None)
    case.found["data"] = data
    case.found["signers"] = [Signer(p, s) for p, s in zip(data.signers, signatures, strict=True)]
    first = signatures[0]
    case.claims.update(signer=case.found["signers"][0].name, hash=first.hash_text or "?")
    if refused is not None:
        return refused
    text = "signed by " + " and ".join(s.name for s in case.found["signers"])
    ignored = len(case.blob) - data.size
    return Went(text + (f"; {ignored} bytes after the PKCS#7 are ignored" if ignored else ""))


def _certificates(case: Case, data: SignedData) -> Iterator[Stop]:
    """pkcs7_extract_cert() parses every certificate inside, whoever it belongs to: x509_cert_parse()."""
    for number, certificate in enumerate(data.certificates, 1):
        judged = judge_certificate(certificate, case.profile, fips=case.mode.fips, starting=False)
        if not judged.loaded:
            text = f"certificate {number} inside the PKCS#7 cannot be used: {judged.text}"
            yield Stop(judged.errno or "EBADMSG", "signature-damaged", text)
        elif judged.doubt:
            case.notes.append(f"certificate {number} inside the PKCS#7 may be refused: {judged.doubt}")


def _refusals(case: Case, data: SignedData, signatures: Sequence[Signature]) -> Iterator[Stop]:
    yield from _certificates(case, data)
    if data.version not in (1, 3):
        log = ("PKCS7: Unsupported SignedData version",)
        yield Stop("EINVAL", "signature-form", f"SignedData version {data.version}, not 1 or 3", log)
    if data.content_type not in (DATA, MS_INDIRECT_DATA):
        text = f"content type {data.content_type} instead of data"
        yield Stop("EINVAL", "signature-form", text, ("PKCS7: Unsupported data type N",))
    for signer, signature in zip(data.signers, signatures, strict=True):
        yield from _signer_refusals(case, data, signer, signature)
    if len({s.signed is None for s in data.signers}) > 1:
        text = "some signers have signed attributes and some do not"
        yield Stop("ENOMEM", "signature-form", text)


def _signer_refusals(
    case: Case, data: SignedData, signer: SignerInfo, signature: Signature
) -> Iterator[Stop]:
    crypto = case.profile.crypto
    if signer.version not in (1, 3):
        yield Stop("EINVAL", "signature-form", f"SignerInfo version {signer.version}, not 1 or 3")
    if (signer.version == 1) != (data.version == 1):
        text = f"SignerInfo version {signer.version} does not go with SignedData version {data.version}"
        yield Stop("EBADMSG", "signature-form", text, ("PKCS7: SignedData-SignerInfo version mismatch",))
    if signature.hash not in crypto.hashes:
        text = f"digest algorithm {signature.hash_text}: this kernel's parser does not know it"
        log = (f"PKCS7: Unknown OID: [..] {signer.digest.oid}", "Unsupported digest algo: N")
        yield Stop("ENOPKG", "unsupported-hash", text, log)
    known = BY_OID.get(signer.algorithm.oid)
    if not parsable(known, crypto):
        registered = "ecdsa" not in crypto.algorithms and signer.algorithm.oid in BEFORE_ECDSA
        yield _unknown_algorithm(known, signer.algorithm.oid, registered)


def _unknown_algorithm(known: SignatureAlgorithm | None, oid: str, registered: bool) -> Stop:
    text = f"signature algorithm {known.name if known else oid}: this kernel's parser does not know it"
    log: tuple[str, ...] = ("Unsupported pkey algo: N",)
    if known is not None and known.algorithm == "rsa":
        text += "; for RSA only plain rsaEncryption will do"
    elif not registered:
        log = (f"PKCS7: Unknown OID: [..] {oid}", *log)
    return Stop("ENOPKG", "unsupported-algorithm", text, log)


# --------------------------------------------------------------------------- rules for modules


def detached(case: Case) -> Said:
    """The module is passed beside the PKCS#7, which must not have content of its own."""
    data: SignedData = case.found["data"]
    if data.content is not None:
        log = ("PKCS7: Data already supplied", "PKCS#7 signature with non-detached data")
        return Stop(
            "EBADMSG", "embedded-content", f"{len(data.content)} bytes of content are inside the PKCS#7", log
        )
    return Went("no content of its own: it signs the bytes before it")


def usage(case: Case) -> Said:
    """A module's signature is over plain data, without signed attributes."""
    data: SignedData = case.found["data"]
    if data.content_type != DATA:
        log = ("PKCS7: Invalid module sig (not pkcs7-data)",)
        return Stop("EKEYREJECTED", "signature-form", f"content type {data.content_type}", log)
    signers: list[Signer] = case.found["signers"]
    if not any(s.parsed.signed is not None for s in signers):
        return Went("plain data, no signed attributes, as modules must be signed")
    # pkcs7_check_authattrs() looks at the algorithm of the first signer only.
    if case.profile.crypto.waives_attributes and signers[0].signature.algorithm in ML_DSA:
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
        if signer.unsupported and (errno := _fips_errno(case, signer)) is not None:
            return Stop(errno, "unsupported-hash", signer.unsupported)
        if signer.unsupported:
            continue
        if (stop := _embedded(case, signer, pool)) is not None:
            return stop
    missing = [s.unsupported for s in signers if s.unsupported]
    if len(missing) == len(signers):
        return Stop("ENOPKG", "unsupported-hash", missing[0] or "")
    hashes = ", ".join(dict.fromkeys(str(s.signature.hash) for s in signers))
    text = f"{message.size} bytes are digested with {hashes}"
    return Went(text + (f"; {len(missing)} signer(s) skipped" if missing else ""))


def _embedded(case: Case, signer: Signer, pool: Sequence[Embedded]) -> Stop | None:
    """pkcs7_verify_one(): the signer's own certificate, and the chain above it, if they came along."""
    certificate = signers_certificate(signer.signature, pool)
    if certificate is None:
        return None
    if not value_matches(case, signer, certificate.key):
        text = f"the value does not match the embedded certificate of {certificate.name}"
        return Stop("EKEYREJECTED", "mismatch", text)
    chain = chain_of(case, certificate, pool)
    if isinstance(chain, Stop):
        return chain
    signer.chain, signer.root = chain
    return None


def _not_computable(case: Case, signer: Signer) -> str | None:
    lacking = case.profile.crypto.lacks(signer.signature.hash, fips=case.mode.fips)
    if lacking is not None and signer.signature.algorithm not in ML_DSA:
        return lacking
    try:
        stream_digest(b"", signer.signature.hash)
    except Unsupported as missing:
        return f"{missing.args[0]} cannot be computed"
    return None


def _fips_errno(case: Case, signer: Signer) -> str | None:
    """pkcs7_digest() turns ENOENT into ENOPKG, which pkcs7_verify() forgives; any other error ends it."""
    crypto, name = case.profile.crypto, signer.signature.hash
    ruled_out = name not in crypto.absent and crypto.lacks(name, fips=case.mode.fips) is not None
    return crypto.fips_errno if ruled_out and crypto.fips_errno != "ENOENT" else None


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
    Step("key loading", loading),
    Step("revoked keys", revoked),
    Step("trusted keys", trust),
    Step("revoked file", revoked_file),
    Step("verdict", done),
)
