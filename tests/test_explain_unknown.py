"""What is not known of a machine: Secure Boot, the mode of a kernel that does not run, lists of keys."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from elfsig.host import explain, strictness
from elfsig.host.machine import EFIVARS, GLOBAL, SECURITY, SHIM, Machine
from elfsig.host.strictness import Reported
from elfsig.kernels.boot_line import Passed
from elfsig.kernels.config import Built
from elfsig.kernels.profile import Mode
from elfsig.kernels.select import Chosen, choose, for_release
from elfsig.verbs.verify.kernel import KernelQuestion
from tests.support.cli import elfsig
from tests.support.cms import Identity, identity
from tests.support.efilists import SHA256, X509, esl
from tests.support.keysources import bzimage, certificate_list, unpacked
from tests.support.verdicts import MODULE, RSA, signed

RELEASE, OTHER = "6.1.0-54-amd64", "6.12.43+deb13-amd64"
ENFORCE, LOCKDOWN = "sys/module/module/parameters/sig_enforce", "sys/kernel/security/lockdown"
PERMISSIVE, ENFORCING, LOCKED, BOOTED = (
    Mode(), Mode(enforcing=True), Mode(lockdown=True), Mode(secure_boot=True),
)  # fmt: skip
EVERY = [PERMISSIVE, ENFORCING, LOCKED, BOOTED]
OFF = "Secure Boot is off"


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def variable(root: Path, name: str, vendor: str, data: bytes, attributes: int = 6) -> Path:
    return write(root / EFIVARS / f"{name}-{vendor}", attributes.to_bytes(4, "little") + data)


def table(root: Path, name: str, data: bytes) -> Path:
    return write(root / "sys/firmware/efi/mok-variables" / name, data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A system that runs Debian's 6.1 with an unsigned module, and does not say how strict it is."""
    base = tmp_path / "system"
    write(base / "proc/sys/kernel/osrelease", f"{RELEASE}\n")
    write(base / "proc/cmdline", "ro quiet\n")
    write(base / f"boot/config-{RELEASE}", "CONFIG_MODULE_SIG=y\n")
    write(base / f"lib/modules/{RELEASE}/kernel/vfat.ko", MODULE)
    return base


def explained(root: Path, kernel: str | None = None, live: bool = True, **said: object) -> explain.OnMachine:
    chosen = Chosen(None) if kernel is None else choose(kernel)
    machine = Machine(root, chosen.release, live=live)
    asking = explain.question(machine, KernelQuestion(chosen, **said))  # type: ignore[arg-type]
    return explain.explain(machine, asking, "vfat")


def modes(found: explain.OnMachine) -> list[Mode]:
    return [each.mode for each in found.asked.predictions]


def errnos(found: explain.OnMachine) -> list[str | None]:
    return [each.errno for each in found.asked.predictions]


def said(found: explain.OnMachine, text: str) -> bool:
    return any(text in remark for remark in found.remarks)


# --------------------------------------------------------------------------- Secure Boot


def empty_directory(root: Path) -> None:
    (root / EFIVARS).mkdir(parents=True)


def attributes_only(root: Path) -> None:
    variable(root, "SecureBoot", GLOBAL, b"")


def not_a_file(root: Path) -> None:
    (root / EFIVARS / f"SecureBoot-{GLOBAL}").mkdir(parents=True)


def hidden_firmware(root: Path) -> None:
    (root / "sys/firmware").mkdir(parents=True)


def only_the_table(root: Path) -> None:
    table(root, "SbatLevelRT", b"sbat,1")


def unread_setup_mode(root: Path) -> None:
    variable(root, "SecureBoot", GLOBAL, b"\1")
    variable(root, "SetupMode", GLOBAL, b"")


def two_bytes(root: Path) -> None:
    """The kernel's EFI stub asks for one byte, and firmware then refuses: EFI_BUFFER_TOO_SMALL."""
    variable(root, "SecureBoot", GLOBAL, b"\0\0")


