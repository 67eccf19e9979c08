"""``--for-kernel``: hash and coverage by the kernel that is to read the signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import corpus
from elfsig.errors import SigningError
from elfsig.kernels.select import choose
from elfsig.model import SignOptions
from elfsig.signers import open_signer
from elfsig.verbs.edit.sign import SignResult, sign
from tests.support.cli import elfsig
from tests.support.cms import issued, private
from tests.support.opened import opened
from tests.support.signed import CERT, KEY, REGISTRY, signer

MODULE = corpus.content("amd64-6.1.ko")


def signed(format_id: str, kernel: str, **more: Any) -> SignResult:
    options = SignOptions(kernel=choose(kernel).profile, created=0, force=True, **more)
    return sign(opened(MODULE), REGISTRY.get(format_id), signer(), options)


@pytest.mark.parametrize(
    ("format_id", "kernel", "coverage", "hash_name"),
    [
        ("note", "rhel6-late", "sorted", "sha1"),
        ("note", "2.6.39-400.17.1.el6uek", "fileorder-nobuildid", "sha1"),
        ("note", "uek2", "fileorder", "sha1"),
        ("redhat", "rhel5", "fileorder", "sha1"),
        ("gkh", "fc2", "textdata", "sha1"),
        ("pkcs7", "6.1.0-54-amd64", "whole-file", "sha256"),
    ],
)
def test_what_a_kernel_reads_is_chosen(format_id: str, kernel: str, coverage: str, hash_name: str) -> None:
    made = signed(format_id, kernel)
    assert (made.coverage, made.hash) == (coverage, hash_name)
    assert "kernel-does-not-read" not in [r.code for r in made.remarks]


@pytest.mark.parametrize(
    ("format_id", "kernel", "more", "why"),
    [
        ("note", "rhel5", {"coverage": "sorted"}, "looks for redhat only, not for note"),
        ("note", "rhel6-late", {"coverage": "fileorder"}, "computes sorted, not fileorder"),
        ("note", "rhel6-late", {"hash": "sha512"}, "knows no sha512 here"),
        ("redhat", "rhel5", {"hash": "sha256"}, "knows no sha256 here"),
    ],
)
def test_what_it_does_not_read_is_said(format_id: str, kernel: str, more: dict[str, str], why: str) -> None:
    made = signed(format_id, kernel, **more)
    assert next(r.text for r in made.remarks if r.code == "kernel-does-not-read").endswith(why)


@pytest.mark.parametrize(
    ("format_id", "kernel", "said"),
    [
        ("x509", "3.7", ["Linux 3.7 to 3.12 does not load this key: its certificate is signed with ecdsa"]),
        ("x509", "rhel7", ["Red Hat Enterprise Linux 7, CentOS 7, OpenVZ 7 does not load this key: its"]),
        ("pkcs7", "4.3", ["Linux 4.3 to 4.6 does not load this key: its certificate is signed with ecdsa"]),
        ("pkcs7", "6.1", []),
        ("pkcs7", None, []),
        ("pkcs7", "3.7", []),  # what it does not look for is said, and nothing else
        ("crypto-digsig", None, []),
    ],
)
def test_a_certificate_that_is_not_loaded_is_said(
    format_id: str, kernel: str | None, said: list[str], tmp_path: Path
) -> None:
    """An RSA key whose certificate was issued by a key that old kernels do not know."""
    who = issued(private("rsa"), "leaf", issued(private("p256"), "ECDSA root"), ca=False)
    key, certificate = tmp_path / "k.pem", tmp_path / "k.der"
    key.write_bytes(who.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_bytes(who.certificate)
    signer = open_signer(str(key), str(certificate))
    options = SignOptions(kernel=choose(kernel).profile if kernel else None, created=0, force=True)
    remarks = sign(opened(MODULE), REGISTRY.get(format_id), signer, options).remarks
    found = [r.text for r in remarks if r.code == "kernel-does-not-load-key"]
    assert len(found) == len(said) and all(map(str.startswith, found, said))
    if (format_id, kernel) == ("pkcs7", "3.7"):
        assert "kernel-does-not-read" in [r.code for r in remarks]


def test_a_kernel_of_another_format_settles_nothing() -> None:
    with pytest.raises(SigningError, match="choose a coverage"):
        signed("note", "rhel5")


def test_on_the_command_line(tmp_path: Path) -> None:
    module = tmp_path / "m.ko"
    module.write_bytes(MODULE)
    args = ("sign", module, "--format", "pkcs7", "--key", KEY, "--cert", CERT, "-o", tmp_path / "out.ko")
    assert elfsig(*args, "--for-kernel", "6.1.0-54-amd64").code == 0
    assert elfsig(*args, "--for-kernel", "2.4.20").code == 2
