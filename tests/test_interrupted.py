"""Runs over many files that end early: the user interrupts, or the signer keeps failing."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import corpus
from elfsig.batch.outage import FAILURES
from elfsig.errors import SigningError
from tests.support.cli import environment
from tests.support.run import run

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
PKCS7 = ("--format", "pkcs7")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Forty modules without a signature."""
    folder = tmp_path / "tree"
    folder.mkdir()
    first = folder / "m00.ko"
    first.write_bytes((corpus.SAMPLES / "amd64-6.1.ko").read_bytes())
    assert run("strip", "--all", "--in-place", first).code == 0
    for number in range(1, 40):
        (folder / f"m{number:02}.ko").write_bytes(first.read_bytes())
    return folder


def service(folder: Path, *, good: int = 0, delay: float = 0) -> Path:
    """A signing command that signs its first ``good`` digests, fails for the others, and counts its calls."""
    script = folder / "service"
    script.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys, subprocess, time\n"
        f"calls = pathlib.Path({str(folder / 'calls')!r})\n"
        "with calls.open('a') as stream: stream.write('x')\n"
        f"time.sleep({delay})\n"
        f"if len(calls.read_text()) > {good}: sys.exit('the service is down')\n"
        "digest = sys.stdin.buffer.read()\n"
        f"made = subprocess.run(['openssl', 'pkeyutl', '-sign', '-inkey', {str(KEY)!r},\n"
        "    '-pkeyopt', 'digest:sha256'], input=digest, capture_output=True, check=True)\n"
        "sys.stdout.buffer.write(made.stdout)\n"
    )
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("good", [0, 5])
def test_a_failing_service_is_asked_for_a_few_files_only(good: int, tree: Path, tmp_path: Path) -> None:
    command = service(tmp_path, good=good)
    how = (*PKCS7, "--signer-command", command, "--cert", CERT, "--in-place", "-j", "1")
    ran = run("sign", *how, tree)
    assert ran.code == 1
    assert len((tmp_path / "calls").read_text()) == good + 3
    assert ran.err.count("the service is down") == 3
    assert "the signer failed for 3 files in a row: the rest was not tried; run it again to go on" in ran.err
    words = f"{good + 3} files: 3 failed" + (f", {good} signed" if good else "")
    assert words in ran.err
    (tmp_path / "calls").unlink()
    again = service(tmp_path, good=99)
    assert run("sign", *PKCS7, "--signer-command", again, "--cert", CERT, "--in-place", tree).code == 0
    assert len((tmp_path / "calls").read_text()) == 40 - good  # what was signed is not signed again
    assert run("verify", "--trust", CERT, tree).code == 0


@pytest.mark.parametrize("options", [
    ("--format", "note", "--coverage", "sorted", "--key", "{dsa}"),
    ("--format", "gkh", "--payload", "cms", "--key", "{dsa}"),
    ("--format", "redhat", "--hash", "sha512", "--key", "{dsa}"),
    ("--format", "x509", "--hash", "sm3", "--key", str(KEY), "--cert", str(CERT)),
])  # fmt: skip
def test_a_key_or_an_option_that_no_file_can_be_signed_with_is_refused_a_few_times_only(
    options: Sequence[str], tree: Path, tmp_path: Path
) -> None:
    key = tmp_path / "dsa.pem"
    private = dsa.generate_private_key(2048)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    words = [word.format(dsa=key) for word in options]
    ran = run("sign", *words, "--output-dir", tmp_path / "out", "-j", "1", tree)
    assert ran.code == 1 and not (tmp_path / "out").exists()
    assert "3 files: 3 failed" in ran.err
    assert "the key or the options were refused for 3 files in a row: the rest was not tried" in ran.err


def test_each_refusal_of_a_request_is_known_as_one() -> None:
    """Errors about the key and the options, from where signatures are made."""
    found = set()
    for folder in (Path("elfsig/envelopes"), Path("formats/elfsig_formats")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for call in ast.walk(ast.parse(path.read_text())):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "SigningError":
                    codes = [ast.literal_eval(word.value) for word in call.keywords if word.arg == "code"]
                    found.update(codes or [SigningError.default_code])
    of_each_file = {"coverage-needed"}  # it depends on the module's vermagic
    refused = next(failure.codes for failure in FAILURES if failure.code == "request-refused")
    assert len(found) > 5 and found - of_each_file <= refused


def test_files_that_fail_for_their_own_sake_do_not_end_a_run(tree: Path) -> None:
    for number in range(10):
        (tree / f"m{number:02}.ko").write_bytes(b"")
    ran = run("sign", *PKCS7, "--key", KEY, "--cert", CERT, "--in-place", tree)
    assert ran.code == 1 and "40 files: 10 failed, 30 signed" in ran.err


def test_an_interrupted_run_says_how_to_go_on(tree: Path, tmp_path: Path) -> None:
    command = service(tmp_path, good=99, delay=0.2)
    words = [sys.executable, "-m", "elfsig", "sign", *PKCS7, "--signer-command", str(command)]
    words += ["--cert", str(CERT), "--in-place", "-j", "1", str(tree)]
    started = subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    calls, deadline = tmp_path / "calls", time.monotonic() + 60
    while not (calls.exists() and len(calls.read_text()) >= 3):
        assert time.monotonic() < deadline and started.poll() is None
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "interrupted: what was done is kept; run it again to go on with the rest" in err
    assert "Traceback" not in err and out.count("signature made") >= 1
    left = sorted(path.name for path in tree.iterdir())
    assert len(left) == 40  # and no half-written file
    assert run("sign", *PKCS7, "--key", KEY, "--cert", CERT, "--in-place", tree).code == 0
    assert run("verify", "--trust", CERT, tree).code == 0
