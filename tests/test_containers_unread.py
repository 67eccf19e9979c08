"""What is recognised and not read is a container with an error, by itself and in a partition."""

from __future__ import annotations

from pathlib import Path

import pytest

from elfsig.containers.contract import Context
from elfsig.containers.nested import Step
from elfsig.containers.readers import bytes_reader
from elfsig.containers.registry import BUILTIN
from elfsig.containers.unread import UNREAD
from elfsig.containers.walk import ContainerRecord, walk
from elfsig.recognition.kinds import Family
from elfsig.recognition.magics import MAGICS
from elfsig.recognition.sniff import kind_of
from tests.support import images
from tests.support.images import MIB, call
from tests.support.run import run

UNREAD_MARKS = [(each.id, at, mark) for each in UNREAD if each.probe is None for at, mark in each.magics]


def records(data: bytes) -> list[tuple[str, str | None]]:
    found = walk(bytes_reader(data), (Step("file", b"f"),), Context())
    every = (each for each in found if isinstance(each, ContainerRecord))
    return [(each.kind, None if each.error is None else each.error.code) for each in every]


def marked(at: int, mark: bytes) -> bytes:
    data = bytearray(MIB)
    data[at : at + len(mark)] = mark
    data[510:512] = b"\x55\xaa" if data[510:512] == b"\0\0" else data[510:512]
    return bytes(data)


@pytest.mark.parametrize(("kind", "at", "mark"), UNREAD_MARKS, ids=lambda each: repr(each)[:24])
def test_a_mark_is_a_container_that_was_not_read(kind: str, at: int, mark: bytes, tmp_path: Path) -> None:
    code = "encrypted" if kind in ("luks", "bitlocker") else "unsupported"
    data = marked(at, mark)
    assert records(data) == [(kind, code)]
    assert records(images.mbr(data)) == [(kind, code), ("mbr", None)]
    for end in range(at, at + len(mark)):
        assert kind not in dict(records(data[:end]))


def test_the_survey_names_it(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    images.gpt(disk, marked(3, b"EXFAT   "), marked(0, b"LUKS\xba\xbe"))
    done = run("survey", disk)
    assert done.code == 5
    assert "p1: exfat: not read to its end (unsupported): an exFAT file system" in done.out
    assert "p2: luks: not read to its end (encrypted): an encrypted volume (LUKS)" in done.out


@pytest.mark.parametrize("kind", ["vhdx", "qed", "parallels"])
def test_images_by_qemu(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "image"
    call("qemu-img", "create", "-q", "-f", kind, out, "8M")
    assert records(out.read_bytes()) == [(kind, "unsupported")]


def test_a_device_tree_with_images_is_one_of_u_boot() -> None:
    tree = b"\xd0\x0d\xfe\xed" + bytes(52) + b"\0\0\0\1\0\0\0\0" + b"\0\0\0\1%s\0\0" + bytes(2000)
    assert records(tree % b"images") == [("fit", "unsupported")]
    assert records(tree % b"chosen") == []


def test_every_container_that_is_recognised_is_read_or_refused() -> None:
    """What verify calls a container, survey opens or refuses by name; but device trees."""
    named = {each.kind.code for each in MAGICS if each.kind.family is Family.CONTAINER}
    for each in MAGICS:
        code = each.kind.code
        if code not in named or code == "device-tree":
            continue
        start = (each.at, each.bytes[:2])
        reached = [one for one in BUILTIN for at, mark in one.magics if (at, mark[:2]) == start]
        assert reached or code == "fat", each


def test_marks_are_not_found_in_files_of_other_kinds() -> None:
    for text in (b"Rarely", b"xargs", b"UBI images", b"QEDITOR", b"CrAp", b"NXSB" + bytes(100)):
        assert records(text.ljust(2048, b"\n")) == []
        assert getattr(kind_of(text.ljust(2048, b"\n")), "family", None) is not Family.CONTAINER


def test_every_mark_is_in_one_table() -> None:
    """But those that are too short or too common to say anything without a look at what follows."""
    table = {(each.at, each.bytes) for each in MAGICS}
    others = {each.id: set(each.magics) - table for each in BUILTIN if set(each.magics) - table}
    compressed = {"zstd", "lz4", "lzma", "skippable"}
    assert others.keys() == {"tar", "uki", "grub", "fat", "mbr", "initramfs", "script"} | compressed
    assert all(each.probe is not None for each in BUILTIN if each.id in others)
