"""A developer: a checker written with the library, held by mypy and pyright, and a format of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import corpus
from tests.support.cli import environment
from tests.support.tools import need
from tests.walks.steps import Job

PACKAGE = Path(__file__).resolve().parents[1] / "plugin_package"
KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"

PROGRAM = '''\
"""Say of each file whether its signature is good, and sign what has none."""

import sys

import elfsig


def checked(path: str, trust: str) -> str:
    report = elfsig.verify(path, trust=trust)
    try:
        signature = report.require_valid()
    except elfsig.VerificationError as refused:
        return f"{path}: {refused.code}"
    return f"{path}: good, {signature.format}, by {signature.key.label if signature.key else 'nobody'}"


def signed(path: str, key: str, cert: str) -> bytes:
    signer = elfsig.open_signer(key, cert)
    return elfsig.sign(path, "pkcs7", signer, elfsig.SignOptions(hash="sha512")).content


if __name__ == "__main__":
    trust, key, *paths = sys.argv[1:]
    for each in paths:
        try:
            print(checked(each, trust))
        except elfsig.ElfsigError as reason:
            print(f"{each}: error {reason.code}")
    with open("signed-by-program.ko", "wb") as out:
        out.write(signed(paths[0], key, trust))
'''


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Signed, unsigned, malformed, and what is not a module at all."""
    contents = {
        "unsigned.ko": corpus.content("amd64-6.1.ko"),
        "signed.ko": corpus.content("amd64.pkcs7"),
        "changed.ko": corpus.content("content-changed"),
        "cut.ko": corpus.content("amd64.pkcs7")[:-1],
        "empty.ko": b"",
        "cert.ko": CERT.read_bytes(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [*contents, "missing.ko"]


def test_a_checker_and_its_types(files: list[str], tmp_path: Path) -> None:
    program = tmp_path / "check.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program, CERT, KEY, *files],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert said == {
        "unsigned.ko": "unsigned", "signed.ko": 'good, pkcs7, by THROW-AWAY test key signer',
        "changed.ko": "invalid", "cut.ko": "malformed", "empty.ko": "malformed",
        "cert.ko": "not-a-module", "missing.ko": "error not-found",
    }  # fmt: skip
    Job(tmp_path)("verify", "--trust", CERT, "signed-by-program.ko", says=("rsa-2048 sha512",))

    # mypy and pyright read the package's own types, and find the mistake that is planted.
    wrong = tmp_path / "wrong.py"
    wrong.write_text('import elfsig\n\nreport = elfsig.verify("m.ko")\nreport.verdict.upper()\n')
    for tool, words in (("mypy", ("--strict",)), ("pyright", ())):
        pytest.importorskip(tool)
        need("node") if tool == "pyright" else None
        for path, code in ((program, 0), (wrong, 1)):
            checked = subprocess.run(
                [sys.executable, "-m", tool, *words, path],
                cwd=tmp_path, env={**environment(), "MYPYPATH": environment()["PYTHONPATH"]},
                capture_output=True, text=True,
            )  # fmt: skip
            assert checked.returncode == code, checked.stdout + checked.stderr


def test_a_format_of_their_own(tmp_path: Path) -> None:
    """The example package, installed as a user does, and used by every verb."""
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(PACKAGE, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    job = Job(tmp_path, {"PYTHONPATH": f"{environment()['PYTHONPATH']}:{site}"})
    (tmp_path / "m.ko").write_bytes(corpus.content("amd64-6.1.ko"))
    job("formats", says=("seal",))
    sign = ("sign", "--format", "seal", "--key", KEY, "--cert", CERT, "-o", "sealed.ko", "m.ko")
    job(*sign, says=("seal signature made",))
    job("verify", "--trust", CERT, "sealed.ko", says=("valid: seal signature",))
    job("list", "sealed.ko", says=("seal",))
    found = json.loads(job("verify", "--json", "--trust", CERT, "sealed.ko").out)
    assert found["files"][0]["signatures"][0]["format"] == "seal"
    job("strip", "-o", "plain.ko", "sealed.ko")
    assert (tmp_path / "plain.ko").read_bytes() == (tmp_path / "m.ko").read_bytes()
    job("--no-plugins", "verify", "sealed.ko", code=1)
