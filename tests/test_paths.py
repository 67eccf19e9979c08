"""Whole jobs walked from the first command to the last, with DKMS, kernels and tools that are real."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import corpus
from tests.oracle import machine
from tests.support.cli import CHECKOUT
from tests.support.debian import debian_vmlinuz
from tests.support.run import run
from tests.support.system_dkms import Sandbox, executables, sandbox
from tests.support.tools import need
from tests.support.vectors import module as vector
from tests.support.vectors import vectors

OTHER = [f"--key={corpus.KEYS}/other.key.pem", f"--cert={corpus.KEYS}/other.cert.pem"]


WALKS = {
    "own driver": """
        elfsig keys generate --codesigning -o /root/mok
        mokutil --import /root/mok.der
        elfsig dkms setup --key /root/mok.key --cert /root/mok.der
        elfsig dkms resign
        elfsig audit /lib/modules/$(uname -r)/updates --trust /root/mok.der
        modprobe nvidia
    """,
    "RHEL 6": """
        elfsig list el6/
        elfsig verify el6/ --trust rhel6.gpg
        elfsig convert el6/ --to pkcs7 --trust rhel6.gpg --key mok.key --cert mok.der --output-dir new/
        elfsig audit new/ --trust mok.der --format pkcs7
    """,
    "trees": """
        elfsig sign --format pkcs7 --key mok.key --cert mok.der --in-place --report signed.json modules/
        elfsig audit modules/ --ignore misnamed --trust mok.der --expect signed.json --sarif audit.sarif
        elfsig audit modules/ --ignore misnamed --trust mok.der --hash sha256 --junit audit.xml
        elfsig audit /lib/modules/$(uname -r) --ignore misnamed --trust /boot/vmlinuz-$(uname -r) --loaded /proc/modules
    """,  # noqa: E501
}  # fmt: skip
"""Whole jobs of the manual, as a user types them one after the other."""


def commands(walk: str) -> list[str]:
    """The lines of a walk."""
    return WALKS[walk].strip().replace("        ", "").splitlines()


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\nset -eu\n{text}\n")
    path.chmod(0o755)


# --------------------------------------------------------------------------- Secure Boot


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    """A machine on which DKMS has built the driver, and nobody has enrolled a key."""
    box = sandbox(tmp_path)
    box.run("elfsig", "dkms", "setup", *OTHER)
    box.dkms("install")
    box.run("elfsig", "dkms", "setup", "--remove")
    return box


def test_a_driver_of_one_s_own_and_secure_boot(box: Sandbox, tmp_path: Path) -> None:
    """The firmware's part is played by a program that keeps what it is given; mokutil takes DER alone."""
    real = need("uname")
    script(box.root / "bin", "uname", f'test "$*" = -r && echo {box.kernel} || exec {real} "$@"')
    inform = f'{need("openssl")} x509 -inform DER -noout -in "$2"'
    script(box.root / "bin", "mokutil", f'test "$1" = --import\n{inform}\ncp "$2" {box.root}/enrolled.der')
    script(box.root / "bin", "modprobe", f'echo "$1" > {box.root}/loaded')
    for line in commands("own driver"):
        words = line.replace("/root/mok", f"{box.root}/mok").replace("nvidia", "elfsig_hello")
        said = box.run("sh", "-c", words)
        assert "won't be signed" not in said
    assert (box.root / "loaded").read_text() == "elfsig_hello\n"
    enrolled = box.root / "enrolled.der"
    for path in (box.built(), box.installed()):
        assert run("verify", path, "--trust", enrolled, "--require", "pkcs7").code == 0
    box.run("rm", "-r", box.root / "tree" / "elfsig-hello")
    assert "Signing module" in box.dkms("build")
    assert run("verify", box.built(), "--trust", enrolled, "--require", "pkcs7").code == 0


