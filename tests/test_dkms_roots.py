"""DKMS on machines that fuzzing found: links out of a mounted system, and what only root may read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from elfsig.errors import ReadError, WriteError
from elfsig.host import dkms, dkms_hooks
from tests.support.cli import elfsig
from tests.support.verdicts import MODULE
from tests.test_dkms import CERT, KEY
from tests.test_explain import write

WISH = dkms.Setup("/root/key", "/root/cert", "/usr/bin/elfsig-sign-file", "/usr/bin/elfsig")
ALL, HELLO = WISH, WISH._replace(modules=("hello",))


def content(folder: Path) -> dict[str, bytes | str]:
    """The files and links below a directory."""
    found = (each for each in folder.rglob("*") if each.is_symlink() or each.is_file())
    return {str(each): str(each.readlink()) if each.is_symlink() else each.read_bytes() for each in found}


def denied(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files of one name be for root alone."""
    read = Path.read_text

    def read_text(path: Path, *how: str) -> str:
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *how)

    monkeypatch.setattr(Path, "read_text", read_text)


# --------------------------------------------------------------------------- what only root may read


def test_an_unreadable_dkms_conf_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It raised PermissionError."""
    write(tmp_path / "usr/src/hello-1.0/dkms.conf", "POST_BUILD=sign\n")
    denied("dkms.conf", monkeypatch)
    with pytest.raises(ReadError, match="permission denied"):
        dkms_hooks.own_setting(tmp_path, "hello", "1.0")


def test_an_unreadable_configuration_of_a_kernel_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "boot/config-6.1", 'CONFIG_MODULE_SIG_HASH="sha512"\n')
    denied("config-6.1", monkeypatch)
    with pytest.raises(ReadError, match="permission denied"):
        dkms.kernel_hash(tmp_path, "6.1")


@pytest.mark.parametrize("wish", [ALL, HELLO])
def test_a_directory_in_the_place_of_a_file_is_not_replaced(wish: dkms.Setup, tmp_path: Path) -> None:
    """It raised IsADirectoryError."""
    for name in (dkms.FRAMEWORK, dkms.HOOK):
        (tmp_path / name).mkdir(parents=True)
    for force in (False, True):
        with pytest.raises(WriteError):
            dkms.setup(tmp_path, wish, force=force)
    assert dkms.remove(tmp_path) == []


def test_a_name_that_is_too_long_for_a_file_is_refused(tmp_path: Path) -> None:
    """It raised OSError."""
    with pytest.raises(WriteError):
        dkms.setup(tmp_path, WISH._replace(modules=("hello", "x" * 300)))
    dkms.remove(tmp_path)
    assert content(tmp_path) == {}


# --------------------------------------------------------------------------- links out of the root

Prepare = Callable[[Path, Path], None]


def linked_configuration(root: Path, outside: Path) -> None:
    (root / "etc").mkdir(parents=True)
    (root / "etc/dkms").symlink_to(outside)


def linked_directory(root: Path, outside: Path) -> None:
    (root / "etc/dkms").mkdir(parents=True)
    (root / "etc/dkms/framework.conf.d").symlink_to(outside)


def linked_file(root: Path, outside: Path) -> None:
    (root / dkms.FRAMEWORK).parent.mkdir(parents=True)
    for name in (dkms.FRAMEWORK, dkms.HOOK, dkms.LINK):
        (root / name).symlink_to(outside / "new")


@pytest.mark.parametrize("wish", [ALL, HELLO])
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("prepare", [linked_configuration, linked_directory, linked_file])
def test_setup_and_remove_stay_below_the_root(
    prepare: Prepare, force: bool, wish: dkms.Setup, tmp_path: Path
) -> None:
    """An absolute link of a mounted system was followed on the system that it was mounted on."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(outside / "framework.conf.d/elfsig.conf", "# Written by elfsig dkms setup.\n")
    write(outside / "elfsig.conf", "# Written by elfsig dkms setup.\n")
    (outside / "hello.conf").symlink_to("elfsig-sign.conf")
    prepare(root, outside)
    before, there = content(outside), content(root)
    try:
        dkms.setup(root, wish, force=force)
        own = dkms_hooks.own_setting(root, "hello", "1.0")
        assert (own is not None) == bool(wish.modules)
    except WriteError:
        pass
    dkms.remove(root)
    assert content(outside) == before
    if not force:
        assert content(root) == there


