"""Files that cannot be read from some offset on, by every command: an error that names the file and the
offset, never a verdict; whatever else there is, is judged as on a good disk."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig
from tests.linear.elf import Part, elf
from tests.support.cli import Ran
from tests.support.run import run
from tests.world.broken_disk import PAGE, Broken, broken_disk
from tests.world.places import in_child
from tests.world.verbs import SIGN, TRUST, plain, signed

OFFSETS = (0, 1, PAGE, 3 * PAGE + 7, 150_000, 300_000)
"""In the header, in the first pages, among the sections, and in the signature at the end of the file."""


@cache
def large() -> bytes:
    """A signed module of more than one read ahead, which ends just after the last of OFFSETS."""
    fields = b"name=large\0vermagic=6.1.0 SMP mod_unload \0"
    content = elf([Part(".modinfo", fields), Part(".gnu.linkonce.this_module", bytes(299_000))])
    return elfsig.sign(content, "pkcs7", elfsig.open_signer(*(SIGN[1], SIGN[3]))).content


def bad(offset: int) -> str:
    return f"tree/bad{offset:06}.ko"


@cache
def files(broken: bool = True) -> Mapping[str, Broken]:
    """A tree with good modules before and after those that cannot be read; the same on a good disk."""
    found = {"tree/a-good.ko": Broken(signed())}
    found |= {bad(each): Broken(large(), each if broken else None) for each in OFFSETS}
    return found | {"tree/z-good.ko": Broken(plain())}


READING = {
    "verify": ("verify", *TRUST),
    "verify --kernel": ("verify", "--kernel", "6.1"),
    "list": ("list",),
    "list --all": ("list", "--all"),
    "audit --details": ("audit", *TRUST, "--details"),
    "survey": ("survey", "--no-cage", *TRUST),
    "survey in cages": ("survey", *TRUST),
    "explain": ("explain", "--kernel", "6.1"),
}
ALONE = {
    "show": ("show",),
    "digest": ("digest",),
    "coverage": ("coverage",),
    "attach": ("attach", "--from", "{good}", "-o", "{out}"),
    "sign -o": ("sign", "--format", "pkcs7", *SIGN, "-o", "{out}"),
    "strip -o": ("strip", "-o", "{out}"),
    "convert -o": ("convert", "--to", "x509", *SIGN, *TRUST, "-o", "{out}"),
    "compare": ("compare", "{good}"),
    "keys list": ("keys", "list"),
    "verify --trust": ("verify", "{good}", "--trust"),
    "verify --detached": ("verify", "{good}", "--detached"),
    "explain --config": ("explain", "--kernel", "6.1", "{good}", "--config"),
    "sign --key": ("sign", "{good}", "--format", "pkcs7", "-o", "{out}", "--key"),
    "audit --policy": ("audit", "{good}", "--policy"),
    "audit --expect": ("audit", "{good}", *TRUST, "--expect"),
}
WRITING = {
    "sign": ("sign", "--format", "pkcs7", *SIGN, "--replace", "--output-dir", "{out}"),
    "strip": ("strip", "--output-dir", "{out}"),
    "convert": ("convert", "--to", "x509", *SIGN, *TRUST, "--output-dir", "{out}"),
}


def said(ran: Ran, path: Path) -> str:
    """What a command printed about a file, on both streams."""
    assert ran.code not in (0, 70) and "Traceback" not in ran.err, ran
    return "\n".join(line for line in (ran.out + ran.err).splitlines() if str(path) in line)


def is_error_of(text: str, offset: int) -> bool:
    """Whether it names the failure and the offset, and no verdict."""
    page = offset // PAGE * PAGE
    named = f"(at {page:#x})" in text or f"(at offset {page:#x})" in text
    return named and "input/output error" in text and not {"valid:", "unsigned"} & set(text.split())


def about_good(ran: Ran) -> list[str]:
    """The lines about the good files, without the number of others that are signed."""
    return [
        re.sub(r"and \d+ others? here (has|have) one", "", line)
        for line in ran.out.splitlines()
        if "-good.ko" in line
    ]


@pytest.mark.parametrize("name", READING)
def test_a_tree_with_files_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    def body() -> None:
        with broken_disk(tmp_path / "disk", files()) as disk:
            ran = run(*READING[name], disk / "tree")
            for offset in OFFSETS:
                text = said(ran, disk / bad(offset))
                assert is_error_of(text, offset), (offset, text)
            told = about_good(ran)
        with broken_disk(tmp_path / "disk", files(False)) as disk:
            good = about_good(run(*READING[name], disk / "tree"))
        assert told and told == good

    in_child(body, mounts=True)


@pytest.mark.parametrize("name", ["verify", "list", "survey", "audit", "compare"])
def test_the_same_as_json_lines(name: str, tmp_path: Path) -> None:
    def body() -> None:
        with broken_disk(tmp_path / "disk", files()) as disk:
            more = {"survey": ("--no-cage",), "compare": (str(disk / "tree"),)}.get(name, ())
            trust = TRUST if name != "list" and name != "compare" else ()
            ran = run(name, "--jsonl", *more, *trust, disk / "tree")
            found = [json.loads(line) for line in ran.out.splitlines()]
        assert len(found) == len(files()) and ran.code not in (0, 70), ran
        for offset, value in zip(OFFSETS, found[1:-1], strict=True):
            fault = fault_of(value)
            assert fault["text"].endswith("input/output error"), value
            assert fault["offset"] == offset // PAGE * PAGE and value.get("verdict") is None
        assert not any(each.get("error") for each in (found[0], found[-1]))

    in_child(body, mounts=True)


def fault_of(value: dict[str, Any]) -> dict[str, Any]:
    """The error of a record; of an audit, the fault."""
    found: dict[str, Any] = value.get("error") or value["faults"][0]
    return found


@pytest.mark.parametrize("name", ALONE)
def test_a_file_that_cannot_be_read_where_one_is_needed(name: str, tmp_path: Path) -> None:
    def body() -> None:
        with broken_disk(tmp_path / "disk", files()) as disk:
            for offset in OFFSETS:
                named = {"good": str(disk / "tree/a-good.ko"), "out": str(tmp_path / "out")}
                ran = run(*(word.format(**named) for word in ALONE[name]), disk / bad(offset))
                assert ran.code not in (0, 70) and "Traceback" not in ran.err, ran
                assert "input/output error" in ran.err and str(disk / bad(offset)) in ran.err, ran
                page = offset // PAGE * PAGE
                assert f"{page:#x})" in ran.err, ran
                assert not (tmp_path / "out").exists()

    in_child(body, mounts=True)


@pytest.mark.parametrize("name", WRITING)
def test_what_is_written_of_a_tree_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    """The good ones, as on a good disk; nothing of the bad ones."""

    def results(broken: bool) -> dict[str, bytes]:
        out = tmp_path / f"out-{broken}"
        with broken_disk(tmp_path / "disk", files(broken)) as disk:
            ran = run(*(word.format(out=out) for word in WRITING[name]), disk / "tree")
            if broken:
                assert all(is_error_of(said(ran, disk / bad(each)), each) for each in OFFSETS), ran
        return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def body() -> None:
        found, good = results(True), results(False)
        assert found and found == {path: data for path, data in good.items() if "-good" in path}

    in_child(body, mounts=True)


def package(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("a.ko", "b.ko", "c.ko"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("caged", [True, False], ids=["in cages", "without"])
@pytest.mark.parametrize("verb", ["survey", "evidence"])
def test_a_package_on_a_broken_disk(verb: str, caged: bool, tmp_path: Path) -> None:
    """What was stored before the fault is found; the package is not read to its end, and has no hash."""

    def body() -> None:
        data = package(large())
        at = data.index(b"b.ko\0") + 512 + 100_000
        more = ("-o", f"{tmp_path}/case/") if verb == "evidence" else ()
        with broken_disk(tmp_path / "disk", {"d.tar": Broken(data, at)}) as disk:
            words = (verb, *TRUST, *(() if caged else ("--no-cage",)), *more)
            ran = run(*words, *(() if more else ("--jsonl",)), disk / "d.tar")
            assert ran.code not in (0, 70) and "Traceback" not in ran.err, ran
        if verb == "evidence":
            assert "not read to the end" in ran.err and "1 valid" in ran.out, ran
            return
        one, broken, whole = [json.loads(line) for line in ran.out.splitlines()]
        assert one["path"].endswith("a.ko") and one["verdict"] == "valid"
        start = data.index(b"b.ko\0") + 512
        assert broken["verdict"] is None and broken["error"]["offset"] == at // PAGE * PAGE - start
        assert not whole["complete"] and whole["error"]["offset"] == at // PAGE * PAGE
        assert whole["chain"][0]["sha256"] is None and whole["modules"] == 2

    in_child(body, mounts=True)


def test_a_key_directory_of_which_one_file_cannot_be_read(tmp_path: Path) -> None:
    """The other keys count; the loss is said. One that is to revoke ends the command."""
    certificate = (corpus.KEYS / "signer.cert.pem").read_bytes()
    padded = Broken(certificate + b"\n" * 9000, PAGE)

    def body() -> None:
        good = tmp_path / "m.ko"
        good.write_bytes(signed())
        with broken_disk(
            tmp_path / "disk", {"keys/a.pem": Broken(certificate), "keys/b.pem": padded}
        ) as disk:
            ran = run("verify", "--trust", disk / "keys", good)
            assert (
                ran.code == 0 and "b.pem" in ran.out + ran.err and "input/output error" in ran.out + ran.err
            )
            ran = run("verify", "--trust", disk / "keys/a.pem", "--trust", f"revoked:{disk}/keys", good)
            assert ran.code == 2 and "b.pem" in ran.err and "input/output error" in ran.err

    in_child(body, mounts=True)
