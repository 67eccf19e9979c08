"""Symbolic links and special files in directories that ``survey`` is given: read, counted or named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import corpus
import elfsig
from tests.support.archives import tar
from tests.support.cli import validator
from tests.support.run import run

MODULE = corpus.content("amd64.pkcs7")
OTHER = corpus.content("amd64-2.6.39-uek.ko")
RELEASE = "6.1.0-9-amd64"
PLAIN = corpus.content("amd64-6.1.ko")
NAMES = (b"alphaa", b"bravoo", b"deltaa")
ALPHA, BRAVO, DELTA = (PLAIN.replace(b"name=sample", b"name=" + name) for name in NAMES)
PLACE = f"lib__modules__{RELEASE}__kernel__".replace(".", "_")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "good.ko").write_bytes(MODULE)
    return folder


def test_links_out_of_a_directory_are_followed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "a.ko").write_bytes(OTHER)
    (tmp_path / "t.tar").write_bytes(tar(b_ko=OTHER))
    (tmp_path / "data").write_bytes(tar(c_ko=OTHER))
    for name, target in (("a.ko", "../a.ko"), ("t.tar", "../t.tar"), ("p.deb", "../data"), ("x", "../a.ko")):
        (tree / name).symlink_to(target)
    done = run("survey", tree)
    assert done.code == 1
    for path in ("a.ko", "t.tar!/b.ko", "p.deb!/c.ko"):
        assert f"{tree}/{path}: unsigned: no trace of a signature" in done.out
    assert "4 symbolic links to files, 1 of them examined anyway" in done.err
    assert done.err.count("leads outside") + done.err.count("lead outside") == 1
    found = [each.path for each in elfsig.survey(str(tree)) if isinstance(each, elfsig.ModuleRecord)]
    assert len(found) == 4


def test_links_that_are_not_followed_are_counted(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    (tmp_path / "text").write_bytes(b"text")
    links = {"d": "../else", "gone.ko": "nothing", "loop.ko": "loop.ko", "null.ko": "/dev/null"}
    links["t"] = "../text"
    for name, target in {**links, "build": "../else", "same.ko": "good.ko", "here": ".", "no": "no"}.items():
        (tree / name).symlink_to(target)
    done = run("survey", tree)
    assert f"{len(links)} symbolic links not followed: " in done.err
    assert all(f"{tree}/{name} -> {target} (" in done.err for name, target in links.items())
    document = json.loads(run("survey", "--json", tree).out)
    validator().validate(document)
    assert document["links"]["not_followed"]["count"] == len(links)
    assert {each["why"] for each in document["links"]["not_followed"]["first"]} == {
        "directory", "missing", "loop", "special", "other",
    }  # fmt: skip


def test_special_files_with_the_names_of_modules(tree: Path) -> None:
    os.mkfifo(tree / "f.ko")
    os.mkfifo(tree / "pipe")
    done = run("survey", tree)
    assert done.code == 5 and f"{tree}/f.ko: not read (not-a-regular-file)" in done.out + done.err
    assert "pipe" not in done.out + done.err


def pool(tmp_path: Path) -> Path:
    """A mirror whose package is a link into a pool."""
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "x.tar").write_bytes(tar(**{f"{PLACE}alphaa_ko": ALPHA, f"{PLACE}bravoo_ko": BRAVO}))
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "x.tar").symlink_to("../pool/x.tar")
    return mirror


def test_a_vendor_of_links(tmp_path: Path) -> None:
    mirror = pool(tmp_path)
    own = tmp_path / "own.tar"
    own.write_bytes(tar(**{f"{PLACE}alphaa_ko": ALPHA, f"{PLACE}deltaa_ko": DELTA}))
    done = run("survey", own, "--against", mirror)
    assert done.code == 1 and "1 same, 1 unknown, 1 missing" in done.err
    for target in ("nothing.deb", "../pool"):
        (mirror / "y.deb").symlink_to(target)
        done = run("survey", own, "--against", mirror)
        assert " unknown" not in done.err and " missing" not in done.err.replace("what is missing", "")
        assert "a link that leads to" in done.out + done.err
        records = list(elfsig.against(str(own), str(mirror)))
        assert not any(getattr(each, "relation", None) == "missing" for each in records)
        (mirror / "y.deb").unlink()


def test_nothing_is_missing_where_a_link_was_not_followed(tmp_path: Path) -> None:
    mirror = pool(tmp_path)
    own = tmp_path / "own" / "lib" / "modules" / RELEASE / "kernel"
    own.mkdir(parents=True)
    (own / "alphaa.ko").write_bytes(ALPHA)
    given = tmp_path / "own"
    assert "1 missing" in run("survey", given, "--against", mirror).err
    (own / "extra").symlink_to(tmp_path / "pool")
    assert "1 missing" not in run("survey", given, "--against", mirror).err
    assert not any(
        getattr(each, "relation", None) == "missing" for each in elfsig.against(str(given), str(mirror))
    )
