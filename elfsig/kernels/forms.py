"""Forms of signatures that no kernel accepts, however much it trusts the key: worked out from the profiles.

The mathematics of such a signature may hold: signed attributes, RSA-PSS, EdDSA, a packet without an issuer.
What decides here is what each profile's walk would stop at before it looks for a key, or always at the
value; the rows of the tables are asked, the newest mainline kernel first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from elfsig.coverages.catalogue import SIGNED_AS
from elfsig.crypto.hashes import HASHES
from elfsig.crypto.oids import BY_OID, SignatureAlgorithm
from elfsig.kernels.catalogue import MAINLINE, PROFILES
from elfsig.kernels.key_rules import Crypto
from elfsig.kernels.profile import Profile
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Key, Signature

CODE = "no-kernel-accepts-it"
"""Code of the remark, and id of the audit rule."""

COMPARES_NOTHING = frozenset({"gkh-2003"})
"""Walks that let every module pass: that is not to accept its signature."""

KSIGN = frozenset({"ksign", "ksign-any-hash", "fc2"})
"""Walks of kernels whose DSA takes the whole digest as a number (crypto/signature/dsa.c of RHEL 4 to 6)."""


ML_DSA = ("mldsa44", "mldsa65", "mldsa87")
"""Algorithms for which kernels may be built to accept signed attributes."""


class Refusal(NamedTuple):
    """Why no kernel accepts a form: ``code`` is a stable word, ``text`` names what is wrong with it.

    ``by_key``: it follows from the key or the format, so that signing again in this way cannot help.
    """

    code: str
    text: str
    by_key: bool = False


class Form(NamedTuple):
    """What the question is about: one signature in one format, the coverage that it is over (None: not
    established), and the key that made it (None: unknown)."""

    format: str
    coverage: str | None
    signature: Signature
    key: Key | None = None


def refusal(form: Form) -> Refusal | None:
    """Why no kernel of the tables accepts ``form``; None where at least one does.

    None as well for a format that no row looks for: which kernels read it, if any, is not known here.
    """
    first: Refusal | None = None
    for profile in _readers(form.format):
        found = next(_refusals(form, profile), None)
        if found is None:
            return None
        first = first or found
    return first


def _readers(format_id: str) -> Iterator[Profile]:
    """The profiles that look for this format, newest mainline first."""
    for profile in (*reversed(MAINLINE), *PROFILES.values()):
        if profile.look.format == format_id and profile.walk not in COMPARES_NOTHING:
            yield profile


def _refusals(form: Form, profile: Profile) -> Iterator[Refusal]:
    check = _CHECKS.get(form.signature.envelope)
    own = SIGNED_AS.get(profile.look.coverage, profile.look.coverage)
    if form.coverage not in (None, own, profile.look.coverage):
        yield Refusal("coverage", f"kernels compute {own}, and it is over {form.coverage}", by_key=True)
    if check is None:
        yield Refusal(
            "envelope", f"kernels do not read {form.signature.envelope} in {form.format}", by_key=True
        )
    else:
        yield from check(form, profile)


def _hash(form: Form, profile: Profile) -> Iterator[Refusal]:
    if form.signature.hash not in profile.crypto.hashes:
        yield Refusal("hash", f"the hash {form.signature.hash_text or form.signature.hash}")


def _cms(form: Form, profile: Profile) -> Iterator[Refusal]:
    """pkcs7_parser.c, then the rules for modules in pkcs7_verify(), then what RSA can be computed with."""
    signature, crypto = form.signature, profile.crypto
    known = BY_OID.get(signature.facts["signature_algorithm"])
    if not parsable(known, crypto):
        combined = known is not None and known.algorithm == "rsa" and known.hash is not None
        name = known.name if known else signature.facts["signature_algorithm"]
        yield Refusal("algorithm", f"the signature algorithm {name} (ENOPKG)", by_key=not combined)
    yield from _hash(form, profile)
    if signature.facts["certificates_damaged"]:
        yield Refusal("certificate-damaged", "a damaged certificate inside (EBADMSG)")
    if signature.facts["content_embedded"]:
        yield Refusal("embedded-content", "content of its own inside (EBADMSG)")
    if signature.facts["signed_attributes"] is not None:
        yield from _attributes(signature, crypto)
    if signature.algorithm == "rsa":
        yield from _rsa(form, profile)
    if form.key is not None and form.key.algorithm == "ecdsa" and form.key.curve not in crypto.curves:
        yield Refusal("curve", f"a key on the curve {form.key.curve}", by_key=True)


def _attributes(signature: Signature, crypto: Crypto) -> Iterator[Refusal]:
    """pkcs7_verify() refuses them in modules; a kernel may be built to accept them with ML-DSA."""
    if signature.algorithm not in ML_DSA:
        yield Refusal("signed-attributes", "signed attributes (EKEYREJECTED)")
    elif not crypto.waives_attributes:
        text = "signed attributes (EKEYREJECTED, unless built with PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA)"
        yield Refusal("signed-attributes", text)
    elif signature.hash != "sha512":
        yield Refusal(
            "attributes-digest", f"signed attributes with {signature.hash} and ML-DSA (EKEYREJECTED)"
        )


def parsable(known: SignatureAlgorithm | None, crypto: Crypto) -> bool:
    """Whether the parser has a case for this identifier. RSA goes by its plain one only."""
    if known is None or known.algorithm not in crypto.algorithms:
        return False
    return known.hash is None or (known.algorithm != "rsa" and known.hash in crypto.hashes)


def _rsa(form: Form, profile: Profile) -> Iterator[Refusal]:
    """Sizes and hashes that the kernel's RSA code refuses (crypto/rsa.c, crypto/rsa-pkcs1pad.c)."""
    if form.signature.hash in profile.crypto.unhashed:
        yield Refusal("hash", f"RSA with {form.signature.hash}, for which kernels have no DigestInfo")
    sizes = profile.crypto.sizes
    if form.key is None or form.key.algorithm != "rsa" or sizes is None:
        return
    if (form.key.bits + 7) // 8 * 8 not in sizes:  # rsa_check_key_length() counts whole bytes
        yield Refusal("key-size", f"an RSA key of {form.key.bits} bits", by_key=True)


