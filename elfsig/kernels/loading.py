"""Does a kernel load a key, and can it use it? This comes before every signature.

In the order of x509_cert_parse(), x509_get_sig_params() and x509_check_for_self_signed()
(crypto/asymmetric_keys), which the kernel goes through when it starts and reads its certificates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime

from elfsig.crypto.oids import SignatureAlgorithm
from elfsig.kernels.key_rules import Crypto, ExtensionRule, FixedKeyRules, KeyRules
from elfsig.kernels.x509.extensions import DIGITAL_SIGNATURE, KEY_CERT_SIGN
from elfsig.kernels.x509.faults import Fault, Rule, Stage
from elfsig.kernels.x509.self_signature import SelfSignature
from elfsig.kernels.x509_parser import Facts, facts
from elfsig.lazy_dataclass import replace
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Key
from elfsig.trust.entries import RevokedHash

FIPS_EXPONENTS = (1 << 16, 1 << 256)
"""In FIPS mode an RSA exponent is odd and between these (rsa_check_exponent_fips() in crypto/rsa.c)."""


class Loading(NamedTuple):
    """The judgement. ``loaded``: the kernel adds the key to a keyring. ``usable``: it can verify with it.

    ``errno`` is what the kernel returns for loading it or, where it is loaded and not usable, for using it.
    ``code`` is a stable word, ``text`` the reason as a clause about the key ("its notBefore is ...").
    ``doubt``: why that it is loaded is not certain, as a sentence; "" where it is.
    """

    loaded: bool
    usable: bool
    errno: str | None
    code: str
    text: str
    doubt: str = ""

    @property
    def good(self) -> bool:
        """Whether the key is loaded and can be used."""
        return self.loaded and self.usable


GOOD = Loading(True, True, None, "ok", "this kernel loads the key and can use it")


Blacklist = Collection[RevokedHash]


def judge(key: Key, rules: KeyRules, *, fips: bool = False, blacklist: Blacklist = ()) -> Loading:
    """What the kernel of ``rules`` makes of ``key``, in FIPS mode or not; see :func:`judge_certificate`."""
    if key.subkey:
        return _refused("ENOPKG", "subkey", "it is a subkey, and this kernel loads primary keys only")
    if key.certificate is None:
        return next(_bare(key, rules, fips), GOOD)
    dates = _outside_validity(key, rules)
    return judge_certificate(key.certificate.der, rules, fips=fips, dates=dates, blacklist=blacklist)


def judge_certificate(
    certificate: bytes,
    rules: KeyRules,
    *,
    fips: bool = False,
    dates: Loading | None = None,
    starting: bool = True,
    blacklist: Blacklist = (),
) -> Loading:
    """What the kernel of ``rules`` makes of a DER certificate; ``dates``: what it says of its validity.

    ``starting``: it reads the certificate when it starts, before any module is loaded. Certificates inside
    a signature are read later, when algorithms that are modules can be there. ``blacklist``: the hashes on
    the kernel's own list (CONFIG_SYSTEM_BLACKLIST_HASH_LIST).
    """
    found = facts(certificate, rules.walk != "cms")
    if not starting:
        rules = FixedKeyRules(rules.walk, replace(rules.crypto, late=frozenset()), rules.trust)
    judged = (
        *_parser(found, rules),
        *_identifiers(found, rules),
        *([dates] if dates is not None else []),
        *_own_signature(found, rules, fips),
        *_blacklisted(found, rules, blacklist),
        *_unusable(found, rules, fips),
    )
    judgement = next(iter(judged), GOOD)
    return judgement._replace(doubt="; ".join(_doubts(found, rules, fips))) if judgement.loaded else judgement


def _refused(errno: str, code: str, text: str) -> Loading:
    return Loading(False, False, errno, code, text)


def _useless(code: str, text: str) -> Loading:
    return Loading(True, False, "EKEYREJECTED", code, text)


# --------------------------------------------------------------------------- parsing

X509_WALKS = frozenset({"cms", "x509", "x509-rc1"})
"""The signature checks of kernels that keep certificates in keyrings."""

_EXTENSIONS: dict[ExtensionRule, dict[Rule, bool | None]] = {
    "unread": {"extensions": False, "constraints": False},
    "read": {"extensions": True, "constraints": False},
    "either": {"extensions": True, "constraints": None},
    "strict": {"extensions": True, "constraints": True},
    "unknown": {"extensions": None, "constraints": None},
}
"""Whether a kernel refuses what a rule is about, None where that is not known; see :class:`Crypto`."""

_CHANGES: dict[Rule, str] = {
    "extensions": "kernels that read keyUsage and basicConstraints (mainline since 6.4)",
    "constraints": "releases with the stricter basicConstraints (6.18, 6.17.3, 6.12.53, 6.6.112 and later)",
}

_NOT_SIGNATURES = frozenset({"1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.3.14.3.2.29"})
"""Identifiers that x509_note_sig_algo() does not take: of keys, and OIW's sha1WithRSASignature."""


