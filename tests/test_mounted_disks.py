"""File systems as Linux itself wrote them, in a loop device: elfsig reads the same files as Linux."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from elfsig.containers.walk import ContainerRecord, walk
from tests.support.images import blank, call
from tests.support.tools import need
from tests.test_containers_images import FILE, Files, digest, opened, taken
from tests.world.odd_files import IMA, fill
from tests.world.places import in_child

pytest.importorskip("dissect.extfs")

EXT4 = ("mkfs.ext4", "-q")
SYSTEMS: dict[str, tuple[tuple[str, ...], str]] = {
    "ext4": (EXT4, ""),
    "ext4, inline": ((*EXT4, "-b", "1024", "-I", "512", "-O", "inline_data,ea_inode,large_dir"), ""),
    "ext4, block maps": ((*EXT4, "-b", "4096", "-O", "^extents,^64bit"), ""),
    "ext3": (("mkfs.ext3", "-q", "-b", "4096"), ""),
    "ext2": (("mkfs.ext2", "-q", "-b", "2048"), ""),
    "XFS": (("mkfs.xfs", "-q"), ""),
    "XFS, large inodes": (("mkfs.xfs", "-q", "-i", "size=2048", "-n", "size=8192"), ""),
    "Btrfs": (("mkfs.btrfs", "-q"), ""),
    "Btrfs, zstd": (("mkfs.btrfs", "-q", "--csum", "xxhash"), ",compress-force=zstd"),
    "Btrfs, lzo": (("mkfs.btrfs", "-q", "-M", "-n", "4096"), ",compress-force=lzo"),
    "Btrfs, zlib": (("mkfs.btrfs", "-q", "-O", "^no-holes"), ",compress-force=zlib,nodatacow"),
}  # fmt: skip
"""How each is made, and mounted."""
SIZE = 320 << 20


@functools.cache
def _can_mount(kind: str) -> bool:
    """Whether a file system of this kind can be mounted from a file."""
    out, place = Path(f"/tmp/elfsig-probe-{os.getpid()}"), Path(f"/tmp/elfsig-probe-{os.getpid()}.d")
    place.mkdir()
    try:
        call(need(f"mkfs.{kind}"), "-q", blank(out, SIZE))
        words: list[str | Path] = [need("unshare"), "--mount", need("mount"), "-o", "loop", out, place]
        return not os.geteuid() and not subprocess.run(words, capture_output=True).returncode
    finally:
        out.unlink(missing_ok=True)
        place.rmdir()


def written(image: Path, name: str, act: Callable[[Path], None], *, more: tuple[str, ...] = ()) -> Files:
    """Make a file system of a kind and let ``act`` write into it; what Linux then reads from it."""
    words, options = SYSTEMS[name]
    if not _can_mount(words[0].removeprefix("mkfs.")):
        pytest.skip("opt-in: needs root, and loop devices with this kind of file system")
    call(need(words[0]), *words[1:], *more, blank(image, SIZE))
    place = image.with_suffix(".mounted")
    place.mkdir()

    def body() -> None:
        call("mount", "-o", f"loop{options}", image, place)
        act(place)
        call("umount", place)
        call("mount", "-o", "loop,ro", image, place)
        image.with_suffix(".json").write_text(json.dumps(_listed(place)))
        call("umount", place)

    in_child(body, mounts=True)
    found: Files = json.loads(image.with_suffix(".json").read_text())
    return found


def _listed(place: Path) -> Files:
    found: Files = {}
    for path in place.rglob("*"):
        name = path.relative_to(place).as_posix()
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = digest(path.read_bytes())
    return found


@pytest.mark.parametrize("name", SYSTEMS)
def test_elfsig_reads_what_linux_reads(name: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    wanted = written(image, name, lambda place: fill(place, sum(map(ord, name))))
    _compare(image, wanted)


@pytest.mark.parametrize(
    "words", ["-comp gzip", "-comp xz -b 8K -always-use-fragments", "-noI -noD -noF -noX"]
)
def test_squashfs_as_linux_reads_it(words: str, tmp_path: Path) -> None:
    """Made by mksquashfs: Linux does not write it."""
    image, tree, place = tmp_path / "image", tmp_path / "tree", tmp_path / "mounted"
    if not _can_mount("ext4"):
        pytest.skip("opt-in: needs root and loop devices")
    tree.mkdir()
    place.mkdir()
    fill(tree, len(words))
    call("mksquashfs", tree, image, "-quiet", "-no-progress", *words.split())

    def body() -> None:
        call("mount", "-o", "loop", image, place)
        (tmp_path / "found.json").write_text(json.dumps(_listed(place)))

    in_child(body, mounts=True)
    _compare(image, json.loads((tmp_path / "found.json").read_text()))


def _compare(image: Path, wanted: Files) -> None:
    files, records = taken(opened(image))
    assert (records[-1].complete, records[-1].error) == (True, None)
    assert files == wanted and len(files) > 1500
    notes = {
        os.path.basename(found.path): found.member.notes
        for found in walk(opened(image), FILE)
        if not isinstance(found, ContainerRecord) and found.member.notes
    }
    assert set(notes) == {"few.ko", "hard.ko", "x.ko"}
    assert all(each == {"security.ima": IMA} for each in notes.values())


@pytest.mark.parametrize("name", ["ext4", "XFS", "Btrfs"])
def test_what_is_in_a_log_only_is_not_passed_over(name: str, tmp_path: Path) -> None:
    """The copy of a disk in use: the last files were written, but stand in the journal alone."""
    image, copy = tmp_path / "image", tmp_path / "copy"

    def act(place: Path) -> None:
        (place / "old").write_bytes(b"old")
        call("sync", "-f", place)
        with (place / "new").open("wb") as stream:
            stream.write(b"new")
            os.fsync(stream.fileno())
        shutil.copyfile(image, copy)

    wanted = written(image, name, act)
    files, records = taken(opened(image))
    assert files == wanted and records[-1].complete and "new" in files
    files, records = taken(opened(copy))
    assert "new" not in files and not records[-1].complete
    assert records[-1].error is not None and "was not replayed" in records[-1].error.text


def test_the_log_of_xfs_is_a_ring(tmp_path: Path) -> None:
    """However often it was written around: clean or not as xfs_logprint says."""
    image, copies = tmp_path / "image", [tmp_path / f"copy{number}" for number in range(6)]
    logprint = need("xfs_logprint")

    def act(place: Path) -> None:
        for copy in copies:
            for each in range(60):
                path = place / f"{each}"
                path.write_bytes(b"x" * 3)
                for number in range(30):
                    os.setxattr(path, f"user.{number}", os.urandom(900))
                call("sync", "-f", place)
                path.unlink()
            shutil.copyfile(image, copy)

    written(image, "XFS", act, more=("--unsupported", "-l", "size=6m"))
    heads = []
    for path in (*copies, image):
        said = call(logprint, "-t", path).decode()
        heads.append(int(said.partition("head: ")[2].split()[0]))
        assert taken(opened(path))[1][-1].complete == ("<CLEAN>" in said) == (path == image)
    assert heads != sorted(heads), ("the log was never written around", heads)
