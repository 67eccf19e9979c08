"""DKMS on machines that fuzzing found: links out of a mounted system, and what only root may read."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from elfsig.errors import ReadError, WriteError
from elfsig.host import dkms, dkms_hooks, dkms_paths
from elfsig.host.shell import assignments
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
    read = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)


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


def test_the_hash_beside_a_key_is_that_below_the_root(tmp_path: Path) -> None:
    write(tmp_path / "outside/khash", "sha1\n")
    write(tmp_path / "root/etc/inside", "sha512\n")
    key = write(tmp_path / "root/keys/k.pem", "")
    link = key.with_name("khash")
    link.symlink_to(tmp_path / "outside/khash")
    assert dkms_paths.hash_beside(tmp_path / "root", str(key)) is None
    link.unlink()
    link.symlink_to("/etc/inside")
    assert dkms_paths.hash_beside(tmp_path / "root", str(key)) == "sha512"
    link.unlink()
    os.mkfifo(link)
    assert dkms_paths.hash_beside(tmp_path / "root", str(key)) is None


def test_the_kernels_are_those_of_the_mounted_system(tmp_path: Path) -> None:
    """An absolute link in the place of /lib led to the kernels of the machine that examines it."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (outside / "modules/6.9-theirs/build").mkdir(parents=True)
    root.mkdir()
    (root / "lib").symlink_to(outside)
    assert list(dkms_paths.kernels(root)) == []
    (root / "lib").unlink()
    (root / "lib").symlink_to("/usr/lib")
    build = root / "usr/lib/modules/6.1/build"
    build.parent.mkdir(parents=True)
    build.symlink_to("../../../src/linux")
    key = write(root / "usr/src/linux/k.pem", "")
    assert list(dkms_paths.kernels(root)) == ["6.1"]
    assert dkms.within(root, "6.1", "$kernel_source_dir/k.pem") == str(key)


def test_dkms_s_own_pair_is_looked_for_below_the_root(tmp_path: Path) -> None:
    """The machine that examines it has a pair of this name, and the system has only that of Ubuntu."""
    root = tmp_path / "root"
    for name in ("mok.key", "mok.pub"):
        write(tmp_path / "outside" / name, "")
    for word in dkms.UBUNTU:
        write(root / word.lstrip("/"), "")
    (root / "var/lib/dkms").symlink_to(tmp_path / "outside")
    assert dkms.signing_words(root, None, None, "6.1", {})[0] == str(root / dkms.UBUNTU[0].lstrip("/"))


def test_the_environment_is_that_of_this_machine_only(tmp_path: Path) -> None:
    """MODULES_SIGN_KEY of the examiner decided with what a mounted system's modules were signed."""
    write(tmp_path / "var/lib/dkms/hello/1.0/6.1.0/x86_64/module/hello.ko", MODULE)
    write(tmp_path / "mine.key", KEY.read_bytes())
    write(tmp_path / "mine.crt", CERT.read_bytes())
    mine = {"MODULES_SIGN_KEY": "/mine.key", "MODULES_SIGN_CERT": "/mine.crt"}
    ran = elfsig("dkms", "resign", "--root", tmp_path, env=mine)
    assert ran.code and "mok.pub: no such file" in ran.err and "signature made" not in ran.out


# --------------------------------------------------------------------------- what is said and done


def test_setup_writes_the_paths_of_the_mounted_system_and_says_what_is_missing(tmp_path: Path) -> None:
    """Paths of the machine that it was mounted on were written: DKMS there found nothing."""
    for name, content in (("k.pem", KEY.read_bytes()), ("c.pem", CERT.read_bytes())):
        write(tmp_path / "root/etc/keys" / name, content)
    keys = tmp_path / "root/etc/keys"
    words = ("dkms", "setup", "--root", tmp_path / "root", "--key", keys / "k.pem", "--cert", keys / "c.pem")
    ran = elfsig(*words)
    found = dkms.settings(tmp_path / "root")
    assert found["mok_signing_key"] == "/etc/keys/k.pem" and found["mok_certificate"] == "/etc/keys/c.pem"
    assert ran.code == 0 and "k.pem" not in ran.err and "mokutil" not in ran.err
    assert f"{found['sign_file']}: not there in the system at" in ran.err and "in that system" in ran.err
    (tmp_path / "link").symlink_to("root")
    for root, word in (("link", keys / "k.pem"), ("root", tmp_path / "link/etc/keys/k.pem")):
        assert dkms_paths.as_named(tmp_path / root, str(word)) == "/etc/keys/k.pem"
    for same in ("pkcs11:object=x", "$kernel_source_dir/x", str(tmp_path / "other"), f"{tmp_path}/rooted/x"):
        assert dkms_paths.as_named(tmp_path / "root", same) == same


