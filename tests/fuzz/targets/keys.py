"""Key sources of every form, by content and by name, and private keys."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import elfsig
from elfsig.crypto import certificate as x509_
from elfsig.crypto import der as elements
from elfsig.crypto.pkcs1 import pkcs1_block
from elfsig.errors import ElfsigError, KeySourceError, ParseError
from elfsig.lazy_dataclass import replace
from elfsig.model import RsaBody
from elfsig.trust import blacklist, builtin, der_forms, efi, efi_variables, ima, openpgp, pem, text_dump
from elfsig.trust.entries import Material, Origin
from elfsig.trust.forms import read_source
from elfsig.trust.keyring import pin_digest
from elfsig.trust.merkle import from_words
from elfsig.trust.paths import read_path
from elfsig.trust.recover import PLAIN, Equation, made_by, recover
from elfsig.trust.ring import Ring
from elfsig.verbs.keys import sources
from tests.fuzz import certificates, judges, seeds
from tests.fuzz.mutate.der import der
from tests.fuzz.mutate.openpgp import openpgp as packets
from tests.fuzz.mutate.plain import plain
from tests.fuzz.mutate.text import text
from tests.fuzz.target import ONE_DECODER, Broken, Limits, Target
from tests.fuzz.targets.texts import folder
from tests.support import cms as craft
from tests.support import keysources

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
    found = x509_.parse(data)
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


def directory(data: bytes) -> None:
    """Files in a directory: what one of them has when it is read alone is also there, or the directory is an
    error; and what is revoked alone is not trusted."""
    place = folder() / "keys"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    alone = dict(_alone(place, data))
    try:
        whole = Ring(read_path(place, ORIGIN))
    except KeySourceError:
        return
    lost = {os.path.basename(each.file) for each in whole.losses}
    there = {key.fingerprint: key for key in whole.keys}
    for name, found in alone.items():
        for key in () if name in lost else found.keys:
            if key.fingerprint not in there:
                raise Broken("lost", f"{name}: {key!r}")
            if key.revoked and there[key.fingerprint].trusted:
                raise Broken("revoked", f"{name}: {key!r}")


def _alone(place: Path, data: bytes) -> Iterator[tuple[str, Material]]:
    """The files that the input has, written, and the entries of each; the first line is its name."""
    for each in data.split(CUT)[:5]:
        name, _, rest = each.partition(b"\n")
        shown = name.decode("utf-8", "replace").replace("/", "_").replace("\0", "_")[:40] or "x"
        if shown in (".", ".."):
            continue
        path = place / shown
        path.write_bytes(rest)
        with suppress(ElfsigError):
            yield shown, read_path(path, replace(ORIGIN, found=True))


CUT = b"\n=====\n"


def settings(data: bytes) -> None:
    """Trust settings after a certificate: what openssl calls rejected for signing code is not trusted, and
    what it cannot read is not read."""
    block = keysources.pem("TRUSTED CERTIFICATE", seeds.certificate() + data)
    try:
        found = read_source(block, replace(ORIGIN, vouched=True))
    except ElfsigError:
        return
    _material(found, ORIGIN)
    judges.trust_settings(block, any(key.trusted for key in found.keys))


PRIMES = ((1 << 448) - (1 << 224) - 1, (1 << 384) - (1 << 128) - (1 << 96) + (1 << 32) - 1)
"""Those of the fields of Ed448 and P-384."""
MODULUS = PRIMES[0] * PRIMES[1]
SIZE = (MODULUS.bit_length() + 7) // 8


def recovered(data: bytes) -> None:
    """Two values, each as long as the modulus: what is recovered opens both."""
    bodies = (RsaBody("sha1", b"a" * 35), RsaBody("sha1", b"b" * 35))
    parts = (data[:SIZE], data[SIZE : 2 * SIZE])
    equations = [Equation(value, (body,)) for value, body in zip(parts, bodies, strict=True)]
    found = recover(equations, (3,), lambda line: None, PLAIN)
    if found is not None and not all(made_by(each, found) for each in equations):
        raise Broken("recovered", repr(found))


def _values() -> list[bytes]:
    """Two signatures by a key with the exponent 3, and damaged ones."""
    private = pow(3, -1, (PRIMES[0] - 1) * (PRIMES[1] - 1))
    blocks = [pkcs1_block(letter * 35, SIZE) or b"" for letter in (b"a", b"b")]
    made = [pow(int.from_bytes(block), private, MODULUS).to_bytes(SIZE) for block in blocks]
    return [b"".join(made), made[0] * 2, made[0] + bytes(SIZE), bytes(2 * SIZE)]


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
    makers = (seeds.pem, certificates.marked, seeds.der, seeds.rings, seeds.efi, seeds.dumps)
    return [data for each in makers for data in each()]


def _source(word: str, about: str, run: object, made: object, mutate: object, *terms: bytes) -> Target:
    name, reader = f"keys/{word}", partial(form, run)
    return Target(name, about, reader, made, mutate, terms, PROMISED, limits=WIDER)  # type: ignore[arg-type]


def _directories() -> Iterator[bytes]:
    one, other = (b"one.pem\n" + seeds.pem()[0], b"dbx.esl\n" + next(iter(seeds.efi())))
    yield CUT.join((one, other, b"README\nnothing here"))
    yield CUT.join((b"dbx\n" + seeds.certificate("other"), one))
    yield CUT.join(b"%d.p11-kit\n%s" % pair for pair in enumerate(certificates.marked()))
    yield CUT.join((b"ring.gpg\n" + seeds.rings()[0], b"MokListXRT\n" + seeds.certificate(), one))


TARGETS = (
    Target(
        "keys/directory",
        "files in a directory, alone and together",
        directory,
        _directories,
        text,
        (CUT, *PEM_WORDS),
        PROMISED,
        limits=WIDER._replace(seconds=0.5),
    ),
    Target(
        "keys/settings",
        "openssl's trust settings",
        settings,
        certificates.settings,
        der,
        tuple(map(craft.oid, (certificates.CODE_SIGNING, certificates.SERVER, "2.5.29.37.0"))),
        PROMISED,
        512,
    ),
    Target("keys/recover", "keys from two signatures", recovered, _values, plain, (), PROMISED, 512),
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
