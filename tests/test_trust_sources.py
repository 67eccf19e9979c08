"""Key sources tell what they are: names of variables, signed updates, bundles, marks, and what is lost."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12

from elfsig.crypto.certificate import parse
from elfsig.envelopes.openpgp.keys import key_body
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.envelopes.openpgp.packets import PUBLIC_SUBKEY, SIGNATURE, mpi, write_packet
from elfsig.errors import KeySourceError
from elfsig.kernels.policy import predict
from elfsig.kernels.profile import Mode
from elfsig.model import FileReport, Key, Verdict, Why
from elfsig.trust.entries import Origin
from elfsig.trust.forms import read_source
from elfsig.trust.keyring import load
from elfsig.trust.ring import Ring
from elfsig.verbs.verify.examine import Question, examine
from tests.support import cms as craft
from tests.support.cli import elfsig
from tests.support.cms import Identity, cms, identity, issued, private, signer_info
from tests.support.efilists import (
    ATTRIBUTES,
    SHA256,
    UNKNOWN,
    X509,
    X509_SHA256,
    X509_SHA384,
    X509_SHA512,
    esl,
    update,
)
from tests.support.keysources import bzimage, certificate_list, noise, pem, unpacked
from tests.support.opened import opened
from tests.support.openpgp import signer
from tests.support.tools import need
from tests.support.verdicts import MODULE, signed, trailed
from tests.test_kernels import subject

ONE, TWO = identity("rsa"), identity("rsa", 1)
EC = identity("p256")
GUID = "-d719b2cb-3d3a-4596-a3bc-dad00e67656f"


def write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def verify(who: Identity, *trust: str, keys: tuple[str, ...] = ()) -> FileReport:
    return examine(opened(signed(who)), Question(load(trust, keys)))


def loads(who: Identity, kernel: str, *trust: str) -> bool:
    return predict(subject(signed(who), load(trust), kernel), Mode(enforcing=True)).accepted


def pem_of(who: Identity, text: bytes = b"") -> bytes:
    return text + pem("CERTIFICATE", who.certificate)


# --------------------------------------------------------------------------- variables by name


@pytest.mark.parametrize(
    "name",
    [
        "dbx", "dbx" + GUID, "dbx_2024.esl", "dbxDefault-8be4df61-93ca-11d2-aa0d-00e098032b8c", "old-dbx.esl",
        "DBXUpdate.bin", "dbxupdate_x64.bin", "MokListX", "MokListXRT", "MokListXRT1", "mokx.esl",
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "machine:", "builtin:", "revoked:"])
def test_every_list_of_revocations_revokes_whatever_it_is_called(
    tmp_path: Path, name: str, prefix: str
) -> None:
    """By name alone, in directories and with any prefix, and as a signed update."""
    trusted = write(tmp_path / "one.der", ONE.certificate)
    entries = esl(X509, ONE.certificate)
    for data in (entries, ATTRIBUTES + entries, update(entries, TWO.certificate, TWO.private)):
        path = write(tmp_path / "lists" / name, data)
        for source in (path, str(tmp_path / "lists")):
            report = verify(ONE, trusted, prefix + source)
            assert report.verdict is Verdict.UNTRUSTED, (name, source)
            assert not any(key.trusted for key in load([prefix + source]).keys)


@pytest.mark.parametrize(
    "name", ["PK", "KEK" + GUID, "dbt", "dbr", "dbDefault", "PKDefault", "MokNew", "kek.esl", "pk.auth"]
)
@pytest.mark.parametrize("prefix", ["", "builtin:", "platform:"])
def test_other_variables_hold_no_keys_for_modules(tmp_path: Path, name: str, prefix: str) -> None:
    path = write(tmp_path / name, esl(X509, ONE.certificate))
    for source in (path, str(tmp_path)):
        [key] = load([prefix + source]).keys
        assert (key.trusted, key.why) == (False, Why.NOT_FOR_MODULES)
        assert verify(ONE, prefix + source).verdict is Verdict.UNTRUSTED
        assert not loads(ONE, "6.12", prefix + source)


@pytest.mark.parametrize("prefix", ["", "builtin:", "machine:"])
def test_a_list_of_unknown_name_is_only_tried(tmp_path: Path, prefix: str) -> None:
    """A pin vouches for its keys; its hashes are told, since they may be meant to revoke."""
    path = write(tmp_path / "list.esl", esl(X509, ONE.certificate) + esl(SHA256, bytes(32)))
    ring = load([prefix + path])
    assert [(k.trusted, k.why) for k in ring.keys] == [(False, Why.UNNAMED_LIST)]
    assert "does not say whether it revokes" in ring.losses[0].reason
    report = verify(ONE, prefix + path)
    assert report.verdict is Verdict.UNTRUSTED
    assert "key-source-loss" in {each.code for each in report.warnings}
    pin = f"SHA256:{ring.keys[0].fingerprint}"
    assert verify(ONE, prefix + path, pin).verdict is Verdict.VALID


def test_the_name_of_a_folder_counts_too(tmp_path: Path) -> None:
    write(tmp_path / "keys" / "dbx" / "list.esl", esl(X509, ONE.certificate))
    write(tmp_path / "keys" / "KEK" / "kek.der", TWO.certificate)
    write(tmp_path / "keys" / "ours.der", ONE.certificate)
    assert verify(ONE, str(tmp_path / "keys")).verdict is Verdict.UNTRUSTED
    assert verify(TWO, str(tmp_path / "keys")).verdict is Verdict.UNTRUSTED


# --------------------------------------------------------------------------- signed updates, entries


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("attributes", [b"", ATTRIBUTES])
def test_of_a_signed_update_the_payload_counts_and_never_the_signer(
    tmp_path: Path, bare: bool, attributes: bytes
) -> None:
    data = attributes + update(esl(X509, ONE.certificate), TWO.certificate, TWO.private, bare=bare)
    path = write(tmp_path / "db.auth", data)
    [key] = load([path]).keys
    assert key.keyring == "platform" and key.provenance is not None
    assert key.provenance.container == "variable update signed by rsa key 1"
    assert verify(ONE, path).verdict is Verdict.VALID
    assert verify(TWO, path).verdict is Verdict.UNKNOWN_KEY


def test_an_update_as_efitools_signs_it(tmp_path: Path) -> None:
    key = TWO.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(tmp_path / "k.pem", key)
    write(tmp_path / "c.pem", pem_of(TWO))
    write(tmp_path / "dbx.esl", esl(SHA256, hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()))
    tool = need("sign-efi-sig-list")
    command = [tool, "-k", "k.pem", "-c", "c.pem", "dbx", "dbx.esl", "dbx.auth"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    assert len(load([str(tmp_path / "dbx.auth")]).revocations) == 2


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_each_entry_counts_for_itself(tmp_path: Path, cut: int) -> None:
    """An entry that cannot be read costs itself, where the list does not revoke."""
    bad = ONE.certificate[:cut].ljust(len(ONE.certificate), b"\1")
    size = max(map(len, (ONE.certificate, TWO.certificate)))
    assert len(ONE.certificate) == len(TWO.certificate) == size
    data = esl(X509, bad, TWO.certificate) + esl(UNKNOWN, b"?") + esl(X509, EC.certificate)
    ring = load([write(tmp_path / "db", data)])
    assert [key.algorithm for key in ring.keys] == ["rsa", "ecdsa"]
    assert [loss.offset for loss in ring.losses] == [28 + 16, len(esl(X509, bad, bad)) + 28 + 16]
    for source in (write(tmp_path / "x" / "dbx", data), str(tmp_path / "x"), f"revoked:{tmp_path / 'db'}"):
        with pytest.raises(KeySourceError, match="must be read completely") as raised:
            load([source])
        assert raised.value.code == "revocation-lost"


@pytest.mark.parametrize(
    "kind, name", [(X509_SHA256, "sha256"), (X509_SHA384, "sha384"), (X509_SHA512, "sha512")]
)
@pytest.mark.parametrize("of", ["tbs", "certificate"])
@pytest.mark.parametrize("timed", [True, False])
def test_certificates_are_revoked_by_any_hash(
    tmp_path: Path, kind: str, name: str, of: str, timed: bool
) -> None:
    tbs = parse(ONE.certificate).tbs if of == "tbs" else ONE.certificate
    stamp = b"\xe8\x07\5\6\7\x08\x09".ljust(16, b"\0") if timed else b""
    path = write(tmp_path / "dbx", esl(kind, hashlib.new(name, tbs).digest() + stamp))
    ring = load([path])
    assert ring.revocations[0].time == (1714979289 if timed else None)
    trusted = write(tmp_path / "one.der", ONE.certificate)
    for order in ((trusted, path), (path, trusted)):
        assert verify(ONE, *order).verdict is Verdict.UNTRUSTED
        assert loads(ONE, "ubuntu", *order)  # kernels store the time behind the hash, which never matches
    other = write(tmp_path / "two.der", TWO.certificate)
    assert verify(TWO, other, path).verdict is Verdict.VALID


def test_a_file_whose_hash_is_on_the_list_is_not_valid(tmp_path: Path) -> None:
    """Kernels that compare the hash of the file refuse it; verify never calls it valid."""
    content = signed(ONE)
    trusted = write(tmp_path / "one.der", ONE.certificate)
    path = write(tmp_path / "dbx", esl(SHA256, hashlib.sha256(content).digest()))
    [report] = examine(opened(content), Question(load([trusted, path]))).signatures
    assert report.verdict is Verdict.UNTRUSTED and "by its hash" in str(report.reason)
    assert report.cause is not None and report.cause.code == "revoked-file"
    packed = gzip.compress(content)
    assert examine(opened(packed), Question(load([trusted, path]))).verdict is Verdict.UNTRUSTED
    assert not loads(ONE, "debian-6.12", trusted, path)
    assert loads(ONE, "debian-7.2", trusted, path)
    module = write(tmp_path / "m.ko", content)
    other = write(tmp_path / "n.ko", signed(ONE, MODULE + b"\0"))
    ran = elfsig("verify", module, other, "--trust", trusted, "--trust", path)
    assert ran.code == 4 and f"{module}: untrusted" in ran.out and f"{other}: valid" in ran.out


# --------------------------------------------------------------------------- one normal form


def test_a_key_is_revoked_in_whatever_encoding() -> None:
    """A compressed point in the certificate, an uncompressed one in the revocation, and an odd RSA one."""
    point = EC.private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    short = EC.private.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    head = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
    spki = (
        b"\x30"
        + bytes([len(head) + 3 + len(short)])
        + head
        + b"\x03"
        + bytes([1 + len(short)])
        + b"\0"
        + short
    )
    plain = (
        b"\x30"
        + bytes([len(head) + 3 + len(point)])
        + head
        + b"\x03"
        + bytes([1 + len(point)])
        + b"\0"
        + point
    )
    [first] = read_source(spki, Origin("a")).keys
    [second] = read_source(plain, Origin("b")).keys
    assert first.fingerprint == second.fingerprint
    ring = Ring(read_source(spki, Origin("x", "revoked")))
    assert ring.revokes(key=second) == ring.revokes(certificate=EC.certificate) == "x"


def test_an_embedded_certificate_does_not_escape(tmp_path: Path) -> None:
    ca = issued(private("rsa", 7), "ca", ca=True)
    leaf = issued(private("rsa", 8), "leaf", issuer=ca, serial=2)
    content = trailed(cms(signer_info(leaf, MODULE), certificates=[leaf.certificate]))
    trusted = write(tmp_path / "ca.der", ca.certificate)
    digest = hashlib.sha256(parse(leaf.certificate).tbs).digest()
    revoking = [
        write(tmp_path / "dbx", esl(X509_SHA256, digest + bytes(16))),
        f"revoked:{write(tmp_path / 'leaf.pem', pem_of(leaf))}",
        f"revoked:{trusted}",
    ]
    assert examine(opened(content), Question(load([trusted]))).verdict is Verdict.VALID
    leaf_too = write(tmp_path / "leaf.der", leaf.certificate)
    for each in revoking:
        for trust in ([trusted], [trusted, leaf_too]):
            ring = load([*trust, each])
            assert examine(opened(content), Question(ring)).verdict is Verdict.UNTRUSTED, each
            by_hash = (
                each == revoking[0]
            )  # which kernels store with the time behind it, so that it never matches
            assert predict(subject(content, ring, "6.12"), Mode(enforcing=True)).accepted is by_hash


# --------------------------------------------------------------------------- PEM and PKCS#7


LINE_ENDS = {"unix": b"\n", "windows": b"\r\n", "old mac": b"\r"}
MARKED = {
    "revoked": b"# revoked, by dbx\n# revoked: elfsig takes this entry for a revocation.\n",
    "embedded": b"# embedded in vmlinuz: found outside of its lists\n",
    "recovered": b"# recovered, not published\n# same signer as m.ko\n",
}


@pytest.mark.parametrize("ends", LINE_ENDS)
@pytest.mark.parametrize("how", ["plain", "bom", "utf-16-le", "utf-16-be", "blanks", "no sign", "text"])
@pytest.mark.parametrize("mark", ["", *MARKED])
def test_marks_survive(tmp_path: Path, ends: str, how: str, mark: str) -> None:
    data = MARKED.get(mark, b"") + pem_of(ONE)
    if how == "blanks":
        data = b"".join(b"  " + line + b" \t\n" for line in data.splitlines())
    elif how == "no sign":
        data = data.replace(b"# ", b" ")
    elif how == "text":
        data = b"Certificate:\n    Data:\n        Version: 3 (0x2)\n" + data
    data = data.replace(b"\n", LINE_ENDS[ends])
    if how == "bom":
        data = b"\xef\xbb\xbf" + data
    elif how.startswith("utf-16"):
        data = ("\ufeff" + data.decode()).encode(how)
    path = write(tmp_path / "key.pem", data)
    for trust in ([path], [f"builtin:{path}"], [str(tmp_path)]):
        word = verify(ONE, *trust).verdict
        assert word is (Verdict.UNTRUSTED if mark else Verdict.VALID), trust
        assert loads(ONE, "6.12", *trust) is not bool(mark)
    for digest in (load([path]).keys[0].fingerprint, hashlib.sha256(ONE.certificate).hexdigest()):
        pinned = verify(ONE, path, f"SHA256:{digest}").verdict
        assert pinned is (Verdict.UNTRUSTED if mark in ("revoked", "recovered") else Verdict.VALID)


@pytest.mark.parametrize("mark", MARKED)
def test_no_byte_of_a_mark_can_be_lost(tmp_path: Path, mark: str) -> None:
    """elfsig writes every mark twice, so that damage to one line changes nothing."""
    key = {
        "revoked": Ring(read_source(ONE.certificate, Origin("x", "revoked"))).keys[0],
        "embedded": next(k for k in load([write(tmp_path / "k", image(stray=ONE))]).keys if not k.trusted),
        "recovered": load([write(tmp_path / "r.pem", MARKED["recovered"] + pem_of(ONE))]).keys[0],
    }[mark]
    [path] = _extracted(key, tmp_path / "out")
    whole = path.read_bytes()
    for at in range(whole.index(b"-----BEGIN")):
        damaged = write(tmp_path / "d.pem", whole[:at] + whole[at + 1 :])
        try:
            assert verify(ONE, damaged).verdict is Verdict.UNTRUSTED, whole[:at]
        except KeySourceError:
            assert at == whole.index(b"-----BEGIN") - 1, "the block begins in the middle of a line"


def _extracted(key: Key, folder: Path) -> list[Path]:
    from elfsig.trust.entries import Material
    from elfsig.verbs.keys.sources import extract

    return [Path(each.path) for each in extract(Ring(Material((key,))), str(folder), every=True)]


def image(stray: Identity | None = None, builtin: Identity = TWO) -> bytes:
    parts = [stray.certificate] if stray else []
    return bzimage(gzip.compress(unpacked(*parts, certificate_list([builtin.certificate]))))


def test_blocks_are_read_one_by_one(tmp_path: Path) -> None:
    junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    request = pem("CERTIFICATE REQUEST", b"\x30\0")
    open_end = b"-----BEGIN CERTIFICATE-----\nAAAA\n"
    data = junk + request + open_end + pem_of(ONE) + b"-----END CERTIFICATE-----\n"
    ring = load([write(tmp_path / "bundle.pem", data)])
    assert [key.trusted for key in ring.keys] == [True] and len(ring.losses) == 4
    for each in (junk, request, open_end, b"-----END CERTIFICATE-----\n", b"---BEGIN X---\n"):
        for whole in (each + pem_of(ONE), pem_of(ONE) + each):
            with pytest.raises(KeySourceError, match="must be read completely"):
                load([f"revoked:{write(tmp_path / 'r.pem', whole)}"])


def test_a_mark_inside_an_open_block_is_for_the_next_one(tmp_path: Path) -> None:
    data = pem_of(TWO).replace(b"-----END CERTIFICATE-----\n", b"") + MARKED["revoked"] + pem_of(ONE)
    assert verify(ONE, write(tmp_path / "x.pem", data)).verdict is Verdict.UNTRUSTED
    broken = (
        MARKED["revoked"] + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + pem_of(TWO)
    )
    with pytest.raises(KeySourceError, match="a revoked key cannot be read"):
        load([write(tmp_path / "y.pem", broken)])


@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_certificates_in_a_pkcs7(tmp_path: Path, encoding: str) -> None:
    both = [x509.load_der_x509_certificate(each.certificate) for each in (ONE, EC)]
    made = pkcs7.serialize_certificates(both, getattr(serialization.Encoding, encoding))
    ring = load([write(tmp_path / "b.p7b", made)])
    assert {key.algorithm for key in ring.keys} == {"rsa", "ecdsa"} and all(k.trusted for k in ring.keys)
    assert not any(k.trusted for k in load([f"revoked:{tmp_path / 'b.p7b'}"]).keys)


def test_der_bundles(tmp_path: Path) -> None:
    private = ONE.private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    data = ONE.certificate + private + EC.certificate + bytes(5)
    ring = load([write(tmp_path / "b.der", ONE.certificate + b"\x30\2\5\0" + EC.certificate + bytes(5))])
    assert (len(ring.keys), len(ring.losses)) == (2, 1)
    with pytest.raises(KeySourceError, match="must be read completely"):
        load([f"revoked:{tmp_path / 'b.der'}"])
    with pytest.raises(KeySourceError, match="private key"):
        load([write(tmp_path / "p.der", data)])


def test_only_a_private_key_is_called_one(tmp_path: Path) -> None:
    """A version comes first in many forms: PKCS#12, which may have no private key, and a bare SignedData."""
    bundle = pkcs12.serialize_key_and_certificates(
        None, None, None, [ONE.parsed], serialization.NoEncryption()
    )
    with pytest.raises(KeySourceError, match=r"a PKCS#12 file: give the certificate") as caught:
        read_source(bundle, Origin("here"))
    assert caught.value.code == "not-key-source" and "private key" not in caught.value.text
    bare = craft.tlv(
        0x30, craft.integer(1), craft.tlv(0x31), craft.tlv(0x30, craft.oid(craft.DATA)),
        craft.tlv(0xA0, ONE.certificate), craft.tlv(0x31),
    )  # fmt: skip
    (key,) = read_source(bare, Origin("here")).keys
    assert key.certificate is not None and key.certificate.der == ONE.certificate


