"""DKMS for real: it builds a module of ours against Debian's headers and signs it through elfsig."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import corpus
from elfsig.errors import UsageError, WriteError
from elfsig.host import dkms, dkms_hooks
from elfsig.host.shell import assignments
from tests.support.run import run
from tests.support.system_dkms import MODULE, Sandbox, sandbox
from tests.support.tools import need

KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
OTHER_KEY, OTHER_CERT = corpus.KEYS / "other.key.pem", corpus.KEYS / "other.cert.pem"


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    return sandbox(tmp_path)


def modinfo(path: Path, field: str) -> str:
    shown = subprocess.run([need("modinfo"), "-F", field, path], capture_output=True, text=True, check=True)
    return shown.stdout.strip()


def verified(path: Path, certificate: Path = CERT) -> bool:
    return run("verify", path, "--trust", certificate, "--require", "pkcs7").code == 0


# --------------------------------------------------------------------------- for real


def test_dkms_signs_every_module_through_elfsig(box: Sandbox) -> None:
    box.run("elfsig", "dkms", "setup", "--key", KEY, "--cert", CERT)
    said = box.dkms("build")
    assert "Signing module" in said and f"Signing key: {KEY}" in said
    assert "elfsig-sign-file" in said and "won't be signed" not in said
    assert verified(box.built())
    assert modinfo(box.built(), "signer") == "THROW-AWAY test key signer"


@pytest.mark.parametrize("suffix", ["", ".xz", ".zst"])
def test_the_hook_signs_inside_the_compression(suffix: str, box: Sandbox) -> None:
    # DKMS compresses as the kernel's own modules are.
    (box.root / "installed" / box.kernel / "modules.dep").write_text(f"kernel/fs/ext4/ext4.ko{suffix}:\n")
    own = f"mok_signing_key={OTHER_KEY}\nmok_certificate={OTHER_CERT}\n"
    (box.etc / "framework.conf.d" / "key.conf").write_text(own)
    box.run("elfsig", "dkms", "setup", "--module", MODULE, "--key", KEY, "--cert", CERT, "--hash", "sha512")
    assert (box.etc / f"{MODULE}.conf").is_symlink()
    assert "Running the post_build script" in box.dkms("build")
    assert box.built().name == f"elfsig_hello.ko{suffix}"
    assert verified(box.built()) and modinfo(box.built(), "sig_hashalgo") == "sha512"


def test_a_failing_hook_is_no_silent_one(box: Sandbox) -> None:
    key = box.root / "key.pem"
    key.write_bytes(KEY.read_bytes())
    box.run("elfsig", "dkms", "setup", "--module", MODULE, "--key", key, "--cert", CERT)
    key.unlink()
    said = box.dkms("build")
    assert f"elfsig: {key}: no such file" in said


def test_resign_after_a_change_of_keys(box: Sandbox) -> None:
    box.run("elfsig", "dkms", "setup", "--key", OTHER_KEY, "--cert", OTHER_CERT)
    box.dkms("install")
    assert verified(box.built(), OTHER_CERT) and verified(box.installed(), OTHER_CERT)
    box.run("elfsig", "dkms", "setup", "--key", KEY, "--cert", CERT)
    before = box.installed().read_bytes()
    box.run("elfsig", "dkms", "resign", "--dry-run")
    assert box.installed().read_bytes() == before
    said = box.run("elfsig", "dkms", "resign")
    assert "next: run update-initramfs" in said
    assert verified(box.built()) and verified(box.installed())
    assert box.built().read_bytes() == box.installed().read_bytes()
    for words in (("remove",), ("install", "--force")):  # what explain says about a copy that was changed
        box.run(need("dkms"), *words, f"{MODULE}/1.0", "-k", box.kernel)
    box.run("elfsig", "dkms", "resign")
    status = box.dkms("status")
    assert "installed" in status and "WARNING" not in status
    assert "already signed like this by this key" in box.run("elfsig", "dkms", "resign", MODULE)
    assert "not built this module" in box.run("elfsig", "dkms", "resign", "nonesuch", code=2)


# --------------------------------------------------------------------------- configuration


@pytest.fixture
def wish(tmp_path: Path) -> dkms.Setup:
    return dkms.Setup("/keys/my key.pem", "/keys/mok.der", "/usr/bin/elfsig-sign-file", "/usr/bin/elfsig")


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_setup_is_idempotent_and_taken_back(tmp_path: Path, wish: dkms.Setup) -> None:
    conf = tmp_path / "etc/dkms"
    conf.mkdir(parents=True)
    (conf / "framework.conf").write_text("# as it came\n")
    before = tree(tmp_path)
    for each in (wish, wish._replace(modules=("nvidia", "zfs"))):
        assert dkms.setup(tmp_path, each) == dkms.setup(tmp_path, each)
    settings = dkms.settings(tmp_path)
    assert settings["mok_signing_key"] == "/keys/my key.pem"
    assert settings["sign_file"] == "/usr/bin/elfsig-sign-file"
    assert (conf / "nvidia.conf").resolve() == (conf / "elfsig-sign.conf").resolve()
    assert len(dkms.remove(tmp_path)) == 5
    assert tree(tmp_path) == before


def test_what_is_not_from_elfsig_is_left_alone(tmp_path: Path, wish: dkms.Setup) -> None:
    conf = tmp_path / "etc/dkms"
    conf.mkdir(parents=True)
    (conf / "nvidia.conf").write_text("STRIP=no\n")
    hooked = wish._replace(modules=("nvidia",))
    with pytest.raises(WriteError, match="already exists"):
        dkms.setup(tmp_path, hooked)
    assert (conf / "nvidia.conf").read_text() == "STRIP=no\n"
    dkms.setup(tmp_path, hooked, force=True)
    assert (conf / "nvidia.conf").is_symlink()
    with pytest.raises(UsageError, match="is not the name of a DKMS module"):
        dkms.setup(tmp_path, wish._replace(modules=("../evil",)))


def test_the_hook_s_path_leads_out_of_any_dkms_tree(tmp_path: Path, wish: dkms.Setup) -> None:
    conf = tmp_path / "etc/dkms"
    for text, ups in (("", 6), ('dkms_tree="/srv/a/b/dkms"\n', 7)):
        conf.mkdir(parents=True, exist_ok=True)
        (conf / "framework.conf").write_text(text)
        dkms.setup(tmp_path, wish._replace(modules=("x",)))
        line = (conf / "x.conf").read_text().splitlines()[-1]
        where = "$dkms_tree/$module/$module_version/$kernelver/$arch/module"
        assert line == f'POST_BUILD="{"../" * ups}etc/dkms/elfsig-sign.sh $kernelver $arch {where}"'


@pytest.mark.parametrize(
    ("key", "cert", "said"),
    [
        (KEY, OTHER_CERT, "does not belong to the key"),
        ("/nonesuch", CERT, "no such file"),
        (KEY, None, "--key and --cert"),
    ],
)
def test_what_would_fail_in_every_build_fails_at_once(
    key: str, cert: str | None, said: str, tmp_path: Path
) -> None:
    words = ["--key", key, *(["--cert", cert] if cert else [])]
    ran = run("dkms", "setup", "--root", tmp_path, *words)
    assert ran.code in (1, 2) and said in ran.err
    assert not list(tmp_path.iterdir())


def test_settings_are_read_as_dkms_reads_them() -> None:
    text = 'a="b c"  # comment\nexport d=e\n f=\'g\'\nh=i j\nbroken="\n#k=l\n'
    assert dict(assignments(text)) == {"a": "b c", "d": "e", "f": "g"}


def test_the_hash_is_that_of_the_kernel_s_configuration(tmp_path: Path) -> None:
    assert dkms.kernel_hash(tmp_path, "6.1.0") == "sha256"
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/config-6.1.0").write_text('CONFIG_MODULE_SIG_HASH="sha512"\n')
    assert dkms.kernel_hash(tmp_path, "6.1.0") == "sha512"


def test_setup_signs_in_chroots_too(tmp_path: Path, wish: dkms.Setup) -> None:
    """From 3.4.0 on DKMS signs nothing in chroots and image builds unless it is told to."""
    dkms.setup(tmp_path, wish)
    assert dkms.settings(tmp_path)["try_sign_modules"] == "true"


@pytest.mark.parametrize("folder", ["srv/dkms/hello/1.0/build", "etc/dkms/hello"])
def test_the_hook_works_in_either_directory(folder: str, tmp_path: Path, wish: dkms.Setup) -> None:
    """From 3.4.0 on DKMS runs it in /etc/dkms/MODULE where that exists, before in the build directory."""
    (tmp_path / "etc/dkms").mkdir(parents=True)
    modules = tmp_path / "srv/dkms/hello/1.0/6.1.0/x86_64/module"
    for each in (modules, tmp_path / folder):
        each.mkdir(parents=True, exist_ok=True)
    said = tmp_path / "said"
    program = tmp_path / "elfsig"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {said}\n')
    program.chmod(0o755)
    dkms.setup(tmp_path, wish._replace(elfsig=str(program), hash="sha512", modules=("hello",)))
    line = (tmp_path / "etc/dkms/hello.conf").read_text().splitlines()[-1]
    values = f"dkms_tree={tmp_path}/srv/dkms module=hello module_version=1.0 kernelver=6.1.0 arch=x86_64"
    words = f'{values}; {line}; set -- $POST_BUILD; shift; exec {tmp_path}/etc/dkms/elfsig-sign.sh "$@"'
    subprocess.run(["sh", "-c", words], cwd=tmp_path / folder, check=True)
    assert said.read_text().splitlines()[-2:] == ["--in-place", str(modules)]


def test_gentoo_names_its_key_in_the_environment(tmp_path: Path) -> None:
    own = {"MODULES_SIGN_KEY": "/keys/gentoo.pem"}
    both = {**own, "MODULES_SIGN_CERT": "/keys/gentoo.der"}
    assert dkms.signing_words(tmp_path, None, None, "6.1", own) == (f"{tmp_path}/keys/gentoo.pem",) * 2
    assert dkms.signing_words(tmp_path, None, None, "6.1", both)[1] == f"{tmp_path}/keys/gentoo.der"
    conf = tmp_path / "etc/dkms/framework.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("mok_signing_key=/k\nmok_certificate=/c\n")
    assert dkms.signing_words(tmp_path, None, None, "6.1", both) == (f"{tmp_path}/k", f"{tmp_path}/c")


# --------------------------------------------------------------------------- hooks of their own, and safety


def built_module(root: Path, name: str = "hello", content: bytes | None = None) -> Path:
    path = root / f"var/lib/dkms/{name}/1.0/6.1.0/x86_64/module/{name}.ko"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(corpus.content("amd64-6.1.ko") if content is None else content)
    return path


def test_resign_asks_each_module_s_own_setting(tmp_path: Path) -> None:
    """One module by elfsig's hook with a key of its own, one by a foreign hook, one as DKMS is configured."""
    conf = tmp_path / "etc/dkms"
    (conf / "framework.conf.d").mkdir(parents=True)
    general = f"mok_signing_key={OTHER_KEY}\nmok_certificate={OTHER_CERT}\n"
    hooked, foreign, plain = (built_module(tmp_path, name) for name in ("hooked", "foreign", "plain"))
    for each in (KEY, CERT, OTHER_KEY, OTHER_CERT):
        inside = tmp_path / str(each).lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.write_bytes(each.read_bytes())
    (conf / "framework.conf").write_text(general)
    own = dkms.Setup(str(KEY), str(CERT), "/x", "/usr/bin/elfsig", modules=("hooked",), hash="sha512")
    dkms.setup(tmp_path, own)
    (conf / "foreign.conf").write_text("POST_BUILD=../../../../../../etc/dkms/kernel-sign.sh\n")
    assert dkms_hooks.own_setting(tmp_path, "hooked", "1.0") == dkms_hooks.Own(
        "/etc/dkms/elfsig-sign.sh", str(KEY), str(CERT), "sha512"
    )
    before = foreign.read_bytes()
    said = run("dkms", "resign", "--root", tmp_path)
    assert said.code == 0, said.err
    assert verified(hooked) and verified(plain, OTHER_CERT)
    assert foreign.read_bytes() == before and "/etc/dkms/foreign.conf signs it" in said.out + said.err
    run("dkms", "resign", "foreign", "--root", tmp_path, "--key", KEY, "--cert", CERT)
    assert verified(foreign)