def two_bytes_of_setup_mode(root: Path) -> None:
    variable(root, "SecureBoot", GLOBAL, b"\1")
    variable(root, "SetupMode", GLOBAL, b"\1\0")


UNKNOWN = (
    empty_directory, attributes_only, not_a_file, hidden_firmware, only_the_table, unread_setup_mode,
    two_bytes, two_bytes_of_setup_mode,
)  # fmt: skip


@pytest.mark.parametrize("prepare", [*UNKNOWN, lambda root: None])
def test_unknown_secure_boot_is_not_off(root: Path, prepare: Callable[[Path], None]) -> None:
    prepare(root)
    found = explained(root)
    assert found.facts.secure_boot.startswith("whether Secure Boot is on is not known: ")
    assert found.facts.lockdown == found.facts.enforcing == "not known"
    assert modes(found) == EVERY
    assert errnos(found) == [None, "EKEYREJECTED", "EPERM", "EKEYREJECTED"]
    assert not found.asked.accepted and "modprobe" not in (found.command or "")
    assert said(found, "it is not known whether this kernel enforces signatures or is locked down")


def test_off_is_what_the_variable_says(root: Path) -> None:
    variable(root, "SecureBoot", GLOBAL, b"\0")
    found = explained(root)
    assert (found.facts.secure_boot, modes(found)) == (OFF, [PERMISSIVE])


def test_firmware_without_secure_boot(root: Path) -> None:
    variable(root, "BootOrder", GLOBAL, b"\0\0")
    found = explained(root)
    assert found.facts.secure_boot == f"{OFF}: this firmware has no variable SecureBoot"
    assert modes(found) == [PERMISSIVE]


def test_a_system_that_uefi_did_not_start(root: Path) -> None:
    (root / "sys/firmware/dmi").mkdir(parents=True)
    found = explained(root)
    assert found.facts.secure_boot == f"{OFF}: this system was not started by UEFI"
    assert modes(found) == [PERMISSIVE]


def test_setup_mode_is_off(root: Path) -> None:
    variable(root, "SecureBoot", GLOBAL, b"\1")
    variable(root, "SetupMode", GLOBAL, b"\1")
    assert explained(root).facts.secure_boot == OFF


def test_what_the_kernel_reports_is_established_without_secure_boot(root: Path) -> None:
    write(root / ENFORCE, "N\n")
    write(root / LOCKDOWN, "[none] integrity confidentiality\n")
    found = explained(root)
    assert modes(found) == [PERMISSIVE] and not said(found, "it is not known")
    write(root / ENFORCE, "Y\n")
    found = explained(root)
    assert modes(found) == [ENFORCING] and errnos(found) == ["EKEYREJECTED"]
    write(root / ENFORCE, "N\n")
    (root / LOCKDOWN).unlink()
    found = explained(root)
    assert modes(found) == [PERMISSIVE, LOCKED] and found.facts.lockdown == "not known"
    assert said(found, "it is not known whether this kernel is locked down")


def test_a_mode_that_the_user_gives_is_the_one_answered(root: Path) -> None:
    found = explained(root, mode=ENFORCING)
    assert modes(found) == [ENFORCING] and found.facts.enforcing == "on, as given"
    assert modes(explained(root, every=True))[:3] == EVERY[:3]
    write(root / LOCKDOWN, "none [integrity] confidentiality\n")
    assert modes(explained(root, mode=ENFORCING)) == [Mode(enforcing=True, lockdown=True)]


def test_a_kernel_built_to_enforce_is_not_permissive(root: Path) -> None:
    write(root / f"boot/config-{RELEASE}", "CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_FORCE=y\n")
    assert all(mode.enforcing for mode in modes(explained(root)))


# --------------------------------------------------------------------------- machine owner keys


def moks(*owners: Identity) -> bytes:
    return b"".join(esl(X509, who.certificate) for who in owners)


