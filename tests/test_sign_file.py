"""sign-file: the same bytes, files and exit codes as the kernel's own tool."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from elfsig.cli.app import elfsig
from elfsig.cli.commands.sign_file import USAGE, status
from elfsig.envelopes.cms.envelope import read
from tests.support import cms as craft
from tests.support.cms import identity, private
from tests.support.tools import need

MODULE = b"\x7fELF not really a module, which sign-file does not mind " * 40
HASHES = ["sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512", "md5", "SHA256"]


class Desk(NamedTuple):
    """A directory for each tool, with the same files in it; and the runs of both tools in there."""

    theirs: Path
    ours: Path

    def put(self, name: str, data: bytes) -> None:
        for folder in (self.theirs, self.ours):
            (folder / name).write_bytes(data)

    def run(self, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, int]:
        """(exit code of the kernel's tool, of ours) for the same command line."""
        tool = need("sign-file")
        theirs = subprocess.run([tool, *words], cwd=self.theirs, capture_output=True, check=False)
        monkeypatch.chdir(self.ours)
        return theirs.returncode, status(words, "sign-file")

    def files(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """Everything that lies in both directories."""
        return tuple({p.name: p.read_bytes() for p in f.iterdir()} for f in (self.theirs, self.ours))  # type: ignore[return-value]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = Desk(tmp_path / "theirs", tmp_path / "ours")
    for folder in made:
        folder.mkdir()
    key, cert = identity().pem()
    for name, data in (("k", key), ("c", cert), ("m", MODULE), ("both", key + cert)):
        made.put(name, data)
    made.put("c.der", identity().certificate)
    return made


def test_every_hash_and_both_ways_to_name_the_signer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HASHES:
        for flags in ([], ["-k"]):
            assert desk.run(monkeypatch, *flags, name, "k", "c", "m", f"m.{name}{len(flags)}") == (0, 0)
    theirs, ours = desk.files()
    assert theirs == ours
    assert len(ours) == 5 + 2 * len(HASHES)
    assert len({len(data) for data in ours.values()}) > 4


COMMANDS: dict[str, list[Sequence[str]]] = {
    "in place": [["sha256", "k", "c", "m"]],
    "to itself": [["sha256", "k", "c", "m", "m"]],
    "beside": [["sha256", "k", "c", "m", "out"]],
    "-d": [["-d", "sha256", "k", "c", "m"]],
    "-d with dest": [["-d", "sha256", "k", "c", "m", "out"]],
    "-p": [["-p", "sha256", "k", "c", "m"]],
    "-dk": [["-dk", "sha256", "k", "c", "m"]],
    "options last": [["sha256", "k", "c", "m", "-p", "-k"]],
    "after --": [["--", "sha256", "k", "c", "m"]],
    "one file": [["sha256", "both", "both", "m"]],
    "DER certificate": [["sha256", "k", "c.der", "m"]],
    "-s": [["-d", "sha384", "k", "c", "m"], ["-s", "m.p7s", "sha384", "c", "m"]],
    "-s with dest": [["-d", "sha384", "k", "c", "m"], ["-s", "m.p7s", "sha384", "c", "m", "out"]],
    "-s of junk": [["-s", "c", "sha256", "c", "m"]],
    "-sp": [["-sp", "c", "sha256", "c", "m"]],
    "twice": [["sha256", "k", "c", "m"], ["sha512", "k", "c", "m"]],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_same_files(name: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in COMMANDS[name]:
        assert desk.run(monkeypatch, *words) == (0, 0)
    theirs, ours = desk.files()
    assert theirs == ours


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-k"],
        ["sha256", "k", "c"],
        ["sha256", "k", "c", "m", "out", "more"],
        ["-x", "sha256", "k", "c", "m"],
        ["-s", "raw", "sha256", "c"],
        ["--help"],
        ["sha256", "none", "c", "m"],
        ["sha256", "k", "none", "m"],
        ["sha256", "k", "c", "none"],
        ["sha257", "k", "c", "m"],
        ["sha256", "c", "c", "m"],
        ["sha256", "k", "k", "m"],
        ["sha256", "k", "other", "m"],
        ["-s", "none", "sha256", "c", "m"],
        ["sha256", "k", "c", "m", "no/such/folder"],
    ],
)
def test_same_exit_codes(words: Sequence[str], desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put("other", identity("rsa", 1).pem()[1])
    theirs, ours = desk.run(monkeypatch, *words)
    assert theirs == ours
    assert ours in (1, 2)
    assert (desk.ours / "m").read_bytes() == MODULE
    assert not (desk.ours / "out").exists()


@pytest.mark.parametrize("kind", ["p256", "p384"])
@pytest.mark.parametrize("flags", [[], ["-k"]])
def test_ec_envelope(kind: str, flags: list[str], desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECDSA values are random: with the other value put in, the bytes are the same."""
    for name, data in zip(("k", "c"), identity(kind).pem(), strict=True):
        desk.put(name, data)
    for hash_name in ("sha1", "sha256", "sha384", "sha512"):
        desk.run(monkeypatch, "-d", *flags, hash_name, "k", "c", "m")
        theirs, ours = (files["m.p7s"] for files in desk.files())
        (a,), (b,) = read(theirs).signers, read(ours).signers
        assert a.algorithm == b.algorithm
        swapped = craft.cms(_with_value(ours, a.value), version=read(ours).version, digests=_digest(ours))
        assert swapped == theirs


def _with_value(blob: bytes, value: bytes) -> bytes:
    """The SignerInfo of ``blob`` with another value."""
    (signer,) = read(blob).signers
    whole = blob[signer.start :]
    body = whole[2:] if whole[1] < 0x80 else whole[2 + (whole[1] & 0x7F) :]
    head = body[: len(body) - len(craft.tlv(4, signer.value))]
    return craft.tlv(0x30, head, craft.tlv(4, value))


def _digest(blob: bytes) -> bytes:
    return craft.algorithm(read(blob).digests[0].oid)


# --------------------------------------------------------------------------- what the original leaves unsaid


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    key, cert = identity().pem()
    for name, data in (("k", key), ("c", cert), ("m", MODULE)):
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_stacking_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["sha256", "k", "c", "m"], "sign-file") == 0
    assert capsys.readouterr().err == ""
    assert status(["sha256", "k", "c", "m"], "sign-file") == 0
    assert "m is already signed" in capsys.readouterr().err


@pytest.mark.parametrize("magic", [b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"])
def test_compressed_input_is_said(magic: bytes, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "m").write_bytes(magic + MODULE)
    assert status(["sha256", "k", "c", "m"], "sign-file") == 0
    assert "compressed" in capsys.readouterr().err


def test_junk_for_a_signature_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["-s", "c", "sha256", "c", "m"], "sign-file") == 0
    assert "not a CMS" in capsys.readouterr().err


def test_expired_certificate_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "c").write_bytes(craft.issued(private(), years=(2001, 2016)).certificate)
    assert status(["sha256", "k", "c", "m"], "sign-file") == 0
    assert "expired 2016" in capsys.readouterr().err


def test_failures_name_the_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["sha256", "k", "c", "none"], "sign-file") == 1
    assert capsys.readouterr().err == "sign-file: none: no such file or directory\n"
    assert status(["sha256", "k", "c", "m", "none/m"], "sign-file") == 1
    assert capsys.readouterr().err == "sign-file: none/m: not written: no such file or directory\n"
    assert status([], "tool") == 2
    assert capsys.readouterr().err == USAGE.format(name="tool")


def test_a_module_is_a_regular_file_and_a_signature_may_come_through_a_pipe(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(here / "fifo")
    assert status(["sha256", "k", "c", "fifo"], "sign-file") == 1
    assert capsys.readouterr().err == "sign-file: fifo: not a regular file\n"
    assert status(["-d", "sha256", "k", "c", "m"], "sign-file") == 0
    with subprocess.Popen(["cp", "m.p7s", "fifo"]):
        assert status(["-s", "fifo", "sha256", "c", "m"], "sign-file") == 0
    assert (here / "m.p7s").read_bytes() in (here / "m").read_bytes()


def test_passphrase(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    key = private().private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret")
    )
    (here / "k").write_bytes(key)
    monkeypatch.setenv("KBUILD_SIGN_PIN", "wrong")
    assert status(["sha256", "k", "c", "m"], "sign-file") == 1
    assert "passphrase" in capsys.readouterr().err
    assert (here / "m").read_bytes() == MODULE
    monkeypatch.setenv("KBUILD_SIGN_PIN", "secret")
    assert status(["sha256", "k", "c", "m"], "sign-file") == 0


def test_detached_trailer_of_kmodsign(here: Path) -> None:
    assert status(["sha256", "k", "c", "m", "whole"], "sign-file") == 0
    trailer = (here / "whole").read_bytes()[len(MODULE) :]
    assert status(["-D", "sha256", "k", "c", "m"], "sign-file") == 0
    assert status(["-D", "sha256", "k", "c", "m", "out"], "sign-file") == 0
    assert (here / "m.p7s").read_bytes() == (here / "out").read_bytes() == trailer
    assert (here / "m").read_bytes() == MODULE


def test_mode_of_the_module_is_kept(here: Path) -> None:
    (here / "m").chmod(0o640)
    assert status(["sha256", "k", "c", "m"], "sign-file") == 0
    assert (here / "m").stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in here.iterdir()) == ["c", "k", "m"]


@pytest.mark.parametrize("kind", ["mldsa44", "mldsa87"])
def test_ml_dsa(kind: str, here: Path) -> None:
    key, cert = identity(kind).pem()
    (here / "k").write_bytes(key + cert)
    assert status(["-d", "sha512", "k", "k", "m"], "sign-file") == 0
    data = read((here / "m.p7s").read_bytes())
    assert data.signers[0].signed is None
    assert data.signers[0].digest.oid == "2.16.840.1.101.3.4.2.3"
    identity(kind).private.public_key().verify(data.signers[0].value, MODULE)


def test_sub_command_is_the_same(here: Path) -> None:
    found = CliRunner().invoke(elfsig, ["sign-file", "-dk", "sha256", "k", "c", "m"])
    assert found.exit_code == 0
    assert read((here / "m.p7s").read_bytes()).version == 3


def test_executable(here: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "elfsig.cli.commands.sign_file",
        "sha256",
        "k",
        "c",
        "m",
    ]
    found = subprocess.run(command, env=environ, capture_output=True, check=True, text=True)
    loaded = {line.rsplit("|", 1)[-1].strip() for line in found.stderr.splitlines()}
    assert not loaded & {"click", "lief", "elftools", "numpy", "pyasn1", "cryptography.x509"}
    assert (here / "m").read_bytes().startswith(MODULE)
    assert len((here / "m").read_bytes()) > len(MODULE)


def test_openssl_verifies_what_a_script_would_cut_out(here: Path) -> None:
    openssl = need("openssl")
    assert status(["-p", "sha512", "k", "c", "m", "signed"], "sign-file") == 0
    command = [openssl, "cms", "-verify", "-binary", "-inform", "DER", "-in", "m.p7s", "-content", "m"]
    command += ["-certfile", "c", "-noverify", "-out", "/dev/null"]
    subprocess.run(command, cwd=here, check=True, capture_output=True)
    assert (here / "signed").read_bytes()[len(MODULE) :].startswith((here / "m.p7s").read_bytes())
