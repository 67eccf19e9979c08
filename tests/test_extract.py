"""show --extract, --asn1 and --packets: parts that other tools take, listings that agree with theirs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus
from elfsig.carriers.trailer import MARKER
from elfsig.compression.whole import pack
from elfsig.envelopes.cms import dump as asn1_dump
from elfsig.envelopes.openpgp import dump as packet_dump
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.model import Existing, SignOptions
from elfsig.opened.evidence import read
from elfsig.opened.module import open_module
from elfsig.signers import open_signer
from elfsig.verbs.edit.sign import sign
from elfsig.verbs.inspect.extract import pieces
from tests.support.cli import elfsig
from tests.support.gnupg import home
from tests.support.judges import REGISTRY
from tests.support.opened import opened
from tests.support.openpgp import signer as throwaway
from tests.support.run import run
from tests.support.tools import need
from tests.support.vectors import ROOT

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
PLAIN = corpus.content("amd64-6.1.ko")
PACKETS = sorted((ROOT / "signatures").glob("*.pgp"))


def signed(format_id: str, content: bytes = PLAIN, **wish: str) -> bytes:
    old = format_id in ("gkh", "redhat", "note")
    signer = throwaway("dsa1024") if old else open_signer(str(KEY), str(CERT))
    options = SignOptions(created=1, **wish)  # type: ignore[arg-type]  # names of its own fields
    return sign(opened(content), REGISTRY.get(format_id), signer, options, existing=Existing.STACK).content


def shell(*words: str | Path) -> subprocess.CompletedProcess[str]:
    line = [need(str(words[0])), *map(str, words[1:])]
    return subprocess.run(line, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return tmp_path / "a.ko"


def extracted(module: Path, content: bytes) -> Path:
    """The stem of the parts of ``content``."""
    module.write_bytes(content)
    folder = module.parent / "parts"
    ran = run("show", module, "--extract", folder)
    assert ran.code == 0, ran.err
    stem = folder / module.name
    assert (folder / "a.ko.unsigned").read_bytes() == PLAIN
    assert len(ran.out.splitlines()) == len(list(folder.iterdir()))
    return stem


def part(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


# --------------------------------------------------------------------------- parts


def test_the_parts_of_a_pkcs7_signature(module: Path) -> None:
    content = signed("pkcs7")
    stem = extracted(module, content)
    stream = part(stem, ".whole-file.stream")
    done = shell(
        "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", part(stem, ".p7s"),
        "-content", stream, "-certfile", CERT, "-noverify", "-out", "/dev/null",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert part(stem, ".trailer").read_bytes() == content[len(PLAIN) :]
    _openssl_accepts(part(stem, ".value"), stream)


def _openssl_accepts(value: Path, stream: Path) -> None:
    public = value.parent / "public.pem"
    public.write_text(shell("openssl", "x509", "-in", CERT, "-noout", "-pubkey").stdout)
    done = shell("openssl", "dgst", "-sha256", "-verify", public, "-signature", value, stream)
    assert done.returncode == 0, done.stderr


def test_the_parts_of_an_x509_signature(module: Path) -> None:
    stem = extracted(module, signed("x509"))
    _openssl_accepts(part(stem, ".value"), part(stem, ".whole-file.stream"))
    assert part(stem, ".signer").read_bytes() == b"elfsig corpus: THROW-AWAY test key signer"
    skid = shell("openssl", "x509", "-in", CERT, "-noout", "-ext", "subjectKeyIdentifier").stdout
    assert part(stem, ".keyid").read_bytes().hex(":").upper() in skid


def test_evmctl_takes_the_part_of_a_digsig(module: Path) -> None:
    stem = extracted(module, signed("crypto-digsig"))
    beside = part(stem, "")
    beside.write_bytes(part(stem, ".unsigned").read_bytes())
    public = module.parent / "public.pem"
    public.write_text(shell("openssl", "x509", "-in", CERT, "-noout", "-pubkey").stdout)
    done = shell("evmctl", "ima_verify", "--rsa", "--key", public, "--sigfile", beside)
    assert "verification is OK" in done.stdout + done.stderr
    assert part(stem, ".sig").read_bytes() == b"\3" + part(stem, ".digsig").read_bytes()


@pytest.mark.parametrize(
    ("format_id", "coverage"),
    [("gkh", "textdata"), ("redhat", "fileorder"), ("note", "sorted"), ("note", "fileorder"),
     ("crypto-pgp", "whole-file")],
)  # fmt: skip
def test_gnupg_takes_the_parts_of_openpgp_signatures(module: Path, format_id: str, coverage: str) -> None:
    stem = extracted(module, signed(format_id, coverage=coverage))
    keys = [make_ring(throwaway("dsa1024"), "DSA"), make_ring(open_signer(str(KEY)), "RSA")]  # type: ignore[arg-type]
    with home("gpg", keys) as gnupg:
        stream = part(stem, f".{coverage}.stream").read_bytes()
        assert gnupg.accepts(part(stem, ".pgp").read_bytes(), stream)
        assert not gnupg.accepts(part(stem, ".pgp").read_bytes(), stream + b"x")


def test_layers_are_numbered_from_the_outside(module: Path) -> None:
    note = signed("note", coverage="sorted")
    stem = extracted(module, signed("pkcs7", signed("x509", note)))
    names = {path.name.removeprefix("a.ko") for path in stem.parent.iterdir()}
    assert {".p7s", ".1.x509-block", ".1.signer", ".2.pgp", ".2.section", ".2.sorted.stream"} <= names
    assert part(stem, ".1.whole-file.stream").read_bytes() == note


def test_one_number_names_one_signature_in_all_commands(tmp_path: Path) -> None:
    """verify counted a trailer after the compressed stream, and the other commands did not."""
    inner, path = signed("pkcs7", signed("x509")), tmp_path / "a.ko.xz"
    path.write_bytes(pack(inner, "xz") + signed("pkcs7")[len(PLAIN) :])
    for tail in (b"", b"x"):
        path.write_bytes(path.read_bytes() + tail)
        (found,) = elfsig("verify", "--jsonl", path).files()
        numbers = {each["format"]: each["layer"] for each in found["signatures"]}
        assert numbers == {None: 0, "pkcs7": 1, "x509": 2}
        (streams,) = elfsig("digest", "--jsonl", path).files()
        assert {each["layer"] for each in streams["digests"]} - {None} == {1, 2}
        maps = elfsig("coverage", "--jsonl", path).files()[0]["maps"]
        assert [each["layer"] for each in maps] == [1, 2]
        names = {each.suffix for each in pieces(open_module(str(path))).pieces}
        assert {".tail", ".1.p7s", ".2.signer"} <= names and ".p7s" not in names
    (tmp_path / "b.ko").write_bytes(b"other")
    words = ("attach", tmp_path / "b.ko", "--from", path, "-o", tmp_path / "c.ko", "--layer")
    refused = elfsig(*words, "0")
    assert refused.code == 1 and "layer 0 (after the compression, not to be attached)" in refused.err
    assert elfsig(*words, "2", "--force").code == 0
    assert elfsig("list", "--jsonl", tmp_path / "c.ko").files()[0]["signatures"][0]["format"] == "x509"


def test_attributes_and_certificates(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(PLAIN)
    cms = tmp_path / "m.p7s"
    how = ("-binary", "-md", "sha256", "-outform", "DER", "-signer", CERT, "-inkey", KEY)
    done = shell("openssl", "cms", "-sign", *how, "-in", tmp_path / "m", "-out", cms)
    assert done.returncode == 0, done.stderr
    blob = cms.read_bytes()
    content = PLAIN + blob + bytes([0, 0, 2, 0, 0, 0, 0, 0]) + len(blob).to_bytes(4) + MARKER
    found = {piece.suffix: piece.data for piece in pieces(opened(content)).pieces}
    (tmp_path / "cert").write_bytes(found[".cert.der"])
    theirs = shell("openssl", "x509", "-inform", "DER", "-in", tmp_path / "cert", "-noout", "-fingerprint")
    assert theirs.stdout == shell("openssl", "x509", "-in", CERT, "-noout", "-fingerprint").stdout != ""
    attributes = tmp_path / "attributes"
    attributes.write_bytes(found[".attributes.der"])
    value = tmp_path / "value"
    value.write_bytes(found[".value"])
    _openssl_accepts(value, attributes)


def test_nothing_is_replaced_unless_forced_and_nothing_half_written(module: Path) -> None:
    content = signed("pkcs7")
    stem = extracted(module, content)
    part(stem, ".p7s").write_text("mine")
    part(stem, ".trailer").unlink()
    again = run("show", module, "--extract", stem.parent)
    assert again.code == 1 and "already exists" in again.err
    assert part(stem, ".p7s").read_text() == "mine" and not part(stem, ".trailer").exists()
    assert run("show", module, "--extract", stem.parent, "--force").code == 0
    assert part(stem, ".p7s").read_bytes() != b"mine" and part(stem, ".trailer").exists()
    assert module.read_bytes() == content


def test_trees_are_kept_and_the_rest_is_said(tmp_path: Path) -> None:
    tree, out = tmp_path / "tree", tmp_path / "out"
    (tree / "kernel").mkdir(parents=True)
    (tree / "kernel/a.ko").write_bytes(signed("pkcs7"))
    (tree / "plain.ko").write_bytes(PLAIN)
    (tree / "lost.ko").write_bytes(signed("pkcs7")[:-1])
    ran = run("show", tree, tmp_path / "none", "--extract", out)
    assert ran.code == 1
    assert (out / "kernel/a.ko.p7s").exists() and not list(out.glob("plain.ko*"))
    assert "plain.ko: note: no signature" in ran.err and "none: no such file" in ran.err
    assert run("show", tree / "plain.ko", "--extract", out).code == 0
    assert run("show", tree, "--extract", out, "--json").code == 2
    assert run("show", tree, "--asn1", "-F", "signer").code == 2


@pytest.mark.parametrize("sample", [*corpus.samples().values()], ids=lambda sample: str(sample.name))
def test_every_sample_can_be_taken_apart(sample: corpus.Sample) -> None:
    evidence = read(sample.data())
    taken = pieces(opened(evidence))
    assert len({piece.suffix for piece in taken.pieces}) == len(taken.pieces)
    for piece in taken.pieces:
        list(asn1_dump.lines(piece.data[:4096]))
        list(packet_dump.lines(piece.data[:4096]))


# --------------------------------------------------------------------------- listings


TAG = r"(?:cont|appl|priv) \[ \d+ \]|[A-Z0-9 <>]+?"
ROW = re.compile(rf"\s*(\d+):d=(\d+)\s+hl=(\d+)\s+l=\s*(\w+) (cons|prim): ({TAG})\s*(:.*|\[HEX.*)?$")


def rows(text: str) -> list[tuple[str, ...]]:
    found = [ROW.match(line) for line in text.splitlines()]
    assert all(found), text
    return [match.groups()[:6] for match in found if match]


def test_the_asn1_is_listed_as_openssl_lists_it(tmp_path: Path) -> None:
    path = tmp_path / "der"
    texts = 0
    for sample in corpus.select("signed"):
        for piece in pieces(opened(sample.data())).pieces:
            if not piece.suffix.endswith((".p7s", ".der")):
                continue
            path.write_bytes(piece.data)
            theirs = shell("openssl", "asn1parse", "-inform", "DER", "-in", path)
            ours = list(asn1_dump.lines(piece.data))
            assert rows("\n".join(ours)) == rows(theirs.stdout)
            texts += 1
    assert texts > 5
    path.write_bytes(subprocess.run([need("openssl"), "x509", "-in", CERT, "-outform", "DER"],
                                    capture_output=True, check=True).stdout)  # fmt: skip
    theirs = shell("openssl", "asn1parse", "-inform", "DER", "-in", path)
    assert rows("\n".join(asn1_dump.lines(path.read_bytes()))) == rows(theirs.stdout)


def test_asn1_values_and_names_and_where_it_breaks() -> None:
    listed = "\n".join(asn1_dump.lines(bytes.fromhex("3014 0609608648016503040201 0101ff 80020102 0200")))
    assert "OBJECT            :sha256 (2.16.840.1.101.3.4.2.1)" in listed
    assert "BOOLEAN           :FF" in listed and "cont [ 0 ]        :0102" in listed
    broken = list(asn1_dump.lines(bytes.fromhex("30800201050000 3005 0201")))
    assert " l= inf cons: SEQUENCE" in broken[0] and "INTEGER           :05" in broken[1]
    assert broken[-1] == "    7: element of 5 bytes, 2 are left"


@pytest.mark.parametrize("path", PACKETS, ids=lambda path: str(path.name))
def test_packets_are_listed_as_gnupg_lists_them(path: Path) -> None:
    with home("gpg") as gnupg:
        theirs = gnupg.run("--list-packets", path, check=False).decode().splitlines()
    ours = list(packet_dump.lines(path.read_bytes()))
    kept = [line for line in theirs if line.startswith(("#", ":signature", "\t", ":pubkey"))]
    assert [line for line in ours if line.startswith(("#", ":signature", "\t", ":pubkey"))] == kept


def test_the_command_lists_each_blob_once_under_its_name(module: Path) -> None:
    module.write_bytes(signed("pkcs7", signed("note", coverage="sorted")))
    asn1 = run("show", "--asn1", module).out
    assert f"{module}: pkcs7 signature, 440 bytes at " in asn1 and "not ASN.1" in asn1
    packets = run("show", "--packets", module).out
    assert ":signature packet: algo 17" in packets and "not OpenPGP packets" in packets
    module.write_bytes(PLAIN)
    ran = run("show", "--packets", module)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == f"elfsig: {module}: note: no signature, nothing to show\n"


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_listings_take_any_bytes(data: bytes) -> None:
    for lines in (asn1_dump.lines, packet_dump.lines):
        listed = list(lines(data))
        assert len(listed) <= 3 * len(data) + 3
        assert all("\n" not in line for line in listed)


@settings(max_examples=200, deadline=None)
@given(where=st.integers(0, 400), value=st.integers(0, 255))
def test_listings_take_damaged_signatures(where: int, value: int) -> None:
    for data, lines in ((_CMS, asn1_dump.lines), (PACKETS[0].read_bytes(), packet_dump.lines)):
        damaged = bytearray(data)
        damaged[where % len(damaged)] = value
        assert list(lines(bytes(damaged)))


_CMS = next(p.data for p in pieces(opened(signed("pkcs7"))).pieces if p.suffix == ".p7s")


def test_nesting_without_end_costs_little() -> None:
    deep = b"\x30\x80" * 50_000
    assert len(list(asn1_dump.lines(deep))) == 1
    nested = b""
    for _ in range(200):
        nested = (
            b"\x30"
            + (bytes([len(nested)]) if len(nested) < 128 else b"\x82" + len(nested).to_bytes(2))
            + nested
        )
    assert len(list(asn1_dump.lines(nested))) <= asn1_dump.MAX_DEPTH + 1
