"""``verify --kernel``, ``explain``, ``kernels`` on the command line; --this-machine on made-up systems."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from elfsig.host import explain
from elfsig.host.machine import EFIVARS, GLOBAL, SECURITY, SHIM, Machine
from elfsig.kernels.select import Chosen
from elfsig.verbs.verify.kernel import KernelQuestion
from tests.support import verdicts
from tests.support.cli import Ran, elfsig, validator
from tests.support.cms import Identity, issued, private
from tests.support.cpio import newc
from tests.support.vectors import ROOT, module, vector
from tests.support.verdicts import MODULE, OTHER, RSA, signed

RELEASE = "6.1.0-54-amd64"
X509_LIST = UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")


def pem(path: Path, who: Identity) -> Path:
    path.write_bytes(who.parsed.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def ko(tmp_path: Path) -> Path:
    path = tmp_path / "snd-dummy.ko"
    path.write_bytes(signed())
    return path


# --------------------------------------------------------------------------- verify --kernel


def test_exit_codes_answer_for_the_kernel_alone(ko: Path, tmp_path: Path) -> None:
    trusted, other = pem(tmp_path / "a.pem", RSA), pem(tmp_path / "b.pem", OTHER)
    assert elfsig("verify", ko, "--trust", trusted, "--kernel", "6.12", "--enforce").code == 0
    refused = elfsig("verify", ko, "--trust", other, "--kernel", "6.12", "--enforce")
    assert refused.code == 3
    assert "kernel 6.12 (enforcing): refused, EKEYREJECTED (inside: ENOKEY)" in refused.out
    assert "kernel log: Loading of module with unavailable key is rejected" in refused.out
    assert "insmod: ERROR: could not insert module snd-dummy.ko: Key was rejected by service" in refused.out
    assert "which this kernel does not trust" in refused.out
    assert elfsig("verify", ko, "--trust", other, "--kernel", "6.12").code == 0
    ko.write_bytes(MODULE)
    assert elfsig("verify", ko, "--kernel", "6.12").code == 0
    assert elfsig("verify", ko, "--kernel", "auto").code == 5
    locked = elfsig("verify", ko, "--kernel", "rhel5", "--lockdown")
    assert locked.code == 0 and "note: this kernel has no lockdown" in locked.out
    absent = elfsig("verify", ko, "--kernel", tmp_path / "vmlinuz")
    assert absent.code == 2 and "vmlinuz: no such kernel image" in absent.err
    for wrong in (["--enforce"], ["--kernel", "9.9x"], ["--kernel", "6.12", "--all-modes", "--fips"]):
        assert elfsig("verify", ko, *wrong).code == 2


def test_what_is_no_module_gets_past_the_signature_check_and_no_further(ko: Path) -> None:
    """A kernel refuses it behind that check: nothing about signatures, but not a file that loads."""
    note = "note: it passes the signature check, then fails with ENOEXEC"
    assert "note: " not in elfsig("verify", ko, "--kernel", "6.12").out
    for content in (b"text", MODULE[:70]):
        ko.write_bytes(content)
        ran = elfsig("verify", ko, "--kernel", "6.12")
        assert note in ran.out and ": loads" not in ran.out
        assert "(permissive): passes the signature check, taint E" in ran.out
        assert note in elfsig("explain", ko, "--kernel", "6.12").out
        assert note not in elfsig("verify", ko, "--kernel", "6.12", "--enforce").out


def test_the_kernel_object(ko: Path, tmp_path: Path) -> None:
    other = pem(tmp_path / "b.pem", OTHER)
    ran = elfsig("verify", ko, "--trust", other, "--kernel", "debian-6.1", "--all-modes", "--jsonl")
    (found,) = ran.files()
    kernel = found["kernel"]
    modes = [(m["enforcing"], m["lockdown"], m["secure_boot"], m["errno"]) for m in kernel["modes"]]
    assert modes == [
        (False, False, False, None),
        (True, False, False, "EKEYREJECTED"),
        (False, True, False, "EPERM"),
        (False, False, True, "EKEYREJECTED"),
    ]
    assert (kernel["inner"], kernel["taint"], kernel["basis"]) == ("ENOKEY", "E", "booted")
    assert (ran.code, found["verdict"], kernel["steps"][-1]["result"]) == (3, "unknown-key", "stop")


def test_the_effective_signature_is_the_one_that_the_kernel_sees(tmp_path: Path) -> None:
    note = module(vector("note-sorted-amd64-dsa"))
    path = tmp_path / "m.ko"
    path.write_bytes(signed(OTHER, note))
    key, kernels = ROOT / "keys" / "dsa1024.pub.gpg", ("rhel6-early", "6.12", "rhel5")
    files = [elfsig("verify", path, "--trust", key, "--kernel", k, "--jsonl").files()[0] for k in kernels]
    effective = [[s["format"] for s in f["signatures"] if s["effective"]] for f in files]
    assert effective == [["note"], ["pkcs7"], []]
    assert [f["verdict"] for f in files][:2] == ["valid", "unknown-key"]
    assert "kernel-sees-none" in [w["code"] for w in files[2]["warnings"]]


def test_modes_and_configuration_from_files(ko: Path, tmp_path: Path) -> None:
    line, built = tmp_path / "cmdline", tmp_path / "config.gz"
    line.write_text("ro quiet lockdown=integrity")
    built.write_bytes(gzip.compress(b"CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_FORCE=y\n"))
    ran = elfsig("verify", ko, "--kernel", "6.12", "--cmdline", line, "--jsonl")
    assert ran.files()[0]["kernel"]["errno"] == "EPERM"
    ran = elfsig("verify", ko, "--kernel", RELEASE, "--config", built, "--jsonl")
    assert ran.files()[0]["kernel"]["errno"] == "EKEYREJECTED"
    assert elfsig("verify", ko, "--kernel", "6.12", "--config", line).code == 2


# --------------------------------------------------------------------------- kernels, explain


def test_kernels() -> None:
    listed = elfsig("kernels")
    assert listed.code == 0
    for name in ("gkh-2003", "rhel4", "uek2-nobuildid", "howells-2012", "3.7", "7.0", "android-gki"):
        assert f"\n{name} " in listed.out
    assert "EKEYREJECTED" in elfsig("kernels", "6.1.0-54-amd64").out
    document = json.loads(elfsig("kernels", "--json").out)
    validator().validate(document)
    assert len(document["kernels"]) > 40
    assert elfsig("kernels", "nonsense").code == elfsig("kernels", "auto").code == 2


def test_explain_walks_the_steps(ko: Path, tmp_path: Path) -> None:
    told = elfsig("explain", ko, "--kernel", "6.12", "--trust", pem(tmp_path / "b.pem", OTHER), "--enforce")
    assert told.code == 3
    steps = [line.split()[1] for line in told.out.splitlines() if line.strip()[:1].isdigit()]
    assert steps[:4] == ["unpacking", "load", "marker", "info"]
    assert "STOP" in told.out and 'EKEYREJECTED (129, "Key was rejected by service")' in told.out
    assert "the error inside is ENOKEY" in told.out
    table = elfsig("explain", ko, "--kernel", "uek2")
    assert "describes Howells' series instead" in table.out
    assert elfsig("explain", tmp_path / "missing.ko", "--kernel", "6.12").code == 5


# --------------------------------------------------------------------------- this machine


def variable(root: Path, name: str, vendor: str, data: bytes) -> None:
    path = root / EFIVARS / f"{name}-{vendor}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\7\0\0\0" + data)


def signature_list(certificate: bytes) -> bytes:
    """An EFI signature list with one certificate."""
    entry = bytes(16) + certificate
    size = (28 + len(entry)).to_bytes(4, "little")
    return X509_LIST.bytes_le + size + bytes(4) + len(entry).to_bytes(4, "little") + entry


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def running(base: Path) -> Path:
    """A system that runs Debian's 6.1, enforcing, and has no module."""
    write(base / "proc/sys/kernel/osrelease", f"{RELEASE}\n")
    write(base / "proc/cmdline", "ro quiet\n")
    write(base / "sys/module/module/parameters/sig_enforce", "Y\n")
    write(base / "sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    return base


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The same with Secure Boot on and one driver of DKMS."""
    base = running(tmp_path / "system")
    write(base / f"boot/config-{RELEASE}", "CONFIG_MODULE_SIG=y\n")
    write(base / f"lib/modules/{RELEASE}/updates/dkms/snd-dummy.ko", signed())
    write(base / f"lib/modules/{RELEASE}/modules.dep", "updates/dkms/snd-dummy.ko: kernel/soundcore.ko\n")
    variable(base, "SecureBoot", GLOBAL, b"\1")
    return base


def explained(root: Path, name: str = "snd_dummy", *more: str) -> dict[str, Any]:
    ran: Ran = elfsig("explain", name, "--root", root, "--json", *more)
    document: dict[str, Any] = json.loads(ran.out)
    validator().validate(document)
    (about,), (found,) = document["system"]["modules"], document["files"]
    assert about["command"] is None or about["command"].startswith("sudo elfsig explain")
    return {"code": ran.code, **about, "kernel": found["kernel"]}


def live(root: Path, name: str = "snd_dummy") -> explain.OnMachine:
    """The same for the running system, where commands are given."""
    machine = Machine(root, live=True)
    return explain.explain(machine, explain.question(machine, KernelQuestion(Chosen(None))), name)


def test_what_a_key_source_lost_is_said_beside_the_answer(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "bundle.pem"
    source.write_bytes(RSA.pem()[1] + RSA.pem()[1].replace(b"MII", b"M*I", 1))
    ran = elfsig("explain", "snd_dummy", "--root", root, "--trust", source)
    assert ran.err.count("one entry could not be read") == 1
    found = json.loads(elfsig("explain", "snd_dummy", "--root", root, "--json", "--trust", source).out)
    assert [each["file"] for each in found["losses"]] == [str(source)]


def test_an_unknown_key_that_lies_on_the_machine_is_to_be_enrolled(root: Path) -> None:
    write(root / "var/lib/dkms/mok.key", "")
    write(root / "var/lib/dkms/mok.pub", RSA.certificate)
    found = explained(root)
    assert (found["code"], found["kernel"]["errno"]) == (3, "EKEYREJECTED")
    assert found["kernel"]["enforcing"] and found["kernel"]["lockdown"]
    assert "do not write below" in found["next"]
    assert live(root).command == f"sudo mokutil --import {root}/var/lib/dkms/mok.pub"
    assert found["path"].endswith("updates/dkms/snd-dummy.ko")


def test_a_pending_enrolment_needs_a_reboot(root: Path) -> None:
    variable(root, "MokNew", SHIM, signature_list(RSA.certificate))
    found = live(root)
    assert found.command == "sudo systemctl reboot"
    assert any("MokManager" in remark for remark in found.remarks)
    assert found.facts.key.startswith("not enrolled yet")


def test_an_enrolled_key_is_trusted_only_while_secure_boot_is_on(root: Path) -> None:
    variable(root, "MokListRT", SHIM, signature_list(RSA.certificate))
    assert (explained(root)["code"], live(root).command) == (0, "sudo modprobe snd_dummy")
    assert live(root).facts.key.startswith("enrolled: ")
    variable(root, "SecureBoot", GLOBAL, b"\0")
    found = explained(root)
    assert found["code"] == 3 and any("Secure Boot is off" in remark for remark in found["remarks"])
    assert found["secure_boot"] == "Secure Boot is off"
    assert found["key"].startswith("a machine owner key (MokListRT), which this kernel does not load")


def test_keys_of_the_firmware_and_revocations(root: Path) -> None:
    variable(root, "db", SECURITY, signature_list(RSA.certificate))
    assert explained(root)["code"] == 0
    variable(root, "dbx", SECURITY, signature_list(RSA.certificate))
    found = explained(root)
    assert found["code"] == 0 and "revoked by" in found["key"]
    assert any("does not ask that list for modules" in note for note in found["kernel"]["notes"])
    assert explained(root, "snd_dummy", "--kernel", "5.15.0-91-generic")["kernel"]["errno"] == "EKEYREJECTED"


def test_an_unsigned_module_is_to_be_signed_with_the_machine_s_key(root: Path) -> None:
    path = write(root / f"lib/modules/{RELEASE}/updates/dkms/snd-dummy.ko", MODULE)
    write(root / "var/lib/shim-signed/mok/MOK.priv", "")
    write(root / "var/lib/shim-signed/mok/MOK.der", RSA.certificate)
    variable(root, "MokListRT", SHIM, signature_list(RSA.certificate))
    assert live(root).step.text.startswith("if you built it yourself: ")
    words = (live(root).command or "").split()
    assert words[:6] == ["sudo", "elfsig", "sign", "--format", "pkcs7", "--replace"]
    assert words[-2:] == ["--in-place", str(path)]


def test_where_no_key_is_one_is_made_and_then_it_is_found(root: Path) -> None:
    path = write(root / f"lib/modules/{RELEASE}/updates/dkms/snd-dummy.ko", MODULE)
    command = live(root).command or ""
    assert command == f"sudo elfsig keys generate --codesigning -o {root}/root/mok"
    (root / "root").mkdir()
    assert elfsig(*command.split()[2:]).code == 0
    assert live(root).command == f"sudo mokutil --import {root}/root/mok.der"
    enrolled = signature_list((root / "root/mok.der").read_bytes())
    variable(root, "MokNew", SHIM, enrolled)
    assert live(root).command == "sudo systemctl reboot"
    variable(root, "MokListRT", SHIM, enrolled)
    sign = live(root).command or ""
    assert sign.endswith(f"--cert {root}/root/mok.der --in-place {path}")
    assert elfsig(*sign.split()[2:]).code == 0
    assert live(root).command == "sudo modprobe snd_dummy"


# --------------------------------------------------------------------------- what real Secure Boot showed


def test_disabled_validation_is_secure_boot_off(root: Path) -> None:
    """After mokutil --disable-validation the firmware still says 1, and the kernel takes it for off."""
    variable(root, "MokListRT", SHIM, signature_list(RSA.certificate))
    for name in ("sys/module/module/parameters/sig_enforce", "sys/kernel/security/lockdown"):
        (root / name).unlink()
    before = explained(root)
    assert before["kernel"]["enforcing"] and before["kernel"]["lockdown"] and before["code"] == 0
    variable(root, "MokSBStateRT", SHIM, b"\1")
    path = root / EFIVARS / f"MokSBStateRT-{SHIM}"
    path.write_bytes(b"\6\0\0\0\1")
    after = explained(root)
    assert not after["kernel"]["enforcing"] and not after["kernel"]["lockdown"]
    assert after["kernel"]["inner"] == "ENOKEY" and "validation was disabled" in after["secure_boot"]
    path.write_bytes(b"\7\0\0\0\1")
    assert explained(root)["kernel"]["enforcing"], "a variable that the running system can set does not count"


def test_ignored_db(root: Path) -> None:
    variable(root, "db", SECURITY, signature_list(RSA.certificate))
    assert explained(root)["code"] == 0
    variable(root, "MokIgnoreDB", SHIM, b"\1")
    found = explained(root)
    assert found["code"] == 3 and any("--ignore-db" in remark for remark in found["remarks"])


def other_kernel(root: Path, release: str) -> None:
    """The same system with another kernel running."""
    (root / f"lib/modules/{RELEASE}").rename(root / f"lib/modules/{release}")
    (root / f"boot/config-{RELEASE}").rename(root / f"boot/config-{release}")
    write(root / "proc/sys/kernel/osrelease", release)


def test_machine_owner_keys_follow_each_kernel_s_rule(root: Path) -> None:
    """Debian 6.1 and 6.12 trust every machine owner key; mainline and UEK want MokListTrustedRT."""
    variable(root, "MokListRT", SHIM, signature_list(RSA.certificate))
    assert explained(root)["code"] == 0
    other_kernel(root, "6.12.0-100.28.2.el10uek.x86_64")
    found = live(root)
    assert not found.asked.accepted and found.command == "sudo mokutil --trust-mok"
    variable(root, "MokListTrustedRT", SHIM, b"\1")
    assert live(root).asked.accepted
    write(root / "sys/firmware/efi/mok-variables/MokListRT", signature_list(RSA.certificate))
    assert not live(root).asked.accepted, "kernels look at the table, and not at the variable"
    write(root / "sys/firmware/efi/mok-variables/MokListTrustedRT", b"\1")
    assert live(root).asked.accepted
    config = next((root / "boot").glob("config-*"))
    config.write_text("CONFIG_INTEGRITY_CA_MACHINE_KEYRING=y\nCONFIG_INTEGRITY_CA_MACHINE_KEYRING_MAX=y\n")
    ruled = live(root)
    assert not ruled.asked.accepted and ruled.command is None and "CA key" in ruled.step.text


# --------------------------------------------------------------------------- what a vendor signed


def owned(root: Path, name: str, package: str = "linux-image-6.1.0-54-amd64") -> None:
    """dpkg's list of the files of a package."""
    write(root / f"var/lib/dpkg/info/{package}.list", f"/.\n/lib\n/usr/{name}\n")
    write(root / "var/lib/dpkg/info/aaa-base-files.list", "/.\n/etc\n")


def test_a_vendor_s_module_that_was_changed_is_never_to_be_signed(root: Path) -> None:
    variable(root, "db", SECURITY, signature_list(RSA.certificate))
    name = f"lib/modules/{RELEASE}/kernel/fs/vfat.ko"
    for content in (
        verdicts.flipped(signed(), 90),
        MODULE,
        signed()[:-1],
        MODULE + b"~Module signature appended",
    ):
        write(root / name, content)
        owned(root, name)
        found = live(root, "vfat")
        assert found.facts.source.name == "linux-image-6.1.0-54-amd64"
        assert found.command == "sudo apt-get install --reinstall linux-image-6.1.0-54-amd64"
        assert "sign" not in (found.command or "")
        there = explained(root, "vfat")
        assert there["command"] is None and there["package"] == "linux-image-6.1.0-54-amd64"
    write(root / name, verdicts.flipped(signed(), 90))
    assert "do not sign it before you know why it changed" in live(root, "vfat").step.text


def test_a_changed_module_that_belongs_to_nobody_is_not_to_be_signed_either(root: Path) -> None:
    variable(root, "db", SECURITY, signature_list(RSA.certificate))
    write(root / f"lib/modules/{RELEASE}/updates/dkms/snd-dummy.ko", verdicts.flipped(signed(), 90))
    write(root / "var/lib/dkms/mok.key", "")
    pem(write(root / "var/lib/dkms/mok.pub", ""), OTHER)
    found = live(root)
    assert found.command is None and "do not sign it before you know why it changed" in found.step.text


def test_what_dkms_built_is_for_dkms(root: Path) -> None:
    content = MODULE
    write(root / f"var/lib/dkms/snd-dummy/1.0/{RELEASE}/x86_64/module/snd-dummy.ko", content)
    write(root / f"lib/modules/{RELEASE}/updates/dkms/snd-dummy.ko", content)
    write(root / "var/lib/dkms/mok.key", "")
    write(root / "var/lib/dkms/mok.pub", RSA.certificate)
    variable(root, "MokListRT", SHIM, signature_list(RSA.certificate))
    found = live(root)
    assert found.facts.source.words == "it was built by DKMS (snd-dummy/1.0)"
    assert found.command == "sudo elfsig dkms resign snd-dummy"


def test_everything_that_matters_is_always_shown(root: Path) -> None:
    told = elfsig("explain", "snd_dummy", "--root", root).out
    for label in (
        "Secure Boot:",
        "lockdown:",
        "enforcement:",
        "signed by:",
        "its key:",
        "comes from:",
        "next:",
    ):
        assert f"{label} " in told, label
    assert "sudo " not in told


def test_a_chroot_is_not_asked_for_the_kernel_of_its_host(root: Path) -> None:
    """A chroot sees the release of its host in /proc, and has no modules of it."""
    write(root / "proc/sys/kernel/osrelease", "7.2.13+deb14-amd64")
    found = explained(root)
    assert found["path"].endswith(f"{RELEASE}/updates/dkms/snd-dummy.ko")
    assert explained(root, "snd_dummy", "--kernel", RELEASE)["path"].endswith("snd-dummy.ko")
    other = write(root / "lib/modules/6.12.43+deb13-amd64/extra/snd-dummy.ko", MODULE)
    assert explained(root, "snd_dummy", "--kernel", "6.12.43+deb13-amd64")["path"] == str(other)
    assert explained(root, "snd_dummy", "--kernel", RELEASE)["path"] != str(other)


def test_a_key_that_no_kernel_loads_is_to_be_replaced(root: Path) -> None:
    bad = issued(private("p256"), "p256 key")
    write(root / f"lib/modules/{RELEASE}/updates/dkms/snd-dummy.ko", signed(bad))
    variable(root, "MokListRT", SHIM, signature_list(bad.certificate))
    write(root / "var/lib/dkms/mok.key", "")
    pem(write(root / "var/lib/dkms/mok.pub", ""), bad)
    found = live(root)
    assert "this kernel does not load it" in found.facts.key
    assert found.command is not None and found.command.startswith("sudo elfsig keys generate")


def test_who_may_not_look_is_told_to_ask_as_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ubuntu's kernel image and its MOK directory are the superuser's alone."""
    image = write(root / f"boot/vmlinuz-{RELEASE}", b"")
    write(root / "var/lib/shim-signed/mok/MOK.der", b"")
    look, access = Path.is_file, os.access

    def is_file(path: Path) -> bool:
        if "shim-signed" in path.parts:
            raise PermissionError
        return look(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    monkeypatch.setattr(os, "access", lambda path, mode: path != image and access(path, mode))
    found = live(root)
    assert found.command == f"sudo elfsig explain --root {root} snd_dummy"
    assert sum("only by root" in remark for remark in found.remarks) == 2
    assert "no keys were given" in found.asked.predictions[0].advice


def test_proc_keys_and_the_initramfs(root: Path) -> None:
    named = issued(private(), "named")
    blob = signed(named, keyid=True)
    write(root / f"lib/modules/{RELEASE}/updates/dkms/snd-dummy.ko", blob)
    short = named.skid.hex()[-8:]
    line = f"1a2b3c4d I------ 1 perm 1f030000 0 0 asymmetri named: {named.skid.hex()}: X509.rsa {short} []\n"
    write(root / "proc/keys", line)
    copy = newc({f"usr/lib/modules/{RELEASE}/updates/dkms/snd-dummy.ko.xz": b"x"})
    microcode = newc({"kernel/x86/microcode/GenuineIntel.bin": b"early"})
    write(root / f"boot/initrd.img-{RELEASE}", microcode + bytes(512) + gzip.compress(copy))
    remarks = " ".join(explained(root)["remarks"])
    assert "(not proof)" in remarks and "has a copy of the module too" in remarks
    for other in (newc({"snd-dummy.ko": b"x"}), newc({f"lib/modules/{RELEASE}/snd-dummy.ko.conf": b"x"})):
        for content in (other, microcode + gzip.compress(other), bytes(8) + other):
            write(root / f"boot/initrd.img-{RELEASE}", content)
            assert "has no copy" in " ".join(explained(root)["remarks"])


def test_an_initramfs_that_is_not_read_to_its_end_has_no_copy_for_all_we_know(root: Path) -> None:
    microcode = newc({"kernel/x86/microcode/GenuineIntel.bin": b"early"})
    packed = gzip.compress(newc({"init": bytes(range(256)) * 9}))
    for content in (
        b"",
        b"random" * 99,
        microcode + packed[:-20],
        microcode + b"unknown",
        packed[:40],
        MODULE,
    ):
        write(root / f"boot/initrd.img-{RELEASE}", content)
        remarks = " ".join(explained(root)["remarks"])
        assert "whether it has a copy of the module is not known" in remarks, content[:20]
        assert "has no copy" not in remarks


def test_what_is_not_there_is_said(root: Path, tmp_path: Path) -> None:
    assert elfsig("explain", "nothing-like-it", "--root", root).code == 5
    (root / f"lib/modules/{RELEASE}/modules.dep").unlink()
    found = explained(root)
    assert any("depmod" in remark for remark in found["remarks"])
    for name in ("proc/cmdline", "sys/module/module/parameters/sig_enforce", "sys/kernel/security/lockdown"):
        (root / name).unlink()
    (root / EFIVARS / f"SecureBoot-{GLOBAL}").unlink()
    (root / EFIVARS).rmdir()
    found = explained(root)
    assert any("enforces signatures" in remark for remark in found["remarks"])
    assert "not known" in found["secure_boot"] and "not known" in found["lockdown"]
    (root / "proc/sys/kernel/osrelease").unlink()
    assert explained(root)["path"].endswith("snd-dummy.ko")
    assert elfsig("explain", "x", "--root", tmp_path / "nowhere").code == 2
    hinted = elfsig("explain", "snd-dummy")
    assert hinted.code == 5 and "--this-machine or --root DIR" in hinted.err
    told = elfsig("explain", "snd-dummy", "--root", root)
    assert told.out.rstrip().splitlines()[-1].strip().startswith("next: ")


def test_a_permissive_kernel_needs_nothing(root: Path) -> None:
    write(root / f"lib/modules/{RELEASE}/updates/dkms/snd-dummy.ko", MODULE)
    write(root / "sys/module/module/parameters/sig_enforce", "N\n")
    write(root / "sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
    found = live(root)
    assert found.asked.accepted and found.command == "sudo modprobe snd_dummy"
    assert found.facts.lockdown == "none" and found.facts.enforcing == "off"
    assert explained(root)["next"].startswith("this kernel loads it as it is")
    variable(root, "db", SECURITY, signature_list(RSA.certificate))
    write(root / f"lib/modules/{RELEASE}/updates/dkms/snd-dummy.ko", signed())
    assert explained(root)["next"] == "nothing needs to be done"
