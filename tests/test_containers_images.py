"""File systems, disks and volumes: the same members and bytes as went in, and nothing missing in silence."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import corpus
from elfsig.cage.cage import Cage
from elfsig.cage.lock import Limits
from elfsig.containers.contract import Budget, Container, Context
from elfsig.containers.images import declared
from elfsig.containers.nested import Step
from elfsig.containers.readers import SeekReader, bytes_reader, descriptor_reader
from elfsig.containers.scratch import Scratch
from elfsig.containers.walk import ContainerRecord, walk
from elfsig.errors import ContainerError
from tests.support import images
from tests.support.archives import tar
from tests.support.images import MIB, call
from tests.support.run import run

pytest.importorskip("dissect.extfs")

CERT = corpus.FOLDER / "keys" / "signer.cert.pem"
MODULE = corpus.content("amd64.pkcs7")
FILE = (Step("file", b"f"),)

Files = dict[str, str]
"""By path: the size and hash of a content, or where a link leads."""


def digest(content: bytes) -> str:
    return f"{len(content)} {hashlib.sha256(content).hexdigest()[:16]}"


def fill(folder: Path) -> Path:
    """A directory with what makes file systems use their structures."""
    deep = folder / "lib" / "modules" / "6.1.0" / "kernel"
    deep.mkdir(parents=True)
    (deep / "signed.ko").write_bytes(MODULE)
    (deep / "empty").write_bytes(b"")
    (folder / "big").write_bytes(random.Random(1).randbytes(700_001))
    (folder / "zeros").write_bytes(b"start" + bytes(300_000) + b"end")
    for number in range(120):
        (folder / "lib" / f"a-rather-long-name-that-fills-directories-{number}").write_bytes(b"%d" % number)
    (folder / "lib" / "link.ko").symlink_to("modules/6.1.0/kernel/signed.ko")
    (folder / "lib" / "absolute").symlink_to("/" + "x" * 100)
    return folder


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("images") / "tree")


def expected(tree: Path, kind: str) -> Files:
    """What is in the tree, by the name it has in a container: contents, and targets of links."""
    found: Files = {}
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        if path.is_symlink():
            if kind not in images.WITHOUT_LINKS:
                found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = digest(path.read_bytes())
    return found


@pytest.fixture(scope="session")
def without_links(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree for formats that do not know links."""
    copy = tmp_path_factory.mktemp("images") / "copy"
    shutil.copytree(tree, copy, symlinks=True)
    for path in list(copy.rglob("*")):
        if path.is_symlink():
            path.unlink()
    return copy


def taken(reader: SeekReader, context: Context | None = None) -> tuple[Files, list[ContainerRecord]]:
    """Contents and link targets by path below the container, and the records."""
    files: Files = {}
    records = []
    for found in walk(reader, FILE, context):
        if isinstance(found, ContainerRecord):
            records.append(found)
            continue
        name = found.path.removeprefix("f!/")
        if found.member.kind == "link":
            files[name] = f"-> {os.fsdecode(found.member.target or b'')}"
        elif found.member.reader is not None:
            with suppress(ContainerError):  # the container's record has it as well
                files[name] = digest(found.member.reader.all(1 << 30))
    return files, records


def opened(path: Path) -> SeekReader:
    return descriptor_reader(os.open(path, os.O_RDONLY), path.stat().st_size)


@pytest.fixture(scope="session")
def made(
    tree: Path, without_links: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Path]]:
    """Images by kind, made when they are first asked for."""

    class Made(dict[str, Path]):
        def __missing__(self, kind: str) -> Path:
            out = tmp_path_factory.mktemp(kind) / f"image.{'7z' if 'seven' in kind else 'img'}"
            images.FILE_SYSTEMS[kind](without_links if kind in images.WITHOUT_LINKS else tree, out)
            self[kind] = out
            return out

    yield Made()


every = pytest.mark.parametrize("kind", images.FILE_SYSTEMS)


