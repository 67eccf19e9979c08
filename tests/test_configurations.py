"""Options of a build configuration that decide about module signatures, and what depends on them."""

from __future__ import annotations

import hashlib

import pytest

import elfsig
from elfsig.kernels import config
from elfsig.kernels.boot_line import NOTHING
from elfsig.kernels.catalogue import get
from elfsig.kernels.mode import merged
from elfsig.kernels.modes import passed_by
from elfsig.kernels.policy import Subject, predict
from elfsig.kernels.profile import Mode, Prediction
from elfsig.trust.entries import RevokedHash
from elfsig.trust.ring import Ring
from tests.support.cms import ring
from tests.support.opened import opened
from tests.support.verdicts import MODULE, RSA, signed

FILLER = {f"FILLER_{number}": "y" for number in range(600)}
"""Makes a whole configuration of a few options."""


def ask(
    kernel: str, text: str, content: bytes = MODULE, keys: Ring | None = None, **mode: bool
) -> Prediction:
    """What ``kernel``, built with the lines of ``text``, responds in the mode of both."""
    built = config.apply(get(kernel), config.parse(text))
    return predict(Subject(opened(content), keys, built.profile), merged([Mode(**mode), built.mode]))


def off(*options: str) -> str:
    return "".join(f"# CONFIG_{option} is not set\n" for option in options)


# --------------------------------------------------------------------------- no modules


@pytest.mark.parametrize("mode", [{}, {"enforcing": True}, {"lockdown": True}, {"fips": True}])
def test_without_modules_none_loads(mode: dict[str, bool]) -> None:
    for kernel in ("6.12", "3.7", "rhel5"):
        for text in (off("MODULES"), off("MODULES", "MODULE_SIG")):
            told = ask(kernel, text, signed(), ring(RSA.certificate), **mode)
            assert (told.accepted, told.errno, told.fault) == (False, "ENOSYS", "no-modules")
            assert not told.panic and told.insmod and "Function not implemented" in told.insmod
    assert config.apply(get("6.12"), config.parse(off("MODULES"))).remarks == (
        "built without CONFIG_MODULES: it loads no module",
    )


# --------------------------------------------------------------------------- lockdown

LIST, EARLY = 'CONFIG_LSM="yama,apparmor"\n', "CONFIG_SECURITY_LOCKDOWN_LSM_EARLY=y\n"
FORCED = "CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY=y\n"


@pytest.mark.parametrize(
    ("kernel", "text", "errno"),
    [
        ("debian-6.1", LIST + EARLY, "EPERM"),
        ("debian-6.1", LIST, None),
        ("debian-6.1", off("SECURITY_LOCKDOWN_LSM"), None),
        ("debian-6.1", off("SECURITY"), None),
        ("rhel8", LIST + off("SECURITY_LOCKDOWN_LSM", "SECURITY"), "EPERM"),
        ("rhel8", off("LOCK_DOWN_KERNEL"), None),
        ("debian-6.1", off("LOCK_DOWN_KERNEL"), "EPERM"),
    ],
)
def test_which_options_leave_a_lockdown(kernel: str, text: str, errno: str | None) -> None:
    """A booted 6.1 with "lsm=yama,apparmor lockdown=integrity" and EARLY=y returned EPERM."""
    assert ask(kernel, text, lockdown=True).errno == errno


@pytest.mark.parametrize(
    ("kernel", "text", "locked"),
    [
        ("6.12", FORCED, True),
        ("6.12", FORCED + LIST + EARLY, True),
        ("6.12", FORCED + LIST, False),
        ("debian-4.19", "CONFIG_LOCK_DOWN_KERNEL=y\n", False),
        ("debian-4.19", "CONFIG_LOCK_DOWN_KERNEL=y\nCONFIG_LOCK_DOWN_MANDATORY=y\n", True),
        ("6.12", 'CONFIG_CMDLINE="ro lockdown=integrity"\n', True),
        ("6.12", r'CONFIG_CMDLINE="x=\"a lockdown=integrity\""' + "\n", False),
        ("6.12", 'CONFIG_CMDLINE="ro"\n', False),
    ],
)
def test_which_options_lock_a_kernel_down(kernel: str, text: str, locked: bool) -> None:
    """LOCK_DOWN_KERNEL allows it only (security/lock_down.c of 4.15 and of RHEL 8)."""
    assert ask(kernel, text).accepted != locked


def test_a_command_line_of_its_own_is_shown() -> None:
    built = config.apply(get("6.12"), config.parse('CONFIG_CMDLINE="module.sig_enforce=1"\n'))
    assert built.mode == Mode(enforcing=True)
    assert built.remarks == ("has a command line of its own (CONFIG_CMDLINE): module.sig_enforce=1",)


WHOLE = "".join(f"CONFIG_{name}=y\n" for name in FILLER) + "CONFIG_SECURITY_LOCKDOWN_LSM=y\n"
OWN = 'CONFIG_CMDLINE="module.sig_enforce=1"\n'
QUIET = 'CONFIG_CMDLINE="quiet"\n'


