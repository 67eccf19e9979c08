"""The trailers of 2012 as a whole: written, read, removed, judged by GnuPG; and trailers on no modules."""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
from corpus.recipes import MARKER, raw_signature, sign_pkcs7, sign_x509_rc1, trailer
from corpus.recipes_2012 import MAGIC, WHEN, openpgp, sign_crypto_digsig, sign_crypto_pgp
from elfsig.elf.image import Image
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.errors import EditRefused
from elfsig.model import SignOptions
from elfsig.opened.places import find
from elfsig.registry import load
from elfsig.signers import open_signer
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.edit.strip import strip
from tests.support.elf import Sec, build, repatched
from tests.support.gnupg import Home, home
from tests.support.opened import opened
from tests.support.run import run
from tests.support.tools import need

MODULE = corpus.content("amd64-6.1.ko")
KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
REGISTRY = load(False)
BY_HAND = {
    "crypto-pgp": sign_crypto_pgp,
    "crypto-digsig": sign_crypto_digsig,
    "x509-rc1": sign_x509_rc1,
}


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "m.ko"
    path.write_bytes(MODULE)
    return path


# --------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("format_id", BY_HAND)
@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
def test_made_as_by_hand_and_removed_exactly(format_id: str, hash_name: str, module: Path) -> None:
    out = module.with_name("signed.ko")
    when = () if format_id == "x509-rc1" else ("--created", str(WHEN))
    words = ("--format", format_id, "--hash", hash_name, "--key", KEY, "--cert", CERT, *when)
    assert run("sign", module, *words, "-o", out).code == 0
    assert out.read_bytes() == BY_HAND[format_id](MODULE, "signer", hash_name)
    ran = run("verify", out, "--trust", CERT)
    assert (ran.code, f"valid: {format_id} signature (rsa-2048 {hash_name})" in ran.out) == (0, True)
    assert run("strip", out, "--in-place").code == 0
    assert out.read_bytes() == MODULE


def test_a_large_signature_does_not_fit_the_length_field() -> None:
    carrier = REGISTRY.get("crypto-digsig").carrier
    for style, limit in (("u16", 65536), ("ascii", 100_000)):
        from elfsig.model import MagicInfo

        info = MagicInfo("u16" if style == "u16" else "ascii")
        with pytest.raises(EditRefused, match="does not fit the length field"):
            carrier.attach(Image(MODULE), bytes(limit), info)


def test_rc1_refuses_a_content_with_a_marker() -> None:
    with pytest.raises(EditRefused, match="uses the first one"):
        content = MODULE[:64] + MARKER + MODULE[92:]
        signer = open_signer(str(KEY), str(CERT))
        sign(opened(content), REGISTRY.get("x509-rc1"), signer, SignOptions())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(sorted(BY_HAND)))
def test_on_any_content(content: bytes, format_id: str) -> None:
    """What is signed is found, claimed by its own format alone, and removed exactly."""
    content = b"x" + content
    if MARKER[:8] in content or MAGIC[:12] in content:  # a trailer that is cut off, as far as anybody can say
        return
    signed = BY_HAND[format_id](content, "signer", "sha1")
    first, *more = find(Image(signed), REGISTRY)
    assert [f.id for f in first.claimants] == [format_id]
    assert first.place.start == len(content)
    assert not more
    assert strip(opened(signed)).content == content


# --------------------------------------------------------------------------- GnuPG


@pytest.fixture(scope="module", params=["gpg", "gpg1"])
def gnupg(request: pytest.FixtureRequest) -> Iterator[Home]:
    """A GnuPG of either age that knows the public half of the throw-away key."""
    signer = open_signer(str(KEY))
    with home(request.param, [make_ring(signer, "signer", key_created=0)]) as made:  # type: ignore[arg-type]
        yield made


def inside(signed: bytes) -> bytes:
    """The signature packet in a trailer, cut out as a script would."""
    size = int(signed[-35:-30])
    return signed[-35 - size : -35]