def test_setup_follows_links_inside_the_root(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "srv/dkms").mkdir(parents=True)
    (tmp_path / "etc/dkms").symlink_to("/srv/dkms")
    dkms.setup(tmp_path, ALL)
    dkms.setup(tmp_path, HELLO)
    assert (tmp_path / "srv/dkms/framework.conf.d/elfsig.conf").is_file()
    own = dkms_hooks.own_setting(tmp_path, "hello", "1.0")
    assert own is not None and own.key == "/root/key"
    assert dkms.settings(tmp_path)["mok_signing_key"] == "/root/key"
    assert sorted(dkms.remove(tmp_path)) == sorted(
        f"/{name}" for name in (dkms.FRAMEWORK, dkms.HOOK, dkms.LINK, "etc/dkms/hello.conf")
    )
    assert content(tmp_path / "srv") == {}


@pytest.mark.parametrize("where", ["file", "module", "tree", "installed", "dangling"])
def test_resign_writes_nothing_outside_the_root(where: str, tmp_path: Path) -> None:
    """A link in DKMS's tree to a module of another system had that module signed."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    built = "hello/1.0/6.1.0/x86_64/module/hello.ko"
    write(outside / built, MODULE)
    write(outside / "hello.ko", MODULE)
    write(outside / "6.1.0/hello.ko", MODULE)
    tree = root / "var/lib/dkms"
    (root / "lib/modules").mkdir(parents=True)
    links = {
        "file": (tree / built, outside / "hello.ko"), "module": (tree / "hello", outside / "hello"),
        "tree": (tree, outside), "installed": (root / "lib/modules/6.1.0", outside / "6.1.0"),
        "dangling": (tree / built, outside / "none"),
    }  # fmt: skip
    link, target = links[where]
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    if where == "installed":
        write(tree / built, MODULE)
    before = content(outside)
    ran = elfsig("dkms", "resign", "--root", root, "--key", KEY, "--cert", CERT)
    assert content(outside) == before and ran.code == 0
    assert ("signature made" in ran.out) == (where == "installed")


def test_the_hash_is_that_of_the_kernel_below_the_root(tmp_path: Path) -> None:
    """/lib/modules/RELEASE/build is an absolute link on most systems."""
    write(tmp_path / "root/usr/src/headers/.config", 'CONFIG_MODULE_SIG_HASH="sha512"\n')
    build = tmp_path / "root/lib/modules/6.1/build"
    build.parent.mkdir(parents=True)
    build.symlink_to("/usr/src/headers")
    assert dkms.kernel_hash(tmp_path / "root", "6.1") == "sha512"
    build.unlink()
    write(tmp_path / "outside/.config", 'CONFIG_MODULE_SIG_HASH="sha1"\n')
    build.symlink_to(tmp_path / "outside")
    assert dkms.kernel_hash(tmp_path / "root", "6.1") == "sha256"


# --------------------------------------------------------------------------- keys


@pytest.mark.parametrize("link", ["var/lib/dkms", "var/lib/dkms/mok.key"])
def test_a_key_that_a_link_has_outside_is_not_used(link: str, tmp_path: Path) -> None:
    """The system's own key would have been that of the machine that examines it."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    for name in ("mok.key", "mok.pub"):
        write(outside / name, "another machine's")
        write(root / "var/lib/dkms" / name, "its own")
    place = root / link
    if place.is_dir():
        place.rename(root / "away")
        place.symlink_to(outside)
    else:
        place.unlink()
        place.symlink_to(outside / "mok.key")
    with pytest.raises(ReadError, match=f"leads to no file below {root}"):
        dkms.signing_words(root, None, None, "6.1", {})


def test_a_key_behind_a_link_of_the_system_is_found(tmp_path: Path) -> None:
    write(tmp_path / "srv/mok.key", "k")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/key").symlink_to("/srv/mok.key")
    assert dkms.within(tmp_path, "6.1", "/etc/key") == str(tmp_path / "srv/mok.key")
    assert dkms.within(tmp_path, "6.1", "/etc/missing") == str(tmp_path / "etc/missing")


def test_only_a_line_end_ends_a_line_of_settings() -> None:
    """A form feed or a separator of Unicode was taken for the end of a line, which a shell does not do."""
    text = "note='a\x0csign_file=/tmp/x'\nmok_signing_key=/k\u2028mok_certificate=/c\n"
    assert dict(dkms.assignments(text)) == {
        "note": "a\x0csign_file=/tmp/x",
        "mok_signing_key": "/k\u2028mok_certificate=/c",
    }
