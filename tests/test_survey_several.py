"""Images, volume groups and arrays in several files: read when all are given, else refused by name."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import corpus
import elfsig
from elfsig.batch.survey.file import companions
from tests.support import images
from tests.support.images import MIB, call
from tests.support.run import run
from tests.support.signed import CERT, made
from tests.support.tools import need

pytest.importorskip("dissect.extfs")

SIGNED = made(corpus.content("amd64-2.6.39-uek.ko"), "pkcs7", "whole-file").content
DIGEST = hashlib.sha256(SIGNED).hexdigest()
Json = dict[str, Any]


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file system with a module after some megabytes that do not repeat."""
    folder = tmp_path_factory.mktemp("several")
    tree = folder / "tree"
    tree.mkdir()
    (tree / "noise").write_bytes(random.Random(5).randbytes(5 * MIB))
    (tree / "sample.ko").write_bytes(SIGNED)
    images.ext4(tree, folder / "disk")
    return folder / "disk"


def survey(*words: str | Path) -> list[Json]:
    return run("survey", "--jsonl", "--trust", CERT, *words).files()


def modules(found: Sequence[Json]) -> list[str]:
    """The paths of modules, each of which must be the signed one, whole."""
    every = [each for each in found if each["record"] == "module"]
    assert all((each["sha256"], each["verdict"]) == (DIGEST, "valid") for each in every)
    return [each["path"] for each in every]


def faults(found: Sequence[Json]) -> dict[str, str]:
    """By path, what containers were not read to their end for."""
    return {each["path"]: each["error"]["text"] for each in found if each.get("complete") is False}


# --------------------------------------------------------------------------- qcow2