@pytest.mark.parametrize("hash_name", ["sha1", "sha256", "sha512"])
def test_gnupg_takes_what_is_made(hash_name: str, module: Path, gnupg: Home) -> None:
    for format_id, version in (("crypto-pgp", "4"), ("crypto-pgp", "3"), ("modarg-pgp", "4")):
        out = module.with_name("out")
        words = ("--format", format_id, "--hash", hash_name, "--key", KEY, "--packet-version", version)
        assert run("sign", module, *words, "-o", out).code == 0
        data = out.read_bytes()
        packet = (
            inside(data) if format_id == "crypto-pgp" else bytes.fromhex(data.partition(b",")[2].decode())
        )
        # GnuPG 2 counts SHA-1 and version 3 as what they are today.
        if gnupg.program == "gpg1" or (hash_name != "sha1" and version == "4"):
            assert gnupg.accepts(packet, MODULE)
        assert not gnupg.accepts(packet, MODULE + b"!")


@pytest.mark.parametrize("program", ["gpg", "gpg1"])
def test_what_gnupg_makes_is_valid_in_the_trailer_and_in_the_argument(program: str, module: Path) -> None:
    with home("gpg") as maker:
        maker.generate("maker", "rsa2048", "sign")
        ring = maker.run("--export", "maker")
        secret = maker.run("--pinentry-mode", "loopback", "--passphrase", "", "--export-secret-keys", "maker")
        with home(program, [secret] if program == "gpg1" else []) as other:
            by = other if program == "gpg1" else maker
            more = () if program == "gpg1" else ("--pinentry-mode", "loopback", "--passphrase", "")
            packet = by.run(*more, "--digest-algo", "SHA256", "-b", "-o", "-", module)
    (module.parent / "ring.gpg").write_bytes(ring)
    trust = ("--trust", module.parent / "ring.gpg")
    argument = f"modsign={len(packet)},{packet.hex()}"
    assert run("verify", module, "--modarg", argument, *trust).code == 0
    assert run("verify", module, "--modarg", argument + " option=1", *trust).code == 0
    module.write_bytes(MODULE + packet + b"%-5d" % len(packet) + MAGIC)
    ran = run("verify", module, *trust)
    assert (ran.code, "valid: crypto-pgp" in ran.out) == (0, True), ran.out
    module.write_bytes(MODULE + b"!" + packet + b"%-5d" % len(packet) + MAGIC)
    assert "invalid: crypto-pgp" in run("verify", module, *trust).out


# --------------------------------------------------------------------------- the module argument


PACKET = openpgp(MODULE, "signer", "sha256")


def test_argument_is_written_and_read(module: Path) -> None:
    out = module.with_name("argument")
    words = ("--format", "modarg-pgp", "--key", KEY, "--created", str(WHEN), "-o", out)
    assert run("sign", module, *words).code == 0
    assert out.read_text().rstrip("\n") == f"modsign={len(PACKET)},{PACKET.hex()}"
    ran = run("verify", module, "--modarg", out.read_text().rstrip("\n"), "--trust", CERT)
    assert (ran.code, "valid: modarg-pgp signature (rsa-2048 sha256)" in ran.out) == (0, True)
    assert module.read_bytes() == MODULE


def test_argument_is_listed_and_shown_beside_its_module(module: Path) -> None:
    argument = f"modsign={len(PACKET)},{PACKET.hex()}"
    listed = run("list", module, "--modarg", argument)
    assert (listed.code, "[ -] modsign=          DETACHED" in listed.out) == (0, True)
    assert run("show", module, "--modarg", argument, "-F", "format").out == "modarg-pgp\n"
    assert ":signature packet: algo 1" in run("show", module, "--modarg", argument, "--packets").out
    for more in (("list", "--sections"), ("show", "--extract", str(module.parent))):
        assert run(*more, module, "--modarg", argument).code == 2
    assert run("list", module, module, "--modarg", argument).code == 2


@pytest.mark.parametrize(
    ("argument", "offset"),
    [
        ("option=1", 0),
        (f" modsign={len(PACKET)},{PACKET.hex()}", 0),
        ("modsign=", 8),
        ("modsign=0,", 8),
        ("modsign=1,", 8),
        ("modsign=1,a", 8),
        ("modsign=1,aab", 8),
        ("modsign=1,xx", 8),
        ("modsign=000001,aa", 8),
        (f"modsign={len(PACKET)},{PACKET.hex()},more", 8),
    ],
)
def test_arguments_that_kernel_refused(argument: str, offset: int, module: Path) -> None:
    ran = run("verify", module, "--modarg", argument, "--trust", CERT)
    assert (ran.code, ran.out) == (1, "")
    assert f"at offset {offset:#x}" in ran.err