def test_an_empty_extension_is_one_certificate_s_oddity(tmp_path: Path) -> None:
    skid = bytes.fromhex("301d0603551d0e04160414")
    at = ONE.certificate.index(skid)
    bad = bytearray(ONE.certificate)
    bad[at : at + 31] = b"\x30\0" + b"\x30\x1b\6\3\x55\x1d\x0f\4\x14" + bytes(20)
    write(tmp_path / "bad.der", bytes(bad))
    write(tmp_path / "good.der", EC.certificate)
    assert {k.algorithm for k in load([str(tmp_path)]).keys} == {"rsa", "ecdsa"}


# --------------------------------------------------------------------------- printed certificates


def printed(tmp_path: Path, who: Identity) -> bytes:
    path = write(tmp_path / "in.pem", pem_of(who))
    command = [need("openssl"), "x509", "-noout", "-text", "-in", path]
    text = subprocess.run(command, check=True, capture_output=True).stdout
    return b"[key 1]\nSHA1 Fingerprint: " + hashlib.sha1(who.certificate).hexdigest().encode() + b"\n" + text


@pytest.mark.parametrize("who", [ONE, EC], ids=["rsa", "ecdsa"])
def test_certificates_that_mokutil_printed(tmp_path: Path, who: Identity) -> None:
    text = printed(tmp_path, who) + b"\n" + printed(tmp_path, TWO)
    path = write(tmp_path / "mok" / "list.txt", text)
    assert [key.label for key in load([path]).keys][1:] == ["rsa key 1"]
    assert verify(who, path).verdict is verify(TWO, path).verdict is Verdict.VALID
    assert verify(who, path, f"revoked:{path}").verdict is Verdict.UNTRUSTED
    assert verify(who, str(tmp_path / "mok")).verdict is Verdict.UNTRUSTED, "nobody said what it lists"
    cut = write(tmp_path / "cut.txt", text[: text.index(b"Exponent") if who is ONE else text.index(b"ASN1")])
    with pytest.raises(KeySourceError):
        load([f"revoked:{cut}"])


