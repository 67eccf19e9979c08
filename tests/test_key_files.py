"""Files of keys and certificates that cannot be read: wrong usage, whatever asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

import corpus
from tests.support.run import run

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
MODULE = corpus.SAMPLES / "amd64-6.1.ko"
SIGN = ("sign", MODULE, "--format", "pkcs7", "--dry-run")


@pytest.mark.parametrize(
    "words",
    [
        (*SIGN, "--key", "{none}", "--cert", CERT),
        (*SIGN, "--key", KEY, "--cert", "{none}"),
        (*SIGN, "--signer-command", "true", "--cert", "{none}"),
        ("verify", MODULE, "--trust", "{none}"),
        ("convert", MODULE, "--to", "x509", "--unverified", "--dry-run", "--key", "{none}", "--cert", CERT),
    ],
)
def test_a_missing_file_of_a_key_is_wrong_usage(words: tuple[str | Path, ...], tmp_path: Path) -> None:
    none = str(tmp_path / "none.pem")
    ran = run(*(str(word).format(none=none) for word in words))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"elfsig: {none}: no such file")


@pytest.mark.parametrize("option", ["--key", "--cert"])
def test_so_is_one_that_cannot_be_read_or_is_too_large(option: str, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes((1 << 20) + 1))
    for path, why in ((tmp_path, "is a directory"), (large, "too large for a key or certificate")):
        files = {"--key": KEY, "--cert": CERT, option: path}
        ran = run(*SIGN, *(str(word) for pair in files.items() for word in pair))
        assert (ran.code, ran.err) == (2, f"elfsig: {path}: {why}\n")


def test_sign_file_ends_as_the_kernel_s_does(tmp_path: Path) -> None:
    assert run("sign-file", "sha256", tmp_path / "none.pem", CERT, MODULE, tmp_path / "out.ko").code == 1
