"""One plain sentence for each outcome: what it means and what to do, without knowledge of kernels."""

from __future__ import annotations

from collections.abc import Mapping

from elfsig.crypto.hashes import HASHES
from elfsig.crypto.judge import issuer_among
from elfsig.kernels.profile import Reply
from elfsig.kernels.walk import Accept, Case, Crash, Stop
from elfsig.model import Key

WORDS: Mapping[str, str] = {
    "ok": "The module is signed by a key that this kernel trusts; nothing needs to be done.",
    "unsigned": "The module has no signature that this kernel looks for. {consequence} {sign}",
    "displaced": "The module was signed, but something changed the end of the file afterwards, so this kernel"
    " does not find the signature. {consequence} {again}",
    "unknown-key": "The module is signed by {signer}, {untrusted} {consequence} {enrol}",
    "mismatch": "The module or its signature was changed after signing: the signer's key is right, but the"
    " signature does not match. {consequence} {again}",
    "embedded-chain": "The certificates inside the signature do not fit together, and the kernel refuses it"
    " for that, whichever keys it has. {consequence} Sign it without certificates of others. {sign}",
    "key-unusable": "The module is signed by {signer}, whose key this kernel has and cannot use:"
    " {unusable}. {consequence} If you trust where it comes from, sign it with another key"
    " (elfsig sign --format {format}).",
    "unsupported-pair": "The signature is made with RSA and {hash}, which kernels cannot verify together."
    " {consequence} Choose one of these hashes: {hashes}. {sign}",
    "revoked": "The key of the module, or this very file, was revoked, so the module must not be loaded any"
    " more. {consequence} Get a newer module that is signed with a valid key.",
    "unsupported-hash": "The signature may be right, but it was made with {hash}, which this kernel cannot"
    " compute. {consequence} Choose one of these hashes: {hashes}. {sign}",
    "unsupported-algorithm": "The signature may be right, but it is made with an algorithm that this kernel"
    " does not support for modules. {consequence} {sign}",
    "id-type": "The signature has the form of another era of kernels, which this kernel does not read."
    " {consequence} {sign}",
    "no-packet": "The section for the signature is there, but there is no signature in it."
    " {consequence} {sign}",
    "signed-attributes": "The signature was made with signed attributes (by openssl cms, for example), which"
    " kernels do not accept on modules. {consequence} Make it without them: openssl cms -noattr. {sign}",
    "attributes-digest": "The signature was made by ML-DSA with signed attributes and {hash}; kernels take"
    " SHA-512 only there. {consequence} Make it without attributes, or with SHA-512. {sign}",
    "embedded-content": "The signature has a copy of the module inside, which kernels do not accept."
    " {consequence} {sign}",
    "nonzero-params": "The signature's trailer is malformed: fields that must be zero are not."
    " {consequence} {again}",
    "trailer-length": "The signature's trailer is damaged: the length in it does not fit the file."
    " {consequence} {again}",
    "trailer-truncated": "The signature's trailer is cut off: the file is damaged. {consequence} {again}",
    "signature-damaged": "The signature itself is damaged and cannot be read. {consequence} {again}",
    "signature-form": "The signature is of a form that this kernel does not accept. {consequence} {sign}",
    "note-damaged": "The note that should contain the signature is malformed. {consequence} {again}",
    "elf": "The module file is damaged, or was edited by a tool that broke its structure, so the signature"
    " was not checked. {consequence} Get the module again from where it came from, or build it again.",
    "not-elf": "This is not a module.",
    "not-module": "This is not a module that this kernel could load, signed or not: it refuses the file"
    " before it looks for a signature.",
    "no-modules": "This kernel was built without loadable modules. Build it with CONFIG_MODULES, or build the"
    " driver into it.",
    "kernel-crash": "This kernel has an error of its own that this file meets: the machine stops. Do not load"
    " it.",
    "empty": "The file is empty.",
    "signed-after-compression": "The file was compressed first and signed afterwards, so no kernel finds the"
    " signature. Decompress it, remove what follows, sign, and compress again.",
    "compressed-unreadable": "The file is compressed in a way that tools can read and this kernel cannot."
    " Decompress it and compress it again as the kernel's own modules are (for xz: xz --check=crc32)."
    " {consequence}",
    "compressed-damaged": "The compressed file has extra bytes after its end and cannot be decompressed."
    " Get it again from where it came from.",
}
"""By fault. ``consequence``, ``sign``, ``again``, ``untrusted`` and ``enrol`` are the sentences below."""

