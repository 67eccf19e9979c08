"""A build engineer: keys in a token, Debian's modules signed with it, and the Arch wiki's page on signed
modules, step by step, with elfsig in place of its scripts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.debian import debian_modules
from tests.support.softhsm import PIN, make
from tests.walks.steps import Job

MODULES = 25


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """Some of Debian's modules, without Debian's signatures, as a build leaves them."""
    folder = tmp_path / "build/kernel"
    folder.mkdir(parents=True)
    for path in debian_modules("amd64")[::150][:MODULES]:
        shutil.copyfile(path, folder / path.name)
    Job(tmp_path)("strip", "--all", "--in-place", "-q", "build")
    return tmp_path / "build"


def test_from_an_empty_token_to_a_signed_build(modules: Path, tmp_path: Path) -> None:
    (tmp_path / "hsm").mkdir()
    hsm = make(tmp_path / "hsm")
    hsm.token("Build")
    hsm.generate("Build", "modules", "rsa:3072", 1)
    job = Job(tmp_path, {**hsm.environment, "KBUILD_SIGN_PIN": PIN})
    uri = hsm.uri("Build", "modules")

    count = len(list(modules.rglob("*.ko")))
    job("keys", "list", f"pkcs11:?module-path={hsm.module}", says=("object=modules;id=%01", "rsa 3072"))
    sign = ("sign", "--format", "pkcs7", "--key", uri)
    job(*sign, "--output-dir", "out", "build", code=1, says=("pass it with --cert",))
    certify = (
        "keys",
        "certificate",
        "--key",
        uri,
        "--name",
        "Build modules",
        "--module-only",
        "-o",
        "modules",
    )
    job(*certify, says=("modules.crt: certificate", "mokutil --import modules.der"))
    cert = ("--cert", "modules.crt")
    job(*sign, *cert, "--output-dir", "out", "--report", "signed.json", "build", says=(f"{count} signed",))
    job("verify", "--trust", "modules.der", "out", says=(f"{count} files: {count} valid",))
    job("audit", "--trust", "modules.der", "--expect", "signed.json", "out")
    entry = json.loads((tmp_path / "signed.json").read_text().splitlines()[0])
    assert entry, "the report is JSON"
    # The same command again changes nothing; a module that was changed since is found.
    job(*sign, *cert, "--in-place", "out", says=(f"{count} unchanged",))
    victim = next((tmp_path / "out").rglob("*.ko"))
    content = bytearray(victim.read_bytes())
    content[-5000] ^= 1
    victim.write_bytes(content)
    job("audit", "--trust", "modules.der", "--expect", "signed.json", "out", code=1, says=(victim.name,))
    # The token is pulled out: a few files fail, the rest is not tried.
    shutil.rmtree(tmp_path / "hsm/tokens")
    (tmp_path / "hsm/tokens").mkdir()
    job(*sign, *cert, "--replace", "--in-place", "out", code=1, says=("no such token",))


def test_the_page_of_the_arch_wiki(modules: Path, tmp_path: Path) -> None:
    """Configuration, a key of its own for modules built outside the kernel, headers that bring it, DKMS."""
    job = Job(tmp_path)
    config = tmp_path / "config.x86_64"
    config.write_text(
        'CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_ALL=y\nCONFIG_MODULE_SIG_HASH="sha512"\n'
        'CONFIG_MODULE_SIG_KEY="certs/signing_key.pem"\nCONFIG_SYSTEM_TRUSTED_KEYS=""\n'
    )
    # prepare(): in place of certs-local/genkeys.py
    job("keys", "generate", "--like", "arch-skm", "--kernel-config", config, "--refresh", "7days")
    current = tmp_path / "certs-local/current"
    assert 'CONFIG_SYSTEM_TRUSTED_KEYS="' in config.read_text() and "certs-local" in config.read_text()
    # _package-headers(): in place of install-certs.py
    release = "6.1.0-custom"
    headers = tmp_path / f"root/usr/lib/modules/{release}/build"
    headers.mkdir(parents=True)
    (tmp_path / "root/lib").symlink_to("usr/lib")
    job("keys", "install", headers / "certs-local")
    # Out-of-tree modules: in place of sign_module.py, with the hash that is beside the key
    installed = headers / "certs-local/current"
    assert {"signing_key.pem", "khash"} <= {each.name for each in installed.iterdir()}
    hash_name = (installed / "khash").read_text().strip()
    sign = ("sign", "--format", "pkcs7", "--hash", hash_name, "--key", installed / "signing_key.pem")
    job(*sign, "--in-place", "build")
    job("verify", "--trust", current / "signing_crt.crt", "build")
    # DKMS, first method: framework.conf; second: kernel-sign.conf, and a link to it for each module
    key = "$kernel_source_dir/certs-local/current/signing_key.pem"
    cert = "$kernel_source_dir/certs-local/current/signing_crt.crt"
    setup = ("dkms", "setup", "--root", tmp_path / "root", "--key", key, "--cert", cert)
    job(*setup, says=("/etc/dkms/framework.conf.d/elfsig.conf: written", "each kernel has its own key"))
    job(*setup, "--module", "nvidia", "--module", "zfs", says=("/etc/dkms/nvidia.conf: written",))
    etc = tmp_path / "root/etc/dkms"
    assert f'mok_signing_key="{key}"' in (etc / "framework.conf.d/elfsig.conf").read_text()
    assert (etc / "zfs.conf").readlink() == (etc / "nvidia.conf").readlink() == Path("elfsig-sign.conf")
    job("dkms", "setup", "--root", tmp_path / "root", "--remove", says=("/etc/dkms/zfs.conf: removed",))
    assert not list(etc.rglob("*.conf"))
