"""Steps of Red Hat's checker: Fedora Core 2 to 6, RHEL 4 to 6, Oracle's 2.6.39.

In the order of load_module() (kernel/module.c), module_verify() and module_verify_signature()
(kernel/module-verify*.c), ksign_verify_signature() (crypto/signature/ksign.c) and DSA_verify()
(crypto/signature/dsa.c). Later RHEL 6 reads the packets twice: first for the hash alone, before anything is
hashed.
"""

from __future__ import annotations

from math import gcd

from elfsig.crypto.checks import digest_of
from elfsig.crypto.hashes import HASH_BY_OPENPGP
from elfsig.errors import ParseError
from elfsig.kernels.keys import nameless
from elfsig.kernels.section_era.ksign import KsignSignature, Parsed, parse
from elfsig.kernels.section_era.module_header import Native, Refused, compare, crash
from elfsig.kernels.section_era.walk_sections import elf_checks, find, is_elf
from elfsig.kernels.walk import Case, Crash, Said, Step, Stop, Went, compute
from elfsig.kernels.walk_trailer import compressed, done
from elfsig.model import Key

UNKNOWN = ("ksign: module signed with unknown public key", "- signature keyid: {key_id} ver={version}")
NONE = "Couldn't find valid DSA signature in module"
NO_TRANSFORM = "Couldn't load module - SHA256 transform unavailable (-2)"
NEWER = "ksign: public key is {after} seconds newer than the signature [{key:x} < {signature:x}]"
RANGE = "DSA_verify assertion failed [0 < {name} < q]"


def header(case: Case) -> Said:
    """What load_module() compares before it verifies anything."""
    head = case.profile.head
    if head is None:
        return is_elf(case)
    found = compare(case.image, head)
    if isinstance(found, Refused):
        return Stop(found.errno, found.fault, f"{found.text}: it is refused before any other check")
    _see(case, found)
    return Went("an ELF file of this kernel's machine that can be loaded (e_type REL)")


def _see(case: Case, native: Native) -> None:
    if native.image is not case.image:
        case.native = native.image
    case.found["content"] = native.content
    case.later = crash(native.image)


# --------------------------------------------------------------------------- packets


def _parse(case: Case) -> Parsed:
    """The packets as ksign reads them. It may read on after the signature, into the rest of the file."""
    assert case.place is not None
    if "parsed" not in case.found:
        dialect = case.profile.packets.dialect
        case.found["parsed"] = parse(case.image.data, case.place.blob_start, len(case.place.blob), dialect)
    parsed: Parsed = case.found["parsed"]
    return parsed


def packet(case: Case) -> Said:
    """The first signature packet of an accepted kind; all others are passed over."""
    rules, parsed = case.profile.packets, _parse(case)
    log = tuple(parsed.log)
    if parsed.crash is not None:
        return Crash(f"this kernel crashes on it: {parsed.crash}", log)
    if parsed.damage is not None:
        text = f"the OpenPGP packets cannot be read: {parsed.damage}"
        return Stop(rules.damaged, "signature-damaged", text, log)
    passed = f" (passed over: {'; '.join(dict.fromkeys(parsed.passed))})" if parsed.passed else ""
    found = parsed.signature
    if found is None:
        fault = "unsupported-algorithm" if parsed.passed else "no-packet"
        return Stop(rules.none_usable, fault, f"no usable signature packet{passed}", (*log, NONE))
    case.log += log
    case.claims.update(key_id=found.key_id.hex(), hash=_hash_name(found))
    return Went(f"a signature of version {found.version}, DSA with {_hash_name(found)}{passed}")


def _signature(case: Case) -> KsignSignature:
    found = _parse(case).signature
    assert found is not None
    return found


def _hash_name(each: KsignSignature) -> str:
    row = HASH_BY_OPENPGP.get(each.hash)
    return row.name if row else f"hash {each.hash}"


def transform(case: Case) -> Said:
    """The hash that the packet names, by the kernel's crypto code; this comes before key and value."""
    name, crypto = _hash_name(_signature(case)), case.profile.crypto
    if name in crypto.absent:
        text = (
            f"{name} is in a module of its own (sha512_generic), and this kernel cannot compute it unless"
            " that was loaded before"
        )
        return Stop("ENOENT", "unsupported-hash", text, (NO_TRANSFORM,))
    if name not in crypto.hashes:
        text = f"{name} is among the hashes that this kernel knows by number and cannot compute"
        return Stop("ENOENT", "unsupported-hash", text, (NO_TRANSFORM,))
    return Went(f"{name} is built in")