def overlays(disk: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Three images: the last has changes of the second, that of the first, whose disk is smaller."""
    base, middle, top = (folder / name for name in ("base.qcow2", "middle.qcow2", "top.qcow2"))
    call("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, base)
    call("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base.name, middle, "20M", cwd=folder)
    call("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", middle, top, "24M")
    return base, middle, top


def test_a_chain_of_backing_files(disk: Path, tmp_path: Path) -> None:
    base, middle, top = overlays(disk, tmp_path)
    found = survey(top, base, middle)
    assert modules(found) == [f"{each}!/sample.ko" for each in (top, base, middle)]
    assert not faults(found)
    assert modules(survey(tmp_path)) == [f"{each}!/sample.ko" for each in (base, middle, top)]
    records = list(elfsig.survey([top, middle, base], trust=CERT))
    assert sum(isinstance(each, elfsig.ModuleRecord) for each in records) == 3


def test_the_changes_of_an_overlay_count(disk: Path, tmp_path: Path) -> None:
    """qemu-io writes into the overlay: the module there has another byte, the one below has not."""
    need("qemu-io")
    base, middle, top = overlays(disk, tmp_path)
    at = disk.read_bytes().find(SIGNED[:4096])
    assert at > 0 and not at % 1024
    call("qemu-io", "-c", f"write -P 0x55 {at + 512} 512", top)
    found = survey(top, base, middle)
    by_path = {each["path"]: each for each in found if each["record"] == "module"}
    assert by_path[f"{top}!/sample.ko"]["verdict"] == "invalid"
    changed = SIGNED[:512] + b"\x55" * 512 + SIGNED[1024:]
    assert by_path[f"{top}!/sample.ko"]["sha256"] == hashlib.sha256(changed).hexdigest()
    assert by_path[f"{base}!/sample.ko"]["verdict"] == "valid"


@pytest.mark.parametrize("given", [["top.qcow2"], ["top.qcow2", "base.qcow2"], ["top.qcow2", "middle.qcow2"]])
def test_a_backing_file_that_was_not_given_is_not_opened(
    disk: Path, tmp_path: Path, given: list[str]
) -> None:
    overlays(disk, tmp_path)
    found = survey(*(tmp_path / each for each in given))
    absent = "middle.qcow2" if "middle.qcow2" not in given else "base.qcow2"
    said = faults(found)[str(tmp_path / "top.qcow2")]
    assert "was not given" in said and absent in said
    assert f"{tmp_path}/top.qcow2!/sample.ko" not in modules(found)


def test_a_raw_backing_file_may_start_like_an_image(disk: Path, tmp_path: Path) -> None:
    base, top = tmp_path / "base.raw", tmp_path / "top.qcow2"
    images.gpt(base, disk.read_bytes())
    content = base.read_bytes()
    base.write_bytes(b"QFI\xfb" + content[4:])
    need("qemu-io")
    call("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, top)
    call("qemu-io", "-c", "write -z 0 512", top)  # else the disk in the overlay starts like that, too
    found = survey(top, base)
    assert modules(found) == [f"{top}!/p1!/sample.ko"]
    assert str(base) in faults(found)


def test_images_that_need_each_other(disk: Path, tmp_path: Path) -> None:
    base, _, top = overlays(disk, tmp_path)
    for each in (tmp_path / "middle.qcow2", base):
        each.unlink()
    words = ("-u", "-f", "qcow2", "-F", "qcow2", "-b", "top.qcow2", "middle.qcow2", "20M")
    call("qemu-img", "create", "-q", *words, cwd=tmp_path)
    found = faults(survey(top, tmp_path / "middle.qcow2"))
    assert all("need each other" in each for each in found.values()) and len(found) == 2


def test_damage_of_a_backing_file_is_the_overlays_too(disk: Path, tmp_path: Path) -> None:
    base, middle, top = overlays(disk, tmp_path)
    content = base.read_bytes()
    base.write_bytes(content[: len(content) // 2])
    found = faults(survey(top, middle, base))
    assert {str(base), str(middle), str(top)} <= found.keys()


# --------------------------------------------------------------------------- VMDK

FORMS = ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"]


@pytest.mark.parametrize("form", FORMS)
def test_extents_of_a_descriptor(form: str, disk: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.vmdk"
    call("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={form}", disk, image)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    for given in ([tmp_path], files, files[::-1]):
        found = survey(*given)
        assert modules(found) == [f"{image}!/sample.ko"] and not faults(found)
        further = [each for each in found if each.get("kind") == "further"]
        assert [each["path"] for each in further] == [str(each) for each in files if each != image]
    assert "was not given" in faults(survey(image))[str(image)]


def test_several_extents_and_a_gap(disk: Path, tmp_path: Path) -> None:
    content = disk.read_bytes()
    (tmp_path / "image-f001.vmdk").write_bytes(b"x" * 512 + content[: 6 * MIB])
    (tmp_path / "image-f002.vmdk").write_bytes(content[6 * MIB :])
    text = f"""# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="custom"
RW {6 * MIB // 512} FLAT "image-f001.vmdk" 1
RW {10 * MIB // 512} FLAT "image-f002.vmdk" 0
RW 2048 ZERO
"""
    image = tmp_path / "image.vmdk"
    image.write_text(text)
    found = survey(tmp_path)
    assert modules(found) == [f"{image}!/sample.ko"] and not faults(found)
    (tmp_path / "image-f002.vmdk").write_bytes(content[6 * MIB : -512])
    assert "an extent has" in faults(survey(tmp_path))[str(image)]


def test_a_vmdk_with_a_parent(disk: Path, tmp_path: Path) -> None:
    base, child = tmp_path / "base.vmdk", tmp_path / "child.vmdk"
    call("qemu-img", "convert", "-f", "raw", "-O", "vmdk", disk, base)
    call("qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", base, child)
    found = survey(child, base)
    assert modules(found) == [f"{child}!/sample.ko", f"{base}!/sample.ko"] and not faults(found)
    assert "its parent" in faults(survey(child))[str(child)]


# --------------------------------------------------------------------------- LVM and MD


def written(folder: Path, contents: Sequence[bytes]) -> list[Path]:
    paths = [folder / f"disk{number}.img" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def test_a_volume_group_on_two_disks(disk: Path, tmp_path: Path) -> None:
    content = disk.read_bytes()
    one, two = written(tmp_path, images.volume_group(content, content))
    found = survey(one, two)
    assert modules(found) == [f"{one}!/root!/sample.ko", f"{two}!/own!/sample.ko"] and not faults(found)
    found = survey(two, one)
    assert modules(found) == [f"{two}!/root!/sample.ko", f"{two}!/own!/sample.ko"] and not faults(found)
    assert modules(survey(tmp_path)) == [f"{one}!/root!/sample.ko", f"{two}!/own!/sample.ko"]
    found = survey(two)
    assert modules(found) == [f"{two}!/own!/sample.ko"]
    assert "root" in faults(found)[str(two)] and "pv0" in faults(found)[str(two)]
    assert set(faults(survey(one))) == {str(one)}


def test_physical_volumes_in_partitions_of_images(disk: Path, tmp_path: Path) -> None:
    paths = []
    for number, each in enumerate(images.volume_group(disk.read_bytes(), bytes(MIB))):
        raw, path = tmp_path / f"{number}.raw", tmp_path / f"{number}.qcow2"
        images.gpt(raw, bytes(MIB), each)
        call("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, path)
        paths.append(path)
    found = survey(*paths)
    assert modules(found) == [f"{paths[0]}!/p2!/root!/sample.ko"] and not faults(found)


ARRAYS = [(-1, 2), (0, 2), (0, 3), (4, 3), (5, 3), (5, 4), (6, 4), (6, 5), (10, 2), (10, 4)]


@pytest.mark.parametrize(("level", "count"), ARRAYS)
def test_an_array(level: int, count: int, disk: Path, tmp_path: Path) -> None:
    content = disk.read_bytes()
    data = {4: count - 1, 5: count - 1, 6: count - 2, 10: count}.get(level, count)
    content = content.ljust(-(-len(content) // (data << 16)) * (data << 16), b"\0")
    paths = written(tmp_path, images.array(content, level, count))
    for order in (paths, paths[::-1]):
        found = survey(*order)
        assert modules(found) == [f"{order[0]}!/sample.ko"] and not faults(found)
    found = survey(*paths[1:])
    assert not modules(found) and faults(found).keys() == set(map(str, paths[1:]))
    assert all("the members 0 of an array" in each for each in faults(found).values())


def test_the_recipe_of_an_array_is_what_mdadm_reads(tmp_path: Path) -> None:
    for path in written(tmp_path, images.array(bytes(6 << 16), 5, 3)):
        said = call("mdadm", "--examine", path).decode()
        assert "raid5" in said and "left-symmetric" in said and "64K" in said and "- correct" in said


def test_a_member_of_another_time_is_not_mixed_in(disk: Path, tmp_path: Path) -> None:
    content = disk.read_bytes()
    paths = written(tmp_path, images.array(content, 0, 2))
    data = paths[1].read_bytes()[MIB:]
    paths[1].write_bytes(images.md_member(data, 1, 2, level=0, size=len(data), chunk=64 << 10, events=9))
    found = survey(*paths)
    assert not modules(found) and all("another time" in each for each in faults(found).values())


def test_a_spare_device_is_empty(disk: Path, tmp_path: Path) -> None:
    content = disk.read_bytes()
    one, spare = tmp_path / "one", tmp_path / "spare"
    one.write_bytes(images.raid1(content))
    spare.write_bytes(images.md_member(content, None, 2, level=1, size=len(content)))
    found = survey(one, spare)
    assert modules(found) == [f"{one}!/sample.ko"] and not faults(found)


# --------------------------------------------------------------------------- what was not given


def test_a_package_never_sees_other_files(disk: Path, tmp_path: Path) -> None:
    """An image in an archive names a file that was given: it is not opened for it."""
    base, _, _ = overlays(disk, tmp_path)
    (tmp_path / "in").mkdir()
    call("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, tmp_path / "in/top.qcow2")
    subprocess.run(["tar", "-cf", tmp_path / "a.tar", "-C", tmp_path / "in", "top.qcow2"], check=True)
    assert not companions(str(tmp_path / "a.tar"), None, (str(base), str(tmp_path / "a.tar")))
    found = survey(base, tmp_path / "a.tar")
    assert modules(found) == [f"{base}!/sample.ko"]
    assert f"{tmp_path}/a.tar!/top.qcow2" in faults(found)


def test_without_a_cage_it_is_the_same(disk: Path, tmp_path: Path) -> None:
    overlays(disk, tmp_path)
    caged, plain = (survey(tmp_path, *more) for more in ((), ("--no-cage",)))
    for each in (*caged, *plain):
        each.pop("run", None)
    assert caged == plain


def test_a_name_may_come_from_another_directory(disk: Path, tmp_path: Path) -> None:
    base, middle, top = overlays(disk, tmp_path)
    (tmp_path / "moved").mkdir()
    moved = Path(shutil.move(middle, tmp_path / "moved"))
    assert modules(survey(top, moved, base)) == [f"{each}!/sample.ko" for each in (top, moved, base)]


# --------------------------------------------------------------------------- damage


def _small(folder: Path) -> bytes:
    """A tar with the module: what is found in it does not depend on a file system's own checks."""
    (folder / "in").mkdir()
    (folder / "in/sample.ko").write_bytes(SIGNED)
    call("tar", "-cf", folder / "in.tar", "-C", folder / "in", "sample.ko")
    content = (folder / "in.tar").read_bytes()
    shutil.rmtree(folder / "in")
    (folder / "in.tar").unlink()
    return content


def _chain(content: bytes, folder: Path) -> list[Path]:
    (folder / "raw").write_bytes(content.ljust(2 * MIB, b"\0"))
    overlays(folder / "raw", folder)
    (folder / "raw").unlink()
    return [folder / "top.qcow2", folder / "middle.qcow2", folder / "base.qcow2"]


def _extents(content: bytes, folder: Path) -> list[Path]:
    (folder / "raw").write_bytes(content.ljust(2 * MIB, b"\0"))
    words = ("-f", "raw", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse")
    call("qemu-img", "convert", *words, folder / "raw", folder / "image.vmdk")
    (folder / "raw").unlink()
    return [folder / "image.vmdk", folder / "image-s001.vmdk"]


def _raid5(content: bytes, folder: Path) -> list[Path]:
    return written(folder, images.array(content.ljust(2 * MIB, b"\0"), 5, 3))


def _volumes(content: bytes, folder: Path) -> list[Path]:
    return written(folder, images.volume_group(content.ljust(2 * MIB, b"\0"), b""))


KINDS = [_chain, _extents, _raid5, _volumes]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_never_silence(kind: Callable[[bytes, Path], list[Path]], tmp_path: Path) -> None:
    """Flipped and cut off: the module as it was, or another verdict, or a container that says why not.

    The header of the archive is left alone: without it a disk has nothing that anybody could recognise."""
    content = _small(tmp_path)
    paths = kind(content, tmp_path)
    sound = [path.read_bytes() for path in paths]
    chance = random.Random(kind.__name__)
    for turn in range(36):
        number = turn % len(paths)
        data = bytearray(sound[number])
        starts = [
            at for at in range(0, len(data), 512)
            if any(data[at : at + 512]) and data[at : at + 512] != content[:512]
        ]  # fmt: skip
        at = min(chance.choice(starts) + chance.randrange(512), len(data) - 1)
        if turn % 3:
            data[at] ^= 1 << chance.randrange(8)
        else:
            del data[at:]
        paths[number].write_bytes(data)
        found = list(elfsig.survey(paths, trust=CERT, limits=elfsig.Limits(seconds=20)))
        whole = [each for each in found if isinstance(each, elfsig.ModuleRecord)]
        good = any(each.report.sha256 == DIGEST for each in whole)
        said = any(isinstance(each, elfsig.ContainerRecord) and not each.complete for each in found)
        assert good or said or any(each.report.verdict is not elfsig.Verdict.VALID for each in whole), at
        paths[number].write_bytes(sound[number])


# --------------------------------------------------------------------------- other commands


def backed(disk: Path, folder: Path) -> tuple[list[Path], Path]:
    base, middle, top = overlays(disk, folder)
    return [top, middle, base], top


def in_extents(disk: Path, folder: Path) -> tuple[list[Path], Path]:
    image = folder / "image.vmdk"
    call("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={FORMS[1]}", disk, image)
    return [image, *sorted(each for each in folder.iterdir() if each != image)], image


def on_volumes(disk: Path, folder: Path) -> tuple[list[Path], Path]:
    paths = written(folder, images.volume_group(disk.read_bytes(), bytes(MIB)))
    return paths, paths[0] / "root"


def on_an_array(disk: Path, folder: Path) -> tuple[list[Path], Path]:
    content = disk.read_bytes()
    paths = written(
        folder, images.array(content.ljust(-(-len(content) // (3 << 18)) * (3 << 18), b"\0"), 5, 4)
    )
    return paths, paths[0]


@pytest.fixture(scope="session", params=[backed, in_extents, on_volumes, on_an_array])
def several(
    request: pytest.FixtureRequest, disk: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Path], str]:
    """The files that make up a disk, and the module's path in it."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    paths, first = request.param(disk, folder)
    inside = str(first).replace("/root", "!/root") if request.param is on_volumes else str(first)
    return paths, f"{inside}!/sample.ko"


def test_evidence_has_the_modules(several: tuple[list[Path], str], tmp_path: Path) -> None:
    paths, module = several
    for number, cage in enumerate(((), ("--no-cage",))):
        out = tmp_path / str(number)
        assert run("evidence", *paths, "--trust", CERT, "-o", f"{out}/", *cage).code == 0
        records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
        assert module in modules(records) and not faults(records)
    summary = elfsig.evidence(paths, f"{tmp_path}/c/", trust=CERT)
    assert (summary.incomplete, summary.verdicts) == (0, {"valid": len(modules(records))})


def test_parts_have_the_modules(several: tuple[list[Path], str], tmp_path: Path) -> None:
    paths, _ = several
    wanted = sorted(each["path"] for each in survey(*paths) if each["record"] == "module")
    done = run("survey", *paths, "--trust", CERT, "--parts", "3", "-o", tmp_path)
    assert done.code == 0, done.err
    lines = [json.loads(line) for each in tmp_path.glob("*.jsonl") for line in each.read_text().splitlines()]
    assert sorted(each["path"] for each in lines if each["record"] == "module") == wanted
    assert all(each["complete"] for each in lines if each["record"] == "container")


def test_a_policy_is_asked_of_the_modules(several: tuple[list[Path], str], tmp_path: Path) -> None:
    paths, module = several
    (tmp_path / "policy.toml").write_text(f'version = 1\n[[rule]]\npath = "**"\ntrust = ["{CERT}"]\n')
    done = run("audit", *paths, "--policy", tmp_path / "policy.toml", "--details", "--json")
    found = json.loads(done.out)
    assert module in {each["path"] for each in found["files"]}, done.err
    assert not any(each["code"] in ("incomplete", "unreadable") for each in found["audit"]["faults"])
    records = tmp_path / "records"
    records.write_text(run("survey", "--jsonl", "--trust", CERT, *paths).out)
    again = run("audit", "--from", records, "--policy", tmp_path / "policy.toml", "--details", "--json")
    assert module in {each["path"] for each in json.loads(again.out)["files"]}


def test_the_vendor_may_have_them(several: tuple[list[Path], str], disk: Path) -> None:
    paths, _ = several
    against = [word for each in paths for word in ("--against", each)]
    for cage in ((), ("--no-cage",)):
        done = run("survey", "--jsonl", disk, *against, *cage)
        found = done.files()
        assert [each["vendor"]["relation"] for each in found if each["record"] == "module"] == ["same"]
        assert all(each["complete"] for each in found if each["record"] == "vendor")


def test_changed_modules_are_compared(several: tuple[list[Path], str], disk: Path, tmp_path: Path) -> None:
    """Both sides are read once more for that."""
    paths, _ = several
    content = bytearray(disk.read_bytes())
    at = content.find(SIGNED[:4096]) + SIGNED.index(b"license=")
    content[at + 8 : at + 11] = b"XYZ"
    (tmp_path / "disk").write_bytes(content)
    against = [word for each in paths for word in ("--against", each)]
    for cage in ((), ("--no-cage",)):
        for words in ([tmp_path / "disk", *against], [*paths, "--against", tmp_path / "disk"]):
            found = [
                each["vendor"]
                for each in run("survey", "--jsonl", *words, *cage).files()
                if each["record"] == "module"
            ]
            assert found and all(each["relation"] == "changed" for each in found)
            assert all(each["comparison"].get("error") is None for each in found), found
