"""``elfsig survey`` on real modules in the containers that they come in, none of them unpacked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import elfsig
from tests.support.debian import debian_kernel, debian_modules, debian_vmlinuz
from tests.support.kernels import ARCHES
from tests.support.wrapped import WAYS, can, deb, tree

Json = dict[str, Any]
STEP = 40
"""Every 40th module: about a hundred of an architecture."""


class Made:
    """A root file system with every 40th module, and what they should be found as."""

    def __init__(self, folder: Path, arch: str) -> None:
        self.kernel = debian_vmlinuz(arch)
        self.release = debian_kernel(arch).release
        modules = debian_modules(arch)[::STEP]
        self.top = tree(folder, self.release, modules, self.kernel, debian_kernel(arch).config())
        self.expected = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in modules}


@pytest.fixture(scope="module")
def amd64(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("amd64"), "amd64")


def found_in(path: Path, *words: str | Path) -> list[Json]:
    ran = elfsig("survey", "--jsonl", path, *words)
    assert ran.code in (0, 4), ran.err + ran.out[-2000:]
    return ran.files()


def modules_of(records: list[Json]) -> dict[str, str]:
    """SHA-256 by file name."""
    return {e["path"].rpartition("/")[2]: e["sha256"] for e in records if e["record"] == "module"}


@pytest.mark.parametrize("way", WAYS)
def test_every_module_is_found_and_valid(way: str, amd64: Made, tmp_path: Path) -> None:
    if not can(way):
        pytest.skip(f"{way} needs root")
    path = WAYS[way](tmp_path, amd64.top, amd64.release)
    records = found_in(path, "--trust", amd64.kernel)
    assert all(e["complete"] for e in records if e["record"] == "container")
    assert modules_of(records) == amd64.expected
    assert {e["verdict"] for e in records if e["record"] == "module"} == {"valid"}


@pytest.mark.parametrize("arch", ARCHES)
def test_packages_of_every_architecture(arch: str, tmp_path: Path) -> None:
    made = Made(tmp_path, arch)
    path = deb(tmp_path, made.top, made.release)
    records = found_in(path, "--keys", "found")
    assert modules_of(records) == made.expected
    assert {e["verdict"] for e in records if e["record"] == "module"} == {"untrusted"}
    kernels = [e for e in records if e["record"] == "kernel"]
    assert [e["release"] for e in kernels] == [made.release]
    trusted = f"{path}!/data.tar.xz!/boot/vmlinuz-{made.release}"
    assert {e["verdict"] for e in found_in(path, "--trust", trusted) if e["record"] == "module"} == {"valid"}


def test_the_same_module_in_three_places(amd64: Made, tmp_path: Path) -> None:
    """On the disk, in an initramfs and in a package: the same everywhere."""
    paths = [WAYS[way](tmp_path, amd64.top, amd64.release) for way in ("deb", "tar_cpio", "tar_zst")]
    ran = elfsig("survey", "--json", *paths, "--trust", amd64.kernel)
    several = json.loads(ran.out)["several_places"]
    assert {each["relation"] for each in several} == {"same"}
    assert len(several) == len(amd64.expected)
    assert {len(each["copies"]) for each in several} == {3}