@pytest.fixture
def by_owner(root: Path) -> Path:
    """The same system, whose module is signed by a machine owner key."""
    write(root / f"lib/modules/{RELEASE}/kernel/vfat.ko", signed())
    return root


def test_a_machine_owner_key_counts_only_where_secure_boot_is_on(by_owner: Path) -> None:
    table(by_owner, "MokListRT", moks(RSA))
    found = explained(by_owner)
    assert errnos(found) == [None, "EKEYREJECTED", "EPERM", None]
    assert [each.taint for each in found.asked.predictions][::3] == ["E", None]
    assert "only if Secure Boot is on: not known" in found.facts.key
    assert "does not load" not in found.facts.key
    assert "find out whether Secure Boot is on" in found.step.text and found.command is None
    for name, state in ((ENFORCE, "Y"), (LOCKDOWN, "none [integrity] confidentiality")):
        write(by_owner / name, state)
    found = explained(by_owner)
    assert errnos(found) == ["EKEYREJECTED", None], "the same mode, without and with its key"
    assert errnos(explained(by_owner, mode=BOOTED)) == [None]


SECOND = identity("rsa", 31)
IMAGE = bzimage(gzip.compress(unpacked(certificate_list([SECOND.certificate]))))
NOT_ENROLLED = "not enrolled: neither the kernel, UEFI nor the machine owner's list has it"


@pytest.fixture
def secure(by_owner: Path) -> Path:
    """The same system, with Secure Boot and an image of the kernel in which another key is compiled."""
    variable(by_owner, "SecureBoot", GLOBAL, b"\1")
    write(by_owner / f"boot/vmlinuz-{RELEASE}", IMAGE)
    return by_owner


def mok(root: Path, data: bytes) -> Path:
    return variable(root, "MokListRT", SHIM, data)


def test_the_table_of_shim_s_variables_comes_first(secure: Path) -> None:
    mok(secure, moks(SECOND))
    assert errnos(explained(secure)) == ["EKEYREJECTED"]
    table(secure, "MokListRT", moks(SECOND, RSA))
    found = explained(secure)
    assert errnos(found) == [None] and found.facts.key.startswith("enrolled: ")
    assert said(found, "differs from the variable: the table was read")
    table(secure, "MokListRT", moks(SECOND))
    mok(secure, moks(SECOND, RSA))
    found = explained(secure)
    assert errnos(found) == ["EKEYREJECTED"]
    assert found.facts.key == "a machine owner key (MokListRT), which this kernel does not load"
    mok(secure, moks(SECOND))
    assert not said(explained(secure), "differs")


@pytest.mark.parametrize(("release", "reads"), [("5.4.0-150-generic", False), ("5.10.0-28-amd64", True)])
def test_kernels_before_5_10_read_the_variable(secure: Path, release: str, reads: bool) -> None:
    write(secure / f"lib/modules/{release}/kernel/vfat.ko", signed())
    mok(secure, moks(SECOND))
    table(secure, "MokListRT", moks(SECOND, RSA))
    found = explained(secure, release)
    held = found.facts.key.startswith("enrolled: ")
    assert held is reads
    assert said(found, f"the {'table' if reads else 'variable'} was read")
    write(secure / "proc/sys/kernel/osrelease", release)
    assert explained(secure, release).facts.key.startswith("enrolled: "), "it shows the table, so it has it"


def test_a_damaged_table_gives_way_to_the_variable(secure: Path) -> None:
    table(secure, "MokListRT", moks(SECOND, RSA)[:-40])
    mok(secure, moks(RSA))
    found = explained(secure)
    assert errnos(found) == [None] and said(found, "not all MOK keys are known")


@pytest.mark.parametrize("place", [mok, lambda root, data: table(root, "MokListRT", data)])
@pytest.mark.parametrize("data", [moks(RSA)[:-40], moks(SECOND, RSA)[:-40], b"", b"\0" * 9])
def test_what_a_damaged_list_lacks_is_not_known(
    secure: Path, data: bytes, place: Callable[[Path, bytes], Path]
) -> None:
    assert explained(secure).facts.key == NOT_ENROLLED
    path = place(secure, data)
    found = explained(secure)
    assert found.facts.key.startswith("not known: ") and "(MokListRT)" in found.facts.key
    assert sum(str(path) in remark for remark in found.remarks) == 1


