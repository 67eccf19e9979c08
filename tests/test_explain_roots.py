"""``explain --root``: a system's files are found as that system finds them, whatever its links say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from elfsig.errors import ReadError, UsageError
from elfsig.host import explain
from elfsig.host.dkms import settings
from elfsig.host.files import Files
from elfsig.host.machine import EFIVARS, GLOBAL, Machine
from elfsig.kernels.select import Chosen
from elfsig.verbs.verify.kernel import KernelQuestion
from tests.support.cli import elfsig
from tests.support.verdicts import MODULE, signed
from tests.test_explain import RELEASE, live, running, write

BASE = f"lib/modules/{RELEASE}"


def link(path: Path, target: str | Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system that runs Debian's 6.1, enforcing, with one signed module."""
    base = running(tmp_path / "system")
    write(base / EFIVARS / f"SecureBoot-{GLOBAL}", b"\6\0\0\0\1")
    write(base / BASE / "kernel/vfat.ko", signed())
    write(base / BASE / "modules.dep", "kernel/vfat.ko:\n")
    return base


def explained(root: Path, name: str = "vfat") -> explain.OnMachine:
    machine = Machine(root)
    return explain.explain(machine, explain.question(machine, KernelQuestion(Chosen(None))), name)


def said(found: explain.OnMachine, text: str) -> bool:
    return any(text in remark for remark in found.remarks)


# --------------------------------------------------------------------------- links


def test_the_image_of_the_examiner_s_kernel_is_not_the_root_s(root: Path, tmp_path: Path) -> None:
    here = write(tmp_path / "boot-of-this-system", b"kernel")
    image = link(root / f"boot/vmlinuz-{RELEASE}", here)
    found = explained(root)
    assert said(found, f"{image} is a link to {here}: it leads to no file below {root}")
    assert said(found, "compiled-in keys are not known")


def test_an_absolute_link_starts_at_the_root(root: Path) -> None:
    write(root / "srv/kernels/image", b"no kernel")
    image = link(root / f"boot/vmlinuz-{RELEASE}", "/srv/kernels/image")
    machine = Machine(root)
    assert machine.image == image
    assert machine.files.real(image) == root / "srv/kernels/image"


@pytest.mark.parametrize("target", ["{}", "../../../../../../../../..{}"])
def test_a_module_that_is_a_link_out_of_the_root_is_not_judged(
    root: Path, tmp_path: Path, target: str
) -> None:
    outside = write(tmp_path / "vfat.ko", MODULE)
    path = root / BASE / "kernel/vfat.ko"
    path.unlink()
    link(path, target.format(outside))
    ran = elfsig("explain", path, "--root", root)
    assert ran.code == 5
    assert f"a link to {target.format(outside)}: it leads to no file below {root}" in ran.err


def test_a_module_that_is_a_link_within_the_root(root: Path) -> None:
    write(root / "lib/modules/6.1.0-50-amd64/extra/nv.ko", MODULE)
    path = link(root / BASE / "weak-updates/nv.ko", "/lib/modules/6.1.0-50-amd64/extra/nv.ko")
    found = explained(root, "nv")
    assert found.module.path == str(path) and found.asked.predictions[0].fault == "unsigned"
    assert said(found, f"module {path}, a link to {root}/lib/modules/6.1.0-50-amd64/extra/nv.ko")


def test_a_merged_usr_with_an_absolute_link(root: Path) -> None:
    (root / "usr").mkdir()
    (root / "lib").rename(root / "usr/lib")
    link(root / "lib", "/usr/lib")
    assert explained(root).module.path == str(root / BASE / "kernel/vfat.ko")
    os.unlink(root / "usr" / BASE / "modules.dep")
    assert explained(root).module.path == str(root / BASE / "kernel/vfat.ko")


def test_a_loop_of_links_is_an_error(root: Path) -> None:
    link(root / BASE / "kernel/a.ko", "b.ko")
    path = link(root / BASE / "kernel/b.ko", "a.ko")
    files = Files(root)
    assert files.real(path) is None and "symbolic links form a loop" in files.remarks[0]
    with pytest.raises(ReadError, match="form a loop") as caught:
        files.required(path)
    assert caught.value.code == "symlink-loop"


def test_a_missing_file_is_not_said_to_be_a_link(root: Path) -> None:
    files = Files(root)
    assert files.real(root / "boot/nothing") is None and files.bytes("lib/modules/nothing") is None
    assert files.remarks == []