AGAIN = (
    "Get the module again from where it came from: reinstall its package, or build it again. Do not sign it"
    " before you know why it changed."
)
UNTRUSTED = "which this kernel does not trust."
NO_KEYS = (
    "and no keys were given, so this assumes that the kernel does not have that key: name what the kernel has"
    " (its image, a certificate, a key ring)."
)

LOADED = "This kernel loads it all the same, and notes the taint {taint} for the module."
LOADED_QUIETLY = "This kernel loads it all the same."
REFUSED = "In this mode the kernel refuses it."
PANICKED = "In FIPS mode this kernel stops the whole machine instead of loading it."
NO_CHECK = "This kernel loads every module, signed or not."


def advise(case: Case, end: Stop | Accept | Crash, reply: Reply, panic: bool) -> str:
    """The sentence for the outcome of a walk."""
    if isinstance(end, Accept):
        return NO_CHECK if case.key is None else WORDS["ok"]
    text = WORDS[end.fault].format(
        consequence=PANICKED if panic else _consequence(reply),
        sign=_sign(case),
        again=AGAIN,
        untrusted=UNTRUSTED if case.keys.given else NO_KEYS,
        enrol=_enrol(case),
        signer=_signer(case),
        hash=case.claims.get("hash", "a hash"),
        hashes=_hashes(case),
        unusable=_unusable(case),
        format=case.profile.look.format,
    )
    return " ".join(text.split())


def _unusable(case: Case) -> str:
    culprit: Key | None = case.found.get("culprit")
    why = case.keys.unusable.get(culprit) if culprit is not None else None
    return why.text if why is not None else ""


def _hashes(case: Case) -> str:
    """What this kernel computes; weak hashes only where it has no other."""
    crypto = case.profile.crypto
    fips = case.mode.fips
    able = {name for name in crypto.hashes if crypto.lacks(name, fips=fips) is None}
    able -= crypto.never_with_rsa(fips=fips)
    strong = {name for name in able if name in HASHES and HASHES[name].weak is None}
    return ", ".join(sorted(strong or able))


def _consequence(reply: Reply) -> str:
    if reply.errno:
        return REFUSED
    return LOADED.format(taint=reply.taint) if reply.taint else LOADED_QUIETLY


def _sign(case: Case) -> str:
    command = f"elfsig sign --format {case.profile.look.format}"
    return f"If you trust where it comes from, sign it with a key that this kernel trusts ({command})."


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
    if (displaced := _displaced(case)) is not None:
        return displaced
    for key in case.keys.elsewhere(roles, case.found.get("ids", ())):
        return f"{_misplaced(case, key, roles)} If you trust where it comes from, {sign}."
    missing = _missing(case)
    if "machine" in roles or "platform" in roles:
        how = "enrol its certificate as a machine owner key (mokutil --import FILE, then reboot)"
    elif "secondary" in roles:
        how = "build the kernel with its certificate, or add that to the secondary keyring"
    else:
        how = "build the kernel with its public key"
    return f"{missing}If you trust where it comes from, {how}, or {sign}."


def _missing(case: Case) -> str:
    """What is given of the certificate that the signature names: perhaps only its issuer."""
    key = issuer_among(case.keys.known, case.found.get("ids", ()))
    if key is None or key.certificate is None:
        return ""
    return (
        f'The certificate that it names was not given: {key.source} holds "{key.label}" (serial'
        f" {key.certificate.serial:02x}) itself, not the one that it issued with this number. "
    )


def _displaced(case: Case) -> str | None:
    """The key was given, and another took its place in the keyring."""
    wanted = set(case.found.get("ids", ()))
    for key, by in case.keys.displaced.items():
        if key.ids & wanted and by.certificate is not None:
            return (
                f"The key is there ({key.source}), but a certificate of the same name and key identifier"
                f" (serial {by.certificate.serial:x}) took its place: sign the module again, with that"
                " certificate."
            )
    return None


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
