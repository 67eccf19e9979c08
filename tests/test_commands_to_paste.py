"""Commands that elfsig prints are pasted into a shell: a name in them must stay a name."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

import corpus
from elfsig.cli.commands.dkms import _tell_next
from elfsig.host.commands import argument, enrolling, operand, to_paste
from elfsig.host.dkms import Setup
from tests.support.run import run
from tests.support.tools import need
from tests.support.verdicts import RSA

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
NAMES = [
    "x;touch hit",
    "$(touch hit)",
    "`touch hit`",
    "a b",
    "a'b",
    "-x",
    "*",
    "%s",
    "~x",
    "x&touch hit",
    "é",
]


def arguments(line: str, folder: Path) -> list[str]:
    """What a shell makes of a line, where every program only prints its arguments."""
    shell = 'p() { printf "%s\\n" "$@"; }; sudo() { p "$@"; }; mokutil() { p "$@"; }; elfsig() { p "$@"; };'
    ran = subprocess.run(["sh", "-c", shell + line], cwd=folder, capture_output=True, text=True, check=True)
    assert not (folder / "hit").exists(), line
    return ran.stdout.splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stays_a_name(name: str, tmp_path: Path) -> None:
    line = to_paste(["sudo", "insmod", argument(tmp_path / name)])
    assert line is not None and arguments(line, tmp_path) == ["insmod", str(tmp_path / name)]


@pytest.mark.parametrize("name", ["x\ny", "x\x1b[31my", "n\udcff", "a\tb", "a\u202eb", "\r"])
def test_a_name_that_cannot_be_shown_is_in_no_command(name: str) -> None:
    assert to_paste(["sudo", "insmod", name]) is None


@pytest.mark.parametrize("name", NAMES)
def test_keys_generate_and_certificate(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("keys", "generate", "--type", "rsa2048", "-o", name)
    assert ran.code == 0, ran.err
    lines = ran.out.partition("next:\n")[2].splitlines()
    assert len(lines) == 3
    for line in lines:
        words = arguments(line, tmp_path)
        named = [word for word in words if word.endswith((".der", ".key", ".crt"))]
        assert named and all((tmp_path / word).is_file() for word in named), line
    ran = run("keys", "certificate", "--key", KEY, "--name", "x", "-o", f"{name}2")
    for line in ran.out.partition("next:\n")[2].splitlines():
        named = [word for word in arguments(line, tmp_path) if word.endswith((".der", ".crt"))]
        assert named and all((tmp_path / word).is_file() for word in named), line


def test_a_name_of_control_characters_is_not_offered_to_a_shell(tmp_path: Path) -> None:
    ran = run("keys", "generate", "--type", "rsa2048", "-o", tmp_path / "a\x1b[2Jb")
    assert ran.code == 0 and "cannot be printed" in ran.out and "mokutil" not in ran.out


@pytest.mark.parametrize("name", NAMES)
def test_the_certificate_to_enrol_is_in_der(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    der, pem = folder / "c.der", folder / "p.pem"
    der.write_bytes(RSA.certificate)
    pem.write_bytes(RSA.parsed.public_bytes(Encoding.PEM))
    assert arguments(to_paste(*enrolling(str(der))) or "", tmp_path) == ["mokutil", "--import", str(der)]
    convert, enrol = enrolling(str(pem))
    subprocess.run([need(convert[1]), *convert[2:]], check=True)
    assert Path(enrol[-1]).read_bytes() == RSA.certificate
    assert " && " in (to_paste(convert, enrol) or "")
    other = enrolling(str(pem))
    assert other[1][-1] != enrol[-1], "a file that is there is not overwritten"


def test_dkms_setup_names_its_certificate_for_a_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "x;touch hit"
    folder.mkdir()
    for path in (KEY, CERT):
        (folder / path.name).write_bytes(path.read_bytes())
    wish = Setup(
        str(folder / KEY.name), str(folder / CERT.name), "/usr/bin/elfsig-sign-file", "/usr/bin/elfsig"
    )
    _tell_next(Path("/"), wish)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "mokutil" in line]
    said = shlex.split(line)
    assert str(folder / CERT.name) in said and said[-2] == "--import" and said[-1].endswith(".der")
    assert operand("-x") == "./-x"


def test_dkms_setup_below_a_root_has_no_command_for_this_machine(tmp_path: Path) -> None:
    """The key would be enrolled in the machine that examines the other one."""
    ran = run("dkms", "setup", "--root", tmp_path, "--force", "--key", KEY, "--cert", CERT)
    assert ran.code == 0 and "next: in that system, enrol the certificate" in ran.err
    assert "mokutil" not in ran.err and "not there in the system at" in ran.err