def test_a_list_of_hashes_alone_is_complete(secure: Path) -> None:
    table(secure, "MokListRT", esl(SHA256, bytes(32)))
    mok(secure, moks(RSA))
    found = explained(secure)
    assert errnos(found) == ["EKEYREJECTED"] and not said(found, "MOK keys")


def test_a_split_list(secure: Path) -> None:
    """Kernels do not read the variables in which it goes on; the table has all of it."""
    mok(secure, moks(SECOND))
    variable(secure, "MokListRT1", SHIM, moks(RSA))
    found = explained(secure)
    assert said(found, "MokListRT goes on in MokListRT1, which kernels do not read")
    assert found.facts.key == "a machine owner key (MokListRT), which this kernel does not load"
    table(secure, "MokListRT", moks(SECOND, RSA))
    found = explained(secure)
    assert errnos(found) == [None] and not said(found, "goes on in")


def test_without_an_image_or_variables_not_enrolled_is_not_claimed(secure: Path) -> None:
    (secure / f"boot/vmlinuz-{RELEASE}").unlink()
    assert "the image of the kernel" in explained(secure).facts.key
    write(secure / f"boot/vmlinuz-{RELEASE}", b"no kernel")
    found = explained(secure)
    assert found.facts.key.startswith("not known: ") and said(found, "builtin keys are not known")
    write(secure / f"boot/vmlinuz-{RELEASE}", IMAGE)
    (secure / EFIVARS / f"SecureBoot-{GLOBAL}").unlink()
    assert "the UEFI variables" in explained(secure).facts.key


# --------------------------------------------------------------------------- another kernel runs


@pytest.fixture
def beside(root: Path) -> Path:
    """The same system with Debian's 6.12 running."""
    write(root / "proc/sys/kernel/osrelease", OTHER)
    (root / "lib/modules" / OTHER).mkdir()
    return root


def test_the_running_kernel_s_configuration_is_its_own(beside: Path) -> None:
    unsigned = gzip.compress(b"CONFIG_MODULES=y\n# CONFIG_MODULE_SIG is not set\n")
    write(beside / "proc/config.gz", unsigned)
    (beside / f"boot/config-{RELEASE}").unlink()
    variable(beside, "SecureBoot", GLOBAL, b"\1")
    found = explained(beside, RELEASE)
    assert errnos(found) == ["EKEYREJECTED"]
    assert said(found, "the configuration of the kernel was not found")
    write(beside / "proc/sys/kernel/osrelease", RELEASE)
    assert errnos(explained(beside, RELEASE)) == [None], "it is this kernel's where it runs"


def test_the_running_kernel_s_state_is_its_own(beside: Path) -> None:
    write(beside / ENFORCE, "N\n")
    write(beside / LOCKDOWN, "[none] integrity confidentiality\n")
    for secure_boot, expected in ((b"\0", EVERY[:3]), (None, EVERY)):
        if secure_boot is not None:
            variable(beside, "SecureBoot", GLOBAL, secure_boot)
        else:
            (beside / EFIVARS / f"SecureBoot-{GLOBAL}").unlink()
        found = explained(beside, RELEASE)
        assert modes(found) == expected and found.facts.enforcing == found.facts.lockdown == "not known"
        assert said(found, f"the running kernel is {OTHER}: its state is not that of this kernel")


def test_a_chroot_s_kernel_is_not_its_host_s(root: Path) -> None:
    write(root / "proc/sys/kernel/osrelease", OTHER)
    write(root / "proc/cmdline", "lockdown=integrity fips=1")
    write(root / ENFORCE, "N\n")
    assert modes(explained(root, live=False)) == modes(explained(root, RELEASE)) == EVERY


