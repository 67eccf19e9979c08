"""Key sources of every form, by content and by name, and private keys."""

from __future__ import annotations

from functools import partial

import elfsig
from elfsig.crypto import certificate as certificates
from elfsig.crypto import der as elements
from elfsig.errors import ElfsigError, ParseError
from elfsig.trust import blacklist, builtin, der_forms, efi, efi_variables, ima, openpgp, pem, text_dump
from elfsig.trust.entries import Material, Origin
from elfsig.trust.forms import read_source
from elfsig.trust.keyring import pin_digest
from elfsig.trust.merkle import from_words
from elfsig.trust.ring import Ring
from elfsig.verbs.keys import sources
from tests.fuzz import seeds
from tests.fuzz.mutate.der import der
from tests.fuzz.mutate.openpgp import openpgp as packets
from tests.fuzz.mutate.plain import plain
from tests.fuzz.mutate.text import text
from tests.fuzz.target import ONE_DECODER, Broken, Limits, Target

ORIGIN, REVOKING = Origin("source"), Origin("source", "revoked", vouched=False)


def _material(found: Material, origin: Origin) -> None:
    """Every key can be shown, and looked up by each of its names; what revokes does not vouch."""
    ring = Ring(found)
    for key in (*found.keys, *found.unusable):
        repr(key)
        if origin.revoking and key.trusted:
            raise Broken("vouched", "a key of a list of revocations is trusted")
    for key in found.keys:
        for name in key.ids:
            if key.fingerprint not in {each.fingerprint for each in ring.find(name)}:
                raise Broken("lookup", f"a key is not found by its own id {name}")


def _marked(found: Material) -> None:
    """What ``keys extract`` writes of one key reads back as this key, trusted no more than it was."""
    for name, content in (file for key in found.keys for file in sources._files(key, True)):
        back = read_source(content, Origin(name))
        if len(back.keys) + len(back.unusable) != 1:
            raise Broken("extracted", f"{name} holds {len(back.keys)} keys")


def source(data: bytes) -> None:
    """As any source, once to trust and once to revoke."""
    for origin in (ORIGIN, REVOKING):
        try:
            found = read_source(data, origin)
        except ElfsigError:
            continue
        _material(found, origin)
        if not origin.revoking:
            _marked(found)


def form(read: object, data: bytes) -> None:
    """By one reader, whatever the content looks like."""
    for origin in (ORIGIN, REVOKING):
        try:
            _material(read(data, origin), origin)  # type: ignore[operator]
        except ElfsigError:
            continue


def named(data: bytes) -> None:
    """As a file with a name that means something: the first line is the name."""
    name, _, rest = data.partition(b"\n")
    shown = name.decode("utf-8", "surrogateescape").replace("/", "_").replace("\0", "_")
    found = read_source(rest, Origin("source", name=shown, found=len(name) % 2 == 0))
    _material(found, ORIGIN)


def update(data: bytes) -> None:
    """The wrapper of an EFI variable's update."""
    if efi_variables.is_update(data):
        found = efi_variables.read_update(data)
        efi_variables.signer(found)


def x509(data: bytes) -> None:
    """One certificate, with its names."""
    found = certificates.parse(data)
    repr(found)


def tree(data: bytes) -> None:
    """DER elements, all the way down; an object identifier reads back as it was written."""
    pending = [elements.read(data, 0, len(data))]
    for node in pending:
        if node.end > len(data) or node.body > node.end:
            raise Broken("outside", f"an element ends at {node.end} of {len(data)}")
        if len(pending) < 4000 and data[node.start] & 0x20:
            pending += elements.children(data, node)
        if data[node.start] == 6:
            _oid(data, node)


def _oid(data: bytes, node: elements.Node) -> None:
    try:
        text = elements.oid_text(data, node)
    except ParseError:
        return
    if elements.decode_oid(elements.encode_oid(text)[2:]) != text:
        raise Broken("oid", f"{text} is not read back")


def private(data: bytes) -> None:
    """A private key in a file, with a passphrase at hand."""
    elfsig.open_signer(data, ask=lambda name: seeds.PASSPHRASE)


def words(data: bytes) -> None:
    """Pins and roots, which are texts of the command line."""
    line = data.decode("utf-8", "surrogateescape")
    for read in (pin_digest, from_words):
        try:
            read(line)
        except ElfsigError:
            continue


def scanned(data: bytes) -> None:
    """Certificates and rings anywhere in a file."""
    builtin.lists(data)
    openpgp.scan(data, ORIGIN)


