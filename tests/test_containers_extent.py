"""What follows the end of a file system in a file is reported, but not in a partition or volume."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import corpus
from elfsig.containers.contract import Budget, Context
from elfsig.containers.readers import bytes_reader
from elfsig.containers.registry import BUILTIN
from elfsig.containers.walk import ContainerRecord, walk
from elfsig.errors import ContainerError
from tests.support import images
from tests.support.archives import tar
from tests.support.containers import FILE
from tests.support.images import MIB

MODULE = corpus.content("amd64.pkcs7")
KINDS = ["ext4", "ext2", "xfs", "btrfs", "squashfs", "fat", "fat16"]
MORE = tar(b_ko=MODULE)


def errors(data: bytes, context: Context | None = None) -> dict[str, ContainerError | None]:
    found = walk(bytes_reader(data), FILE, context)
    return {each.kind: each.error for each in found if isinstance(each, ContainerRecord)}


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "tree").mkdir()
    (folder / "tree" / "a.ko").write_bytes(MODULE)
    images.FILE_SYSTEMS[request.param](folder / "tree", folder / "image")
    kind = {"ext4": "ext", "ext2": "ext", "fat16": "fat"}.get(request.param, request.param)
    return kind, (folder / "image").read_bytes()


def test_what_follows_a_file_system(made: tuple[str, bytes]) -> None:
    kind, data = made
    assert errors(data)[kind] is None
    assert errors(data + bytes(MIB + 1))[kind] is None
    gap = bytes(8192)
    for whole in (data + gap + MORE, tar(x_img=data + gap + MORE), gzip.compress(data + gap + MORE, 1)):
        error = errors(whole)[kind]
        assert error is not None and error.code == "trailing-data"
        assert error.offset is not None and len(data) <= error.offset + 4096 <= len(data) + len(gap) + 4096


def test_a_partition_or_volume_may_be_larger(made: tuple[str, bytes]) -> None:
    kind, data = made
    padded = (data + MORE).ljust(-(-len(data + MORE) // MIB) * MIB, b"\0")
    assert errors(images.mbr(padded)) == {kind: None, "mbr": None}
    if kind == "squashfs":
        assert errors(images.lvm(padded)) == {kind: None, "lvm": None}
        assert errors(images.raid1(padded)) == {kind: None, "md": None}


def test_one_file_system_after_another(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.ko").write_bytes(MODULE)
    for kind in ("ext4", "fat16"):
        images.FILE_SYSTEMS[kind](tmp_path / "tree", tmp_path / kind)
    ext = (tmp_path / "ext4").read_bytes()
    for first in (ext, (tmp_path / "fat16").read_bytes()):
        error = next(iter(errors(first + ext).values()))
        assert error is not None
        assert (error.code, error.offset) == (
            "trailing-data",
            len(first) + (ext.find(ext.lstrip(b"\0")[:64])),
        )


def test_looking_for_what_follows_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    images.squashfs(tmp_path / "tree", tmp_path / "image")
    data = (tmp_path / "image").read_bytes() + bytes(3 * MIB)
    error = errors(data, Context(Budget(output=MIB)))["squashfs"]
    assert error is not None and error.code == "over-budget"


def test_every_file_system_that_is_read_has_an_extent() -> None:
    assert {each.id for each in BUILTIN if each.extent} == {"ext", "xfs", "btrfs", "squashfs", "fat"}