def _x509(form: Form, profile: Profile) -> Iterator[Refusal]:
    if form.signature.algorithm not in profile.crypto.algorithms:
        text = f"the algorithm {form.signature.algorithm_text} (ENOPKG)"
        yield Refusal("algorithm", text, by_key=True)
    yield from _hash(form, profile)


def _openpgp(form: Form, profile: Profile) -> Iterator[Refusal]:
    """ksign-parse.c of RHEL 4 to 6 and Fedora, pgp_parse.c of 2012."""
    signature, facts = form.signature, form.signature.facts
    if signature.algorithm not in profile.crypto.algorithms:
        yield Refusal("algorithm", f"the algorithm {signature.algorithm_text}", by_key=True)
    yield from _hash(form, profile)
    if facts["armoured"]:
        yield Refusal("armoured", "ASCII armour (EBADMSG)")
    if facts["length_cut"]:
        yield Refusal("length-past-end", "a packet longer than its section (EBADMSG)")
    if facts["issuer_area"] is None:
        yield Refusal("issuer-missing", "no issuer, by which kernels find the key (ENOKEY)")
    if profile.walk not in KSIGN and facts["bytes_behind"]:
        yield Refusal("bytes-behind-value", "bytes after the signature's value (EBADMSG)")
    if profile.walk in KSIGN and _longer_than_q(signature, form.key):
        yield Refusal("dsa-hash-cut", "a digest longer than the DSA key's q, which these kernels do not cut")


def _longer_than_q(signature: Signature, key: Key | None) -> bool:
    row = HASHES.get(signature.hash or "")
    if key is None or key.algorithm != "dsa" or row is None:
        return False
    q: int = key.public.parameters().parameter_numbers().q
    return row.size * 8 > q.bit_length()


_CHECKS: Mapping[str, Callable[[Form, Profile], Iterator[Refusal]]] = {
    "cms": _cms,
    "x509-block": _x509,
    "openpgp": _openpgp,
}