def test_hashes_that_mokutil_printed(tmp_path: Path) -> None:
    digest = hashlib.sha256(signed(ONE)).hexdigest()
    text = f"[key 1]\n  [SHA-256]\n  {digest}\n".encode()
    path = write(tmp_path / "dbx.txt", text)
    trusted = write(tmp_path / "one.der", ONE.certificate)
    assert verify(ONE, trusted, f"revoked:{path}").verdict is Verdict.UNTRUSTED
    assert verify(ONE, trusted, path).verdict is Verdict.UNTRUSTED
    with pytest.raises(KeySourceError, match="no usable key"):
        load([write(tmp_path / "list.txt", text)])


# --------------------------------------------------------------------------- OpenPGP subkeys


def subkey(primary: str, other: str, by: str | None = None, kind: int = 0x18) -> bytes:
    """A ring with a subkey, bound by ``by`` (None: not at all)."""
    ring = make_ring(signer(primary), "Owner")
    body, inner = key_body(signer(primary).public, 0), key_body(signer(other).public, 0)
    found = ring + write_packet(PUBLIC_SUBKEY, inner)
    if by is None:
        return found
    head = bytes([4, kind, 1 if by[:3] == "rsa" else 17, 2, 0, 0])
    message = b"".join(b"\x99" + len(b).to_bytes(2) + b for b in (body, inner)) + head
    digest = hashlib.sha1(message + b"\4\xff" + len(head).to_bytes(4)).digest()
    value = signer(by).sign_digest(digest, "sha1")
    numbers = [int.from_bytes(value)] if by[:3] == "rsa" else list(decode_dss_signature(value))
    return found + write_packet(SIGNATURE, head + b"\0\0" + digest[:2] + b"".join(map(mpi, numbers)))


