"""Steps of the kernels that look for a signature in an ELF section: 2003 to 2012.

In the order of module_verify() and module_verify_signature() (kernel/module-verify*.c of the RHEL, Fedora
and Oracle trees), ksign_verify_signature() (crypto/signature/ksign.c), and module_check_sig()
(kernel/module-sig.c of Greg Kroah-Hartman's tree of October 2003).
"""

from __future__ import annotations

from collections.abc import Iterator

from elfsig.crypto.checks import digest_of
from elfsig.crypto.hashes import HASH_BY_OPENPGP
from elfsig.envelopes.openpgp.packets import SIGNATURE, SignaturePacket, read_packets, read_signature
from elfsig.errors import ParseError
from elfsig.kernels.elf_checks import fault
from elfsig.kernels.keys import nameless
from elfsig.kernels.walk import Accept, Case, Said, Step, Stop, Went, compute
from elfsig.kernels.walk_trailer import compressed, done
from elfsig.model import Key, Place

DSA = 17
KSIGN_UNKNOWN = ("ksign: module signed with unknown public key", "- signature keyid: {key_id} ver={version}")


def is_elf(case: Case) -> Said:
    """Only an ELF file gets to the signature check of these kernels."""
    if case.image.is_elf:
        return Went("it is an ELF file")
    return Stop("ENOEXEC", "not-elf", "it is not an ELF file, and is refused before the signature check")


def elf_checks(case: Case) -> Said:
    """The structure, in all modes: a signature on a malformed file could not be computed safely."""
    assert case.profile.elf is not None
    found = fault(case.image.bytes(), case.profile.elf)
    if found is None:
        return Went("the ELF structure passes this kernel's checks")
    return Stop("ELIBBAD", "elf", f"the ELF structure fails this kernel's checks: {found}")


def find(case: Case) -> Said:
    """The one section that this kernel looks for, by name and type."""
    carrier = next(c for c in case.registry.carriers if c.id == case.profile.look.carrier)
    places = carrier.find(case.image)
    name = carrier.short_name
    if not places:
        text = f"it has no section {name}: for this kernel it has no signature"
        return Stop(case.profile.unsigned, "unsigned", text + _others(case, carrier.id))
    case.place = places[0]
    more = f"; {len(places) - 1} more of that name are ignored" if len(places) > 1 else ""
    if places[0].fault is None:
        return Went(f"section [{places[0].index}] {name}, {len(places[0].blob)} bytes{more}")
    return _faulty(case, places[0])


def _faulty(case: Case, place: Place) -> Said:
    assert place.fault is not None
    if place.kind == "note":
        return Stop("ELIBBAD", "note-damaged", f"the note is not as it must be: {place.fault.text}")
    if not case.profile.packets.checks_section:
        return Went(f"the section cannot be read ({place.fault.text})")
    return Stop(case.profile.packets.damaged, "signature-damaged", place.fault.text)


def _others(case: Case, carrier: str) -> str:
    """What else of signatures there is, which this kernel does not look at."""
    found = [f for f in case.module.places if f.place.carrier != carrier]
    texts = dict.fromkeys(
        f.place.section or f"{f.claimants[0].id if f.claimants else ''} trailer".strip() for f in found
    )
    return f" (it has {', '.join(texts)}, which this kernel does not check)" if texts else ""


# --------------------------------------------------------------------------- the tree of 2003


def never_compared(case: Case) -> Said:
    """The check of this tree ends when the key is loaded: nothing is ever compared."""
    return Accept("this tree computes a digest, loads its key, and compares nothing: every module passes")


# --------------------------------------------------------------------------- packets


def packet(case: Case) -> Said:
    """The first signature packet of an accepted kind; all others are ignored."""
    rules = case.profile.packets
    passed: list[str] = []
    try:
        for each in _signature_packets(case.blob):
            why = _unusable(case, each)
            if why is None:
                case.found["packet"] = each
                case.claims.update(key_id=_issuer(case, each).hex(), hash=_hash_name(each))
                return Went(
                    f"a signature of version {each.version}, DSA with {_hash_name(each)}{_passed(passed)}"
                )
            passed.append(why)
    except ParseError as damage:
        return Stop(rules.damaged, "signature-damaged", f"the OpenPGP packets cannot be read: {damage.text}")
    text = f"no usable signature packet{_passed(passed)}"
    return Stop(rules.none_usable, "unsupported-algorithm" if passed else "no-packet", text)


