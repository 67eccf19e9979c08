"""One plain sentence for each outcome: what it means and what to do, without knowledge of kernels."""

from __future__ import annotations

from collections.abc import Mapping

from elfsig.crypto.hashes import HASHES
from elfsig.kernels.profile import Reply
from elfsig.kernels.walk import Accept, Case, Stop
from elfsig.model import Key

WORDS: Mapping[str, str] = {
    "ok": "The module is signed by a key that this kernel trusts; nothing needs to be done.",
    "unsigned": "The module has no signature that this kernel looks for. {consequence} {sign}",
    "displaced": "There are remains of a signature, but not where this kernel looks: something changed the"
    " end of the file after it was signed. {consequence} {sign}",
    "unknown-key": "The module is signed by {signer}, {untrusted} {consequence} {enrol}",
    "mismatch": "The module or its signature was changed after signing: the key is the right one, the"
    " contents are not. {consequence} Get the module again from where it came from, or sign it anew. {sign}",
    "key-unusable": "The module is signed by {signer}, whose key this kernel holds and cannot use:"
    " {unusable}. {consequence} Sign the module with another key. {sign}",
    "unsupported-pair": "The signature is made with RSA and {hash}, which kernels cannot verify together."
    " {consequence} Sign the module with a hash that it reads: {hashes}. {sign}",
    "revoked": "The key, or this very file, is on a list of revoked ones: it must not be loaded any more."
    " {consequence} Get a newer module that is signed with a key that is still good.",
    "unsupported-hash": "The signature may be right, but it was made with {hash}, which this kernel cannot"
    " compute. {consequence} Sign the module with a hash that it reads: {hashes}. {sign}",
    "unsupported-algorithm": "The signature may be right, but it is written with an algorithm that this"
    " kernel does not read in a module. {consequence} {sign}",
    "id-type": "The signature is of another era's form, which this kernel does not read."
    " {consequence} {sign}",
    "no-packet": "The place for the signature is there, but there is no signature in it."
    " {consequence} {sign}",
    "signed-attributes": "The signature was made with signed attributes (by openssl cms, for example), which"
    " kernels do not accept on modules. {consequence} Make it without them: openssl cms -noattr. {sign}",
    "embedded-content": "The signature has a copy of the module inside, where kernels want it beside the"
    " module. {consequence} {sign}",
    "nonzero-params": "The signature's trailer is malformed: fields that must be zero are not."
    " {consequence} {sign}",
    "trailer-length": "The signature's trailer is damaged: the length in it does not fit the file."
    " {consequence} {sign}",
    "trailer-truncated": "The signature's trailer is cut off: the file is damaged. {consequence} {sign}",
    "signature-damaged": "The signature itself is damaged and cannot be read. {consequence} {sign}",
    "signature-form": "The signature is of a form that this kernel does not accept. {consequence} {sign}",
    "note-damaged": "The note that should hold the signature is malformed. {consequence} {sign}",
    "elf": "The module file itself is damaged, or was edited by a tool that broke its structure: the"
    " signature was not even looked at. {consequence} Get the module again, or link it again.",
    "not-elf": "This is no module at all.",
    "empty": "The file is empty.",
    "signed-after-compression": "The file was compressed first and signed afterwards, so nobody finds the"
    " signature. Decompress it, cut off what lies behind, sign, and compress again.",
    "compressed-unreadable": "The file is compressed in a way that tools unpack and this kernel does not."
    " Decompress it and compress it again with xz --check=crc32. {consequence}",
    "compressed-damaged": "The compressed file has something behind its end and cannot be unpacked. Get it"
    " again.",
}
"""By fault. ``consequence``, ``sign``, ``untrusted`` and ``enrol`` are the sentences below."""

UNTRUSTED = "which this kernel does not trust."
NO_KEYS = (
    "and no keys were given, so this is the answer of a kernel that does not have that one: name what it"
    " holds (its image, a certificate, a key ring)."
)

LOADED = "This kernel loads it all the same, and notes the taint {taint} for the module."
LOADED_QUIETLY = "This kernel loads it all the same."
REFUSED = "In this mode the kernel refuses it."
PANICKED = "In FIPS mode this kernel stops the whole machine instead of loading it."
NO_CHECK = "This kernel loads every module, signed or not."


def advise(case: Case, end: Stop | Accept, reply: Reply, panic: bool) -> str:
    """The sentence for the outcome of a walk."""
    if isinstance(end, Accept):
        return NO_CHECK if case.key is None else WORDS["ok"]
    text = WORDS[end.fault].format(
        consequence=PANICKED if panic else _consequence(reply),
        sign=_sign(case),
        untrusted=UNTRUSTED if case.keys.given else NO_KEYS,
        enrol=_enrol(case),
        signer=_signer(case),
        hash=case.claims.get("hash", "a hash"),
        hashes=_hashes(case),
        unusable=_unusable(case),
    )
    return " ".join(text.split())


def _unusable(case: Case) -> str:
    culprit: Key | None = case.found.get("culprit")
    why = case.keys.unusable.get(culprit) if culprit is not None else None
    return why.text if why is not None else ""


def _hashes(case: Case) -> str:
    """What this kernel computes; weak hashes only where it has no other."""
    able = case.profile.crypto.hashes - case.profile.crypto.absent
    strong = {name for name in able if name in HASHES and HASHES[name].weak is None}
    return ", ".join(sorted(strong or able))


def _consequence(reply: Reply) -> str:
    if reply.errno:
        return REFUSED
    return LOADED.format(taint=reply.taint) if reply.taint else LOADED_QUIETLY


def _sign(case: Case) -> str:
    command = f"elfsig sign --format {case.profile.look.format}"
    return f"To have it accepted, sign it with a key that this kernel trusts ({command})."


def _signer(case: Case) -> str:
    claims = case.claims
    if "signer" in claims:
        return claims["signer"]
    return f"the key {claims['key_id']}" if claims.get("key_id") else "an unknown key"


def _enrol(case: Case) -> str:
    """Where the key would have to be, and whether one that was given is merely in the wrong place."""
    roles = frozenset().union(*case.profile.trust.rings)
    sign = (
        f"sign the module with a key that this kernel has (elfsig sign --format {case.profile.look.format})"
    )
    for key in case.keys.elsewhere(roles, case.found.get("ids", ())):
        return f"{_misplaced(case, key, roles)} To have the module accepted, {sign}."
    if "machine" in roles or "platform" in roles:
        how = "enrol its certificate as a machine owner key (mokutil --import FILE, then reboot)"
    elif "secondary" in roles:
        how = "build the kernel with its certificate, or add that to the secondary keyring"
    else:
        how = "build the kernel with its public key"
    return f"To have it accepted, {how}, or {sign}."


def _misplaced(case: Case, key: Key, roles: frozenset[str]) -> str:
    why = case.keys.refused.get(key)
    if why is not None:
        return f"The key is there ({key.source}), but this kernel does not load it: {why.text} ({why.errno})."
    if case.keys.untrusted_mok(key) and "machine" in roles:
        return (
            f"The key is there ({key.source}), but machine owner keys do not count for modules here:"
            " MokListTrustedRT is not set (mokutil --trust-mok, then reboot)."
        )
    if (rule := case.keys.not_on_machine(key)) is not None:
        return (
            f"The key is there ({key.source}), but this kernel does not use it for modules: {rule}. Enrol"
            " a CA key instead, and sign with a key that it issued and whose certificate is in the signature."
        )
    return (
        f"The key is there ({key.source}), but in the keyring {key.keyring}, which this kernel does not use"
        f" for modules (it uses: {', '.join(sorted(roles))})."
    )
