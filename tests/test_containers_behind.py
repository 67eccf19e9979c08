"""Archives behind a program that unpacks them: nobody looks there, and kernel modules are delivered so."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import sys
import zipapp
from collections.abc import Callable
from pathlib import Path

import pytest

import corpus
from elfsig.containers.readers import bytes_reader
from tests.support import images
from tests.support.archives import tar
from tests.support.behind import TEXT, appimage, script
from tests.support.containers import taken
from tests.support.run import run

MODULE = corpus.content("amd64.pkcs7")
ARCHIVE = tar(drivers__a_ko=MODULE)


def outcome(data: bytes) -> tuple[list[bytes], list[tuple[str, str]]]:
    """The modules, and the faults by the kind of container; alike by a reader that cannot seek."""
    found = []
    for reader in (None, bytes_reader(data)):
        files, records = taken(data, reader=reader)
        modules = [content for name, content in files.items() if name.endswith(".ko")]
        found.append((modules, [(each.kind, each.error.code) for each in records if each.error is not None]))
    assert found[0] == found[1]
    return found[0]


PACKERS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, bz2.compress, lzma.compress]


@pytest.mark.parametrize("packer", PACKERS)
def test_a_script_before_an_archive(packer: Callable[[bytes], bytes]) -> None:
    assert outcome(script(packer(ARCHIVE))) == ([MODULE], [])
    long = TEXT + b"# as long as those of vendors are\n" * 1200
    assert outcome(script(packer(ARCHIVE), long)) == ([MODULE], [])


def test_a_path_leads_into_a_script(tmp_path: Path) -> None:
    path = tmp_path / "driver.run"
    path.write_bytes(script(gzip.compress(ARCHIVE)))
    result = run("survey", "--jsonl", tmp_path)
    (module,) = [each["path"] for each in result.files() if each["record"] == "module"]
    assert module == f"{path}!/@{len(TEXT)}!/drivers/a.ko"
    assert run("list", module).code == 0


def test_damage_behind_a_script_is_reported() -> None:
    whole = script(gzip.compress(ARCHIVE))
    assert outcome(whole[:-30])[1]
    assert ("gzip", "trailing-data") in outcome(whole + b"more")[1]


def test_a_script_that_is_encrypted_or_text_is_named() -> None:
    text = TEXT + b"# This script was generated using Makeself 2.5.0\n"
    assert outcome(text + b"U2FsdGVkX1+encrypted\n")[1] == [("script", "unsupported")]


def test_scripts_are_files_like_any_other() -> None:
    for text in (
        TEXT,
        b"#!/bin/sh\n",
        b"#!/usr/bin/perl\nprint 'PK';\n",
        TEXT + b"BZh is the mark of bzip2\n",
    ):
        assert taken(text)[1] == []


def test_an_application_of_python_is_read(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/__main__.py").write_text("print(1)\n")
    (tmp_path / "app/a.ko").write_bytes(MODULE)
    out = io.BytesIO()
    zipapp.create_archive(tmp_path / "app", out, sys.executable)
    assert outcome(out.getvalue()) == ([MODULE], [])


@pytest.mark.parametrize("wide", [True, False])
def test_an_appimage(wide: bool, tmp_path: Path) -> None:
    pytest.importorskip("dissect.squashfs")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a.ko").write_bytes(MODULE)
    images.squashfs(tmp_path / "tree", tmp_path / "image")
    image = (tmp_path / "image").read_bytes()
    assert outcome(appimage(image, wide=wide)) == ([MODULE], [])
    assert outcome(appimage(image, wide=wide)[:100]) == ([], [("appimage", "truncated")])
    assert outcome(appimage(b"unknown" * 20, wide=wide)) == ([], [("part", "unrecognised")])


def test_a_script_of_the_shell_finds_the_same(tmp_path: Path) -> None:
    path = tmp_path / "installer"
    path.write_bytes(script(gzip.compress(ARCHIVE)))
    path.chmod(0o755)
    subprocess.run([path], cwd=tmp_path, check=True)
    assert (tmp_path / "drivers/a.ko").read_bytes() == MODULE