def _applies(fault: Fault, rules: KeyRules) -> bool | None:
    """Whether the kernel of ``rules`` has the rule that ``fault`` breaks; None where that is not known."""
    if fault.rule == "decoder":
        return rules.walk in X509_WALKS
    if rules.walk != "cms":
        return False
    if fault.rule == "bit-strings":
        return rules.crypto.sizes is not None
    return fault.rule == "parser" or _EXTENSIONS[rules.crypto.extensions][fault.rule]


def _parser(found: Facts, rules: KeyRules) -> Iterator[Loading]:
    """What x509_cert_parse() refuses, in its order: an unknown algorithm as soon as it is read."""
    faults = [each for each in found.faults if _applies(each, rules)]
    stages: dict[Stage, Iterable[Loading]] = {
        "start": (),
        "algorithm": _signed_with(found, rules),
        "key": _key_algorithm(found, rules),
    }
    for stage, refusals in stages.items():
        yield from refusals
        yield from (_refused(each.errno, each.code, each.text) for each in faults if each.stage == stage)


def _doubts(found: Facts, rules: KeyRules, fips: bool) -> Iterator[str]:
    for each in found.faults:
        if _applies(each, rules) is None:
            yield f"{_CHANGES[each.rule]} refuse it: {each.text}"
    if rules.trust.identifiers == "unknown" and found.skid is None:
        yield "some releases refuse a certificate without subjectKeyIdentifier (3.16 does, 3.18 does not)"
    if _checks_itself(found, rules, fips) and found.self_signature == "unchecked":
        yield "its signature on itself could not be checked here; the kernel checks it"


def _signed_with(found: Facts, rules: KeyRules) -> Iterator[Loading]:
    crypto, row = rules.crypto, found.signed_with
    if row is None or row.algorithm is None:
        text = "its certificate is signed with an algorithm unknown to this kernel"
        yield _refused("ENOPKG", "signature-algorithm", text)
        return
    known = row.algorithm in crypto.algorithms and (row.hash is None or row.hash in crypto.hashes)
    if not known or row.oid in _NOT_SIGNATURES:
        text = f"its certificate is signed with {row.name}, which this kernel does not know"
        yield _refused("ENOPKG", "signature-algorithm", text)


def _key_algorithm(found: Facts, rules: KeyRules) -> Iterator[Loading]:
    crypto = rules.crypto
    if found.algorithm not in crypto.algorithms:
        text = f"its algorithm {found.algorithm or 'is'} is unknown to this kernel"
        yield _refused("ENOPKG", "algorithm", text.replace("is is", "is"))
    elif found.algorithm == "ecdsa" and found.curve and found.curve not in crypto.curves:
        yield _refused("ENOPKG", "curve", f"its curve {found.curve} is unknown to this kernel")


def _identifiers(found: Facts, rules: KeyRules) -> Iterator[Loading]:
    """x509_key_preparse() of 3.7 to 3.12, and of 3.13 to 3.16 for the first of the two."""
    asked = rules.trust.identifiers
    if asked in ("skid", "both") and found.skid is None:
        yield _refused("EKEYREJECTED", "skid", "it has no subjectKeyIdentifier, which this kernel demands")
    if asked == "both" and found.authority_skid is None:
        text = "it has no authorityKeyIdentifier with a key identifier, which this kernel demands"
        yield _refused("EKEYREJECTED", "authority", text)


