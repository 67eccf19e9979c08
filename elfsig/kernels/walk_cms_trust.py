"""Steps of Linux 4.3 and later: does the kernel have the signer's key, and in a keyring that counts?

In the order of verify_pkcs7_message_sig() (certs/system_keyring.c) and pkcs7_validate_trust()
(crypto/asymmetric_keys/pkcs7_trust.c).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from elfsig.crypto.checks import Match, Unsupported
from elfsig.envelopes.cms.chain import Embedded
from elfsig.kernels.cms_signer import Signer, value_matches
from elfsig.kernels.errnos import number
from elfsig.kernels.keys import named, nameless
from elfsig.kernels.loading import Loading
from elfsig.kernels.walk import Case, Said, Stop, Went
from elfsig.model import Key

MAX_CHAIN = 16


def loading(case: Case) -> Said:
    """The keys were judged when the kernel started: does it have those that the signature names?"""
    ids = [each for s in case.found["signers"] for each in s.signature.key_ids]
    judged = case.keys.judged(ids)
    if judged:
        return Went("; ".join(loading_words(key, why) for key, why in judged.items()))
    if not case.keys.given:
        return Went("no keys were given")
    wanted = set(ids)
    loaded = [key.label for key in case.keys.known if key.ids & wanted]
    if loaded:
        return Went(f"this kernel can load the signer's key, {loaded[0]}")
    return Went("none of the keys given is named as the signer's")


def loading_words(key: Key, why: Loading) -> str:
    """Such as "this kernel does not load the key CN=x: -74, its notBefore is not a date ..."."""
    code = number(why.errno) if why.errno else 0
    if why.loaded:
        return f"this kernel loads the key {key.label} and cannot use it: {why.text}"
    return f"this kernel does not load the key {key.label}: -{code}, {why.text}"


def revoked(case: Case) -> Said:
    """is_key_on_revocation_list(): since 6.6 it is asked before any keyring.

    Before that, pkcs7_verify() refuses a message with a certificate in the embedded chain that is on the
    blacklist.
    """
    if (name := _blacklisted(case)) is not None:
        text = f"the certificate of {name} that is embedded in it is on this kernel's blacklist"
        return Stop("EKEYREJECTED", "revoked", text)
    when = case.profile.trust.revoked_keys
    if when == "never":
        return Went("this kernel keeps no list of revoked keys for modules")
    if when == "platform":
        return Went("this kernel asks for revoked keys only before it asks the platform keyring")
    return _refuse_revoked(case) or Went("not made with a revoked key")


def _blacklisted(case: Case) -> str | None:
    pool: list[Embedded] = case.found["pool"]
    links = (link for signer in case.found["signers"] for link in _links(signer, pool))
    listed = (x for x in links if x.key.certificate and case.keys.blacklists(x.key.certificate.der))
    return next((each.name for each in listed), None)


def _refuse_revoked(case: Case) -> Stop | None:
    """The refusal of a module by a revoked key, or with a revoked certificate along its embedded chain."""
    if _ask(case, case.keys.revoked) is None:
        source = (case.key.revoked_by or case.key.source) if case.key else "a list"
        return Stop("EKEYREJECTED", "revoked", f"made with a key that {source} revokes")
    pool: list[Embedded] = case.found["pool"]
    for link in (link for signer in case.found["signers"] for link in _links(signer, pool)):
        certificate = link.key.certificate
        who = case.keys.revokes(certificate.der) if certificate else None
        if who is not None:
            text = f"made with the key of {link.name}, whose embedded certificate {who} revokes"
            return Stop("EKEYREJECTED", "revoked", text)
    return None


def _links(signer: Signer, pool: Sequence[Embedded]) -> Iterator[Embedded]:
    """The embedded certificates from a signer on, each the issuer of the one before."""
    link = signer.certificate
    for _ in range(MAX_CHAIN):
        if link is None:
            return
        yield link
        below = link
        link = next((c for c in pool if set(c.ids) & set(below.authority) and c is not below), None)


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
    return "counted as compiled in" if key.keyring == "user" else f"keyring {key.keyring}"


def _ask(case: Case, held: Sequence[Key]) -> Stop | None:
    """pkcs7_validate_trust(): None where one signer is trusted and none spoils it."""
    answer: Stop | None = Stop("ENOKEY", "unknown-key", "it was not made with a key of this kernel")
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
            text = f"the certificate of {signer.certificate.name} is embedded, which proves nothing"
            return Stop("ENOKEY", "unknown-key", text)
    ids = signer.signature.key_ids
    found = named(held, ids)
    if not found:
        found = [key for key in nameless(held, ids) if value_matches(case, signer, key)]
        if found:
            case.notes.append(
                f"{found[0].source} is a bare key: its certificate is assumed to have the name that the"
                " signature gives"
            )
    if not found:
        return Stop("ENOKEY", "unknown-key", f"this kernel does not have the key of {signer.name}")
    return _settle(case, found[0], value_matches(case, signer, found[0]), signer.name)


def _settle(case: Case, key: Key, good: bool, who: str) -> Stop | None:
    if good:
        case.key = key
        return None
    case.found["culprit"] = key
    if (why := case.keys.unusable.get(key)) is not None:
        return Stop("EKEYREJECTED", "key-unusable", loading_words(key, why))
    text = f"this kernel has the signer's key, {key.label}, but the signature does not match"
    crypto = case.profile.crypto
    hashes = {s.signature.hash for s in case.found["signers"]} & crypto.never_with_rsa(fips=case.mode.fips)
    if key.algorithm == "rsa" and hashes:
        named_ = ", ".join(map(str, hashes))
        text = f"no kernel verifies RSA with {named_}: it has no DigestInfo for that digest"
        if not hashes <= crypto.unhashed:
            text = f"FIPS mode rules out RSA with {named_}"
        return Stop("EKEYREJECTED", "unsupported-pair", text)
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
                value_matches(case, signer, found[0])
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
