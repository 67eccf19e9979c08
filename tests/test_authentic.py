"""Modules that were really shipped, which this project has never had for the ELF-section eras.

Whoever has a package of RHEL 4 to 6, Fedora Core 2 to 6 or Oracle's UEK2 can run these checks over it:

    rpm2cpio kernel-2.6.18-8.el5.i686.rpm | (mkdir el5 && cd el5 && cpio -idm)
    ELFSIG_AUTHENTIC=el5 ELFSIG_AUTHENTIC_KEYS=el5/boot/vmlinuz-2.6.18-8.el5 \\
        python -m pytest tests/test_authentic.py

The keys (a kernel image, a key ring, or several with colons between) are optional. The report at the end
holds no more than counts, key ids and names of modules; send it in, whether or not something failed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import corpus
from elfsig.envelopes.openpgp.make import make_ring
from elfsig.model import SignOptions
from elfsig.trust.entries import Material
from elfsig.trust.openpgp import read
from elfsig.trust.ring import Ring
from elfsig.verbs.edit.sign import sign
from tests.support import authentic
from tests.support.notes import Note
from tests.support.opened import opened
from tests.support.openpgp import signer

NO_KEYS = Ring(Material(()))
OURS = Ring(Material(tuple(read(make_ring(signer("dsa1024"), "Test"), "ring", "user", True))))


def test_authentic_modules(note: Note) -> None:
    given = authentic.asked()
    if given is None:
        pytest.skip(f"opt-in: set {authentic.DIRECTORY} to a directory of modules as they were shipped")
    paths, keys = given
    assert paths, "no module in that directory"
    checked = list(authentic.check(paths, keys))
    for line in authentic.report_lines(checked):
        note(f"authentic: {line}")
    assert not [each for each in checked if each.problems]


# --------------------------------------------------------------------------- the checks themselves

SIGNED = {
    "el5/ipv6.ko": ("i386-2.6.18-el5.ko", "redhat", "fileorder"),
    "el6/ext4.ko": ("amd64-2.6.32-el6.ko", "note", "sorted"),
    "uek/xfs.ko": ("amd64-2.6.39-uek.ko", "note", "fileorder-nobuildid"),
    "fc2/floppy.ko": ("i386-2.6.5-fc2.ko", "gkh", "textdata"),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A stand-in for the real thing: samples signed as then, and an unsigned one."""
    for name, (sample, format_id, coverage) in SIGNED.items():
        path = tmp_path / name
        path.parent.mkdir()
        wish = SignOptions(coverage=coverage)
        formats = authentic.REGISTRY
        made = sign(opened(corpus.content(sample), formats), formats.get(format_id), signer("dsa1024"), wish)
        path.write_bytes(made.content)
    (tmp_path / "plain.ko").write_bytes(corpus.content("amd64-6.1.ko"))
    return tmp_path


@pytest.mark.parametrize("keys", [NO_KEYS, OURS], ids=["no-keys", "keys"])
def test_the_checks_tell_the_coverage_with_and_without_the_key(tree: Path, keys: Ring) -> None:
    checked = list(authentic.check(authentic.modules(str(tree)), keys))
    assert not [each.problems for each in checked if each.problems]
    lines = list(authentic.report_lines(checked))
    assert lines[0] == "5 files, 0 with problems"
    for _, format_id, coverage in SIGNED.values():
        assert any(line.endswith(f"signature: {format_id} over {coverage}") for line in lines)
    assert f"{4:6} verdict: {'unknown-key' if keys is NO_KEYS else 'valid'}" in lines
    assert f"{1:6} verdict: unsigned" in lines


@pytest.mark.parametrize("keys", [NO_KEYS, OURS], ids=["no-keys", "keys"])
def test_the_checks_find_a_stream_that_was_not_signed(tree: Path, keys: Ring) -> None:
    path = tree / "el5" / "ipv6.ko"
    content = bytearray(path.read_bytes())
    content[0x40] ^= 1  # in .text
    path.write_bytes(content)
    (tree / "uek" / "xfs.ko").write_bytes(b"\x7fELF")
    checked = list(authentic.check(authentic.modules(str(tree)), keys))
    wrong = {Path(each.path).name for each in checked if each.problems}
    assert wrong == {"ipv6.ko", "xfs.ko"}
    assert sum(line.startswith("PROBLEM ") for line in authentic.report_lines(checked)) == 2


def test_directory_and_keys_come_from_the_environment(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(authentic.DIRECTORY, raising=False)
    assert authentic.asked() is None
    ring = tree / "ring.gpg"
    ring.write_bytes(make_ring(signer("dsa1024"), "Test"))
    monkeypatch.setenv(authentic.DIRECTORY, str(tree))
    monkeypatch.setenv(authentic.KEYS, str(ring))
    given = authentic.asked()
    assert given is not None
    assert (len(given[0]), len(given[1].keys)) == (5, 1)