def installed_module(root: Path, content: bytes, folder: str = "updates/dkms", name: str = "hello") -> Path:
    path = root / f"lib/modules/6.1.0/{folder}/{name}.ko"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("how", [(), ("--dry-run",)])
def test_an_installed_copy_of_other_code_is_refused(how: tuple[str, ...], tmp_path: Path) -> None:
    """Whatever replaced what DKMS installed does not get its signature, and the exit code says so."""
    built_module(tmp_path)
    foreign = corpus.content("arm64-6.1.ko")
    copy = installed_module(tmp_path, foreign)
    ran = run("dkms", "resign", "hello", "--root", tmp_path, "--key", KEY, "--cert", CERT, *how)
    assert ran.code == 1 and "its code differs" in ran.err and "do not sign it" in ran.err, ran
    assert copy.read_bytes() == foreign and not verified(copy)
    (tmp_path / "var/lib/dkms/hello/1.0").rename(tmp_path / "var/lib/dkms/hello/0.9")
    built_module(tmp_path, content=foreign)
    ran = run("dkms", "resign", "hello/0.9", "--root", tmp_path, "--key", KEY, "--cert", CERT, *how)
    assert ran.code == 0 and "it is what DKMS built as hello/1.0" in ran.out, ran
    assert copy.read_bytes() == foreign


