"""Steps of David Howells' development tree of 2011-12: OpenPGP with RSA or DSA and the kernel's key rings.

In the order of module_verify() and verify_sig_begin/end() (kernel/module-verify.c,
security/keys/crypto/pgp_sig_verify.c of that tree). The signature was in an ELF note first, then after
the file, then in the module's arguments.
"""

from __future__ import annotations

from elfsig.carriers.magic_trailer import MAGIC
from elfsig.crypto.checks import Match, digest_of, try_digest
from elfsig.crypto.hashes import HASH_BY_OPENPGP
from elfsig.crypto.pkcs1 import from_number, open_padding
from elfsig.envelopes.openpgp.envelope import OpenPgp
from elfsig.envelopes.openpgp.make import hash_for
from elfsig.envelopes.openpgp.packets import SIGNATURE, SignaturePacket, read_packets, read_signature
from elfsig.errors import ParseError
from elfsig.kernels.keys import nameless
from elfsig.kernels.section_era.walk_sections import elf_checks, find, is_elf
from elfsig.kernels.walk import Case, Said, Step, Stop, Went, compute
from elfsig.kernels.walk_trailer import compressed, done
from elfsig.model import Key

CLASSES = (0x00, 0x02)
ALGORITHMS = {1: "rsa", 3: "rsa", 17: "dsa"}


def one_note(case: Case) -> Said:
    """This series refuses a second signature note, where others take the last one."""
    carrier = next(c for c in case.registry.carriers if c.id == case.profile.look.carrier)
    if len(carrier.find(case.image)) > 1:
        return Stop("ELIBBAD", "note-damaged", "there are two notes with a signature, and one is allowed")
    return find(case)


def magic(case: Case) -> Said:
    """The last 30 bytes of the file, and the length before them."""
    carrier = next(c for c in case.registry.carriers if c.id == case.profile.look.carrier)
    image = case.image
    if image.end <= len(MAGIC) + 5 or image.data[image.end - len(MAGIC) : image.end] != MAGIC:
        text = "the file does not end in the 30-byte magic text: for this kernel it has no signature"
        return Stop(case.profile.unsigned, "unsigned", text)
    place = next(iter(carrier.find(image)), None)
    ascii_length = place is not None and getattr(place.params, "style", None) == "ascii"
    if place is None or place.fault is not None or not ascii_length:
        return Stop("ELIBBAD", "trailer-length", "there is no decimal length before the magic text")
    case.place = place
    return Went(f"the magic text, and {len(place.blob)} bytes of signature before it")


def argument(case: Case) -> Said:
    """The module argument modsign=, which is not in the file."""
    if case.argument is None:
        return Stop(case.profile.unsigned, "unsigned", "no module argument modsign= was given with it")
    case.place = case.argument
    return Went(f"the module argument modsign= with {len(case.argument.blob)} bytes of signature")


def packet(case: Case) -> Said:
    """The first signature packet, and whether this kernel knows its algorithms."""
    try:
        packets = [p for p in read_packets(case.blob) if p.tag == SIGNATURE]
        each = read_signature(packets[0].body) if packets else None
    except ParseError as damage:
        return _damaged(f"the OpenPGP packets cannot be read: {damage.text}")
    if each is None:
        return Stop("ENOMSG", "no-packet", "there is no signature packet in it")
    if each.version not in (3, 4):
        return _damaged(f"a signature of version {each.version}")
    if each.behind and each.numbers:
        return _damaged(f"{each.behind} bytes follow the signature's value")
    if each.sig_class not in CLASSES:
        return Stop("EOPNOTSUPP", "signature-form", f"signature class {each.sig_class:#04x}")
    case.found["packet"] = each
    case.claims.update(key_id=(each.key_id or b"").hex())
    return _known(case, each)


def _damaged(text: str) -> Stop:
    return Stop("EBADMSG", "signature-damaged", text)


def _known(case: Case, each: SignaturePacket) -> Said:
    row = HASH_BY_OPENPGP.get(each.hash)
    algorithm = ALGORITHMS.get(each.algorithm)
    case.claims["hash"] = row.name if row else f"hash {each.hash}"
    if algorithm is None or algorithm in case.profile.crypto.absent:
        return Stop(
            "ENOPKG", "unsupported-algorithm", f"public-key algorithm {each.algorithm} is not in this kernel"
        )
    if row is None or row.name not in case.profile.crypto.hashes or row.name in case.profile.crypto.absent:
        name = row.name if row else f"number {each.hash}"
        return Stop("ENOPKG", "unsupported-hash", f"hash {name} is not in this kernel")
    case.found.update(hash=row.name, algorithm=algorithm)
    return Went(f"a signature of version {each.version}, {algorithm.upper()} with {row.name}")


def key(case: Case) -> Said:
    """The key ring .module_sign, by "id:" and all 8 bytes of the key id."""
    each: SignaturePacket = case.found["packet"]
    key_id = each.key_id or b""
    held = case.keys.held(case.profile.trust.rings[0])
    found = [k for k in held if ("openpgp", key_id) in k.ids] or nameless(held, [("openpgp", key_id)])[:1]
    if not found:
        case.found["ids"] = [("openpgp", key_id)]
        return Stop("ENOKEY", "unknown-key", f"the key ring .module_sign has no key id:{key_id.hex()}")
    case.key = found[0]
    return Went(f"the key ring .module_sign has the key id:{key_id.hex()} ({found[0].label})")


def digest(case: Case) -> Said:
    """The stream that this kernel computes."""
    message = compute(case)
    if isinstance(message, ParseError):
        return Stop("ELIBBAD", "elf", f"the covered sections cannot be read: {message.text}")
    case.message = message
    return Went(f"{message.size} bytes under the rule {message.coverage}")


def value(case: Case) -> Said:
    """RSA: the padding strictly (EBADMSG), then the digest; DSA as usual (EKEYREJECTED)."""
    each, algorithm = case.key, str(case.found["algorithm"])
    assert each is not None and case.message is not None
    if each.algorithm != algorithm:
        return _rejected(f"{each.label} is a key of another algorithm ({each.algorithm})")
    signature = OpenPgp().parse(case.blob, None)[0]
    name = str(case.found["hash"])
    hashed = digest_of(case.message, name, case.found["packet"].completion)
    if _holds(each, name, hashed, signature.value):
        return Went(f"the signature matches the key {each.label}")
    if algorithm == "rsa" and open_padding(each, from_number(each, signature.value)) is None:
        return _damaged("opened with the key, the RSA value is not a padded digest")
    return _rejected(f"the signature by {each.label} is over another content")


def _holds(each: Key, name: str, hashed: bytes, signature_value: bytes) -> bool:
    whole = from_number(each, signature_value) if each.algorithm == "rsa" else signature_value
    return try_digest(each, each.algorithm, hash_for(each.algorithm, name), hashed, whole) is Match.YES


def _rejected(text: str) -> Stop:
    return Stop("EKEYREJECTED", "mismatch", text)


_OPENPGP = (
    Step("signature packet", packet),
    Step("key", key),
    Step("digest", digest),
    Step("signature value", value),
    Step("verdict", done),
)
NOTE = (
    Step("unpacking", compressed),
    Step("ELF file", is_elf),
    Step("ELF checks", elf_checks),
    Step("signature note", one_note),
    *_OPENPGP,
)
TRAILER = (Step("unpacking", compressed), Step("magic text", magic), *_OPENPGP)
ARGUMENT = (Step("unpacking", compressed), Step("module argument", argument), *_OPENPGP)