def _outside_validity(key: Key, rules: KeyRules) -> Loading | None:
    """Kernels before 3.13 do not load a certificate outside of its validity."""
    if not rules.trust.dates or key.certificate is None:
        return None
    now = datetime.now(UTC).timestamp()
    if now < key.certificate.not_before:
        return _refused("EKEYREJECTED", "not-yet-valid", "its certificate is not yet valid")
    if now > key.certificate.not_after:
        return _refused("EKEYEXPIRED", "expired", "its certificate has expired")
    return None


# --------------------------------------------------------------------------- the signature on itself


BROKEN: dict[SelfSignature, tuple[str, str]] = {
    "mismatch": ("EKEYREJECTED", "it is self-signed, and that signature does not match"),
    "no-block": ("EINVAL", "it is self-signed, and that signature is not an RSA value of its key"),
    "padding": ("EBADMSG", "it is self-signed, and that signature is not a padded digest"),
    "unusable": ("EINVAL", "it is self-signed with a key that kernels cannot use"),
}
"""What the kernel returns for a signature of a certificate that does not match, and why."""


def _checks_itself(found: Facts, rules: KeyRules, fips: bool) -> bool:
    """Whether it is taken for self-signed; a digest that cannot be computed yet leaves it unchecked."""
    crypto, row = rules.crypto, found.signed_with
    if row is None or not found.checks_itself or row.hash in crypto.late:
        return False
    return crypto.lacks(row.hash, fips=fips) is None


def _own_signature(found: Facts, rules: KeyRules, fips: bool) -> Iterator[Loading]:
    """x509_check_for_self_signed()."""
    crypto, row = rules.crypto, found.signed_with
    if row is None:
        return
    lacking = crypto.lacks(row.hash, fips=fips)
    if lacking is not None and row.hash not in crypto.absent and crypto.fips_errno != "ENOENT":
        # x509_get_sig_params() forgives ENOENT only, and digests whatever is signed with something it knows.
        yield _refused(crypto.fips_errno, "absent", f"its certificate cannot be digested: {lacking}")
    if not _checks_itself(found, rules, fips):
        return
    if found.authority == "contradictory":
        text = "the two parts of its authorityKeyIdentifier contradict each other"
        yield _refused("EKEYREJECTED", "authority", text)
    if row.algorithm != found.algorithm:
        text = f"its issuer has the same name, but another kind of key ({row.algorithm})"
        yield _refused("EKEYREJECTED", "issuer-algorithm", text)
    yield from _cannot_check(found, row, crypto, fips)
    if row.algorithm in crypto.late:
        text = f"{row.algorithm} is a module, which is not loaded when this kernel reads its certificates"
        yield _refused("ENOENT", "late", text)
    yield from _broken(found, crypto, fips)


def _broken(found: Facts, crypto: Crypto, fips: bool) -> Iterator[Loading]:
    """The key that cannot be used, then the value that does not match."""
    if found.rsa is not None and found.rsa.fault is not None:
        errno, text = found.rsa.fault
        yield _refused(errno, "key-numbers", text)
    if (why := _size(found.bits, found.exponent, found.algorithm, crypto, fips)) is not None:
        yield _refused("EINVAL", "size", why)
    if found.self_signature in BROKEN:
        errno, text = BROKEN[found.self_signature]
        # The RSA code of 4.3 to 4.6 (crypto/asymmetric_keys/rsa.c) had one errno for both forms.
        early = crypto.sizes is None and found.self_signature == "no-block"
        yield _refused("EBADMSG" if early else errno, "self-signature", text)


def _cannot_check(found: Facts, row: SignatureAlgorithm, crypto: Crypto, fips: bool) -> Iterator[Loading]:
    ruled_out = crypto.never_with_rsa(fips=fips) - crypto.unhashed
    lacking = crypto.lacks(row.algorithm, found.curve, fips=fips)
    if lacking is None and row.algorithm == "rsa" and row.hash in ruled_out:
        lacking = f"FIPS mode rules out RSA with {row.hash}"
    if lacking is not None:
        errno = "ENOENT" if row.algorithm in crypto.absent else crypto.fips_errno
        yield _refused(errno, "absent", f"{lacking}, and cannot check the certificate's own signature")