def test_a_vendor_s_module_before_which_dkms_s_stands_is_left_alone(tmp_path: Path) -> None:
    words = ("dkms", "resign", "--root", tmp_path, "--key", KEY, "--cert", CERT)
    vendor = installed_module(tmp_path, corpus.content("arm64-6.1.ko"), "kernel/fs")
    built_module(tmp_path)
    before = vendor.read_bytes()
    assert run(*words).code == 1, "it may be DKMS's own copy, replaced"
    copy = installed_module(tmp_path, corpus.content("amd64-6.1.ko"))
    assert run(*words).code == 0 and verified(copy)
    copy.unlink()
    lists = tmp_path / "var/lib/dpkg/info/linux-image.list"
    lists.parent.mkdir(parents=True)
    lists.write_text(f"/{vendor.relative_to(tmp_path)}\n")
    ran = run(*words)
    assert ran.code == 0 and "it belongs to the package linux-image" in ran.out
    assert vendor.read_bytes() == before


@pytest.mark.parametrize(
    "words", [("resign",), ("setup", "--remove"), ("setup", "--key", KEY, "--cert", CERT)]
)
def test_a_root_that_is_not_there_is_said(words: Sequence[str | Path], tmp_path: Path) -> None:
    ran = run("dkms", *words, "--root", tmp_path / "nowhere")
    assert ran.code == 2 and "nowhere: not a directory" in ran.err
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["framework", "elfsig-sign"])
def test_names_of_dkms_itself_are_reserved(name: str, tmp_path: Path) -> None:
    conf = tmp_path / "etc/dkms" / f"{name}.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("# the administrator's\n")
    words = ("dkms", "setup", "--root", tmp_path, "--module", name, "--key", KEY, "--cert", CERT, "--force")
    said = run(*words)
    assert said.code == 2 and "belongs to DKMS" in said.err
    assert conf.read_text() == "# the administrator's\n"