def test_without_proc_nothing_is_the_kernel_s_own(root: Path) -> None:
    write(root / ENFORCE, "N\n")
    (root / "proc/sys/kernel/osrelease").unlink()
    found = explained(root)
    assert modes(found) == EVERY and said(found, "FIPS mode: that it is not was assumed")


def test_a_configuration_that_is_none_is_said(root: Path) -> None:
    for content in (b"\x1f\x8b damaged", b"no options"):
        path = write(root / f"boot/config-{RELEASE}", content)
        assert said(explained(root), f"{path} is not a kernel configuration")


# --------------------------------------------------------------------------- the rules


@pytest.mark.parametrize("kernel", ["6.1.0-54-amd64", "5.15.0-91-generic", "2.6.32-431.el6.x86_64", "6.12.5"])
@pytest.mark.parametrize("boot", [None, True, False])
@pytest.mark.parametrize("enforcing", [None, True, False])
@pytest.mark.parametrize("lockdown", [None, "none", "integrity"])
def test_possible_modes_contradict_nothing_that_is_known(
    kernel: str, boot: bool | None, enforcing: bool | None, lockdown: str | None
) -> None:
    profile = for_release(kernel)
    for line in (None, "quiet", "module.sig_enforce=1"):
        found = strictness.known(Built(profile), Reported(enforcing, lockdown, None, line), boot)
        left = strictness.possible(profile, found, owners=True)
        assert left and len(set(left)) == len(left)
        for mode in left:
            effect = profile.in_mode(mode)
            for value, fact in zip(effect[:3], found[:3], strict=True):
                assert fact is None or value is fact


# --------------------------------------------------------------------------- CONFIG_CMDLINE


def configured(root: Path, text: str) -> None:
    write(root / f"boot/config-{RELEASE}", f"CONFIG_MODULE_SIG=y\n{text}")


def test_a_default_command_line_is_not_that_of_a_kernel_whose_line_is_not_known(root: Path) -> None:
    own = 'CONFIG_CMDLINE="module.sig_enforce=1"\n'
    for more, enforcing in (("CONFIG_ARM64=y\n", "not known"), ("CONFIG_X86=y\n", "on, by Secure Boot")):
        configured(root, own + more)
        (root / "proc/cmdline").unlink(missing_ok=True)
        assert explained(root, live=False).facts.enforcing.startswith(enforcing)
        write(root / "proc/cmdline", "ro quiet\n")
        assert explained(root, live=False).facts.enforcing.startswith("not known")
        variable(root, "SecureBoot", GLOBAL, b"\0")
        assert explained(root, live=False).facts.enforcing.startswith("off")
        (root / EFIVARS / f"SecureBoot-{GLOBAL}").unlink()


def test_a_command_line_that_takes_the_place_of_any_other_is_known(root: Path) -> None:
    variable(root, "SecureBoot", GLOBAL, b"\0")
    (root / "proc/cmdline").unlink()
    configured(root, 'CONFIG_CMDLINE="quiet"\nCONFIG_CMDLINE_OVERRIDE=y\n')
    found = explained(root, live=False)
    assert modes(found) == [PERMISSIVE] and found.facts.enforcing.startswith("off")
    assert modes(explained(root, live=False, passed=Passed(("lockdown=integrity",)))) == [PERMISSIVE]


def test_lockdown_that_is_not_on_the_list_does_not_refuse(root: Path) -> None:
    """lockdown_param() notes the level, whether the security module is started or not."""
    write(root / LOCKDOWN, "none [integrity] confidentiality\n")
    variable(root, "SecureBoot", GLOBAL, b"\0")
    for text, errno in (('CONFIG_LSM="lockdown,yama"\n', None), ("CONFIG_LSM=x\n" + EARLY, "EPERM")):
        configured(root, text)
        write(root / "proc/cmdline", "ro lsm=yama lockdown=integrity\n")
        assert errnos(explained(root)) == [errno]
    configured(root, "")
    assert said_of_kernel(explained(root), "SECURITY_LOCKDOWN_LSM_EARLY")