@pytest.mark.parametrize("primary", ["rsa1024", "dsa1024"])
def test_subkeys_need_a_binding(primary: str) -> None:
    for by, kind, bound in (
        (primary, 0x18, True),
        (None, 0, False),
        ("rsa2048", 0x18, False),
        (primary, 0x10, False),
    ):
        keys = read_source(subkey(primary, "rsa2048", by, kind), Origin("ring", "builtin")).keys
        assert [(k.trusted, k.subkey) for k in keys] == [(True, False), (bound, True)], (by, kind)
        if not bound:
            assert keys[1].why is Why.UNBOUND and keys[1].keyring == "user"


def test_a_subkey_as_gnupg_binds_it(tmp_path: Path) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    gpg = [need("gpg"), "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback"]
    gpg += ["--passphrase", ""]
    subprocess.run(
        [*gpg, "--quick-gen-key", "a@b", "rsa2048", "cert", "never"], check=True, capture_output=True
    )
    listed = subprocess.run([*gpg, "--with-colons", "-K"], check=True, capture_output=True, text=True).stdout
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    subprocess.run([*gpg, "--quick-add-key", fingerprint, "rsa2048", "sign"], check=True, capture_output=True)
    for armour in ((), ("--armor",)):
        ring = subprocess.run([*gpg, *armour, "--export"], check=True, capture_output=True).stdout
        assert [k.trusted for k in read_source(ring, Origin("ring")).keys] == [True, True]


