"""The next step that explain gives: no advice turns an attack into a signature, and each one works."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from elfsig.errors import ReadError
from elfsig.host import databases, package
from elfsig.host.databases import DATABASES
from elfsig.host.machine import GLOBAL, SECURITY, SHIM
from elfsig.host.package import source_of
from elfsig.opened import evidence
from tests.support.cli import elfsig
from tests.support.cms import Identity, issued, private
from tests.support.verdicts import MODULE, OTHER, RSA, flipped, signed
from tests.test_explain import RELEASE, live, root, signature_list, variable, write

__all__ = ["root"]

ZYPPER = "zypper install --force kernel-default=6.1-1.2"
FOREIGN = MODULE + bytes(8)
INSIDE = f"lib/modules/{RELEASE}"
VENDOR = f"{INSIDE}/kernel/crypto/crc.ko"


def pair(root: Path, who: Identity, name: str = "var/lib/dkms/mok", suffix: str = ".pub") -> None:
    write(root / f"{name}.key", "")
    write(root / f"{name}{suffix}", who.certificate)


def enrolled(root: Path, *who: Identity) -> None:
    variable(root, "MokListRT", SHIM, b"".join(signature_list(each.certificate) for each in who))


def dpkg(root: Path, *paths: str, package: str = "linux-image") -> None:
    write(root / f"var/lib/dpkg/info/{package}.list", "".join(f"/{path}\n" for path in ("etc", *paths)))


def pacman(root: Path, *paths: str) -> None:
    write(root / "var/lib/pacman/local/ALPM_DB_VERSION", "9\n")
    write(
        root / "var/lib/pacman/local/linux-lts-6.1.2-1/files", "%FILES%\n" + "".join(f"{p}\n" for p in paths)
    )


def apk(root: Path, *paths: str) -> None:
    lines = "".join(f"F:{os.path.dirname(path)}\nM:0:0:755\nR:{os.path.basename(path)}\n" for path in paths)
    write(root / "lib/apk/db/installed", f"P:musl\nF:lib\nR:ld.so\n\nP:linux-lts\nV:6.1\n{lines}")


def rpm(root: Path, *lines: str, code: int = 0) -> None:
    """A database, and a program that lists these lines whatever it is asked."""
    write(root / "var/lib/rpm/rpmdb.sqlite", "x")
    text = "".join(f"{line}\n" for line in lines)
    program = write(root / "bin/rpm", f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {code}\n")
    program.chmod(0o755)


@pytest.fixture
def ready(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system whose own key its kernel trusts: whatever may be signed could be signed at once."""
    pair(root, RSA)
    enrolled(root, RSA)
    monkeypatch.setenv("PATH", f"{root}/bin:{os.environ['PATH']}")
    return root


def signs(command: str | None) -> bool:
    return command is not None and any(
        word in command for word in (" sign ", "resign", "mokutil", "generate")
    )


# --------------------------------------------------------------------------- where it comes from


def test_each_package_manager_names_the_package(ready: Path) -> None:
    write(ready / VENDOR, MODULE)
    for lists, command in (
        (dpkg, "sudo apt-get install --reinstall linux-image"),
        (pacman, "sudo pacman -S linux-lts"),
        (apk, "sudo apk fix --reinstall linux-lts"),
    ):
        for listed in (VENDOR, f"usr/{VENDOR}", f"{VENDOR}.xz", f"usr/{VENDOR}.zst"):
            lists(ready, listed)
            found = live(ready, "crc")
            assert found.facts.source.kind == "package" and found.command == command, (listed, found.step)
        for each in DATABASES:
            for place in each.places:
                if (ready / place).is_dir():
                    (ready / place).rename(ready / f"gone-{each.tool}-{len(list(ready.iterdir()))}")


@pytest.mark.parametrize(
    ("release", "program", "command"),
    [
        (
            "ID=opensuse-tumbleweed\nID_LIKE='opensuse suse'\n",
            "",
            "zypper install --force kernel-default=6.1-1.2",
        ),
        ("ID=sles\n", "usr/bin/dnf", "zypper install --force kernel-default=6.1-1.2"),
        ("ID=fedora\n", "usr/bin/dnf", "dnf reinstall kernel-default-6.1-1.2"),
        ("", "usr/bin/yum", "yum reinstall kernel-default-6.1-1.2"),
        ("ID=unknown\n", "", None),
        ("ID=fedora\n", "run/ostree-booted", None),
    ],
)
def test_the_package_manager_is_that_of_the_system(
    release: str, program: str, command: str | None, ready: Path
) -> None:
    write(ready / VENDOR, MODULE)
    write(ready / "etc/os-release", release)
    if program:
        write(ready / program, "")
    rpm(ready, "(none)\t/etc/x", f"kernel-default-6.1-1.2\t/{VENDOR}.xz")
    found = live(ready, "crc")
    assert found.command == (command and f"sudo {command}") and "reinstall its package" in found.step.text