@pytest.mark.parametrize(
    ("text", "line", "mode"),
    [
        (QUIET + "CONFIG_CMDLINE_OVERRIDE=y\n", "lockdown=integrity", Mode()),
        (QUIET + "CONFIG_CMDLINE_FORCE=y\nCONFIG_ARM64=y\n", "module.sig_enforce=1", Mode()),
        (OWN + "CONFIG_CMDLINE_FORCE=y\nCONFIG_ARM64=y\n", "quiet", Mode(enforcing=True)),
        (OWN + "CONFIG_CMDLINE_FROM_BOOTLOADER=y\n", "quiet", Mode()),
        (OWN + "CONFIG_CMDLINE_FROM_BOOTLOADER=y\n", " \n", Mode(enforcing=True)),
        (OWN + "CONFIG_CMDLINE_FALLBACK=y\nCONFIG_RISCV=y\n", "quiet", Mode()),
        (OWN + "CONFIG_PPC=y\nCONFIG_CMDLINE_EXTEND=y\n", "quiet", Mode(enforcing=True)),
        (OWN + "CONFIG_X86_64=y\n", "quiet", Mode(enforcing=True)),
        ('CONFIG_CMDLINE="fips=1"\nCONFIG_X86=y\n', "fips=0", Mode()),
        ('CONFIG_CMDLINE="fips=1"\nCONFIG_ARM=y\nCONFIG_CMDLINE_EXTEND=y\n', "fips=0", Mode(fips=True)),
        ('CONFIG_CMDLINE="--"\nCONFIG_X86=y\n', "module.sig_enforce=1", Mode()),
        (OWN + "CONFIG_X86=y\n", "Kernel command line: quiet", Mode()),
        (OWN + "CONFIG_X86=y\n", "Command line: quiet", Mode(enforcing=True)),
        (OWN + "CONFIG_X86=y\n", "Command line: -- x\n[0] Kernel command line: lockdown=integrity",
         Mode(lockdown=True)),
    ],
)  # fmt: skip
def test_which_command_line_a_kernel_reads(text: str, line: str, mode: Mode) -> None:
    """arch/x86/kernel/setup.c, early_init_dt_scan_chosen() in drivers/of/fdt.c."""
    built = config.apply(get("6.12"), config.parse(text), passed_by(line))
    assert built.mode == mode
    asked = elfsig.predict(MODULE, "6.12", config=text.encode(), cmdline=line.encode())
    assert asked.predictions[0].mode == mode


def test_a_command_line_that_is_only_a_default_is_said_to_be_one() -> None:
    text = OWN + "CONFIG_CMDLINE_FROM_BOOTLOADER=y\n"
    (remark,) = config.apply(get("6.12"), config.parse(text), NOTHING).remarks
    assert "only where the boot loader passes none: module.sig_enforce=1" in remark
    assert config.apply(get("6.12"), config.parse(text)).mode == Mode()
    for line, doubt in ((None, True), (b"quiet", False)):
        (told,) = elfsig.predict(MODULE, "6.12", config=text.encode(), cmdline=line).predictions
        assert any("no command line was assumed" in each for each in told.notes) == doubt


@pytest.mark.parametrize(
    ("text", "line", "errno"),
    [
        (LIST, "lockdown=integrity lsm=lockdown,yama", "EPERM"),
        (LIST, "lockdown=integrity lsm=lockdown lsm=yama", None),
        (LIST + EARLY, "lockdown=integrity lsm=yama", "EPERM"),
        (WHOLE, 'lsm="yama,apparmor" lockdown=integrity', None),
        (WHOLE + EARLY, "lsm=yama lockdown=integrity", "EPERM"),
        (WHOLE, "lsm=yama,lockdown lockdown=integrity", "EPERM"),
        (WHOLE, "lsm= lockdown=integrity", None),
        (WHOLE, "lsm lockdown=integrity", "EPERM"),
        (WHOLE, "lsm=integrity lockdown=integrity -- lsm=lockdown", None),
        (WHOLE + 'CONFIG_CMDLINE="lsm=yama"\nCONFIG_X86=y\n', "lockdown=integrity", None),
        (WHOLE + 'CONFIG_CMDLINE="lsm=yama"\nCONFIG_X86=y\n', "lockdown=integrity lsm=lockdown", "EPERM"),
    ],
)
def test_the_list_of_security_modules_on_the_command_line(text: str, line: str, errno: str | None) -> None:
    """choose_lsm_order() and ordered_lsm_init() in security/security.c."""
    asked = elfsig.predict(MODULE, "6.12", config=text.encode(), cmdline=line.encode())
    (told,) = asked.predictions
    assert told.errno == errno and not any("EARLY" in each for each in told.notes)


def test_without_a_configuration_the_list_leaves_a_doubt() -> None:
    for kernel, line, doubt in (
        ("6.12", b"lsm=yama lockdown=integrity", True),
        ("6.12", b"lsm=yama", False),
        ("6.12", b"lsm=yama,lockdown lockdown=integrity", False),
        ("debian-4.19", b"lsm=yama lockdown", False),
    ):
        (told,) = elfsig.predict(MODULE, kernel, cmdline=line).predictions
        assert any("SECURITY_LOCKDOWN_LSM_EARLY" in each for each in told.notes) == doubt