@every
def test_members_and_bytes_are_those_of_the_tree(kind: str, tree: Path, made: dict[str, Path]) -> None:
    files, records = taken(opened(made[kind]))
    assert [(each.kind, each.complete, each.error) for each in records][-1][1:] == (True, None)
    assert files == expected(tree, kind)
    assert records[-1].modules == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ext4", ("debugfs", "-R", "rdump / {out}", "{image}")),
        ("ext2", ("debugfs", "-R", "rdump / {out}", "{image}")),
        ("btrfs", ("btrfs", "restore", "-S", "{image}", "{out}")),
        ("squashfs", ("unsquashfs", "-q", "-n", "-f", "-d", "{out}", "{image}")),
        ("squashfs_xz", ("unsquashfs", "-q", "-n", "-f", "-d", "{out}", "{image}")),
        ("fat", ("mcopy", "-s", "-i", "{image}", "::/*", "{out}")),
        ("iso", ("bsdtar", "-x", "-f", "{image}", "-C", "{out}")),
        ("sevenzip", ("bsdtar", "-x", "-f", "{image}", "-C", "{out}")),
    ],
)
def test_other_programs_find_the_same(
    kind: str, words: tuple[str, ...], made: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    call(*(word.format(out=out, image=made[kind]) for word in words))
    theirs = expected(out, kind)
    assert taken(opened(made[kind]))[0] == theirs


@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
def test_the_ima_attribute_is_noted(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "x.ko").write_bytes(MODULE)
    value = b"\x03\x02\x04" + bytes(40)
    try:
        os.setxattr(folder / "x.ko", "security.ima", value)
    except OSError:
        pytest.skip("security.ima cannot be set here")
    out = tmp_path / "image"
    images.FILE_SYSTEMS[kind](folder, out)
    everything = list(walk(opened(out), FILE))
    notes = [f.member.notes for f in everything if not isinstance(f, ContainerRecord) and f.what == "module"]
    assert notes == [{"security.ima": value}]


# --------------------------------------------------------------------------- disks and volumes


def test_a_gpt_by_sgdisk(made: dict[str, Path], tree: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    images.gpt(disk, made["ext4"].read_bytes(), made["squashfs"].read_bytes())
    files, records = taken(opened(disk))
    assert [(each.path, each.kind, each.complete) for each in records] == [
        ("f!/p1", "ext", True), ("f!/p2", "squashfs", True), ("f", "gpt", True)
    ]  # fmt: skip
    assert {n.removeprefix("p1!/"): c for n, c in files.items() if n.startswith("p1")} == expected(
        tree, "ext4"
    )


def test_sectors_of_4096_bytes(made: dict[str, Path], tree: Path, tmp_path: Path) -> None:
    content = made["ext4"].read_bytes()
    images.gpt(disk := tmp_path / "disk", content, sector=4096)
    for reader, kind in (
        (opened(disk), "gpt"),
        (bytes_reader(images.mbr(content, sector=4096)), "mbr"),
        (bytes_reader(images.mbr(content)), "mbr"),
    ):
        files, records = taken(reader)
        assert (records[-1].kind, [each.complete for each in records]) == (kind, [True, True])
        assert {n.removeprefix("p1!/"): c for n, c in files.items()} == expected(tree, "ext4")


def test_logical_partitions_have_the_numbers_of_linux() -> None:
    disk = images.mbr(b"first".ljust(512), b"second".ljust(512), b"third".ljust(512), logical=True)
    _, records = taken(bytes_reader(disk))
    assert [(each.path, each.error and each.error.text[-23:]) for each in records] == [
        ("f!/p1", b"first".ljust(8).hex(" ")),
        ("f!/p5", b"second".ljust(8).hex(" ")),
        ("f!/p6", b"third".ljust(8).hex(" ")),
        ("f", None),
    ]
    looped = bytearray(disk)
    second = disk.find(b"third") - MIB // 2
    looped[second + 462 : second + 478] = bytes(4) + b"\5" + bytes(7) + b"\1\0\0\0"  # back to the first table
    error = taken(bytes_reader(bytes(looped)))[1][-1].error
    assert error is not None and "loop" in error.text


def test_damage_to_one_copy_of_a_gpt_is_reported_and_costs_nothing(tmp_path: Path) -> None:
    images.gpt(tmp_path / "disk", tar(a=b"content").ljust(MIB, b"\0"))
    disk = (tmp_path / "disk").read_bytes()
    for at in (512, 530, 610, 1030, len(disk) - 512, len(disk) - 500, len(disk) - 32 * 512 - 100):
        damaged = bytearray(disk)
        damaged[at] ^= 4
        files, records = taken(bytes_reader(bytes(damaged)))
        if at == 610:  # beyond the header's 92 bytes: nothing is stored there
            assert records[-1].complete
            continue
        assert files == {"p1!/a": digest(b"content")}
        assert records[-1].error is not None and records[-1].error.code == "damaged", at
    for end in (len(disk) - 1, 2 * MIB - 1, MIB + 5, 600):
        error = taken(bytes_reader(disk[:end]))[1][-1].error
        assert error is not None and error.code in ("damaged", "truncated"), end


DISKS = {
    "qcow2": ("convert", "-O", "qcow2"),
    "qcow2-compressed": ("convert", "-c", "-O", "qcow2"),
    "qcow2-zstd": ("convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd"),
    "qcow2-old": ("convert", "-O", "qcow2", "-o", "compat=0.10"),
    "vmdk": ("convert", "-O", "vmdk"),
    "vmdk-stream": ("convert", "-O", "vmdk", "-o", "subformat=streamOptimized"),
    "vdi": ("convert", "-O", "vdi"),
    "vhd": ("convert", "-O", "vpc", "-o", "force_size=on"),
    "ewf": (),
    "ewf-plain": (),
}


@pytest.fixture(scope="session")
def disks(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Disk images by kind, of one disk with gaps; ``raw`` is the disk."""

    class Made(dict[str, Path]):
        def __missing__(self, kind: str) -> Path:
            folder = tmp_path_factory.mktemp(kind)
            if kind == "raw":
                images.gpt(folder / "raw", made["ext4"].read_bytes())
                self[kind] = folder / "raw"
                return self[kind]
            if kind.startswith("ewf"):
                packing = "none" if kind == "ewf-plain" else "best"
                words = ("-u", "-q", "-c", packing, "-f", "encase6", "-t", folder / "image")
                call("ewfacquire", *words, self["raw"])
                self[kind] = folder / "image.E01"
            else:
                call("qemu-img", *DISKS[kind], "-f", "raw", self["raw"], folder / "image")
                self[kind] = folder / "image"
            return self[kind]

    yield Made()


@pytest.mark.parametrize("kind", DISKS)
def test_disks_by_qemu_and_libewf(kind: str, disks: dict[str, Path], tree: Path) -> None:
    files, records = taken(opened(disks[kind]))
    assert [each.error for each in records] == [None, None, None]
    assert {n.removeprefix("p1!/"): c for n, c in files.items()} == expected(tree, "ext4")
    container = declared_kind(disks[kind])
    (member,) = container.members(opened(disks[kind]), Context())
    assert member.reader is not None
    raw = disks["raw"].read_bytes()
    assert digest(member.reader.read(len(raw))) == digest(raw)


def declared_kind(path: Path) -> Container:
    head = path.read_bytes()[:4096]
    return next(
        each for each in declared.IMAGES if any(head.startswith(magic, at) for at, magic in each.magics)
    )


@pytest.mark.parametrize("kind", ["qcow2", "qcow2-compressed", "vmdk", "vmdk-stream", "vdi", "vhd", "ewf"])
def test_reads_at_any_offset_give_what_the_disk_holds(kind: str, disks: dict[str, Path]) -> None:
    """A library read what crosses blocks from the wrong place; another gave zeros."""
    raw = disks["raw"].read_bytes()
    (member,) = declared_kind(disks[kind]).members(opened(disks[kind]), Context())
    chance = random.Random(kind)
    assert isinstance(member.reader, SeekReader)
    for _ in range(150):
        at, size = chance.randrange(len(raw)), chance.choice([1, 511, 4096, 70_000, 3 * MIB])
        assert digest(member.reader.read_at(at, size)) == digest(raw[at : at + size]), (at, size)


def test_internal_snapshots_are_read(disks: dict[str, Path], tmp_path: Path) -> None:
    image = tmp_path / "image"
    shutil.copy(disks["qcow2"], image)
    call("qemu-img", "snapshot", "-c", "before", image)
    records = taken(opened(image))[1]
    assert [(each.path, each.kind) for each in records if each.kind == "ext"] == [
        ("f!/p1", "ext"), ("f!/@1!/p1", "ext")
    ]  # fmt: skip


def test_images_that_name_other_files_are_refused(disks: dict[str, Path], tmp_path: Path) -> None:
    backing = shutil.copy(disks["qcow2"], tmp_path / "base")
    call("qemu-img", "create", "-f", "qcow2", "-b", backing, "-F", "qcow2", tmp_path / "overlay")
    call(
        "qemu-img", "convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", disks["raw"], tmp_path / "flat"
    )
    call("qemu-img", "create", "-f", "vmdk", "-b", disks["vmdk"], "-F", "vmdk", tmp_path / "child")
    extended = ("-O", "qcow2", "-o", "extended_l2=on,cluster_size=128k")
    call("qemu-img", "convert", *extended, disks["raw"], tmp_path / "extended")
    for name, said in (
        ("overlay", "base"),
        ("flat", "extent"),
        ("child", "parent"),
        ("extended", "features"),
    ):
        files, (record,) = taken(opened(tmp_path / name))
        assert not files and record.error is not None
        assert record.error.code == "unsupported" and said in record.error.text


def test_an_image_in_several_files_is_refused(disks: dict[str, Path], tmp_path: Path) -> None:
    words = ("-u", "-q", "-c", "none", "-S", "4MiB", "-f", "encase6", "-t", tmp_path / "image")
    call("ewfacquire", *words, disks["raw"])
    (record,) = taken(opened(tmp_path / "image.E01"))[1]
    assert record.error is not None and "further files" in record.error.text


def test_encrypted_archives_are_said_to_be(tree: Path, tmp_path: Path) -> None:
    for number, words in enumerate((("-psecret",), ("-psecret", "-mhe=on"))):
        out = tmp_path / f"{number}.7z"
        call("7zz", "a", "-bd", *words, out, "big", cwd=tree)
        (record,) = taken(opened(out))[1]
        assert record.error is not None and record.error.code == "encrypted"


def test_volumes_of_lvm(made: dict[str, Path], tree: Path) -> None:
    content = made["ext4"].read_bytes()
    files, records = taken(bytes_reader(images.lvm(content)))
    assert [(each.path, each.kind, each.error) for each in records] == [
        ("f!/root", "ext", None), ("f", "lvm", None)
    ]  # fmt: skip
    assert {n.removeprefix("root!/"): c for n, c in files.items()} == expected(tree, "ext4")
    records = taken(bytes_reader(images.lvm(content, foreign=True)))[1]
    assert records[0].complete and records[1].error is not None
    assert "pv1" in records[1].error.text
    for at in (600, 4100, 4700):
        damaged = bytearray(images.lvm(content))
        damaged[at] ^= 1
        error = taken(bytes_reader(bytes(damaged)))[1][-1].error
        assert error is not None and error.code == "damaged", at


def test_a_member_of_a_mirror(made: dict[str, Path], tree: Path) -> None:
    disk = images.raid1(made["ext4"].read_bytes())
    files, records = taken(bytes_reader(disk))
    assert [(each.kind, each.error) for each in records] == [("ext", None), ("md", None)]
    assert files == expected(tree, "ext4")
    error = taken(bytes_reader(disk[: 4096 + 72] + b"\5" + disk[4096 + 73 :]))[1][-1].error
    assert error is not None and "checksum" in error.text


# --------------------------------------------------------------------------- damage


CHECKED = ("ext4", "xfs", "btrfs", "sevenzip", "ewf", "ewf-plain")
"""What has checksums over its structure: a change is noticed, or has changed nothing that matters."""


def image_of(kind: str, made: dict[str, Path], disks: dict[str, Path]) -> Path:
    return disks[kind] if kind in DISKS else made[kind]


def used(path: Path) -> list[int]:
    """Where the file has something other than zeros, in steps of 512 bytes."""
    data = path.read_bytes()
    return [at for at in range(0, len(data), 512) if any(data[at : at + 512])]


class Changed:
    """A file with changes, without a copy of it."""

    def __init__(self, path: Path, changes: dict[int, int], end: int | None = None) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        self.changes = changes
        self.size = path.stat().st_size if end is None else end

    def fetch(self, offset: int, size: int) -> bytes:
        data = bytearray(os.pread(self.descriptor, min(size, self.size - offset), offset))
        for at, value in self.changes.items():
            if offset <= at < offset + len(data):
                data[at - offset] ^= value
        return bytes(data)

    def reader(self) -> SeekReader:
        return SeekReader(self.fetch, self.size)


@pytest.mark.parametrize("kind", [*images.FILE_SYSTEMS, *DISKS])
def test_every_truncation_is_reported(kind: str, made: dict[str, Path], disks: dict[str, Path]) -> None:
    path = image_of(kind, made, disks)
    size = path.stat().st_size
    chance = random.Random(kind)
    places = used(path)
    ends = [chance.choice(places) + chance.randrange(512) for _ in range(8)] + [
        size - 513 - size % 512,
        size // 2,
    ]
    for end in ends:
        if end < 70_000 or end >= size:
            continue
        if kind in ("iso", "joliet") and end > size - 400 * 1024:
            continue  # padding after the image
        if kind == "vmdk-stream" and end > size - 100_000:
            continue  # a second copy of the tables, and the end mark: nothing of the disk is missing
        if kind.startswith("squashfs") and end > size - 4096:
            continue  # likewise
        records = taken(Changed(path, {}, end).reader(), Context(Budget(seconds=60)))[1]
        assert any(not each.complete for each in records), end


@pytest.mark.parametrize("kind", [*images.FILE_SYSTEMS, *DISKS])
def test_no_change_is_a_crash_and_checksums_are_verified(
    kind: str, made: dict[str, Path], disks: dict[str, Path], tree: Path
) -> None:
    path = image_of(kind, made, disks)
    wanted = expected(tree, "ext4" if kind in DISKS else kind)
    places = used(path)
    early = places[: max(4, len(places) // 20)]
    chance = random.Random(kind)
    for number in range(24):
        at = chance.choice(early if number % 2 else places) + chance.randrange(512)
        changed = Changed(path, {at: 1 << chance.randrange(8)})
        files, records = taken(changed.reader(), Context(Budget(seconds=60)))
        names = {name.removeprefix("p1!/") for name in files}
        if kind in CHECKED and records and all(each.complete for each in records):
            assert names == set(wanted), at
        if kind in ("ewf", "ewf-plain", "sevenzip") and records and all(each.complete for each in records):
            assert {n.removeprefix("p1!/"): c for n, c in files.items()} == wanted, at


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_changed_name_is_noticed(kind: str, made: dict[str, Path]) -> None:
    """Every place where a name stands in a directory."""
    data = made[kind].read_bytes()
    at, found = data.find(b"signed.ko"), 0
    while at >= 0:
        records = taken(Changed(made[kind], {at + 2: 1}).reader())[1]
        link = data[at - 7 : at] == b"kernel/"  # the target of the link, which is content
        found += not records[-1].complete
        assert link or not records[-1].complete or kind == "btrfs", at
        at = data.find(b"signed.ko", at + 1)
    assert found


@pytest.mark.parametrize("mode", ["0", "0170644", "030644"])
def test_a_file_of_a_type_that_does_not_exist(mode: str, made: dict[str, Path], tmp_path: Path) -> None:
    image = tmp_path / "image"
    shutil.copy(made["ext4"], image)
    call("debugfs", "-w", "-R", f"set_inode_field /lib/modules/6.1.0/kernel/signed.ko mode {mode}", image)
    files, records = taken(opened(image))
    assert not any(name.endswith("signed.ko") for name in files)
    assert records[-1].error is not None and f"the mode 0o{int(mode, 8):o}" in records[-1].error.text


def test_a_directory_inside_itself(tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    (folder / "outer" / "inner").mkdir(parents=True)
    images.ext2(folder, image := tmp_path / "image")
    call("debugfs", "-w", "-R", "link outer outer/inner/again", image)
    call("debugfs", "-w", "-R", "set_inode_field outer links_count 9", image)
    error = taken(opened(image))[1][-1].error
    assert error is not None and "inside itself" in error.text


def test_a_chain_of_clusters_that_is_a_loop(tmp_path: Path, without_links: Path) -> None:
    images.fat16(without_links, image := tmp_path / "image")
    data = bytearray(image.read_bytes())
    reserved, sectors = int.from_bytes(data[14:16], "little"), int.from_bytes(data[22:24], "little")
    first = reserved * 512
    for copy in (first, first + sectors * 512):
        for cluster in range(3, 20):
            data[copy + 2 * cluster : copy + 2 * cluster + 2] = (3).to_bytes(2, "little")
    error = taken(bytes_reader(bytes(data)))[1][-1].error
    assert error is not None and error.code in ("damaged", "truncated")


def test_an_archive_is_over_the_budget(made: dict[str, Path]) -> None:
    error = taken(opened(made["sevenzip"]), Context(Budget(output=10_000)))[1][-1].error
    assert error is not None and (error.code, error.hint) == ("over-budget", "max-size")


# --------------------------------------------------------------------------- the extras, and paths


@pytest.mark.parametrize("kind", ["ext4", "squashfs", "iso", "sevenzip"])
def test_a_missing_extra_is_named(kind: str, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'dissect'", name="dissect")

    monkeypatch.setattr(declared, "import_module", missing)
    files, (record,) = taken(opened(made[kind]))
    extra = "archives" if kind in ("iso", "sevenzip") else "images"
    assert not files and record.error is not None
    assert (record.error.code, record.error.hint) == ("needs-extra", extra)
    assert f"elfsig[{extra}]" in record.error.text


def test_paths_lead_into_images(disks: dict[str, Path]) -> None:
    inside = f"{disks['qcow2']}!/p1!/lib/modules/6.1.0/kernel/signed.ko"
    assert run("verify", "--trust", CERT, inside).code == 0
    linked = f"{disks['qcow2']}!/p1!/lib/link.ko"
    assert run("verify", "--trust", CERT, linked).code == 0


# --------------------------------------------------------------------------- in a cage


def in_a_cage(data: bytes, room: int) -> list[Any]:
    """Records of a walk over a stream that must be copied to be read, in a process that may open no file for
    writing; ``room`` is the most that the copy may take, in bytes."""

    def work(report: Callable[[Any], None]) -> None:
        stream = bytes_reader(gzip.compress(data, 1))
        for found in walk(stream, FILE):
            if isinstance(found, ContainerRecord):
                report([found.kind, found.members, found.error and found.error.code])
            elif found.member.reader is not None:
                with suppress(ContainerError):
                    found.member.reader.finish()

    return list(Cage(Limits(scratch=room)).run(work))


def test_a_caged_process_copies_to_the_file_that_it_is_given(disks: dict[str, Path], tree: Path) -> None:
    data = disks["qcow2-compressed"].read_bytes()
    count = len(expected(tree, "ext4")) + 5  # and the directories
    assert in_a_cage(data, 1 << 30) == [
        ["ext", count, None], ["gpt", 1, None], ["qcow2", 1, None], ["gzip", 1, None]
    ]  # fmt: skip
    assert in_a_cage(data, 100_000) == [["qcow2", 0, "over-budget"], ["gzip", 1, None]]


@pytest.mark.parametrize("kind", [*images.FILE_SYSTEMS, *DISKS])
def test_every_kind_is_read_in_a_cage(kind: str, made: dict[str, Path], disks: dict[str, Path]) -> None:
    """The libraries open no files of their own, nor look into /proc."""
    image = (made if kind in images.FILE_SYSTEMS else disks)[kind]
    done = run("survey", image, "--jsonl")
    records = [json.loads(line) for line in done.out.splitlines()]
    assert [each["error"] for each in records] == [None] * len(records)
    assert sum(each["record"] == "module" for each in records) == 1


@pytest.mark.parametrize("method", ["ARM64", "BCJ2"])
def test_filters_that_the_library_lacks(method: str, tree: Path, tmp_path: Path) -> None:
    call("7zz", "a", "-bd", "-snl", f"-m0={method}", "-m1=LZMA", tmp_path / "a.7z", ".", cwd=tree)
    _, records = taken(opened(tmp_path / "a.7z"))
    assert [(each.kind, each.error and each.error.code) for each in records] == [("7z", "unsupported")]


def test_space_of_copies_is_used_again() -> None:
    scratch = Scratch()
    first = scratch.copy()
    first.write(b"first")
    outer = first.reader()
    for _ in range(3):
        inner = scratch.copy()
        assert inner.start == 5
        inner.write(b"inner")
        assert inner.reader().all(100) == b"inner"
    assert outer.all(100) == b"first"