EARLY = "CONFIG_SECURITY_LOCKDOWN_LSM_EARLY=y\n"


def said_of_kernel(found: explain.OnMachine, text: str) -> bool:
    return any(text in note for each in found.asked.predictions for note in each.notes)


# --------------------------------------------------------------------------- an image whose list is not found


def image(version: str, *certificates: bytes, listed: bool) -> bytes:
    banner = f"Linux version {version} (b@example) #1 SMP\n\0".encode()
    return bzimage(
        gzip.compress(unpacked(banner, certificate_list(certificates) if listed else b"".join(certificates)))
    )


@pytest.mark.parametrize(
    ("listed", "certificates", "doubt"),
    [
        (True, (identity("rsa", 1).certificate,), False),
        (False, (identity("rsa", 1).certificate,), True),
        (False, (RSA.certificate,), True),
        (False, (), True),
    ],
)
def test_an_image_without_a_list_says_nothing_about_the_signer(
    root: Path, listed: bool, certificates: tuple[bytes, ...], doubt: bool, tmp_path: Path
) -> None:
    write(root / f"lib/modules/{RELEASE}/kernel/vfat.ko", signed())
    path = write(root / f"boot/vmlinuz-{RELEASE}", image(RELEASE, *certificates, listed=listed))
    variable(root, "SecureBoot", GLOBAL, b"\0")
    key = explained(root).facts.key
    assert key.startswith("not known" if doubt else "not enrolled")
    file = write(tmp_path / "vfat.ko", signed())
    for command in ("verify", "explain"):
        ran = elfsig(command, file, "--kernel", path, "--enforce")
        assert ran.code == 3
        assert (f"could not be read from {path}: it may have the signer's" in ran.out) == doubt
    (object_,) = elfsig("verify", file, "--kernel", path, "--enforce", "--jsonl").files()
    assert any("could not be read from" in note for note in object_["kernel"]["notes"]) == doubt


def test_pins_take_no_keys_from_a_kernel(tmp_path: Path) -> None:
    path = write(tmp_path / "vmlinuz", image(RELEASE, RSA.certificate, listed=True))
    other = write(tmp_path / "other.der", identity("rsa", 1).certificate)
    own = write(tmp_path / "own.der", RSA.certificate)
    file = write(tmp_path / "vfat.ko", signed())
    for source in (other, own):
        pin = f"SHA256:{hashlib.sha256(source.read_bytes()).hexdigest()}"
        ran = elfsig("verify", file, "--trust", pin, "--trust", source, "--kernel", path, "--enforce")
        assert ran.code == 0 and "could not be read from" not in ran.out, ran.out
    ran = elfsig("verify", file, "--trust", pin, "--kernel", path, "--enforce")
    assert ran.code == 0, ran.err
    ran = elfsig("verify", file, "--kernel", tmp_path)
    assert ran.code == 2 and "a directory, not a kernel image" in ran.err


# --------------------------------------------------------------------------- what revokes, and is not read


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "MokListXRT",
            esl(X509, RSA.certificate),
            "get a newer module: this kernel loads it, but the machine",
        ),
        ("MokListXRT", esl(X509, RSA.certificate)[:-1], "what is revoked is not known"),
        ("dbx", b"not a list, of whatever length it is", "what is revoked is not known"),
        ("dbx", esl(X509, identity("rsa", 1).certificate), "nothing needs to be done"),
    ],
)
def test_a_list_of_revocations_that_says_something_or_cannot_be_read(
    secure: Path, name: str, data: bytes, said: str, live: bool
) -> None:
    mok(secure, esl(X509, RSA.certificate))
    variable(secure, name, SHIM if name == "MokListXRT" else SECURITY, data)
    found = explained(secure, live=live)
    assert found.asked.accepted and said in found.step.text
    assert (found.command is not None) == (live and "nothing" in said)
    assert ("revoked" in found.facts.key) == ("nothing" not in said)
