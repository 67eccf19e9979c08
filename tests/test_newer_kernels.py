"""Releases newer than all that was looked at: the nearest row responds, and this is said to be a guess."""

from __future__ import annotations

from pathlib import Path

import pytest

import corpus
from elfsig.kernels.catalogue import MAINLINE, PROFILES
from elfsig.kernels.profile import Profile
from elfsig.kernels.select import choose, for_module, for_release
from elfsig.model import Basis
from tests.support.cli import elfsig

SAMPLE = corpus.SAMPLES / "amd64-6.1.ko"

NEWER = {
    "8.4.0": ("7.2", "7.3"),
    "7.4.0-rc1": ("7.2", "7.3"),
    "99.1": ("7.2", "7.3"),
    "7.9.1+deb15-amd64": ("debian-7.2", "7.3"),
    "7.4.2-0.bpo.1-amd64": ("debian-7.2", "7.3"),
    "7.2.0-5-generic": ("ubuntu-7.0", "7.0"),
    "7.1.3-200.fc45.x86_64": ("fedora-7.0", "7.0"),
    "7.3.1-2-pve": ("proxmox-7.0", "7.0"),
    "9.0.3-1-default": ("sles-7.2", "7.3"),
    "7.8.0-12.34.amzn2027.x86_64": ("amazon-7.2", "7.3"),
    "6.12.30-android16-5-g0123456789ab": ("android-gki", "6.6"),
    "6.6.87.2-microsoft-standard-WSL2": ("wsl2", "5.15"),
    "7.9.0-zen1-1-zen": ("7.2", "7.3"),
}


@pytest.mark.parametrize("release", NEWER)
def test_a_release_beyond_all_that_was_looked_at(release: str) -> None:
    name, newest = NEWER[release]
    row = for_release(release)
    assert (row.id, row.basis) == (name, Basis.RECALLED)
    assert row.caveat is not None and f"{release} is newer than Linux {newest}, the newest" in row.caveat
    assert release in row.title and any(f"after Linux {newest}" in fact for fact in row.recalled)
    chosen = choose(release).profile
    assert chosen is not None and for_module(f"{release} SMP").caveat == row.caveat == chosen.caveat


@pytest.mark.parametrize(
    "row", [row for row in PROFILES.values() if row.releases.examples], ids=lambda r: r.id
)
def test_what_was_looked_at_is_no_guess(row: Profile) -> None:
    for example in row.releases.examples:
        assert for_release(example).caveat is None


def test_later_releases_of_the_newest_are_known() -> None:
    for release in ("7.3.99", "7.3.0-rc1", "7.3.9+deb14-amd64"):
        assert for_release(release).caveat is None
    assert MAINLINE[-1].releases.newest == (7, 3)
    assert for_release("5.18.3").caveat is None, "older ones are other rows"


def test_two_things_that_are_not_known() -> None:
    caveat = for_release("7.9.0-zen1-1-zen").caveat
    assert caveat is not None and "a vendor's kernel" in caveat and "newer than Linux 7.3" in caveat


def test_every_command_says_it(tmp_path: Path) -> None:
    said = "8.4.0 is newer than Linux 7.3"
    for words in (("explain", SAMPLE, "--kernel", "8.4.0"), ("verify", SAMPLE, "--kernel", "8.4.0")):
        assert said in " ".join(elfsig(*words).out.split()), words
        answer = elfsig(*words, "--jsonl").files()[0]["kernel"]
        assert answer["basis"] == "recalled" and any(said in note for note in answer["notes"])
    for more in ((), ("--json",)):
        assert said in " ".join(elfsig("kernels", "8.4.0", *more).out.split())
        assert said not in elfsig("kernels", "7.2", *more).out
    made = elfsig("keys", "generate", "-o", tmp_path / "key", "--for-kernel", "8.4.0")
    assert said in made.err
    listed = elfsig("keys", "list", tmp_path / "key.der", "--for-kernel", "8.4.0")
    assert said in listed.err
    key = ("--key", tmp_path / "key.key", "--cert", tmp_path / "key.der")
    signed = elfsig(
        "sign", SAMPLE, "--format", "pkcs7", *key, "-o", tmp_path / "m.ko", "--for-kernel", "8.4.0"
    )
    assert said in " ".join((signed.out + signed.err).split())