def test_what_could_not_be_asked_is_not_known(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a missing program nor a database that cannot be read means that there is no package."""
    path = write(ready / VENDOR, MODULE)
    assert source_of(ready, path).kind == "unknown"
    rpm(ready, code=1)
    assert source_of(ready, path).kind == "unknown"
    rpm(ready)
    assert source_of(ready, path).kind == "unknown", "an empty answer"
    rpm(ready, f"some-1-1\t/{INSIDE}/kernel/other.ko")
    assert source_of(ready, path).kind == "none"
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "cannot be run" in source_of(ready, path).why
    dpkg(ready, "etc/passwd")
    assert source_of(ready, path).kind == "unknown", "one of two databases was read"
    (ready / "var/lib/rpm/rpmdb.sqlite").unlink()
    (ready / "var/lib/rpm").rmdir()
    assert source_of(ready, path).kind == "none"


def test_a_line_end_in_a_name_does_not_make_a_package(ready: Path) -> None:
    """The rest of the name was taken for a package, and then for one that has a module of this name."""
    path = write(ready / "root/crc.ko", MODULE)
    rpm(ready, "some-1-1\t/usr/share/a", "b/crc.ko")
    assert source_of(ready, path).kind == "none" and not source_of(ready, path).vendor


def test_rpm_writes_nothing_on_a_mounted_system(ready: Path) -> None:
    path = write(ready / VENDOR, MODULE)
    rpm(ready, "x-1-1\t/etc/x")
    write(ready / "bin/rpm", f'#!/bin/sh\necho "$2" > {ready}/asked; touch "$2/new"; echo "x-1-1 /etc/x"\n')
    source_of(ready, path)
    assert (ready / "asked").read_text().strip() != str(ready / "var/lib/rpm")
    assert os.listdir(ready / "var/lib/rpm") == ["rpmdb.sqlite"]


def test_a_user_is_told_to_ask_as_root(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(ready / VENDOR, MODULE)
    write(ready / f"{INSIDE}/modules.dep", "kernel/crypto/crc.ko:\n")
    dpkg(ready, "etc/passwd")
    dpkg(ready, VENDOR, package="zz")
    read = evidence.read

    def denied(path: str) -> Any:
        if path.endswith("/zz.list"):
            raise ReadError("permission denied", code="permission-denied")
        return read(path)

    monkeypatch.setattr(databases, "read", denied)
    found = live(ready, "crc")
    assert found.facts.source.kind == "unknown" and "permission denied" in found.facts.source.why
    assert found.command == f"sudo elfsig explain --root {ready} crc"


def test_an_unreadable_configuration_of_dkms_is_a_remark(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ready / "etc/dkms/framework.conf", "a=1\n")
    dpkg(ready, "etc/passwd")
    read = Path.read_bytes

    def denied(path: Path) -> bytes:
        if path.name == "framework.conf":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    found = live(ready)
    assert "framework.conf: permission denied" in found.facts.source.words
    assert elfsig("dkms", "resign", "--root", ready / "nowhere").code == 2


def test_a_directory_of_dkms_s_configuration_that_cannot_be_listed_is_a_remark(
    ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ready / "etc/dkms/framework.conf.d/a.conf", "a=1\n")
    dpkg(ready, "etc/passwd")
    listdir = os.listdir

    def denied(path: Any) -> list[str]:
        if str(path).endswith("framework.conf.d"):
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", denied)
    assert "framework.conf.d can be read only by root" in live(ready).facts.source.words


# --------------------------------------------------------------------------- not to be signed


def in_updates(root: Path, content: bytes) -> Path:
    write(root / f"{INSIDE}/modules.dep", "updates/crc.ko:\n")
    return write(root / f"{INSIDE}/updates/crc.ko", content)


@pytest.mark.parametrize("content", [MODULE, signed(OTHER), signed(), flipped(signed(), 90), signed()[:-1]])
@pytest.mark.parametrize("mode", ["enforced", "permissive", "unchecked"])
def test_nothing_that_may_be_a_vendor_s_is_to_be_signed(content: bytes, mode: str, ready: Path) -> None:
    """In the place of the vendor's module, before it, or as a link to it, in whatever state."""
    if mode == "unchecked":
        write(ready / f"boot/config-{RELEASE}", "CONFIG_MODULES=y\n# CONFIG_MODULE_SIG is not set\n")
    if mode == "permissive":
        write(ready / "sys/module/module/parameters/sig_enforce", "N\n")
        write(ready / "sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    write(ready / VENDOR, content)
    places = [live(ready, "crc")]
    dpkg(ready, "etc/passwd")
    places.append(live(ready, "crc"))
    dpkg(ready, VENDOR)
    places.append(live(ready, "crc"))
    in_updates(ready, content)
    places.append(live(ready, "crc"))
    dpkg(ready, "etc/passwd")
    places.append(live(ready, "crc"))
    (ready / f"{INSIDE}/updates/crc.ko").unlink()
    (ready / f"{INSIDE}/updates/crc.ko").symlink_to("../kernel/crypto/crc.ko")
    dpkg(ready, VENDOR)
    places.append(live(ready, "crc"))
    places.append(live(ready, str(write(ready / "home/me/crc.ko", content))))
    for number, each in enumerate(places):
        assert not signs(each.command), (number, each.step)
        if content != signed():
            assert "modprobe" not in (each.command or ""), (number, each.step)
            assert "sign it before" in each.step.text or "package" in each.step.text, (number, each.step)
    assert places[5].facts.source.kind == "package"


def test_who_built_a_module_may_sign_it(ready: Path) -> None:
    dpkg(ready, "etc/passwd")
    path = in_updates(ready, MODULE)
    found = live(ready, "crc")
    assert found.step.text.startswith("if you built it yourself: ") and signs(found.command)
    assert shlex.split(found.command or "")[-1] == str(path)
    write(ready / "var/lib/dpkg/info/linux-image.list", "")
    (ready / "var/lib/dpkg/info/linux-image.list").unlink()
    assert live(ready, "crc").step.text.startswith("if you built it yourself: ")


@pytest.mark.parametrize("enforced", ["Y\n", "N\n"])
@pytest.mark.parametrize("content", [flipped(signed(), 90), signed() + b"\n"])
def test_what_was_changed_is_neither_loaded_nor_enrolled(content: bytes, enforced: str, root: Path) -> None:
    """The certificate that the signature names is on the machine; the signature is not of this module."""
    write(root / "sys/module/module/parameters/sig_enforce", enforced)
    write(root / "sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    dpkg(root, "etc/passwd")
    pair(root, RSA)
    path = write(root / "home/x.ko", content)
    for state in ("absent", "pending", "enrolled"):
        if state == "pending":
            variable(root, "MokNew", SHIM, signature_list(RSA.certificate))
        if state == "enrolled":
            enrolled(root, RSA)
        found = live(root, str(path))
        assert found.command is None and "before you know why it changed" in found.step.text, state


# --------------------------------------------------------------------------- what DKMS built


def built(root: Path, content: bytes, version: str = "1.0", name: str = "nv") -> Path:
    return write(root / f"var/lib/dkms/{name}/{version}/{RELEASE}/x86_64/module/{name}.ko", content)


def installed(root: Path, content: bytes, name: str = "nv") -> Path:
    return write(root / f"{INSIDE}/updates/dkms/{name}.ko", content)


def test_dkms_s_module_is_known_by_its_code(ready: Path) -> None:
    dpkg(ready, "etc/passwd")
    built(ready, MODULE)
    copy = installed(ready, MODULE)
    assert live(ready, str(copy)).command == "sudo elfsig dkms resign nv"
    installed(ready, signed(OTHER))
    assert live(ready, str(copy)).facts.source.kind == "dkms"
    for content in (FOREIGN, signed(OTHER, FOREIGN)):
        installed(ready, content)
        found = live(ready, str(copy))
        assert found.facts.source.words == "it differs from what DKMS built under its name (nv/1.0)"
        assert found.command is not None and found.command.startswith("sudo dkms remove nv/1.0 -k")
    built(ready, FOREIGN, "2.0")
    assert live(ready, str(copy)).facts.source.name == "nv/2.0"


@pytest.mark.parametrize("content", [MODULE, flipped(signed(), 90)])
def test_a_vendor_s_module_of_the_same_name_is_not_dkms_s(content: bytes, ready: Path) -> None:
    dpkg(ready, VENDOR)
    built(ready, FOREIGN, name="crc")
    write(ready / VENDOR, content)
    assert live(ready, "crc").command == "sudo apt-get install --reinstall linux-image"
    dpkg(ready, "etc/passwd")
    found = live(ready, "crc")
    assert found.command is None and found.facts.source.kind == "none"
    pacman(ready, VENDOR)
    built(ready, MODULE, name="crc")
    assert live(ready, "crc").facts.source.kind == "package", "although its code is that of DKMS's"


# --------------------------------------------------------------------------- keys


def test_the_chain_of_steps_reaches_the_end(root: Path) -> None:
    """From no key to a loaded module of DKMS, by the commands that are given."""
    dpkg(root, "etc/passwd")
    built(root, MODULE)
    copy = installed(root, MODULE)
    write(root / f"{INSIDE}/modules.dep", "updates/dkms/nv.ko:\n")
    (root / "root").mkdir()
    words = shlex.split(live(root, "nv").command or "")
    assert words[1:4] == ["elfsig", "keys", "generate"] and elfsig(*words[2:]).code == 0
    words = shlex.split(live(root, "nv").command or "")
    assert words[1:3] == ["mokutil", "--import"]
    variable(root, "MokListRT", SHIM, signature_list(Path(words[3]).read_bytes()))
    words = shlex.split(live(root, "nv").command or "")
    assert words[1:4] == ["elfsig", "dkms", "resign"] and "--key" in words
    assert elfsig(*words[2:], "--root", root).code == 0
    assert copy.read_bytes() != MODULE
    assert live(root, "nv").command == "sudo modprobe nv"


def test_a_key_of_no_use_is_replaced_once(root: Path) -> None:
    """This kernel does not load keys of elliptic curves; the new pair is then preferred, and enrolled."""
    bad = issued(private("p256"), "p256 key")
    dpkg(root, "etc/passwd")
    pair(root, bad)
    enrolled(root, bad)
    built(root, signed(bad))
    copy = str(installed(root, signed(bad)))
    assert live(root, copy).command == f"sudo elfsig keys generate --codesigning -o {root}/root/mok"
    pair(root, RSA, "root/mok", ".der")
    assert live(root, copy).command == f"sudo mokutil --import {root}/root/mok.der"
    enrolled(root, bad, RSA)
    words = ["--key", f"{root}/root/mok.key", "--cert", f"{root}/root/mok.der", "nv"]
    assert shlex.split(live(root, copy).command or "")[4:] == words
    pair(root, issued(private("p256", 1), "another"), "root/mok", ".der")
    assert live(root, copy).command == f"sudo elfsig keys generate --codesigning -o {root}/root/mok-2"


def test_ubuntu_s_key_is_that_of_dkms_there(root: Path) -> None:
    dpkg(root, "etc/passwd")
    built(root, MODULE)
    copy = str(installed(root, MODULE))
    write(root / "var/lib/shim-signed/mok/MOK.priv", "")
    write(root / "var/lib/shim-signed/mok/MOK.der", RSA.certificate)
    enrolled(root, RSA)
    assert live(root, copy).command == "sudo elfsig dkms resign nv"
    pair(root, OTHER)
    write(root / "etc/os-release", "ID=ubuntu\n")
    assert live(root, copy).command == "sudo elfsig dkms resign nv"


def test_a_command_names_only_files_that_are_there(root: Path) -> None:
    """A certificate without its key; a kernel that takes no keys of the machine's owner."""
    dpkg(root, "etc/passwd")
    path = in_updates(root, MODULE)
    write(root / "var/lib/dkms/mok.pub", RSA.certificate)
    enrolled(root, RSA)
    assert "keys generate" in (live(root, "crc").command or "")
    ran = elfsig("explain", path, "--root", root, "--kernel", "rhel6")
    assert "signing_key" not in ran.out and "is not on this machine" in ran.out, ran.out + ran.err


def test_machine_owner_keys_need_secure_boot(root: Path) -> None:
    dpkg(root, "etc/passwd")
    in_updates(root, MODULE)
    pair(root, RSA)
    variable(root, "SecureBoot", GLOBAL, b"\0")
    assert "only with Secure Boot on" in live(root, "crc").step.text
    enrolled(root, RSA)
    found = live(root, "crc")
    assert "only with Secure Boot on" in found.step.text and found.command is None


# --------------------------------------------------------------------------- loading


@pytest.mark.parametrize("name", ["x;id", "$(id);x", "a b", "-x", "a'b", "`id`"])
def test_a_file_elsewhere_is_loaded_by_its_path(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable(root, "db", SECURITY, signature_list(RSA.certificate))
    path = write(root / "w" / f"{name}.ko", signed())
    monkeypatch.chdir(path.parent)
    for given in (str(path), path.name):
        assert shlex.split(live(root, given).command or "") == ["sudo", "insmod", str(path)]
    assert live(root).command == "sudo modprobe snd_dummy"
    same = root / f"{INSIDE}/updates/dkms/snd-dummy.ko"
    assert live(root, str(same)).command == "sudo modprobe snd_dummy"


def test_a_name_with_a_line_feed_is_in_no_command(root: Path) -> None:
    variable(root, "db", SECURITY, signature_list(RSA.certificate))
    found = live(root, str(write(root / "w/x\ny.ko", signed())))
    assert found.command is None and "cannot be printed" in found.step.text


def test_a_package_s_name_is_quoted_and_no_option() -> None:
    of = package.Source("package", "a b;id", "dpkg", again=("apt-get", "install", "--reinstall"))
    assert of.reinstall == "sudo apt-get install --reinstall 'a b;id'"
    assert of._replace(name="-oAPT::x=y").reinstall is None