def _blacklisted(found: Facts, rules: KeyRules, blacklist: Blacklist) -> Iterator[Loading]:
    """is_hash_blacklisted(): the hash of the signed part, in the digest of the certificate's own signature;
    always in SHA-256 since 7.0."""
    if not blacklist or rules.trust.blacklist is None:
        return
    own = found.signed_with.hash if found.signed_with else None
    name = "sha256" if rules.trust.blacklist == "sha256" else own
    if name is not None and RevokedHash("tbs", name, hashlib.new(name, found.tbs).digest()) in blacklist:
        text = f"its certificate is on the kernel's blacklist (by its {name})"
        yield _refused("EKEYREJECTED", "blacklisted", text)


# --------------------------------------------------------------------------- using it


def _size(bits: int, exponent: int, algorithm: str | None, crypto: Crypto, fips: bool) -> str | None:
    """rsa_check_key_length(): it counts whole bytes. Exponents matter in FIPS mode only."""
    if algorithm != "rsa" or crypto.sizes is None:
        return None
    counted = (bits + 7) // 8 * 8
    if counted not in crypto.sizes:
        sizes = ", ".join(map(str, sorted(crypto.sizes)))
        return f"it is an RSA key of {bits} bits, and this kernel uses {sizes} only"
    if not fips or not crypto.fips_built:
        return None
    if counted < crypto.fips_bits:
        return f"it is an RSA key of {bits} bits, and FIPS mode demands {crypto.fips_bits} or more"
    low, high = FIPS_EXPONENTS
    if crypto.fips_exponent and exponent and not (low < exponent < high and exponent % 2):
        return f"its RSA exponent {exponent} is not allowed in FIPS mode"
    return None


def _unusable(found: Facts, rules: KeyRules, fips: bool) -> Iterator[Loading]:
    """What a key that was loaded fails with when it is to verify."""
    if (lacking := rules.crypto.lacks(found.algorithm, found.curve, fips=fips)) is not None:
        yield _useless("absent", lacking)
    if found.rsa is not None and found.rsa.fault is not None:
        yield _useless("key-numbers", found.rsa.fault[1])
    if (why := _size(found.bits, found.exponent, found.algorithm, rules.crypto, fips)) is not None:
        yield _useless("size", why)


def _bare(key: Key, rules: KeyRules, fips: bool) -> Iterator[Loading]:
    """A key that was given without its certificate: only its algorithm and size can be judged."""
    crypto = rules.crypto
    if key.algorithm not in crypto.algorithms:
        yield _refused("ENOPKG", "algorithm", f"its algorithm {key.algorithm} is unknown to this kernel")
    if key.algorithm == "ecdsa" and crypto.curves and key.curve not in crypto.curves:
        yield _refused("ENOPKG", "curve", f"its curve {key.curve} is unknown to this kernel")
    if (why := size_fault(key, rules, fips=fips)) is not None:
        yield _useless("size", why)


def size_fault(key: Key, rules: KeyRules, *, fips: bool = False) -> str | None:
    """Why a kernel's RSA code does not take a key of this size, None where it does."""
    return _size(key.bits, 0, key.algorithm, rules.crypto, fips) if key.bits else None


# --------------------------------------------------------------------------- the machine keyring


def machine_refuses(certificate: bytes, rules: KeyRules) -> str | None:
    """Why the machine keyring does not take a machine owner key, None where it does.

    restrict_link_by_ca() (crypto/asymmetric_keys/restrict.c): such a key goes to the platform keyring.
    """
    rule, found = rules.trust.ca, facts(certificate)
    if rule == "none":
        return None
    if not found.is_ca or not found.usage & KEY_CERT_SIGN:
        return "its certificate is not a CA certificate (basicConstraints CA, keyUsage keyCertSign)"
    if rule == "ca-only" and found.usage & DIGITAL_SIGNATURE:
        return "its certificate may sign data too (keyUsage digitalSignature), where only a pure CA is taken"
    return None