def test_what_root_runs_must_be_root_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program below a home, or one that a group may write, is refused; a sticky directory protects."""
    program = tmp_path / "bin" / "elfsig"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    own = os.stat_result((0o100755, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    folder = os.stat_result((0o040755, 0, 0, 1, 0, 0, 0, 0, 0, 0))
    modes: dict[Path, os.stat_result] = {}
    monkeypatch.setattr(Path, "lstat", lambda path: modes.get(path, folder))
    modes[program] = own
    assert dkms_hooks.changeable(program) is None
    for mode, uid, gid, safe in (
        (0o040755, 1000, 0, False), (0o040777, 0, 0, False), (0o041777, 0, 0, True), (0o040775, 0, 0, True),
        (0o040775, 0, 54321, False),
    ):  # fmt: skip
        modes[program.parent] = os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))
        assert (dkms_hooks.changeable(program) is None) is safe, oct(mode)
        assert dkms_hooks.changeable(program) in (None, program.parent)


# --------------------------------------------------------------------------- a key for each kernel


PER_KERNEL = (
    "$kernel_source_dir/certs-local/current/signing_key.pem",
    "${kernel_source_dir}/certs-local/c.crt",
)


def kernel_with_key(root: Path, release: str, key: Path, cert: Path, hash_name: str | None = None) -> Path:
    """Headers of a kernel below ``root``, as a link in /lib/modules, with a key of their own in them."""
    folder = root / f"usr/src/linux-{release}/certs-local"
    (folder / "current").mkdir(parents=True)
    (folder / "current/signing_key.pem").write_bytes(key.read_bytes())
    (folder / "c.crt").write_bytes(cert.read_bytes())
    if hash_name is not None:
        (folder / "current/khash").write_text(f"{hash_name}\n")
    (root / f"lib/modules/{release}").mkdir(parents=True)
    (root / f"lib/modules/{release}/build").symlink_to(f"/usr/src/linux-{release}")
    return folder


def test_paths_of_kernels_are_written_for_the_shell_and_read_back(tmp_path: Path, wish: dkms.Setup) -> None:
    (tmp_path / "etc/dkms").mkdir(parents=True)
    key = '$kernel_source_dir/my "$HOME" keys/`x`/k.pem'
    dkms.setup(tmp_path, wish._replace(key=key, certificate=PER_KERNEL[1]))
    conf = tmp_path / "etc/dkms/framework.conf.d/elfsig.conf"
    words = f'kernel_source_dir=/src; HOME=/no; . {conf}; printf "%s" "$mok_signing_key|$mok_certificate"'
    said = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=True).stdout
    assert said == '/src/my "$HOME" keys/`x`/k.pem|/src/certs-local/c.crt'


def test_setup_tries_the_key_of_every_kernel(tmp_path: Path) -> None:
    kernel_with_key(tmp_path, "6.1.0-one", KEY, CERT)
    words = ("dkms", "setup", "--root", tmp_path, "--key", PER_KERNEL[0], "--cert", PER_KERNEL[1])
    (tmp_path / "lib/modules/6.2.0-none/build").mkdir(parents=True)
    ran = run(*words)
    assert ran.code == 0 and "DKMS will sign nothing for 6.2.0-none" in ran.err, ran.err
    assert "each kernel has its own key" in ran.err
    text = (tmp_path / "etc/dkms/framework.conf.d/elfsig.conf").read_text()
    assert f'mok_signing_key="{PER_KERNEL[0]}"\n' in text
    kernel_with_key(tmp_path, "6.3.0-wrong", KEY, OTHER_CERT)
    assert "does not belong to the key" in run(*words).err
    missing = ("dkms", "setup", "--root", tmp_path, "--key", "$kernel_source_dir/x", "--cert", PER_KERNEL[1])
    assert run(*missing).code == 2 and "no installed kernel has this key" in run(*missing).err


@pytest.mark.parametrize("hooked", [False, True])
def test_resign_takes_each_kernel_s_own_key(hooked: bool, tmp_path: Path) -> None:
    modules = {}
    for release, key, cert in (("6.1.0", KEY, CERT), ("6.2.0", OTHER_KEY, OTHER_CERT)):
        kernel_with_key(tmp_path, release, key, cert, "sha384")
        path = tmp_path / f"var/lib/dkms/hello/1.0/{release}/x86_64/module/hello.ko"
        path.parent.mkdir(parents=True)
        path.write_bytes(corpus.content("amd64-6.1.ko"))
        modules[path] = cert
    words = ("--module", "hello") if hooked else ()
    how = ("--key", PER_KERNEL[0], "--cert", PER_KERNEL[1])
    assert run("dkms", "setup", "--root", tmp_path, *how, *words).code == 0
    ran = run("dkms", "resign", "--root", tmp_path)
    assert ran.code == 0, ran.err
    for path, cert in modules.items():
        assert verified(path, cert)
        assert modinfo(path, "sig_hashalgo") == ("sha384" if hooked else "sha256")


@pytest.mark.parametrize("given", [None, "sha512"])
def test_the_hook_expands_the_kernel_s_paths(given: str | None, tmp_path: Path, wish: dkms.Setup) -> None:
    """The hash next to the key counts where none was given, as in Arch-SKM's layout."""
    (tmp_path / "etc/dkms").mkdir(parents=True)
    folder = kernel_with_key(tmp_path, "6.1.0", KEY, CERT, "sha384")
    said, program = tmp_path / "said", tmp_path / "elfsig"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {said}\n')
    program.chmod(0o755)
    key, cert = PER_KERNEL
    hooked = wish._replace(key=key, certificate=cert, elfsig=str(program), modules=("hello",), hash=given)
    dkms.setup(tmp_path, hooked)
    source = tmp_path / "usr/src/linux-6.1.0"
    subprocess.run(
        [tmp_path / "etc/dkms/elfsig-sign.sh", "6.1.0", "x86_64", "/modules"],
        env={**os.environ, "kernel_source_dir": str(source)}, check=True,
    )  # fmt: skip
    words = said.read_text().splitlines()
    assert words[words.index("--key") + 1] == str(folder / "current/signing_key.pem")
    assert words[words.index("--hash") + 1] == (given or "sha384")


def test_both_methods_of_the_arch_wiki_for_real(box: Sandbox) -> None:
    """DKMS expands the paths itself: in framework.conf, and for the hook through the headers' place."""
    real = box.root / "installed" / box.kernel / "build"
    source = box.root / "headers"
    source.mkdir()
    for each in real.resolve().iterdir():
        (source / each.name).symlink_to(each)
    real.unlink()
    real.symlink_to(source)
    (source / "certs-local/current").mkdir(parents=True)
    (source / "certs-local/current/signing_key.pem").write_bytes(KEY.read_bytes())
    (source / "certs-local/c.crt").write_bytes(CERT.read_bytes())
    how = ("--key", PER_KERNEL[0], "--cert", PER_KERNEL[1])
    box.run("elfsig", "dkms", "setup", *how)
    said = box.dkms("build")
    assert "certs-local/current/signing_key.pem" in said and verified(box.built())
    box.dkms("remove")
    box.run("elfsig", "dkms", "setup", "--remove")
    box.run("elfsig", "dkms", "setup", "--module", MODULE, *how)
    assert "Running the post_build script" in box.dkms("build")
    assert verified(box.built())