def test_remove_with_modules_leaves_the_others(tmp_path: Path) -> None:
    """All was removed, whatever --module named."""
    dkms.setup(tmp_path, HELLO._replace(modules=("one", "two")))
    dkms.setup(tmp_path, ALL)

    def remove(*words: str) -> tuple[int, set[str]]:
        ran = elfsig("dkms", "setup", "--remove", "--root", tmp_path, *words)
        return ran.code, {line.removesuffix(": removed") for line in ran.out.splitlines()}

    assert remove("--module=one") == (0, {"/etc/dkms/one.conf"})
    assert dkms_hooks.own_setting(tmp_path, "two", "1.0") is not None
    assert remove("--module=one") == (0, set())
    assert remove("--module=../x")[0] == remove("--key=x")[0] == remove("--force")[0] == 2
    assert remove("--module=two") == (0, {"/etc/dkms/two.conf", f"/{dkms.LINK}", f"/{dkms.HOOK}"})
    assert dkms.settings(tmp_path)["sign_file"]
    assert remove() == (0, {f"/{dkms.FRAMEWORK}"})


def test_setup_writes_nothing_where_it_refuses_one_of_the_modules(tmp_path: Path) -> None:
    """The hook and the first links were written, and nothing was said of them."""
    write(tmp_path / "etc/dkms/two.conf", "POST_BUILD=mine\n")
    before = content(tmp_path)
    with pytest.raises(WriteError, match=r"two\.conf already exists"):
        dkms.setup(tmp_path, HELLO._replace(modules=("one", "two")))
    assert content(tmp_path) == before
    write(tmp_path / dkms.LINK, "mine\n")
    with pytest.raises(WriteError, match="was not written by elfsig"):
        dkms.setup(tmp_path, HELLO)
    assert not (tmp_path / dkms.HOOK).exists()


def test_what_cannot_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dkms.setup(tmp_path, ALL)

    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(WriteError, match="not removed: read-only file system"):
        dkms.remove(tmp_path)


def test_a_dry_run_says_of_copies_what_a_run_does(tmp_path: Path) -> None:
    """Copies that would be signed were said to be the same already."""
    write(tmp_path / "var/lib/dkms/hello/1.0/6.1.0/x86_64/module/hello.ko", MODULE)
    write(tmp_path / "lib/modules/6.1.0/updates/dkms/hello.ko", MODULE)
    words = ("dkms", "resign", "--root", tmp_path, "--key", KEY, "--cert", CERT)
    before = content(tmp_path)
    dry = elfsig(*words, "--dry-run")
    assert content(tmp_path) == before
    assert elfsig(*words).out == dry.out and dry.out.count("now the same as the built one") == 1
    assert elfsig(*words, "--dry-run").out == elfsig(*words).out


def test_force_signs_again_and_overrides_nothing_else(tmp_path: Path) -> None:
    """It also overrode what sign refuses without --force: what follows a trailer was removed with it."""
    path = write(tmp_path / "var/lib/dkms/hello/1.0/6.1.0/x86_64/module/hello.ko", MODULE)
    words = ("dkms", "resign", "--root", tmp_path, "--key", KEY, "--cert", CERT, "--force")
    assert "signature made" in elfsig(*words).out and elfsig(*words).code == 0
    odd = path.read_bytes() + b"something else"
    path.write_bytes(odd)
    assert elfsig(*words).code == 1 and path.read_bytes() == odd


def test_a_directory_of_installed_modules_that_cannot_be_listed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies in it kept their old signatures in silence."""
    write(tmp_path / "var/lib/dkms/hello/1.0/6.1.0/x86_64/module/hello.ko", MODULE)
    closed = tmp_path / "lib/modules/6.1.0/updates"
    closed.mkdir(parents=True)
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ReadError, match="updates cannot be listed: permission denied"):
        dkms.built(tmp_path)


def test_a_configuration_without_end_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "etc/dkms/framework.conf", "")
    os.truncate(path, dkms.LIMIT + 1)
    with pytest.raises(ReadError, match="more than"):
        dkms.settings(tmp_path)


def test_only_a_line_end_ends_a_line_of_settings() -> None:
    """A form feed or a separator of Unicode was taken for the end of a line, which a shell does not do."""
    text = "note='a\x0csign_file=/tmp/x'\nmok_signing_key=/k\u2028mok_certificate=/c\n"
    assert dict(assignments(text)) == {
        "note": "a\x0csign_file=/tmp/x",
        "mok_signing_key": "/k\u2028mok_certificate=/c",
    }


@pytest.mark.parametrize(
    "value",
    [
        "/keys#1/mok.key", "/k # a key", "/k # don't", " # none", "", "'/k' # x", "/k\r", "'/k\r'", "/a\rb",
        "/a\x0bb", "/a\x1cb",
        '"/a b"#c', "/a\\ b", "'it'\"'\"'s'", "\t/k", "/k\t#c", "#k", "/a\u2028b", "/a\x85b",
    ],
)  # fmt: skip
def test_a_setting_is_the_word_that_bash_assigns(value: str) -> None:
    words = ["bash", "-c", f'key={value}\nprintf %s "$key"']
    done = subprocess.run(words, capture_output=True)
    found = dict(assignments(f"key={value}"))
    if value.startswith("\t/"):  # a command, which the assignment is for alone
        assert found == {} and b"/k" in done.stderr
        return
    assert found == {"key": os.fsdecode(done.stdout)}