def test_which_options_lock_it_down_under_secure_boot() -> None:
    assert ask("debian-5.10", off("LOCK_DOWN_IN_EFI_SECURE_BOOT"), secure_boot=True).accepted
    two = off("LOCK_DOWN_IN_SECURE_BOOT") + "CONFIG_LOCK_DOWN_IN_EFI_SECURE_BOOT=y\n"
    assert ask("debian-5.10", two, secure_boot=True).errno == "EPERM"


# --------------------------------------------------------------------------- IMA


@pytest.mark.parametrize("kernel", ["5.4", "6.12", "7.2", "debian-7.2"])
@pytest.mark.parametrize("without", ["IMA", "INTEGRITY", "SECURITY"])
def test_without_ima_there_is_no_policy_of_it(kernel: str, without: str) -> None:
    text = off(without, "LOCK_DOWN_IN_EFI_SECURE_BOOT")
    told = ask(kernel, text, secure_boot=True)
    assert told.accepted and not any("assumes" in note for note in told.notes)
    whole = config.apply(get(kernel), {**FILLER, "LOCK_DOWN_IN_EFI_SECURE_BOOT": "n"}).profile
    assert whole.secure_boot is not None and not whole.secure_boot.enforces


def test_machine_owner_keys_without_ima() -> None:
    for kernel, moks in (("6.12", "never"), ("7.2", "always")):
        boot = config.apply(get(kernel), {"IMA": "n"}).profile.secure_boot
        assert boot is not None and boot.moks == moks


# --------------------------------------------------------------------------- keyrings


def test_without_a_blacklist_nothing_is_on_it() -> None:
    listed = [RevokedHash("tbs", "sha256", hashlib.sha256(RSA.parsed.tbs_certificate_bytes).digest())]
    for name in ("debian-6.1", "6.12", "rhel7"):
        built = config.apply(get(name), config.parse(off("SYSTEM_BLACKLIST_KEYRING"))).profile
        trust = built.trust
        assert (trust.blacklist, trust.revoked_files, trust.revoked_keys) == (None, False, "never")
        assert built.loads(RSA.certificate, blacklist=listed).good
        assert get(name).loads(RSA.certificate, blacklist=listed).good == (name == "rhel7")


def test_a_list_of_5_13_says_nothing_of_older_kernels() -> None:
    for name, asked in (("rhel7", "always"), ("sles12", "always"), ("uek4", "always"), ("6.12", "never")):
        assert config.apply(get(name), FILLER).profile.trust.revoked_keys == asked, name


RINGS = {
    "LOAD_UEFI_KEYS": "builtin secondary",
    "SYSTEM_BLACKLIST_KEYRING": "builtin secondary",
    "INTEGRITY_ASYMMETRIC_KEYS": "builtin secondary",
    "INTEGRITY_SIGNATURE": "builtin secondary",
    "INTEGRITY": "builtin secondary",
    "INTEGRITY_MACHINE_KEYRING": "builtin machine platform secondary",
    "INTEGRITY_PLATFORM_KEYRING": "builtin machine secondary",
}


@pytest.mark.parametrize("option", [*RINGS, "SECONDARY_TRUSTED_KEYRING"])
def test_one_keyring_before_5_0(option: str) -> None:
    """The options of 5.0 and later say nothing about kernels that have UEFI's keys beside the others."""
    for name in ("rhel7", "debian-4.19", "ubuntu-4.15"):
        (ring_,) = config.apply(get(name), {option: "n"}).profile.trust.rings
        assert ("platform" in ring_) == ("machine" in ring_) == (option != "LOAD_UEFI_KEYS")


@pytest.mark.parametrize(("option", "names"), RINGS.items(), ids=RINGS)
def test_keyrings_that_are_left(option: str, names: str) -> None:
    rings = config.apply(get("debian-6.12"), {option: "n"}).profile.trust.rings
    assert sorted(frozenset().union(*rings)) == names.split()


def test_keys_of_the_firmware_in_a_whole_configuration() -> None:
    platform = {**FILLER, "INTEGRITY_PLATFORM_KEYRING": "y"}
    for more, left in (({}, False), ({"LOAD_UEFI_KEYS": "y"}, True), ({"LOAD_IPL_KEYS": "y"}, True)):
        rings = config.apply(get("debian-6.12"), {**platform, **more}).profile.trust.rings
        assert any("platform" in ring for ring in rings) == left


def test_without_signatures_ima_may_still_demand_its_own() -> None:
    options = {"MODULES": "y", "MODULE_SIG": "n", "IMA_ARCH_POLICY": "y"}
    assert any("IMA demands" in remark for remark in config.apply(get("6.12"), options).remarks)


def test_modules_that_this_kernel_has_no_use_for_are_not_named() -> None:
    for name, named in (("3.17", True), ("6.12", False)):
        remarks = config.apply(get(name), {"CRYPTO_RMD160": "m"}).remarks
        assert any("RMD160 as modules" in remark for remark in remarks) == named == bool(remarks)
