"""Volumes and members of arrays whose bytes are not where a plain one has them."""

from __future__ import annotations

from pathlib import Path

import pytest

import corpus
from elfsig.containers.readers import bytes_reader
from tests.support import images, volumes
from tests.support.containers import Records, taken
from tests.support.images import MIB
from tests.support.volumes import CHUNK

pytest.importorskip("dissect.volume")

MODULE = corpus.content("amd64.pkcs7")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("volumes") / "tree"
    tree.mkdir()
    (tree / "noise").write_bytes(bytes(range(1, 252)) * (3 * MIB // 251))
    (tree / "sample.ko").write_bytes(MODULE)
    return tree


@pytest.fixture(scope="module")
def ext4(tree: Path) -> bytes:
    images.ext4(tree, tree.parent / "ext4")
    return (tree.parent / "ext4").read_bytes()


def found(disk: bytes) -> tuple[dict[str, bytes], Records]:
    files, records = taken(disk, reader=bytes_reader(disk))
    return {name: content for name, content in files.items() if name.endswith(".ko")}, records


def faults(records: Records) -> list[tuple[str, str, str]]:
    return [(each.path, each.error.code, each.error.text) for each in records if each.error is not None]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_volume_in_stripes(count: int, ext4: bytes) -> None:
    files, records = found(volumes.striped(ext4, count))
    assert files == {"f!/root!/sample.ko": MODULE} and not faults(records)


def test_a_volume_of_other_stripes_than_it_says(ext4: bytes) -> None:
    text = b"stripe_count = 2"
    disk = volumes.striped(ext4, 2)
    at = disk.index(text)
    metadata = disk[4608 : disk.index(b"\0", at) + 1]
    changed = metadata.replace(text, b"stripe_count = 3")
    old, new = (images.lvm_crc(each).to_bytes(4, "little") for each in (metadata, changed))
    area = bytearray(disk[4096:4608].replace(old, new))
    area[:4] = images.lvm_crc(bytes(area[4:])).to_bytes(4, "little")
    files, records = found(disk[:4096] + area + changed + disk[4608 + len(changed) :])
    assert not files and [fault[1] for fault in faults(records)] == ["damaged"]


@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
def test_a_thin_volume(kind: str, tree: Path, tmp_path: Path) -> None:
    getattr(images, kind)(tree, tmp_path / "disk")
    content = (tmp_path / "disk").read_bytes()
    assert kind != "btrfs" or not any(content[:CHUNK]), "its first chunk is not stored"
    files, records = found(volumes.thin(content, tmp_path))
    assert files == {"f!/root!/sample.ko": MODULE} and not faults(records)


@pytest.mark.parametrize("at", [4, 4096 + 4, 600])
def test_damage_to_the_metadata_of_a_thin_pool(at: int, ext4: bytes, tmp_path: Path) -> None:
    disk = bytearray(volumes.thin(ext4, tmp_path))
    used = [MIB + 4096 * n for n in range(1, 1024) if any(disk[MIB + 4096 * n :][:4096])]
    for start in used if at > 4096 else (MIB,):
        disk[start + at % 4096] ^= 1
    assert [fault[1] for fault in faults(found(bytes(disk))[1])] == ["damaged"]


def test_a_thin_volume_with_the_changes_of_another(ext4: bytes, tmp_path: Path) -> None:
    files, records = found(volumes.thin(ext4, tmp_path, 'external_origin = "base"\n'))
    assert not files and [fault[:2] for fault in faults(records)] == [("f", "unsupported")]


def test_a_snapshot_is_named(ext4: bytes) -> None:
    files, records = found(volumes.with_snapshot(ext4))
    assert files == {"f!/root!/sample.ko": MODULE}
    text = "the volume snap is a snapshot, which elfsig does not read"
    assert faults(records) == [("f", "unsupported", text)]


@pytest.mark.parametrize("end", ["1.0", "0.90"])
def test_what_looks_like_the_superblock_of_an_array_at_its_end(end: str, ext4: bytes) -> None:
    """It may be left from an earlier array, or be data: the one at the start was found first."""
    content = ext4.ljust(-(-len(ext4) // CHUNK) * CHUNK + CHUNK, b"\0")
    other = images.md_member(bytes(512), 0, 1, level=1, size=512)[4096:8192]
    disk = bytearray(images.md_member(content, 0, 2, level=1, size=len(content)))
    place = len(disk) - 8192 if end == "1.0" else len(disk) // CHUNK * CHUNK - CHUNK
    disk[place : place + 512] = other[:512]
    files, _ = found(bytes(disk))
    assert files == {"f!/sample.ko": MODULE}


@pytest.mark.parametrize("features", [2, 4, 8, 16 | 2, 512])
def test_a_member_of_an_array_without_all_of_its_data(features: int, ext4: bytes) -> None:
    disk = images.md_member(ext4, 0, 2, level=1, size=len(ext4), features=features)
    files, records = found(disk)
    assert not files and [fault[:2] for fault in faults(records)] == [("f", "unsupported")]


def test_a_member_of_an_array_with_a_bitmap(ext4: bytes) -> None:
    files, records = found(images.md_member(ext4, 0, 2, level=1, size=len(ext4), features=1))
    assert files and not faults(records)