def test_rings_lose_one_key_at_a_time() -> None:
    good = make_ring(signer("rsa1024"), "A")
    found = read_source(good + write_packet(6, b"\7") + make_ring(signer("dsa1024"), "B"), Origin("ring"))
    assert (len(found.keys), len(found.losses)) == (2, 1)
    with pytest.raises(KeySourceError, match="must be read completely"):
        read_source(good + write_packet(6, b"\7"), Origin("ring", "revoked"))


# --------------------------------------------------------------------------- images


def test_only_the_lists_of_an_image_are_builtin(tmp_path: Path) -> None:
    for prefix in ("", "builtin:", "machine:"):
        path = prefix + write(tmp_path / "vmlinuz", image(stray=ONE))
        assert verify(ONE, path).verdict is Verdict.UNTRUSTED
        assert verify(TWO, path).verdict is Verdict.VALID
        assert not loads(ONE, "6.12", path)
        bare = prefix + write(tmp_path / "bare", bzimage(gzip.compress(unpacked(ONE.certificate))))
        assert verify(ONE, bare).verdict is Verdict.UNTRUSTED and not loads(ONE, "6.12", bare)


@pytest.mark.parametrize("prefix", ["", "builtin:", "platform:"])
def test_an_image_s_own_revocations_stay_revocations(tmp_path: Path, prefix: str) -> None:
    content = unpacked(certificate_list([TWO.certificate]), certificate_list([ONE.certificate], sizes=1))
    path = write(tmp_path / "vmlinuz", bzimage(gzip.compress(content)))
    trusted = write(tmp_path / "one.der", ONE.certificate)
    assert verify(ONE, trusted, prefix + path).verdict is Verdict.UNTRUSTED
    assert verify(ONE, keys=(prefix + path,)).verdict is Verdict.UNTRUSTED
    assert not loads(ONE, "6.12", prefix + path, trusted)
    assert verify(TWO, prefix + path).verdict is Verdict.VALID