def packets_again(case: Case) -> Said:
    """ksign_verify_signature() parses a second time, with the same result and the same lines in the log."""
    case.log += _parse(case).log
    return Went("the packets are read a second time, with the same result")


def digest(case: Case) -> Said:
    """The stream of sections as this kernel computes it."""
    message = compute(case)
    if isinstance(message, ParseError):
        inner = "ELIBBAD" if case.profile.elf else "EPERM"
        return Stop(inner, "elf", f"the covered sections cannot be read: {message.text}")
    case.message = message
    case.notes += [r.text for r in message.remarks if r.code == "heap-dependent-kernels"]
    return Went(f"{message.size} bytes under the rule {message.coverage}")


# --------------------------------------------------------------------------- key and value


def key(case: Case) -> Said:
    """The compiled-in ring, by the 8-byte key id."""
    each = _signature(case)
    held = case.keys.held(case.profile.trust.rings[0])
    found = next((k for k in held if ("openpgp", each.key_id) in k.ids), None)
    if found is None:
        candidates = nameless(held, [("openpgp", each.key_id)])
        found = next((k for k in candidates if _dsa(case, each, k) is None), None)
    if found is None:
        case.found["ids"] = [("openpgp", each.key_id)]
        log = tuple(line.format(key_id=each.key_id.hex(), version=each.version) for line in UNKNOWN)
        return Stop("ENOKEY", "unknown-key", f"this kernel has no key {each.key_id.hex()}", log)
    case.key = found
    if found.created is not None and found.created > each.created:
        after = found.created - each.created
        case.log.append(NEWER.format(after=after, key=found.created, signature=each.created))
    return Went(f"this kernel has the key {each.key_id.hex()} ({found.label})")


def value(case: Case) -> Said:
    """DSA over the digest, which is taken as a number without being cut to the size of q."""
    each, found = _signature(case), case.key
    assert found is not None
    wrong = _dsa(case, each, found)
    if wrong is None:
        return Went(f"the signature matches the key {found.label}")
    text, log = wrong
    return Stop("EKEYREJECTED", "mismatch", text.format(key=found.label), log)


def _dsa(case: Case, each: KsignSignature, found: Key) -> tuple[str, tuple[str, ...]] | None:
    """FIPS 186-2, section 6, with the whole hash as the number; None if it holds, else why not."""
    assert case.message is not None
    numbers = found.public.public_numbers()
    p, q, g = (getattr(numbers.parameter_numbers, name) for name in "pqg")
    r, s = each.numbers
    if r is None or s is None:
        return "a number of its value is missing or too long", ()
    for name, number in (("r", r), ("s", s)):
        if number.value >= q or not (number.value or number.cut):
            text = f"its number {name} is not between 0 and the q of the key {{key}}"
            return text, (RANGE.format(name=name),)
    hashed = int.from_bytes(digest_of(case.message, _hash_name(each), each.completion))
    if r.cut or s.cut:
        return "a number of its value is cut off", ()
    if gcd(s.value, q) != 1:
        return "its number s has no inverse modulo the q of the key {key}", ()
    inverse = pow(s.value, -1, q)
    v = pow(g, hashed * inverse % q, p) * pow(numbers.y, r.value * inverse % q, p) % p % q
    return None if v == r.value else ("the signature by {key} is over another content", ())


_FRONT = (Step("unpacking", compressed), Step("ELF header", header))
_CHECKED = (*_FRONT, Step("ELF checks", elf_checks), Step("signature section", find))
_END = (Step("key", key), Step("signature value", value), Step("verdict", done))

FC2 = (
    *_FRONT,
    Step("signature section", find),
    Step("digest", digest),
    Step("signature packet", packet),
    *_END,
)
KSIGN = (*_CHECKED, Step("digest", digest), Step("signature packet", packet), *_END)
KSIGN_ANY_HASH = (
    *_CHECKED,
    Step("signature packet", packet),
    Step("hash", transform),
    Step("digest", digest),
    Step("signature packet, second time", packets_again),
    *_END,
)
