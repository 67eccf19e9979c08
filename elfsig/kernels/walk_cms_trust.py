"""Steps of Linux 4.3 and later: does the kernel have the signer's key, and in a keyring that counts?

In the order of verify_pkcs7_message_sig() (certs/system_keyring.c) and pkcs7_validate_trust()
(crypto/asymmetric_keys/pkcs7_trust.c).
"""

from __future__ import annotations

from collections.abc import Sequence

from elfsig.crypto.checks import Match, Unsupported
from elfsig.envelopes.cms.chain import Embedded
from elfsig.kernels.cms_chain import Rejected, authority, find
from elfsig.kernels.cms_signer import Signer, unusual_digest, value_matches
from elfsig.kernels.errnos import number
from elfsig.kernels.keys import named, nameless
from elfsig.kernels.loading import Loading
from elfsig.kernels.walk import Case, Said, Stop, Went
from elfsig.model import Key


def loading(case: Case) -> Said:
    """The keys were judged when the kernel started: does it have those that the signature names?"""
    ids = [each for s in case.found["signers"] for each in s.signature.key_ids]
    words = [loading_words(key, why) for key, why in case.keys.judged(ids).items()]
    lost = [_displaced_words(*each) for each in case.keys.displaced.items() if each[0].ids & set(ids)]
    case.notes.extend(lost)
    words += lost
    if words:
        return Went("; ".join(words))
    if not case.keys.given:
        return Went("no keys were given")
    wanted = set(ids)
    loaded = [key.label for key in case.keys.known if key.ids & wanted]
    if loaded:
        return Went(f"this kernel can load the signer's key, {loaded[0]}")
    return Went("none of the keys given is named as the signer's")


def _displaced_words(key: Key, by: Key) -> str:
    text = f"the key {by.label} (serial {_serial(by)}) takes the place of {key.label} (serial {_serial(key)})"
    return f"{text}: a keyring has one key of a name and key identifier, the last that was loaded"


def _serial(key: Key) -> str:
    return f"{key.certificate.serial:x}" if key.certificate else "?"


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
    links = (link for signer in case.found["signers"] for link in signer.chain)
    listed = (x for x in links if x.key.certificate and case.keys.blacklists(x.key.certificate.der))
    return next((each.name for each in listed), None)


def _refuse_revoked(case: Case) -> Stop | None:
    """is_key_on_revocation_list(): the search for trusted keys, in the list of revoked certificates."""
    if _ask(case, case.keys.revoked) is not None:
        return None
    source = case.key.source if case.key else "a list"
    return Stop("EKEYREJECTED", "revoked", f"made with a key that {source} revokes")


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
            if (doubt := case.keys.doubt(case.key)) is not None:
                case.notes.append(doubt)
            how = case.found.get("how") or "it matches"
            return Went(f"{how} the key {case.key.label} from {case.key.source} ({_ring_words(case.key)})")
        if said.inner != "ENOKEY":
            return said
    assert said is not None
    signers: list[Signer] = case.found["signers"]
    case.found["ids"] = [each for s in signers for each in s.signature.key_ids]
    return said._replace(text=f"{said.text} (asked: {'; then '.join(asked)})")


NOT_FOUND = (
    "it looks for the certificate that the signature names, and keeps EFI's hashes together with their time"
)


def _note_revocation(case: Case, key: Key) -> None:
    """Says so where a list revokes the key and this kernel takes no notice of that."""
    source = case.keys.revokes_key(key)
    if source is not None and case.profile.trust.revoked_keys == "always":
        case.notes.append(f"{source} revokes this key, but not so that this kernel finds it: {NOT_FOUND}")
    elif source is not None:
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
    if signer.chain:
        said = _along_chain(case, signer, held)
        if not isinstance(said, str):
            return said
        if said == "root":
            text = f"the certificate of {signer.chain[0].name} is embedded, which proves nothing"
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
    if any(map(unusual_digest, case.found["signers"])):
        text = "with ML-DSA and signed attributes this kernel takes SHA-512 only as the digest of the module"
        return Stop("EKEYREJECTED", "attributes-digest", text)
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
    below = None
    for link in signer.chain:
        found = find(held, link.ids[0], next(iter(link.ids[1:]), None))
        if isinstance(found, Key):
            good = value_matches(case, signer, found) if below is None else _issued(below, found)
            return _settle(case, found, good, link.name)
        below = link
    if signer.root:
        return "root"
    last = signer.chain[-1]
    issuer = find(held, *authority(last))
    if isinstance(issuer, Rejected):
        text = f"this kernel has the issuer of {last.name}, {issuer.key.label}, with another key identifier"
        return Stop("EKEYREJECTED", "embedded-chain", text)
    if issuer is None:
        return "open"
    case.found["how"] = f"made by {last.name}, whose embedded certificate was issued by"
    return _settle(case, issuer, _issued(last, issuer), last.name)


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