PEM_WORDS = (
    b"-----BEGIN CERTIFICATE-----\n",
    b"-----END CERTIFICATE-----\n",
    b"-----BEGIN PUBLIC KEY-----\n",
    b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n",
    b"-----BEGIN TSS2 PRIVATE KEY-----",
    b"# elfsig: ",
    b"Proc-Type: 4,ENCRYPTED\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
)
DER_WORDS = tuple(
    bytes.fromhex(each)
    for each in (
        "06092a864886f70d010702",
        "06092a864886f70d010701",
        "06092a864886f70d010101",
        "06072a8648ce3d0201",
        "06096086480165030402010500",
        "0603551d0e",
        "0603551d13",
        "0603551d0f",
        "170d",
        "180f",
        "a003020102",
    )
)
DUMP_WORDS = (
    b"Certificate:\n",
    b"Modulus:\n",
    b"Exponent: 65537 (0x10001)\n",
    b"Public-Key: (2048 bit)",
    b"pub:\n",
    b"ASN1 OID: prime256v1",
    b"Subject: ",
    b"[SHA-256]\n",
    b"X509v3 Subject Key Identifier:",
)
PROMISED = (ElfsigError,)
WIDER = Limits(0.15, 40e-6, ONE_DECODER)


def _names() -> list[bytes]:
    names = (b"db.esl", b"dbx-d719b2cb", b"KEK.auth", b"MokListRT", b"signing_key.x509", b"dbDefault")
    return [name + b"\n" + data for data in (*seeds.efi(), seeds.certificate()) for name in names]


def _everything() -> list[bytes]:
    makers = (seeds.pem, seeds.der, seeds.rings, seeds.efi, seeds.dumps)
    return [data for each in makers for data in each()]


def _source(word: str, about: str, run: object, made: object, mutate: object, *terms: bytes) -> Target:
    name, reader = f"keys/{word}", partial(form, run)
    return Target(name, about, reader, made, mutate, terms, PROMISED, limits=WIDER)  # type: ignore[arg-type]


TARGETS = (
    Target(
        "keys/any",
        "any key source, marked, written and read again",
        source,
        _everything,
        plain,
        (*PEM_WORDS, *DER_WORDS),
        PROMISED,
        limits=WIDER,
    ),
    Target(
        "keys/named", "files whose names mean something", named, _names, plain, (), PROMISED, limits=WIDER
    ),
    _source("pem", "PEM", pem.read_pem, seeds.pem, text, *PEM_WORDS),
    _source("der", "DER: certificates, keys, bundles", der_forms.read_der, seeds.der, der, *DER_WORDS),
    _source("openpgp", "OpenPGP key rings", openpgp.read_ring, seeds.rings, packets),
    _source("efi", "EFI signature lists", efi.read, seeds.efi, plain),
    _source("dump", "certificates printed as text", text_dump.read, seeds.dumps, text, *DUMP_WORDS),
    _source("blacklist", "lists of revoked hashes", blacklist.read, seeds.dumps, text, b"tbs:", b"bin:"),
    _source(
        "ima",
        "IMA's binary keys",
        ima.read,
        lambda: [bytes((1, 0, 0, 0, 0, 0, 2, 0, 64)) + bytes(range(8)) + b"\0\x11\1\0\1"],
        plain,
    ),
    Target("keys/update", "signed updates of EFI variables", update, seeds.efi, plain, (), PROMISED),
    Target("keys/certificate", "one certificate", x509, seeds.der, der, DER_WORDS, PROMISED, limits=WIDER),
    Target("keys/elements", "DER elements and object identifiers", tree, seeds.der, der, DER_WORDS, PROMISED),
    Target(
        "keys/private",
        "private keys in PEM, DER, PKCS#12, OpenPGP",
        private,
        seeds.private,
        der,
        PEM_WORDS,
        PROMISED,
        limits=Limits(0.6, 40e-6),
    ),
    Target(
        "keys/words",
        "pins and Merkle roots",
        words,
        lambda: [b"SHA256:" + b"ab" * 32, b"merkle:" + b"cd" * 32 + b"/11"],
        text,
        (),
        PROMISED,
        512,
    ),
    Target(
        "keys/scan",
        "certificates and rings anywhere in a file",
        scanned,
        seeds.kernels,
        plain,
        DER_WORDS,
        PROMISED,
        limits=Limits(0.3, 60e-6),
    ),
)
