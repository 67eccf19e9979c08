"""``elfsig digest``: digests, exact streams, and which signature is left out."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from elfsig.carriers.trailer import MARKER
from elfsig.errors import UsageError
from elfsig.registry import load
from elfsig.verbs.inspect.digest import chosen, streams
from tests.support.cli import environment, validator
from tests.support.opened import opened
from tests.support.run import run
from tests.support.vectors import ROOT, read, vector, vectors

MODULES = ROOT / "modules"
FILES = [v for v in vectors() if v["module"]["source"] == "file" and "stream" in v]


@pytest.mark.parametrize("entry", [pytest.param(v, id=v["id"]) for v in FILES])
def test_the_signature_is_found_and_left_out(entry: dict[str, dict[str, object]]) -> None:
    content = read(str(entry["module"]["path"]))
    (found,) = streams(opened(content, load(False)), str(entry["coverage"]))
    assert found.message is not None
    assert hashlib.sha256(found.message.to_bytes()).hexdigest() == entry["stream"]["sha256"]
    assert found.place is not None
    assert found.place.index == entry["section"]["index"]


def test_one_coverage_is_a_line_of_sha256sum(tmp_path: Path) -> None:
    entry = vector("rh-i386-dsa-v3")
    path, stream = MODULES / "rh-i386-dsa-v3.ko", tmp_path / "stream"
    ran = run("digest", path, "--coverage", "fileorder", "-o", stream)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{entry['stream']['sha256']}  {path}\n"
    assert stream.read_bytes() == read(entry["stream_file"])
    ran = run("digest", path, "--coverage", "fileorder", "--hash", "SHA1")
    assert ran.out.split()[0] == entry["stream"]["sha1"]


def test_stream_on_stdout() -> None:
    """And nothing but the stream."""
    command = [sys.executable, "-m", "elfsig", "digest", "--coverage", "textdata", "-o", "-"]
    path = MODULES / "gkh-snap-i386-rsa-v3.ko"
    done = subprocess.run([*command, path], capture_output=True, env=environment(), check=True)
    assert done.stdout == read(vector("gkh-snap-i386-rsa-v3")["stream_file"])
    assert not done.stderr


def test_all_that_apply() -> None:
    lines = run("digest", MODULES / "note-sorted-amd64-dsa.ko").out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "Coverage", "textdata", "textdata-fc2", "textdata-2003", "fileorder", "fileorder-nobuildid",
        "sorted", "sorted-2012", "whole-file",
    ]  # fmt: skip
    stream = vector("note-sorted-amd64-dsa")["stream"]
    assert lines[6].split()[1:3] == [str(stream["length"]), stream["sha256"]]
    assert [line.endswith("] .note.module.sig") for line in lines[1:]] == [False] * 3 + [True] * 4 + [False]


def test_json_is_held_by_the_schema() -> None:
    ran = run("digest", MODULES / "edge-rh-amd64.ko", "--json", "--reproducible")
    document = json.loads(ran.out)
    validator().validate(document)
    assert ran.err == ""
    by_name = {each["coverage"]: each for each in document["digests"]}
    assert by_name["fileorder"]["without"]["section"] == ".module_sig"
    assert by_name["fileorder"]["layer"] == 0
    assert [w["code"] for w in by_name["fileorder"]["warnings"]] == ["heap-dependent-kernels"]
    assert by_name["sorted"]["without"] is None


def signed_twice(content: bytes) -> bytes:
    """Two stacked trailers; what is in them does not matter here."""
    for blob in (b"inner", b"the outer"):
        content += blob + bytes([0, 0, 2, 0, 0, 0, 0, 0]) + len(blob).to_bytes(4, "big") + MARKER
    return content


def test_stacked_trailers_need_a_choice() -> None:
    content = read("unsigned/toyA-64.ko")
    twice = signed_twice(content)
    registry = load(False)
    outer, inner = streams(opened(twice, registry), "whole-file")
    assert outer.message is not None
    assert inner.message is not None
    assert inner.message.to_bytes() == content
    assert twice.startswith(outer.message.to_bytes())
    assert outer.message.size > len(content)
    assert chosen([outer, inner], 1) is inner
    with pytest.raises(UsageError, match="at the layers 0, 1") as caught:
        chosen([outer, inner], None)
    assert caught.value.hint == "layer"
    with pytest.raises(UsageError, match="at layer 7"):
        chosen([outer, inner], 7)
    (sections,) = streams(opened(twice, registry), "sorted")
    (bare,) = streams(opened(content, registry), "sorted")
    assert sections.message is not None
    assert bare.message is not None
    assert sections.message.to_bytes() == bare.message.to_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--coverage", "sortde"], "unknown coverage 'sortde': choose from"),
        (["-o", "x"], "-o and --layer need --coverage"),
        (["--hash", "md17"], "unknown hash 'md17'"),
    ],
)
def test_usage(arguments: list[str], words: str) -> None:
    ran = run("digest", MODULES / "rh-i386-dsa-v3.ko", *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert not ran.out


def test_never_replaces_its_input(tmp_path: Path) -> None:
    path = tmp_path / "m.ko"
    path.write_bytes(read("modules/rh-i386-dsa-v3.ko"))
    ran = run("digest", path, "--coverage", "fileorder", "-o", path)
    assert ran.code == 2
    assert path.read_bytes() == read("modules/rh-i386-dsa-v3.ko")


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    """A file that is no ELF has only itself; a damaged one says why there is no stream."""
    script, cut = tmp_path / "script", tmp_path / "cut.ko"
    script.write_bytes(b"#!/bin/sh\n")
    cut.write_bytes(read("modules/rh-i386-dsa-v3.ko")[:900])
    ran = run("digest", script)
    assert (ran.code, ran.out.split()[0]) == (0, hashlib.sha256(b"#!/bin/sh\n").hexdigest())
    ran = run("digest", cut)
    assert ran.code == 1
    assert "section header table" in ran.out
    assert hashlib.sha256(cut.read_bytes()).hexdigest() in ran.out
    ran = run("digest", cut, "--coverage", "sorted")
    assert ran.code == 1
    assert f"{cut}: section header table" in ran.err
    assert run("digest", tmp_path / "none").code == 5
