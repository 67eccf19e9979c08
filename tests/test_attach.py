"""attach: signatures that exist already, from signed modules and from files of their own."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig
from elfsig.elf.image import Image
from elfsig.errors import EditRefused, ParseError, UsageError
from elfsig.model import Existing, Keyring, SignOptions, TrailerInfo, Verdict
from elfsig.opened.places import find
from elfsig.trust.keyring import load
from elfsig.verbs.edit.attach import Attached, attach, candidates, chosen, parts_in
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.edit.strip import strip
from tests.support.debian import debian_modules, debian_vmlinuz
from tests.support.gnupg import home
from tests.support.judges import REGISTRY
from tests.support.opened import opened
from tests.support.run import run
from tests.support.signed import era_signer as signer
from tests.support.signed import made
from tests.support.tools import need

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
OTHER = corpus.KEYS / "other.cert.pem"
MODULE = "amd64-6.1.ko"
PLAIN = corpus.content(MODULE)
SIGNABLE = [f.id for f in REGISTRY.formats if "sign" in f.capabilities and f.carrier.kind != "detached"]
PACKETS = ("gkh", "redhat", "note", "crypto-pgp")


def signed(format_id: str, content: bytes = PLAIN, **wish: Any) -> bytes:
    if format_id == "note":
        wish.setdefault("coverage", "sorted")
    options = SignOptions(created=1, **wish)
    return sign(
        opened(content), REGISTRY.get(format_id), signer(format_id), options, existing=Existing.STACK
    ).content


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    from elfsig.envelopes.openpgp.make import make_ring

    folder = tmp_path_factory.mktemp("trust")
    for kind in ("note", "pkcs7"):
        (folder / kind).write_bytes(make_ring(signer(kind), kind, hash="sha1"))
    return load([str(folder), str(CERT)])


def outermost(content: bytes) -> bytes:
    """The signature itself, as it would lie in a file of its own."""
    return find(Image(content), REGISTRY)[0].place.blob


def put(content: bytes, source: bytes, trust: Keyring | None = None, **more: Any) -> Attached:
    parts = parts_in(opened(source)) or [chosen(opened(content), candidates(source, REGISTRY), trust)]
    return attach(opened(content), parts, trust, **more)


# --------------------------------------------------------------------------- from signed modules


@pytest.mark.parametrize("format_id", SIGNABLE)
@pytest.mark.parametrize("name", [s.name for s in corpus.select("unsigned") if s.kept])
def test_a_signature_moves_to_a_rebuild(name: str, format_id: str, trust: Keyring) -> None:
    plain = corpus.content(name)
    theirs = signed(format_id, plain)
    done = put(plain, theirs, trust)
    assert done.content == theirs
    assert done.verdict is Verdict.VALID and not done.remarks


def test_a_whole_stack_moves_innermost_first(trust: Keyring) -> None:
    theirs = PLAIN
    for format_id in ("gkh", "redhat", "note", "crypto-digsig", "x509", "pkcs7"):
        theirs = signed(format_id, theirs)
    assert put(PLAIN, theirs, trust).content == theirs
    inner = parts_in(opened(theirs), format_id="modsig")
    assert [part.name for part in inner] == ["crypto-digsig"]
    assert [part.name for part in parts_in(opened(theirs), layer=1)] == ["x509"]
    with pytest.raises(UsageError, match=r"only layer 0 \(pkcs7 signature at .*, layer 5 \(gkh"):
        parts_in(opened(theirs), layer=6)


@pytest.mark.parametrize("arch", ["amd64", "s390x"])
def test_the_vendor_s_signature_fits_an_exact_rebuild_and_no_other(arch: str, trust: Keyring) -> None:
    vendor = load([str(debian_vmlinuz(arch))])
    for module in debian_modules(arch)[::400]:
        shipped = module.read_bytes()
        rebuilt = strip(opened(shipped)).content
        assert put(rebuilt, shipped, vendor).content == shipped
        changed = bytearray(rebuilt)
        changed[-1] ^= 1
        with pytest.raises(EditRefused, match="not attached: the pkcs7 signature is invalid here") as caught:
            put(bytes(changed), shipped, vendor)
        assert caught.value.code == "does-not-verify"
        assert put(bytes(changed), shipped, vendor, force=True).verdict is Verdict.INVALID


def test_another_module_s_signature_needs_no_key_to_be_refused(tmp_path: Path) -> None:
    one, other = opened(corpus.content("amd64.pkcs7")), opened(corpus.content("arm64-6.1.ko"))
    with pytest.raises(EditRefused, match="is over other content than this") as refused:
        attach(other, parts_in(one), origin=one)
    assert refused.value.code == "other-content" and refused.value.hint == "force"
    forced = attach(other, parts_in(one), origin=one, force=True)
    assert [remark.code for remark in forced.remarks] == ["other-content", "unchecked"]
    content = corpus.content("amd64-2.6.32-el6.ko")
    for format_id, coverage in (("pkcs7", "whole-file"), ("note", "sorted"), ("redhat", "fileorder")):
        signed = made(content, format_id, coverage).content
        source = opened(signed)
        same = attach(opened(content), parts_in(source), origin=source)
        assert same.content == signed and [each.code for each in same.remarks] == ["unchecked"]
    path = tmp_path / "other.ko"
    path.write_bytes(other.content)
    with pytest.raises(EditRefused, match="is over other content"):
        elfsig.attach(path, one.content)


def test_damaged_sources_are_refused() -> None:
    theirs = signed("pkcs7")
    with pytest.raises(ParseError, match="neither a signed module nor a detached signature"):
        put(PLAIN, theirs[:-1])
    with pytest.raises(ParseError, match="neither"):
        put(PLAIN, PLAIN)
    with pytest.raises(ParseError, match="no pkcs7 signature"):
        candidates(outermost(signed("note")), REGISTRY, "pkcs7")


# --------------------------------------------------------------------------- from files of their own


def test_openssl_s_signature(tmp_path: Path, trust: Keyring) -> None:
    module, part = tmp_path / "a.ko", tmp_path / "a.ko.p7s"
    module.write_bytes(PLAIN)
    how = ("-binary", "-noattr", "-nocerts", "-md", "sha256", "-outform", "DER")
    subprocess.run(
        [need("openssl"), "cms", "-sign", *how, "-in", module, "-signer", CERT, "-inkey", KEY, "-out", part],
        check=True,
    )
    done = put(PLAIN, part.read_bytes(), trust)
    assert (done.verdict, [part.name for part in done.parts]) == (Verdict.VALID, ["pkcs7"])
    assert done.content == signed("pkcs7")


def test_the_part_of_sign_file(tmp_path: Path) -> None:
    module = tmp_path / "a.ko"
    module.write_bytes(PLAIN)
    subprocess.run([need("sign-file"), "-p", "sha256", KEY, CERT, module], check=True)
    by_theirs, part = module.read_bytes(), tmp_path / "a.ko.p7s"
    module.write_bytes(PLAIN)
    ran = run("attach", module, "--from", part, "--trust", CERT, "--in-place")
    assert ran.code == 0 and "attached pkcs7 signature (440 bytes), valid" in ran.out
    assert module.read_bytes() == by_theirs
    whole = by_theirs[len(PLAIN) :]
    assert put(PLAIN, whole).content == by_theirs


def test_evmctl_s_signature_with_and_without_its_type_byte(tmp_path: Path, trust: Keyring) -> None:
    module = tmp_path / "a.ko"
    module.write_bytes(PLAIN)
    how = ("--rsa", "--hashalgo", "sha1", "--sigfile")
    subprocess.run([need("evmctl"), "ima_sign", *how, "--key", KEY, module], check=True, capture_output=True)
    part = (tmp_path / "a.ko.sig").read_bytes()
    assert part[:1] == b"\3"
    for data in (part, part[1:]):
        done = put(PLAIN, data, trust)
        assert (done.verdict, [each.name for each in done.parts]) == (Verdict.VALID, ["crypto-digsig"])
        assert outermost(done.content) == part[1:]


@pytest.fixture(scope="module")
def gnupg() -> Iterator[Any]:
    with home("gpg") as made:
        made.generate("attach", "rsa2048", "sign")
        yield made


@pytest.mark.parametrize("armour", [False, True])
def test_gnupg_s_signature(gnupg: Any, armour: bool, tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    ring.write_bytes(gnupg.run("--export", "attach"))
    keys = load([str(ring)])
    words = ["--armor"] if armour else []
    packet = gnupg.run("--detach-sign", "--digest-algo", "SHA256", *words, stdin=PLAIN)
    found = candidates(packet, REGISTRY)
    assert {part.name for part in found} == set(PACKETS)
    with pytest.raises(UsageError, match="several formats"):
        chosen(opened(PLAIN), found, None)
    done = put(PLAIN, packet, keys)
    assert (done.parts[0].name, done.verdict) == ("crypto-pgp", Verdict.VALID)


@pytest.mark.parametrize("format_id", PACKETS)
def test_keys_tell_which_format_packets_are_meant_for(format_id: str, trust: Keyring) -> None:
    theirs = signed(format_id, coverage="whole-file") if format_id == "crypto-pgp" else signed(format_id)
    found = candidates(outermost(theirs), REGISTRY)
    if format_id == "redhat":  # signs the same bytes as one coverage of a note
        with pytest.raises(UsageError, match="more than one verifies: note, redhat"):
            chosen(opened(PLAIN), found, trust)
        found = candidates(outermost(theirs), REGISTRY, "redhat")
    part = chosen(opened(PLAIN), found, trust)
    assert part.name == format_id
    assert attach(opened(PLAIN), [part], trust).content == theirs


def test_a_module_argument_becomes_a_trailer(trust: Keyring) -> None:
    argument = signed("modarg-pgp")
    done = put(PLAIN, argument, trust)
    assert (done.parts[0].name, done.verdict) == ("crypto-pgp", Verdict.VALID)


def test_an_x509_block_needs_its_info_block(trust: Keyring) -> None:
    theirs = signed("x509")
    assert put(PLAIN, theirs[len(PLAIN) :], trust).content == theirs
    with pytest.raises(ParseError, match="neither"):
        candidates(outermost(theirs), REGISTRY)


# --------------------------------------------------------------------------- what is there already


def test_what_is_signed_already_is_refused_unless_it_is_said_what_is_meant(trust: Keyring) -> None:
    ours = signed("x509")
    with pytest.raises(EditRefused, match="already signed: x509"):
        put(ours, signed("pkcs7"), trust)
    replaced = put(ours, signed("pkcs7"), trust, existing=Existing.REPLACE)
    assert replaced.content == signed("pkcs7") and [r.format for r in replaced.removed] == ["x509"]
    with pytest.raises(EditRefused, match="invalid here"):
        put(ours, signed("pkcs7"), trust, existing=Existing.STACK)
    with pytest.raises(EditRefused, match=r"x509 signature .* would no longer match"):
        put(ours, signed("note"), None, existing=Existing.STACK)
    stacked = put(signed("note"), signed("pkcs7", signed("note")), existing=Existing.STACK, force=True)
    assert "unchecked" in [remark.code for remark in stacked.remarks]


def test_the_command_s_exit_codes_and_layers(tmp_path: Path) -> None:
    module, source, out = (tmp_path / name for name in ("a.ko", "theirs.ko", "out.ko"))
    module.write_bytes(PLAIN)
    source.write_bytes(signed("pkcs7", signed("x509")))
    assert run("attach", module, "--from", source, "-o", out).code == 0
    assert out.read_bytes() == source.read_bytes()
    one = run("attach", module, "--from", source, "--format=x509", "--trust", CERT, "-o", out)
    assert one.code == 0 and out.read_bytes() == signed("x509")
    assert run("attach", module, "--from", source, "--trust", OTHER, "-o", out).code == 1
    assert out.read_bytes() == signed("x509")
    missing = run("attach", module, "--from", source, "--layer=7", "-o", out)
    said = f"a.ko: {source}: no signature of layer 7 in it, only layer 0 ("
    assert missing.code == 1 and said in missing.err
    nothing = run("attach", module, "--from", module, "-o", out)
    assert nothing.code == 1 and f"a.ko: {module}: neither a signed module nor" in nothing.err
    assert run("attach", module, "--from", tmp_path / "none", "-o", out).code == 5
    assert run("attach", module, "--from", source).code == 2


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (PLAIN[:100], "elf-damaged", "attached to although it is a damaged ELF file: "),
        (b"text", "not-elf", "attached to although it is not an ELF file, hence not a module"),
    ],
)
def test_what_no_kernel_loads_is_said(content: bytes, code: str, said: str, tmp_path: Path) -> None:
    once = signed("pkcs7")
    source, target, out = (tmp_path / name for name in ("signed.ko", "target.ko", "out.ko"))
    source.write_bytes(signed("pkcs7", once))
    target.write_bytes(content)
    found = attach(opened(content), parts_in(opened(source.read_bytes())))
    assert [remark.code for remark in found.remarks] == [code, "unchecked"]
    ran = run("attach", target, "--from", source, "-o", out, "--force")
    assert ran.code == 0 and f"{target}: warning: {said}" in ran.err
    assert out.read_bytes() == found.content
    with pytest.raises((EditRefused, ParseError)) as caught:
        attach(opened(content), parts_in(opened(signed("redhat"))))
    assert caught.value.code != "not-found-again"


def test_packets_for_a_damaged_file_are_tried_as_every_format(tmp_path: Path) -> None:
    """The formats that lie in sections cannot be: that does not end the search."""
    from elfsig.envelopes.openpgp.make import make_ring

    (tmp_path / "ring").write_bytes(make_ring(signer("crypto-pgp"), "signer", hash="sha1"))
    cut = PLAIN[:100]
    found = put(cut, outermost(signed("crypto-pgp", cut)), load([str(tmp_path)]))
    assert (found.format, found.verdict) == ("crypto-pgp", Verdict.VALID)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    source, target, out = (tmp_path / name for name in ("signed.ko", "empty.ko", "out.ko"))
    source.write_bytes(signed("pkcs7"))
    target.touch()
    ran = run("attach", target, "--from", source, "-o", out)
    assert (ran.code, out.exists()) == (1, False)
    assert ran.err.startswith(f"elfsig: {target}: the file is empty")


def test_info_blocks_that_lie_move_as_they_are() -> None:
    blob = outermost(signed("pkcs7"))
    odd = TrailerInfo(id_type=2, pad=b"\0\0\1", hash=4)
    carrier = REGISTRY.get("pkcs7").carrier
    theirs = carrier.attach(Image(PLAIN), blob, odd)
    assert put(PLAIN, theirs).content == theirs


# --------------------------------------------------------------------------- how a file of its own is written


def pem(blob: bytes, name: str) -> bytes:
    """As ``openssl cms -outform PEM`` writes it, with text around it."""
    lines = base64.encodebytes(blob).decode()
    return f"Signed for you.\n-----BEGIN {name}-----\n{lines}-----END {name}-----\n".encode()


def armoured(packets: bytes) -> bytes:
    lines = base64.encodebytes(packets).decode()
    return f"-----BEGIN PGP SIGNATURE-----\n\n{lines}-----END PGP SIGNATURE-----\n".encode()


def without_content_info(cms: bytes) -> bytes:
    """The SignedData inside (RFC 5652, 3): what follows the object identifier and the tag [0]."""
    at = cms.index(bytes.fromhex("06092a864886f70d010702")) + 11
    return cms[at + 2 + (cms[at + 1] & 0x7F if cms[at + 1] & 0x80 else 0) :]


WRITTEN: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "PEM CMS": ("pkcs7", lambda blob: pem(blob, "CMS")),
    "PEM PKCS7": ("pkcs7", lambda blob: pem(blob, "PKCS7")),
    "SignedData alone": ("pkcs7", without_content_info),
    "armoured packet": ("crypto-pgp", armoured),
    "digsig with its type byte": ("crypto-digsig", lambda blob: b"\x03" + blob),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_attach_and_detached_read_the_same_files(name: str, trust: Keyring, tmp_path: Path) -> None:
    format_id, write = WRITTEN[name]
    theirs = signed(format_id)
    data = write(outermost(theirs))
    [part] = candidates(data, REGISTRY, format_id)
    assert attach(opened(PLAIN), [part], trust).content == theirs
    module, outside = tmp_path / "a.ko", tmp_path / "a.sig"
    module.write_bytes(PLAIN)
    outside.write_bytes(data)
    shown = run("list", module, "--detached", outside)
    assert (shown.code, format_id in shown.out, "malformed" in shown.out) == (0, True, False)
    outside.write_bytes(data[: len(data) // 2])
    assert "valid" not in run("verify", module, "--detached", outside, "--trust", CERT).out.split()


@pytest.mark.parametrize(
    "data",
    [
        b"-----BEGIN CMS-----\nMII\n-----END CMS-----\n",
        b"-----BEGIN CMS-----\n",
        b"\x30\x03\x02\x01\x01",
        b"\x30\x80\x02\x01\x01\0\0",
        b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n",
        b"\x03",
    ],
)
def test_what_is_written_wrongly_is_an_error(data: bytes) -> None:
    with pytest.raises(ParseError):
        candidates(data, REGISTRY)
