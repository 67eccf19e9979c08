"""``--for-kernel``: hash and coverage by the kernel that is to read the signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.errors import SigningError
from elfsig.kernels.select import choose
from elfsig.model import SignOptions
from elfsig.verbs.edit.sign import SignResult, sign
from tests.support.cli import elfsig
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
        ("redhat", "rhel5", {"hash": "sha256"}, "knows no sha256 here"),
    ],
)
def test_what_it_does_not_read_is_said(format_id: str, kernel: str, more: dict[str, str], why: str) -> None:
    made = signed(format_id, kernel, **more)
    assert next(r.text for r in made.remarks if r.code == "kernel-does-not-read").endswith(why)


def test_a_kernel_of_another_format_settles_nothing() -> None:
    with pytest.raises(SigningError, match="choose a coverage"):
        signed("note", "rhel5")


def test_on_the_command_line(tmp_path: Path) -> None:
    module = tmp_path / "m.ko"
    module.write_bytes(MODULE)
    args = ("sign", module, "--format", "pkcs7", "--key", KEY, "--cert", CERT, "-o", tmp_path / "out.ko")
    assert elfsig(*args, "--for-kernel", "6.1.0-54-amd64").code == 0
    assert elfsig(*args, "--for-kernel", "2.4.20").code == 2
