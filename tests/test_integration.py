"""The snippets for other build systems, run by those systems."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import corpus
from tests.support.cli import CHECKOUT
from tests.support.run import run
from tests.support.system_dkms import SOURCE, executables, headers
from tests.support.tools import need

SNIPPETS = CHECKOUT / "elfsig" / "data" / "integration"
KEY, CERT = corpus.KEYS / "signer.key.pem", corpus.KEYS / "signer.cert.pem"
MODULE = corpus.content("amd64-6.1.ko")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment with ``elfsig`` and ``elfsig-sign-file`` in the PATH."""
    found = {**os.environ, "PATH": f"{executables(tmp_path / 'bin')}:{os.environ['PATH']}", "LC_ALL": "C"}
    return {name: value for name, value in found.items() if not name.startswith(("MAKE", "GIT_"))}


def call(env: dict[str, str], *words: str | Path, cwd: Path | None = None, code: int = 0) -> str:
    done = subprocess.run(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        stdin=subprocess.DEVNULL, env=env, cwd=cwd,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def verified(path: Path) -> bool:
    return run("verify", path, "--trust", CERT, "--require", "pkcs7").code == 0


# --------------------------------------------------------------------------- kbuild


@pytest.fixture
def source(tmp_path: Path, env: dict[str, str]) -> Path:
    """The test module, built and unsigned."""
    folder = tmp_path / "module"
    shutil.copytree(SOURCE, folder)
    call(env, need("make"), "-C", headers()[1], f"M={folder}", "modules")
    assert not verified(folder / "elfsig_hello.ko")
    return folder


def test_kbuild_installs_through_the_snippet(source: Path, tmp_path: Path, env: dict[str, str]) -> None:
    """Strips first, as asked, and signs then."""
    kernel, build = headers()
    words = [f"KDIR={build}", f"M={source}", f"ELFSIG_KEY={KEY}", f"ELFSIG_CERT={CERT}"]
    more = [f"INSTALL_MOD_PATH={tmp_path}/root", "INSTALL_MOD_STRIP=1"]
    call(env, need("make"), "-f", str(SNIPPETS / "kbuild.mk"), "modules_install", *words, *more)
    (module,) = (tmp_path / "root/lib/modules" / kernel).rglob("elfsig_hello.ko*")
    assert verified(module)


def shadow(folder: Path) -> Path:
    """The kernel's build directory once more, of links, where files can be put in."""
    build = headers()[1]
    (folder / "scripts").mkdir(parents=True)
    for each in (*build.iterdir(), *(build / "scripts").iterdir()):
        link = folder / each.relative_to(build)
        if not link.exists():
            link.symlink_to(each.resolve())
    return folder


def test_kbuild_s_own_call_line(source: Path, tmp_path: Path, env: dict[str, str]) -> None:
    """scripts/sign-file of the build directory is elfsig-sign-file; nothing else is changed."""
    build = shadow(tmp_path / "build")
    (build / "scripts" / "sign-file").unlink(missing_ok=True)
    (build / "scripts" / "sign-file").symlink_to(tmp_path / "bin" / "elfsig-sign-file")
    (build / "certs").mkdir()
    shutil.copy(KEY, build / "certs" / "signing_key.pem")
    shutil.copy(CERT, build / "certs" / "signing_key.x509")
    words = ["CONFIG_MODULE_SIG_ALL=y", "CONFIG_MODULE_SIG_KEY=certs/signing_key.pem"]
    install = [f"M={source}", "modules_install", f"INSTALL_MOD_PATH={tmp_path}/root", *words]
    call(env, need("make"), "-C", build, *install)
    (module,) = (tmp_path / "root/lib/modules" / headers()[0]).rglob("elfsig_hello.ko*")
    assert verified(module)


SIGN_ONLY = """\
export modules_sign_only := y
export MODLIB := $(INSTALL_MOD_PATH)/lib/modules/1
export MODORDER := modules.order
export srctree := {srctree}
modules_sign:
	$(MAKE) -f $(srctree)/scripts/Makefile.modinst
"""


def test_kbuild_s_modules_sign(source: Path, tmp_path: Path, env: dict[str, str]) -> None:
    """A kernel's own modules, signed where they are installed, by the kernel's own Makefile.modinst; headers
    alone are no tree to build a kernel in, so its caller is ours."""
    build, extra = tmp_path / "build", tmp_path / "root/lib/modules/1/kernel/extra"
    (build / "include/config").mkdir(parents=True)
    shutil.copy(headers()[1] / "include/config/auto.conf", build / "include/config")
    (build / "modules.order").write_text("extra/elfsig_hello.ko\n")
    common = (headers()[1] / "Makefile").read_text().split()[1]
    (build / "Makefile").write_text(SIGN_ONLY.format(srctree=Path(common).parent))
    extra.mkdir(parents=True)
    shutil.copy(source / "elfsig_hello.ko", extra)
    words = [f"KDIR={build}", f"ELFSIG_KEY={KEY}", f"ELFSIG_CERT={CERT}", f"INSTALL_MOD_PATH={tmp_path}/root"]
    call(env, need("make"), "-f", str(SNIPPETS / "kbuild.mk"), "modules_sign", *words)
    assert verified(extra / "elfsig_hello.ko")


# --------------------------------------------------------------------------- packages

SPEC = """\
%{{load:{macros}}}
%global elfsig_key {key}
%global elfsig_cert {cert}
%global _build_id_links none
Name: hello-kmod
Version: 1
Release: 1
Summary: Test
License: Apache-2.0
AutoReqProv: no
%description
Test.
%install
mkdir -p %{{buildroot}}/lib/modules/1/extra
cp {module} %{{buildroot}}/lib/modules/1/extra/sample.ko
chmod 755 %{{buildroot}}/lib/modules/1/extra/sample.ko
%files
/lib/modules/1/extra/sample.ko
"""


def test_rpm_signs_after_it_stripped(tmp_path: Path, env: dict[str, str]) -> None:
    module, spec = tmp_path / "sample.ko", tmp_path / "hello.spec"
    module.write_bytes(corpus.content("amd64.pkcs7-other"))
    spec.write_text(SPEC.format(macros=SNIPPETS / "macros.elfsig", key=KEY, cert=CERT, module=module))
    strips = f"__os_install_post {need('strip')} --strip-debug %{{buildroot}}/lib/modules/1/extra/sample.ko"
    say = ["--define", f"_topdir {tmp_path}/rpm", "--define", strips]
    said = call(env, need("rpmbuild"), "-bb", *say, spec)
    assert "passed: 1 module" in said
    (package,) = (tmp_path / "rpm" / "RPMS").rglob("*.rpm")
    call(env, "sh", "-c", f"{need('rpm2cpio')} {package} | {need('cpio')} -idm --quiet", cwd=tmp_path)
    assert verified(tmp_path / "lib/modules/1/extra/sample.ko")


RULES = """\
#!/usr/bin/make -f
%:
	dh $@
override_dh_auto_install:
	install -D -m 644 sample.ko debian/hello-modules/lib/modules/1/extra/sample.ko
	strip --strip-debug debian/hello-modules/lib/modules/1/extra/sample.ko
"""
CONTROL = """\
Source: hello-modules
Maintainer: Nobody <nobody@example.org>
Build-Depends: debhelper-compat (= 13)

Package: hello-modules
Architecture: any
Description: Test
 Test.
"""
CHANGELOG = """\
hello-modules (1) unstable; urgency=low

  * Test.

 -- Nobody <nobody@example.org>  Thu, 01 Jan 2026 00:00:00 +0000
"""


def debian_package(folder: Path, rules: str, env: dict[str, str]) -> Path:
    """Build the package and unpack it; the module in it."""
    (folder / "debian" / "source").mkdir(parents=True)
    files = {"rules": rules, "control": CONTROL, "changelog": CHANGELOG, "source/format": "3.0 (native)\n"}
    for name, text in files.items():
        (folder / "debian" / name).write_text(text)
    (folder / "debian" / "rules").chmod(0o755)
    (folder / "sample.ko").write_bytes(corpus.content("amd64.pkcs7-other"))
    need("dh")
    call(env, "fakeroot" if os.geteuid() else "env", folder / "debian" / "rules", "binary", cwd=folder)
    (package,) = folder.parent.glob("hello-modules_*.deb")
    call(env, need("dpkg-deb"), "-x", package, folder / "unpacked")
    package.unlink()
    (module,) = (folder / "unpacked").rglob("sample.ko")
    return module


def test_debian_signs_behind_dh_strip(tmp_path: Path, env: dict[str, str]) -> None:
    assert "unsigned" in run("list", "-H", debian_package(tmp_path / "plain", RULES, env)).out
    settings = f"ELFSIG_KEY = {KEY}\nELFSIG_CERT = {CERT}\ninclude {SNIPPETS}/debian-sign.mk\n"
    assert verified(debian_package(tmp_path / "signed", RULES + settings, env))


# --------------------------------------------------------------------------- commits


def test_the_git_hook(tmp_path: Path, env: dict[str, str]) -> None:
    git = [need("git"), "-C", str(tmp_path / "repo")]
    call(env, need("git"), "init", "-q", tmp_path / "repo")
    hook = tmp_path / "repo/.git/hooks/pre-commit"
    shutil.copy(SNIPPETS / "git-pre-commit", hook)
    hook.chmod(0o755)
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    commit = [*git, *identity, "commit", "-q", "-m", "test"]
    for folder in ("a b", "bad"):
        (tmp_path / "repo" / folder).mkdir()
    (tmp_path / "repo/a b/sample.ko").write_bytes(corpus.content("amd64.pkcs7"))
    call(env, *git, "add", ".")
    assert "git config elfsig.trust" in call(env, *commit, code=1)
    call(env, *git, "config", "elfsig.trust", CERT)
    call(env, *commit)
    (tmp_path / "repo/bad/sample.ko").write_bytes(MODULE)
    (tmp_path / "repo/note.txt").write_text("no module")
    call(env, *git, "add", ".")
    assert "unsigned: 1 module" in call(env, *commit, code=1)
    (tmp_path / "repo/bad/sample.ko").write_bytes(corpus.content("amd64.pkcs7"))  # the index has the other
    assert "unsigned: 1 module" in call(env, *commit, code=1)
    call(env, *git, "add", "bad/sample.ko")
    (tmp_path / "repo/bad/sample.ko").write_bytes(MODULE)
    call(env, *commit)
    (tmp_path / "repo/note.txt").write_text("changed")
    call(env, *git, "add", "note.txt")
    call(env, *commit)


def test_the_pre_commit_entry(tmp_path: Path, env: dict[str, str]) -> None:
    text = (SNIPPETS / "pre-commit-config.yaml").read_text()
    entry = re.search(r"entry: (.+)", text)
    pattern = re.search(r"files: '(.+)'", text)
    assert entry and pattern and re.search(pattern[1], "x/a.ko.zst") and not re.search(pattern[1], "a.koala")
    for folder in ("keys", "good", "bad"):
        (tmp_path / folder).mkdir()
    shutil.copy(CERT, tmp_path / "keys/modules.pem")
    (tmp_path / "good/sample.ko").write_bytes(corpus.content("amd64.pkcs7"))
    (tmp_path / "bad/sample.ko").write_bytes(MODULE)
    call(env, *entry[1].split(), "good/sample.ko", cwd=tmp_path)
    call(env, *entry[1].split(), "good/sample.ko", "bad/sample.ko", cwd=tmp_path, code=1)