def test_a_list_of_revocations_in_an_image_is_read_completely() -> None:
    """Whatever byte of either list is lost: the revoked key is never trusted."""
    whole = unpacked(
        certificate_list([TWO.certificate]), certificate_list([ONE.certificate, EC.certificate], sizes=1)
    )
    size = len(ONE.certificate)
    starts = [whole.index(each.certificate) for each in (TWO, ONE, EC)]
    for start in starts:
        for at in range(start, start + size, 13):
            damaged = bytes(0x38) + b"ARM\x64" + bytes(4) + whole[:at] + whole[at + 1 :]
            try:
                keys = read_source(damaged, Origin("image")).keys
            except KeySourceError:
                continue
            revoked = {parse(each.certificate).certificate.subject for each in (ONE, EC)}
            assert not any(k.trusted and k.certificate and k.certificate.subject in revoked for k in keys)


@pytest.mark.parametrize(
    "version, trusted", [("2.6.18-8.el5", True), ("3.6.11", True), ("3.7.0", False), ("6.1.0", False)]
)
def test_rings_count_in_kernels_of_their_time(version: str, trusted: bool) -> None:
    ring = make_ring(signer("rsa1024"), "Red Hat")
    data = bzimage(gzip.compress(unpacked(f"Linux version {version} (x)".encode(), ring)))
    [key] = read_source(data, Origin("image")).keys
    assert key.trusted is trusted
    packed = noise(100) + gzip.compress(unpacked(ring))
    with pytest.raises(KeySourceError):
        read_source(packed, Origin("initrd"))