@pytest.mark.booted
def test_the_signed_driver_loads(box: Sandbox, tmp_path: Path) -> None:
    """Into the kernel that it was built for, with the key enrolled and signatures enforced."""
    kernel = debian_vmlinuz("amd64")
    if kernel.name != f"vmlinuz-{box.kernel}":
        pytest.skip(f"gone: the headers are for {box.kernel}, the kernel is {kernel.name}")
    unsigned = tmp_path / "plain.ko"
    assert run("strip", box.installed(), "-o", unsigned).code == 0
    assert run("keys", "generate", "--codesigning", "-o", tmp_path / "mok").code == 0
    box.run("elfsig", "dkms", "resign", f"--key={tmp_path}/mok.key", f"--cert={tmp_path}/mok.der")
    cases = {"unsigned": unsigned.read_bytes(), "signed": box.installed().read_bytes()}
    booted = machine.Machine(kernel, [(tmp_path / "mok.der").read_bytes()])
    work = tmp_path / "machine"
    work.mkdir()
    answers = machine.run(booted, cases, work, ["enforcing"]).answers["enforcing"]
    assert answers["unsigned"].errno == "EKEYREJECTED"
    assert (answers["signed"].errno, answers["signed"].taint) == (None, "O")
    assert any("elfsig test module loaded" in line for line in answers["signed"].log)


# --------------------------------------------------------------------------- RHEL 6


def test_from_a_rhel_6_tree_to_pkcs7(tmp_path: Path) -> None:
    env = {**os.environ, "PATH": f"{executables(tmp_path / 'bin')}:{os.environ['PATH']}"}
    (tmp_path / "el6/kernel/fs").mkdir(parents=True)
    names = (
        "note-sorted-amd64-dsa",
        "note-sorted-i386-dsa",
        "note-sorted-s390x-dsa",
        "note-sorted-ppc64be-dsa",
    )
    chosen = [each for each in vectors() if each["id"] in names]
    assert len(chosen) == len(names)
    for each in chosen:
        (tmp_path / "el6/kernel/fs" / f"{each['id']}.ko").write_bytes(vector(each))
    shutil.copy(CHECKOUT / "corpus/vectors/keys/dsa1024.pub.gpg", tmp_path / "rhel6.gpg")
    made = run("keys", "generate", "-o", tmp_path / "mok", "--type", "rsa2048")
    assert made.code == 0, made.err
    for line in commands("RHEL 6"):
        done = subprocess.run(shlex.split(line), cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    for name in names:
        path = tmp_path / "new/kernel/fs" / f"{name}.ko"
        fields = subprocess.run([need("modinfo"), "-F", "sig_id", path], capture_output=True, text=True)
        assert fields.stdout == "PKCS#7\n"


# --------------------------------------------------------------------------- trees


def test_trees_packages_and_ci(tmp_path: Path) -> None:
    """The last line asks about the modules in use; here, those of a machine that runs two of these.

    All three files are copies of one module, so that none has the name that the module gives itself.
    """
    env = {**os.environ, "PATH": f"{executables(tmp_path / 'bin')}:{os.environ['PATH']}"}
    (tmp_path / "modules").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / f"modules/{name}.ko").write_bytes(corpus.content("amd64-6.1.ko"))
    run("keys", "generate", "-o", tmp_path / "mok", "--type", "rsa2048")
    (tmp_path / "in-use").write_text("".join(f"{n} 16384 0 - Live 0x0000000000000000\n" for n in "ac"))
    machine_s_own = {
        "/lib/modules/$(uname -r)": "modules",
        "/boot/vmlinuz-$(uname -r)": "mok.der",
        "/proc/modules": "in-use",
    }
    for line in commands("trees"):
        for theirs, ours in machine_s_own.items():
            line = line.replace(theirs, ours)
        done = subprocess.run(shlex.split(line), cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert done.stdout.endswith("0 of 2 modules in use would be refused if signatures were enforced\n")
    assert {p.name for p in tmp_path.iterdir()} >= {"signed.json", "audit.sarif", "audit.xml"}
