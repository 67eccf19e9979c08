"""The certificates that a CMS carries, as pkcs7_verify() connects them, and the search of a keyring.

pkcs7_find_key(), pkcs7_verify_sig_chain() (crypto/asymmetric_keys/pkcs7_verify.c) and find_asymmetric_key()
(asymmetric_type.c) since Linux 4.7: nothing but identifiers connects a certificate with its issuer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from elfsig.crypto.checks import Match, Unsupported
from elfsig.envelopes.cms.chain import MAX_CHAIN, Embedded
from elfsig.kernels.loading import BROKEN, size_fault
from elfsig.kernels.walk import Case, Stop
from elfsig.kernels.x509.self_signature import check_rsa
from elfsig.kernels.x509_parser import Facts, facts
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Key, KeyId, Signature


class Chain(NamedTuple):
    """A signer's certificate and those above it, each the issuer of the one before. ``root``: the last one is
    self-signed."""

    links: tuple[Embedded, ...] = ()
    root: bool = False


class Rejected(NamedTuple):
    """A key with the first identifier and without the second: find_asymmetric_key() returns EKEYREJECTED."""

    key: Key


def signers_certificate(signature: Signature, pool: Iterable[Embedded]) -> Embedded | None:
    """pkcs7_find_key(): by issuer and serial number only, so that none is found by a key identifier."""
    wanted = {each for each in signature.key_ids if each[0] == "issuer-serial"}
    fit = (c for c in pool if c.ids[0] in wanted and c.key.algorithm == signature.algorithm)
    return next(fit, None)


def chain_of(case: Case, first: Embedded, pool: Sequence[Embedded]) -> Chain | Stop:
    """pkcs7_verify_sig_chain(): every link must match, also above a certificate that is trusted."""
    links = [first]
    while len(links) < MAX_CHAIN:
        link = links[-1]
        if _is_root(case, link):
            return Chain(tuple(links), root=True)
        if link.signed.hash in case.profile.crypto.absent:
            break
        above = _issuer(link, pool)
        if isinstance(above, Stop):
            return above
        if above is None or above in links:
            break
        refused = _link_fault(case, link, above)
        if refused is not None:
            return refused
        links.append(above)
    return Chain(tuple(links))


def _facts(link: Embedded) -> Facts:
    assert link.key.certificate is not None
    return facts(link.key.certificate.der)


def _is_root(case: Case, link: Embedded) -> bool:
    """cert->self_signed; its signature on itself was checked when the certificate was read."""
    return _facts(link).checks_itself and link.signed.hash not in case.profile.crypto.absent


def authority(link: Embedded) -> tuple[KeyId | None, KeyId | None]:
    """Issuer with serial, and the key identifier, of an authorityKeyIdentifier."""
    by_kind = {each[0]: each for each in link.authority}
    return by_kind.get("issuer-serial"), by_kind.get("skid")


def _issuer(link: Embedded, pool: Sequence[Embedded]) -> Embedded | Stop | None:
    by_serial, by_skid = authority(link)
    if by_serial is None:
        return next((c for c in pool if by_skid is not None and by_skid in c.ids[1:]), None)
    above = next((c for c in pool if c.ids[0] == by_serial), None)
    if above is not None and by_skid is not None and by_skid not in above.ids[1:]:
        text = (
            f"the embedded certificate of {link.name} gives its issuer, {above.name}, another key identifier"
        )
        log = ("PKCS7: Sig N: X.509 chain contains auth-skid nonmatch (N->N)",)
        return Stop("EKEYREJECTED", "embedded-chain", text, log)
    return above


def _link_fault(case: Case, link: Embedded, above: Embedded) -> Stop | None:
    """Why the key of ``above`` does not verify the certificate of ``link``."""
    text = f"the embedded certificate of {above.name} is named as the issuer of that of {link.name}"
    if (why := size_fault(above.key, case.profile, fips=case.mode.fips)) is not None:
        return Stop("EINVAL", "embedded-chain", f"{text}, and {why}")
    try:
        if link.signed.attempt(above.key) is Match.YES:
            return None
    except Unsupported:
        case.notes.append(
            f"whether {above.name} signed the embedded certificate of {link.name} is not known here"
        )
        return None
    return Stop(_errno(link, above), "embedded-chain", f"{text}, and did not sign it")


def _errno(link: Embedded, above: Embedded) -> str:
    below, rsa = _facts(link), _facts(above).rsa
    if rsa is None or link.signed.algorithm != "rsa":
        return "EKEYREJECTED"
    how = check_rsa(rsa, link.signed.hash or "", below.tbs, link.signed.value)
    return BROKEN[how][0] if how in BROKEN else "EKEYREJECTED"


def find(keys: Iterable[Key], first: KeyId | None, second: KeyId | None) -> Key | Rejected | None:
    """find_asymmetric_key(): by ``first``, else by ``second``; with both, the key must have both."""
    wanted = first or second
    found = next((key for key in keys if wanted in key.ids), None) if wanted is not None else None
    if found is None or first is None or second is None:
        return found
    return found if second in found.ids else Rejected(found)