# --------------------------------------------------------------------------- what is none


def foreign() -> dict[str, tuple[bytes, str]]:
    detached = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(b"x")
        .add_signer(
            x509.load_der_x509_certificate(ONE.certificate),
            ONE.private,
            hashes.SHA256(),
        )
        .sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature])
    )
    stray = gzip.compress(noise(500) + ONE.certificate + noise(500))
    return {
        "module": (signed(ONE), "a kernel module, not a key"),
        "p7s": (detached, "PKCS#7 signature"),
        "p7s in PEM": (pem("PKCS7", detached), "PKCS#7 signature"),
        "tar": (b"name".ljust(257, b"\0") + b"ustar" + bytes(250) + ONE.certificate, "a tar archive"),
        "cpio": (b"070701" + ONE.certificate, "a cpio archive"),
        "deb": (b"!<arch>\n" + ONE.certificate, "an ar archive"),
        "openpgp signature": (
            write_packet(SIGNATURE, b"\4\0\1\2\0\0\0\0\0\0" + mpi(5)), "an OpenPGP signature"
        ),
        "stray certificate": (noise(64) + ONE.certificate + noise(64), "not a key source"),
        "stray in a stream": (stray, "not a key source"),
        "empty": (b"", "an empty file"),
        "text": (b"hello\n", "not a key source"),
        "private": (pem("PRIVATE KEY", b"\x30\3\2\1\0"), "private key"),
    }  # fmt: skip


@pytest.mark.parametrize("name", foreign())
@pytest.mark.parametrize("prefix", ["", "builtin:", "revoked:"])
def test_what_is_no_key_source_is_named(tmp_path: Path, name: str, prefix: str) -> None:
    data, text = foreign()[name]
    with pytest.raises(KeySourceError, match=text):
        load([prefix + write(tmp_path / "source", data)])


# --------------------------------------------------------------------------- directories, extract