# --------------------------------------------------------------------------- not only modules


def verified(path: Path) -> str:
    ran = run("verify", path, "--trust", CERT)
    assert ran.code == 0, ran.out
    return ran.out


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (bytes(0x202) + b"HdrS" + bytes(600), "an x86 kernel"),
        (b"MZ\0\0zimg" + bytes(600), "an EFI zboot kernel"),
        (b"MZ" + bytes(54) + b"ARM\x64" + bytes(600), "an arm64 kernel"),
        (bytes(0x10008) + b"S390EP" + bytes(9), "an s390 kernel"),
        (b"070701" + b"0" * 104, "an initramfs"),
        (repatched(build([Sec(".text", b"code")]), type=2), "an ELF file of type EXEC"),
        (b"#!/bin/sh\nexit 0\n", "text"),
        (bytes(range(256)), "not an ELF file"),
    ],
)
def test_what_is_no_module_is_verified_and_named(content: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(sign_pkcs7(content, "signer", "sha256"))
    assert f"not a module: {name}" in verified(path)
    assert run("strip", path, "--in-place").code == 0
    assert path.read_bytes() == content


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_compressed_initramfs_is_signed_as_it_stands(pack: type[bytes], tmp_path: Path) -> None:
    """IMA and kexec check the file, compressed as it is; inside its compression nobody would look."""
    path, packed = tmp_path / "initrd.img", pack(b"070701" + b"0" * 500)
    path.write_bytes(packed)
    words = ("--format", "pkcs7", "--key", KEY, "--cert", CERT, "--in-place")
    assert run("sign", path, *words).code == 0
    assert path.read_bytes() == sign_pkcs7(packed, "signer", "sha256")
    assert "the signature is over the whole file" in verified(path)
    assert run("sign", path, *words).code == 1
    assert run("strip", path, "--in-place").code == 0
    assert path.read_bytes() == packed


def test_a_compressed_module_with_the_trailer_behind_stays_malformed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(sign_pkcs7(gzip.compress(MODULE), "signer", "sha256"))
    ran = run("verify", path, "--trust", CERT)
    assert (ran.code, "signed after compression" in ran.out) == (1, True)


# --------------------------------------------------------------------------- what is shown, not checked


def test_fields_of_the_number_that_never_got_a_meaning(tmp_path: Path) -> None:
    blob = b"Magrathea" + bytes.fromhex("c0ffee") + raw_signature("signer", MODULE, "sha256")
    path = tmp_path / "m.ko"
    path.write_bytes(MODULE + trailer(blob, 0, 2, 0, 9, 3))
    (found,) = find(Image(path.read_bytes()), REGISTRY)
    (signature,) = found.claimants[0].pairs[0].envelope.parse(found.place.blob, found.place.params)
    assert (signature.signer, signature.key_id) == ("Magrathea", b"\xc0\xff\xee")
    assert (signature.algorithm_text, signature.hash_text) == ("dsa", "sha1")
    shown = run("show", path).out
    assert "signer:         Magrathea\n" in shown
    assert "sig_key:        C0:FF:EE\n" in shown
    assert run("verify", path, "--trust", CERT).code == 4


def test_modinfo_agrees_on_them(tmp_path: Path) -> None:
    path = tmp_path / "m.ko"
    blob = b"Magrathea" + bytes.fromhex("c0ffee") + raw_signature("signer", MODULE, "sha256")
    path.write_bytes(MODULE + trailer(blob, 0, 2, 0, 9, 3))
    told = subprocess.run([need("modinfo"), path], capture_output=True, text=True, check=True).stdout
    wanted = [line for line in told.splitlines() if line.startswith(("sig", "signer"))]
    assert wanted
    shown = run("show", path).out.splitlines()
    assert [line for line in wanted if line not in shown] == []


def test_sizes_of_the_trailers() -> None:
    """The length fields, read back by hand: ASCII left-justified, and big-endian without the type byte."""
    pgp, digsig = sign_crypto_pgp(MODULE, "signer", "sha1"), sign_crypto_digsig(MODULE, "signer", "sha1")
    assert pgp[-35:-30] == b"%-5d" % (len(pgp) - len(MODULE) - 35)
    assert struct.unpack(">H", digsig[-32:-30]) == (len(digsig) - len(MODULE) - 32,)