def _passed(reasons: list[str]) -> str:
    return f" (ignored: {'; '.join(reasons)})" if reasons else ""


def _signature_packets(blob: bytes) -> Iterator[SignaturePacket]:
    for each in read_packets(blob):
        if each.tag == SIGNATURE:
            yield read_signature(each.body)


def _hash_name(each: SignaturePacket) -> str:
    row = HASH_BY_OPENPGP.get(each.hash)
    return row.name if row else f"hash {each.hash}"


def _unusable(case: Case, each: SignaturePacket) -> str | None:
    """Why the checker passes over a signature packet."""
    if each.version not in (2, 3, 4):
        return f"version {each.version}"
    if each.sig_class:
        return f"class {each.sig_class:#04x}"
    if each.algorithm != DSA:
        return (
            "RSA, and this kernel reads DSA only"
            if each.algorithm in (1, 3)
            else f"algorithm {each.algorithm}"
        )
    if _hash_name(each) not in case.profile.crypto.hashes:
        return f"{_hash_name(each)}, which this kernel does not read"
    return None


def _issuer(case: Case, each: SignaturePacket) -> bytes:
    """The key id: in the packet up to version 3, else of the first or of the last issuer subpacket."""
    if each.version < 4 or not each.issuers:
        return each.key_id or bytes(8)
    return each.issuers[0 if case.profile.packets.issuer == "first" else -1].data


def digest(case: Case) -> Said:
    """The stream of sections as this kernel computes it."""
    message = compute(case)
    if isinstance(message, ParseError):
        inner = "ELIBBAD" if case.profile.elf else "EPERM"
        return Stop(inner, "elf", f"the covered sections cannot be read: {message.text}")
    case.message = message
    case.notes += [r.text for r in message.remarks if r.code == "heap-dependent-kernels"]
    return Went(f"{message.size} bytes under the rule {message.coverage}")


def key(case: Case) -> Said:
    """The compiled-in ring, by the 8-byte key id."""
    each: SignaturePacket = case.found["packet"]
    key_id = _issuer(case, each)
    held = case.keys.held(case.profile.trust.rings[0])
    found = next((k for k in held if ("openpgp", key_id) in k.ids), None)
    if found is None:
        found = next((k for k in nameless(held, [("openpgp", key_id)]) if _dsa_holds(case, each, k)), None)
    if found is None:
        case.found["ids"] = [("openpgp", key_id)]
        log = tuple(line.format(key_id=key_id.hex(), version=each.version) for line in KSIGN_UNKNOWN)
        return Stop("ENOKEY", "unknown-key", f"this kernel has no key {key_id.hex()}", log)
    case.key = found
    return Went(f"this kernel has the key {key_id.hex()} ({found.label})")


def value(case: Case) -> Said:
    """DSA over the digest, which is taken as a number without being cut to the size of q."""
    each, found = case.found["packet"], case.key
    assert found is not None
    if _dsa_holds(case, each, found):
        return Went(f"the signature matches the key {found.label}")
    return Stop("EKEYREJECTED", "mismatch", f"the signature by {found.label} is over another content")


def _dsa_holds(case: Case, each: SignaturePacket, found: Key) -> bool:
    """FIPS 186-2, section 6, with the whole hash as the number (crypto/signature/dsa.c)."""
    assert case.message is not None
    numbers = found.public.public_numbers()
    p, q, g = (getattr(numbers.parameter_numbers, name) for name in "pqg")
    r, s = each.numbers
    if not (0 < r < q and 0 < s < q):
        return False
    hashed = int.from_bytes(digest_of(case.message, _hash_name(each), each.completion))
    inverse = pow(s, -1, q)
    v = pow(g, hashed * inverse % q, p) * pow(numbers.y, r * inverse % q, p) % p % q
    return bool(v == r)


GKH_2003 = (
    Step("unpacking", compressed),
    Step("ELF file", is_elf),
    Step("signature section", find),
    Step("signature", never_compared),
)
_KSIGN = (
    Step("digest", digest),
    Step("signature packet", packet),
    Step("key", key),
    Step("signature value", value),
    Step("verdict", done),
)
FC2 = (
    Step("unpacking", compressed),
    Step("ELF file", is_elf),
    Step("signature section", find),
    *_KSIGN,
)
KSIGN = (
    Step("unpacking", compressed),
    Step("ELF file", is_elf),
    Step("ELF checks", elf_checks),
    Step("signature section", find),
    *_KSIGN,
)