def test_one_unreadable_file_costs_itself(tmp_path: Path) -> None:
    write(tmp_path / "keys" / "good.der", ONE.certificate)
    write(tmp_path / "keys" / "bad.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    write(tmp_path / "keys" / "notes.txt", b"nothing")
    write(tmp_path / "keys" / "odd.der", b"junk")
    ring = load([str(tmp_path / "keys")])
    assert [Path(loss.file).name for loss in ring.losses] == ["bad.pem", "odd.der"]
    report = verify(ONE, str(tmp_path / "keys"))
    assert report.verdict is Verdict.VALID
    assert sum(each.code == "key-source-loss" for each in report.warnings) == 2
    ran = elfsig("keys", "list", tmp_path / "keys")
    assert ran.code == 0 and "bad.pem" in ran.out and "not read:" in ran.out


@pytest.mark.parametrize("data", [b"", ATTRIBUTES, b"junk", esl(X509, b"\x30")[:-1], esl(X509, b"\x30")])
@pytest.mark.parametrize("deep", ["", "a/b/"])
def test_an_unreadable_list_of_revocations_is_an_error(tmp_path: Path, data: bytes, deep: str) -> None:
    write(tmp_path / "keys" / "good.der", ONE.certificate)
    path = write(tmp_path / "keys" / deep / "dbx.esl", data)
    for source in (path, str(tmp_path / "keys"), f"machine:{tmp_path / 'keys'}"):
        with pytest.raises(KeySourceError):
            load([source])


def test_extract_writes_trusted_keys_unless_asked(tmp_path: Path) -> None:
    content = unpacked(
        EC.certificate, certificate_list([TWO.certificate]), certificate_list([ONE.certificate], sizes=1)
    )
    path = write(tmp_path / "vmlinuz", bzimage(gzip.compress(content)))
    assert elfsig("keys", "extract", path, "-o", tmp_path / "out").code == 0
    assert [each.name.partition("-")[0] for each in (tmp_path / "out").iterdir()] == ["builtin"]
    assert elfsig("keys", "extract", "--all", path, "-o", tmp_path / "all").code == 0
    kinds = sorted(each.name.partition("-")[0] for each in (tmp_path / "all").iterdir())
    assert kinds == ["builtin", "embedded", "revoked"]
    assert verify(ONE, str(tmp_path / "all")).verdict is Verdict.UNTRUSTED
    assert verify(EC, str(tmp_path / "all")).verdict is Verdict.UNTRUSTED
    assert verify(TWO, str(tmp_path / "all")).verdict is Verdict.VALID
    none = elfsig("keys", "extract", f"revoked:{path}", "-o", tmp_path / "none")
    assert none.code == 2 and "--all" in none.err


def test_pins_bind_merkle_roots(tmp_path: Path) -> None:
    root = "merkle:" + "ab" * 32 + "/12"
    pin = "SHA256:" + "ab" * 32
    cert = write(tmp_path / "one.der", ONE.certificate)
    assert load([root]).keys[0].trusted and load([root, pin]).keys[0].trusted
    ring = load([root, cert, f"SHA256:{hashlib.sha256(ONE.certificate).hexdigest()}"])
    assert [key.trusted for key in ring.keys if key.algorithm == "merkle"] == [False]
    with pytest.raises(KeySourceError, match="no key with this fingerprint"):
        load([root, "SHA256:" + "cd" * 32])


# --------------------------------------------------------------------------- names and marks, in other words


@pytest.mark.parametrize("name", ["KEK_2023.crt", "kek-2011.pem", "PK old.der", "dbt+1.cer", "MokNew_2.pem"])
@pytest.mark.parametrize("prefix", ["", "builtin:", "machine:"])
def test_more_words_after_the_name_of_a_variable(tmp_path: Path, name: str, prefix: str) -> None:
    write(tmp_path / name, pem_of(ONE))
    assert verify(ONE, f"{prefix}{tmp_path}").verdict is Verdict.UNTRUSTED
    [key] = load([f"{prefix}{tmp_path}"]).keys
    assert key.why is Why.NOT_FOR_MODULES


@pytest.mark.parametrize("name", ["pkcs7.pem", "kekule.pem", "pk1.pem", "foodbx.pem"])
def test_names_that_only_look_like_a_variable(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, pem_of(ONE))
    assert verify(ONE, str(tmp_path)).verdict is Verdict.VALID


@pytest.mark.parametrize("name", ["vendor_dbx.crt", "old-dbx.pem", "2024-dbx.cer", "shim-mokx.der"])
@pytest.mark.parametrize("prefix", ["", "builtin:", "platform:"])
def test_certificates_named_for_a_list_of_revocations(tmp_path: Path, name: str, prefix: str) -> None:
    trusted = write(tmp_path / "one.der", ONE.certificate)
    write(tmp_path / "keys" / name, pem_of(ONE))
    write(tmp_path / "keys" / "two.der", TWO.certificate)
    for source in (tmp_path / "keys" / name, tmp_path / "keys"):
        assert verify(ONE, trusted, f"{prefix}{source}").verdict is Verdict.UNTRUSTED


@pytest.mark.parametrize("prefix", ["", "builtin:", "machine:"])
@pytest.mark.parametrize("inner", ["one.pem", "a/list.der"])
def test_a_directory_called_dbx_revokes(tmp_path: Path, prefix: str, inner: str) -> None:
    """However deep in it, and as a source itself as well as below another one."""
    trusted = write(tmp_path / "one.der", ONE.certificate)
    write(tmp_path / "keys" / "dbx" / inner, pem_of(ONE))
    for source in (tmp_path / "keys" / "dbx", tmp_path / "keys"):
        for sources in ((trusted, f"{prefix}{source}"), (f"{prefix}{source}", trusted)):
            assert verify(ONE, *sources).verdict is Verdict.UNTRUSTED


@pytest.mark.parametrize("quoting", ["> ", "// ", "; ", " * ", '"', "-- ", "\u00a0", "%"])
@pytest.mark.parametrize("mark", ["revoked, by dbx.esl", "embedded in vmlinuz", "recovered, not published"])
def test_marks_survive_being_quoted(tmp_path: Path, quoting: str, mark: str) -> None:
    path = write(tmp_path / "one.pem", f"{quoting}{mark}\n".encode() + pem_of(ONE))
    assert verify(ONE, path).verdict is Verdict.UNTRUSTED
