"""A file with several names in an archive: each name of a module is a module."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig
from elfsig.containers import hard_links
from elfsig.containers.contract import Budget, Context
from elfsig.containers.scratch import Scratch
from tests.support.archives import tar
from tests.support.containers import inside, taken
from tests.support.run import run
from tests.support.signed import CERT, made
from tests.support.tools import need

MODULE = corpus.content("amd64.pkcs7")
OTHER = corpus.content("amd64-2.6.39-uek.ko")
SIGNED = made(OTHER, "pkcs7", "whole-file").content
PLACE = "lib/modules/6.1/kernel"


def archive(*members: tuple[str, bytes | str]) -> bytes:
    """Files, and hard links where the content is a name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, content in members:
            header = tarfile.TarInfo(name)
            if isinstance(content, str):
                header.type, header.linkname = tarfile.LNKTYPE, content
                file.addfile(header)
            else:
                header.size = len(content)
                file.addfile(header, io.BytesIO(content))
    return out.getvalue()


def tree(folder: Path) -> Path:
    """Two names of one module."""
    place = folder / PLACE
    place.mkdir(parents=True)
    (place / "a.ko").write_bytes(MODULE)
    (place / "b.ko").hardlink_to(place / "a.ko")
    return folder


def packed(folder: Path, kind: str) -> Path:
    """A tree in an archive, by its own program."""
    names = f"{PLACE}/a.ko\n{PLACE}/b.ko\n".encode()
    out = folder.parent / f"x.{kind}"
    words = {
        "tar": ["tar", "-cf", str(out), "lib"],
        "gz": ["tar", "-czf", str(out), "lib"],
        "newc": [need("cpio"), "-o", "--quiet", "-H", "newc", "-O", str(out)],
        "odc": [need("cpio"), "-o", "--quiet", "-H", "odc", "-O", str(out)],
    }[kind]
    subprocess.run(words, cwd=folder, check=True, input=names)
    return out


def records(*words: str | Path) -> list[dict[str, Any]]:
    return [each for each in run("survey", "--jsonl", *words).files() if each["record"] == "module"]


@pytest.mark.parametrize("kind", ["tar", "gz", "newc", "odc"])
def test_every_name_of_a_module_is_a_module(kind: str, tmp_path: Path) -> None:
    path = packed(tree(tmp_path / "tree"), kind)
    found = {each["path"].rpartition("/")[2]: each for each in records(path)}
    assert sorted(found) == ["a.ko", "b.ko"]
    assert found["a.ko"]["sha256"] == found["b.ko"]["sha256"] == found["b.ko"]["chain"][-1]["sha256"]
    assert found["a.ko"]["verdict"] == found["b.ko"]["verdict"]
    assert [module.path.rpartition("/")[2] for module in elfsig.members(path)].count("b.ko") == 1
    vendor = tmp_path / "v.tar"
    vendor.write_bytes(tar(**{f"{PLACE}/{name}.ko".replace(".", "_"): MODULE for name in "ab"}))
    done = run("survey", path, "--against", vendor)
    assert done.code == 0 and "2 same" in done.err


def test_a_changed_module_is_compared_under_each_name(tmp_path: Path) -> None:
    path = packed(tree(tmp_path / "tree"), "tar")
    vendor = tmp_path / "v.tar"
    changed = bytearray(MODULE)
    changed[0x100] ^= 1
    vendor.write_bytes(archive((f"{PLACE}/a.ko", bytes(changed)), (f"{PLACE}/b.ko", f"{PLACE}/a.ko")))
    found = [each["vendor"] for each in records(path, "--against", vendor)]
    assert [each["relation"] for each in found] == ["changed", "changed"]
    assert [each["comparison"]["error"] for each in found] == [None, None]


def test_the_name_of_each_link_is_checked(tmp_path: Path) -> None:
    name = next(module.name for module in [elfsig.open(SIGNED)])
    path = tmp_path / "x.tar"
    path.write_bytes(archive((f"{name}.ko", SIGNED), ("other.ko", f"{name}.ko"), ("third.ko", "other.ko")))
    warned = [
        [each["code"] for each in record["warnings"] if each["code"] == "misnamed"]
        for record in records(path, "--trust", CERT)
    ]
    assert warned == [[], ["misnamed"], ["misnamed"]]
    path.write_bytes(archive(("object.file", SIGNED), ("other.ko", "./object.file")))
    warned = [[each["code"] for each in record["warnings"]] for record in records(path, "--trust", CERT)]
    assert warned[1] == ["misnamed"]


@pytest.mark.parametrize(
    "members",
    [
        (("b.ko", "a.ko"),),
        (("a.txt", b"text"), ("b.ko", "a.txt")),
        (("b.ko", "a.ko"), ("a.ko", MODULE)),
        (("b.ko", "b.ko"),),
    ],
)
def test_a_link_that_leads_to_no_module_is_named(
    members: tuple[tuple[str, bytes | str], ...], tmp_path: Path
) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(archive(*members))
    done = run("survey", path)
    assert done.code == 5 and "x.tar!/b.ko: a hard link to" in done.out


def test_a_later_file_takes_a_name() -> None:
    files, _ = taken(archive(("a.ko", OTHER), ("a.ko", MODULE), ("b.ko", "a.ko")))
    assert inside(files)["b.ko"] == MODULE
    files, _ = taken(archive(("a", OTHER), ("a", b"text"), ("b.ko", "a")))
    assert "b.ko" not in inside(files)


def test_links_to_other_files_are_links() -> None:
    files, records = taken(archive(("a", b"text"), ("b", "a"), ("c.deb", "a"), ("d", "nothing")))
    assert inside(files) == {"a": b"text"} and records[-1].complete


def test_what_is_not_kept_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(archive(("a.ko", OTHER), ("b.ko", MODULE), ("c.ko", "b.ko"), ("d.ko", "a.ko")))
    for name, most in (("_MOST", 1), ("_LARGEST", len(MODULE) - 1)):
        with monkeypatch.context() as patched:
            patched.setattr(hard_links, name, most)
            done = run("survey", "--no-cage", path)
            assert done.code in (1, 5) and "not all modules of this archive were kept" in done.out
            assert json.dumps(done.out).count("x.tar!/") == 4


def test_links_count_as_content() -> None:
    many = [(f"{number}.ko", "a.ko") for number in range(1000)]
    _, records = taken(archive(("a.ko", OTHER), *many), Context(Budget(output=100 * len(OTHER))))
    assert records[-1].error and records[-1].error.code == "over-budget"


def test_room_of_kept_modules_is_used_again() -> None:
    context = Context()
    data = archive(*((f"{number}.ko", OTHER) for number in range(20)))
    taken(tar(a_tar=data, b_tar=data), context)
    assert os.fstat(context.scratch._descriptor).st_size == 20 * len(OTHER)


@pytest.mark.parametrize("is_full", [False, True])
def test_modules_are_read_without_room_for_copies(is_full: bool, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)  # a directory takes no bytes
    context = Context(scratch=Scratch(descriptor)) if is_full else NoScratch()
    files, records = taken(archive(("a.ko", OTHER), ("b.ko", "a.ko")), context)
    os.close(descriptor)
    assert inside(files) == {"a.ko": OTHER} and records[-1].members == 2
    failure = records.found[1].member.reader.failure  # type: ignore[union-attr]
    assert failure is not None and "not all modules" in failure.text


class NoScratch(Context):
    """Where no temporary file can be made."""

    @property
    def scratch(self) -> Scratch:
        raise FileNotFoundError("no usable temporary directory")