def test_settings_are_not_read_through_links_out_of_the_root(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "config", "CONFIG_MODULES=y\n# CONFIG_MODULE_SIG is not set\n")
    link(root / f"boot/config-{RELEASE}", tmp_path / "config")
    found = explained(root)
    assert not found.asked.accepted and said(found, "the configuration of the kernel was not found")


# --------------------------------------------------------------------------- modules.dep


@pytest.mark.parametrize(
    "named", ["{}/evil/vfat.ko", "../../../../evil/vfat.ko", "/lib/modules/other/vfat.ko"]
)
def test_modules_dep_names_only_modules_of_its_kernel(root: Path, tmp_path: Path, named: str) -> None:
    for path in (tmp_path / "evil/vfat.ko", root / "evil/vfat.ko", root / "lib/modules/other/vfat.ko"):
        write(path, MODULE)
    name = named.format(tmp_path)
    write(root / BASE / "modules.dep", f"{name}:\n")
    found = explained(root)
    assert found.module.path == str(root / BASE / "kernel/vfat.ko")
    assert said(found, f"modules.dep names {name}, which is not below /{BASE}: it is ignored")


def test_an_absolute_name_in_modules_dep_is_one_of_the_root(root: Path) -> None:
    write(root / BASE / "modules.dep", f"/{BASE}/kernel/vfat.ko:\n")
    found = explained(root)
    assert found.module.path == str(root / BASE / "kernel/vfat.ko") and not said(found, "modules.dep")


# --------------------------------------------------------------------------- packages


def test_lists_of_packages_and_settings_are_the_root_s_own(root: Path, tmp_path: Path) -> None:
    here = write(tmp_path / "info/theirs.list", f"/{BASE}/kernel/vfat.ko\n")
    link(root / "var/lib/dpkg/info/theirs.list", here)
    assert explained(root).facts.source.kind == "unknown"  # the only list is one of another system
    write(root / "srv/lists/ours.list", f"/{BASE}/kernel/vfat.ko\n")
    (root / "var/lib/dpkg/info").rename(root / "var/lib/dpkg/old")
    link(root / "var/lib/dpkg/info", "/srv/lists")
    assert explained(root).facts.source.name == "ours"
    link(root / "etc/dkms/framework.conf", write(tmp_path / "framework.conf", "dkms_tree=/elsewhere\n"))
    assert settings(root) == {}
    link(root / "var/lib/rpm", tmp_path)
    assert explained(root).facts.source.name == "ours"


# --------------------------------------------------------------------------- names that cannot be


@pytest.mark.parametrize("name", ["x" * 300, "x\0y", "\ud800", "a/" * 3000 + "b"])
def test_a_name_that_no_file_can_have_leads_to_nothing(name: str, tmp_path: Path) -> None:
    """They raised OSError, ValueError and UnicodeEncodeError."""
    files = Files(tmp_path)
    assert files.real(tmp_path / name) is None and files.bytes(name) is None
    assert not files.is_file(tmp_path / name) and files.names(tmp_path / name) is None
    with pytest.raises(ReadError):
        files.required(tmp_path / name)


@pytest.mark.parametrize("release", ["6.1.0" + "x" * 300, "6.1\0x", "6.1/../../../.."])
def test_a_release_that_is_not_a_name_is_answered(release: str, root: Path) -> None:
    write(root / "proc/sys/kernel/osrelease", release)
    with pytest.raises(UsageError):
        live(root, "vfat")
    assert elfsig("explain", "vfat", "--root", root).code in (0, 3)


@pytest.mark.parametrize("name", ["kernel/vfat.ko\0", "kernel/a\0/vfat.ko", "x" * 300 + "/vfat.ko"])
def test_modules_dep_may_name_what_cannot_be_there(name: str, root: Path) -> None:
    write(root / f"lib/modules/{RELEASE}/modules.dep", f"{name}: \n")
    assert live(root, "vfat").module.path.endswith("kernel/vfat.ko")


@pytest.mark.parametrize("name", ["dkms_tree", "install_tree", "mok_signing_key", "mok_certificate"])
def test_settings_of_dkms_may_name_what_cannot_be_there(name: str, root: Path) -> None:
    write(root / "etc/dkms/framework.conf", f"{name}=/srv/\0x\n")
    assert live(root, "vfat").facts.source.kind
    assert elfsig("dkms", "resign", "--root", root).code in (0, 2)
