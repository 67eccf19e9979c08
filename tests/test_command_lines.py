"""What kernels read on their command lines: taken apart as they do it, by the rules of each version."""

from __future__ import annotations

from pathlib import Path

import pytest

import corpus
import elfsig
from elfsig.host.files import Files
from elfsig.host.strictness import known, reported
from elfsig.kernels.catalogue import PROFILES, get
from elfsig.kernels.config import Built
from elfsig.kernels.mode import BootParameters, words
from elfsig.kernels.modes import from_text
from elfsig.kernels.profile import Mode
from elfsig.kernels.tables import parameters
from tests.support.cli import elfsig as elfsig_command
from tests.support.verdicts import MODULE

ENFORCING, LOCKED, FIPS = Mode(enforcing=True), Mode(lockdown=True), Mode(fips=True)


# --------------------------------------------------------------------------- booted kernels

BOOTED = {
    "module.sig_enforce": ENFORCING,
    "module.sig_enforce=1": ENFORCING,
    "module.sig_enforce=yes": ENFORCING,
    "module.sig_enforce=On": ENFORCING,
    "module.sig_enforce=true": ENFORCING,
    "module.sig-enforce=t": ENFORCING,
    '"module.sig_enforce=1"': ENFORCING,
    'module.sig_enforce="1"': ENFORCING,
    "module.sig_enforce=1 module.sig_enforce=0": ENFORCING,
    "module.sig_enforce=01": Mode(),
    "module.sig_enforce=off": Mode(),
    "module.sig_enforce=2": Mode(),
    "Module.sig_enforce=1": Mode(),
    "'module.sig_enforce=1'": Mode(),
    'foo="a module.sig_enforce=1 b"': Mode(),
    'foo"a module.sig_enforce=1"': Mode(),
    "foo=1 -- module.sig_enforce=1": Mode(),
    "lockdown=integrity": LOCKED,
    'lockdown="confidentiality"': LOCKED,
    "lockdown=integrity lockdown=none": LOCKED,
    "lockdown=integrity,x": Mode(),
    "lockdown": Mode(),
    "lockdown=yes": Mode(),
    "lock-down=integrity": Mode(),
    "fips=1": FIPS,
    "fips=-1": FIPS,
    "fips=0x1": FIPS,
    "fips=00": Mode(),
    "fips=08": Mode(),
    "fips=0x0g": Mode(),
    "fips=yes": Mode(),
    "fips": Mode(),
    "fips=0x1 fips=0": Mode(),
    "fips=0 fips=2": FIPS,
}
"""As 6.1.0-57-cloud-amd64 said of itself in /sys and in its log when it was booted with these words."""


@pytest.mark.parametrize(("line", "mode"), BOOTED.items(), ids=BOOTED)
def test_what_a_booted_kernel_made_of_its_command_line(line: str, mode: Mode) -> None:
    for around in ("{}", "ro quiet {}\n", "\t{} \v x=y"):
        if "--" not in line or around == "{}":
            assert get("debian-6.1").boot.mode(around.format(line)) == mode


PARTS = {
    'a=b  c="d e" f': [("a", "b"), ("c", "d e"), ("f", None)],
    '"a b=c d" e': [("a b", "c d"), ("e", None)],
    '"a"': [("a", None)],
    'a"b c"=d': [('a"b c"', "d")],
    'a="b"c': [("a", 'b"c')],
    'a="b c': [("a", "b c")],
    'a=b"': [("a", 'b"')],
    "=a": [("=a", None)],
    "=a=b": [("=a", "b")],
    '"': [("", None)],
    "a= b": [("a", ""), ("b", None)],
    "--x --=1 -- c": [("--x", None), ("--", "1")],
    "": [],
}
"""By hand, after next_arg() in lib/cmdline.c and parse_args() in kernel/params.c of 6.1."""


@pytest.mark.parametrize(("line", "parts"), PARTS.items(), ids=PARTS)
def test_a_command_line_is_taken_apart_as_kernels_do_it(
    line: str, parts: list[tuple[str, str | None]]
) -> None:
    assert list(words(line)) == parts


# --------------------------------------------------------------------------- by version

VERSIONS = {
    ("rhel6-late", "enforcemodulesig"): ENFORCING,
    ("rhel6-late", "enforcemodulesig=0"): ENFORCING,
    ("rhel5", "x -- enforcemodulesigs"): ENFORCING,
    ("rhel6-late", "module.sig_enforce=1 lockdown=integrity"): Mode(),
    ("6.1.0", "enforcemodulesig"): Mode(),
    ("3.7", "-- module.sig_enforce=1"): ENFORCING,
    ("3.15", "-- module.sig_enforce=1"): Mode(),
    ("3.7", "module.sig_enforce=on"): Mode(),
    ("4.7", "module.sig_enforce=on"): ENFORCING,
    ("5.17", "module.sig_enforce=true"): Mode(),
    ("6.12", "module.sig_enforce=true"): ENFORCING,
    ("4.19", "lockdown=integrity"): Mode(),
    ("5.4", "lockdown=integrity"): LOCKED,
    ("5.4", "lockdown=yes"): Mode(),
    **{
        (kernel, line): LOCKED
        for kernel in ("rhel8", "rhel8-early", "debian-4.19", "ubuntu-4.15", "uek5")
        for line in ("lockdown", "lockdown=yes", "lockdown=none", "lockdown=0")
    },
}


@pytest.mark.parametrize(("case", "mode"), VERSIONS.items(), ids=map(" ".join, VERSIONS))
def test_each_kernel_reads_its_own_parameters(case: tuple[str, str], mode: Mode) -> None:
    kernel, line = case
    profile = get(kernel) if kernel in PROFILES else get("debian-6.1")
    assert profile.boot.mode(line) == mode


def test_every_kernel_that_enforces_by_a_parameter_reads_it() -> None:
    """The words that ``elfsig kernels`` shows, and what is read, do not go apart."""
    for profile in PROFILES.values():
        said = " ".join(profile.switches)
        for name in ("enforcemodulesig", "module.sig_enforce", "lockdown"):
            if "kernel parameter" in said:
                read = name in {each.name for each in profile.boot.parameters}
                assert read == (f"parameter {name}" in said), (profile.id, name)


# --------------------------------------------------------------------------- GRUB and logs

GRUB = """default=1
# kernel /vmlinuz-0 module.sig_enforce=1
title old
    kernel /vmlinuz-1 ro module.sig_enforce
title new
    kernel /vmlinuz-2 ro fips=1 lockdown=integrity
"""

TEXTS = {
    "grub.conf": (GRUB, Mode(lockdown=True, fips=True)),
    "quoted for sh": ('GRUB_CMDLINE_LINUX="quiet module.sig_enforce=1"', ENFORCING),
    "quoted for sh and GRUB": (r'GRUB_CMDLINE_LINUX="quiet x=\"a module.sig_enforce=1\""', Mode()),
    "quoted for GRUB": ("linux /vmlinuz 'module.sig_enforce=1'", ENFORCING),
    "a blank quoted for GRUB": ('linux /vmlinuz x="a module.sig_enforce=1"', Mode()),
    "after the dashes": ("options ro -- module.sig_enforce=1", Mode()),
    "by Secure Boot": (
        "[0.0] Command line: ro\n[0.1] Kernel is locked down from EFI Secure Boot\n",
        Mode(lockdown=True, secure_boot=True),
    ),
    "integrity's line": (
        "Command line: ro\n[1.0] integrity: secureboot mode enabled\n", Mode(secure_boot=True)
    ),
    "IMA's line": ("Command line: ro\n[1.0] ima: secureboot mode enabled\n", Mode(secure_boot=True)),
    "disabled": ("Command line: ro\n[1.0] integrity: secureboot mode disabled\n", Mode()),
    "locked": ("Command line: ro\n[0.1] Kernel is locked down from command line; see man\n", LOCKED),
    "of a device tree": ("ro fips=1\0lockdown=integrity\0", FIPS),
    "continued": ("menuentry x {\n linux /vmlinuz ro \\\n  fips=1\n}", FIPS),
    "appended": ('GRUB_CMDLINE_LINUX="quiet"\nGRUB_CMDLINE_LINUX+=" fips=1"\n', FIPS),
    "the default of GRUB 2": (
        'set default="1"\nmenuentry a {\n linux /v\n}\nmenuentry b {\n linux /v fips=1\n}\n', FIPS
    ),
    "a line of the log": ("[    0.000000] Kernel command line: ro fips=1", FIPS),
}  # fmt: skip


@pytest.mark.parametrize(("text", "mode"), TEXTS.values(), ids=TEXTS)
def test_modes_from_text(text: str, mode: Mode) -> None:
    assert from_text(text, parameters.SINCE_5_19) == mode


@pytest.mark.parametrize(
    ("head", "second", "doubt"),
    [
        ("", "linux /v fips=1", True),
        ("", "linux /v ro", False),
        ('set default="0"\n', "linux /v fips=1", False),
        ('set default="${saved_entry}"\n', "linux /v fips=1", True),
        ('set default="1"\nsubmenu x {\n', "linux /v fips=1", True),
        ('set default="0"\nsubmenu x {\n', "linux /v fips=1", False),
    ],
)
def test_an_entry_that_may_not_be_the_one_is_said_to_be_so(head: str, second: str, doubt: bool) -> None:
    text = f"{head}menuentry a {{\n linux /v ro\n}}\nmenuentry b {{\n {second}\n}}\n"
    (told,) = elfsig.predict(MODULE, "6.12", cmdline=text.encode()).predictions
    assert any("which one is started is not known" in note for note in told.notes) == doubt


@pytest.mark.parametrize("form", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \t\n"])
def test_texts_in_other_forms_are_read(form: str, end: str) -> None:
    line = f"ro lockdown=integrity{end}".encode(form)
    assert elfsig.predict(MODULE, "6.12", cmdline=line).predictions[0].errno == "EPERM"
    options = f"CONFIG_MODULE_SIG_FORCE=y{end}# CONFIG_MODULES is not set{end}".encode(form)
    assert elfsig.predict(MODULE, "6.12", config=options).predictions[0].errno == "ENOSYS"
    forced = f"CONFIG_MODULE_SIG_FORCE=y{end}".encode(form)
    assert elfsig.predict(MODULE, "6.12", config=forced).predictions[0].errno == "EKEYREJECTED"


# --------------------------------------------------------------------------- where they are given


def test_no_parameters_read_switch_nothing_on() -> None:
    assert BootParameters().mode("module.sig_enforce=1 lockdown fips=1") == Mode()


@pytest.mark.parametrize(
    ("kernel", "line", "errno"),
    [
        ("6.1.0-57-cloud-amd64", b"module.sig_enforce=yes", "EKEYREJECTED"),
        ("6.1.0-57-cloud-amd64", b"foo=1 -- module.sig_enforce=1", None),
        ("rhel8", b"lockdown=yes", "EPERM"),
        ("debian-4.19", b"lockdown", "EPERM"),
        ("ubuntu-4.15", b"lockdown=1", "EPERM"),
        ("6.12", b"lockdown=1", None),
    ],
)
def test_a_command_line_is_judged_for_the_kernel_in_question(
    kernel: str, line: bytes, errno: str | None, tmp_path: Path
) -> None:
    (prediction,) = elfsig.predict(MODULE, kernel, cmdline=line).predictions
    assert prediction.errno == errno
    file = tmp_path / "cmdline"
    file.write_bytes(line)
    ran = elfsig_command(
        "verify", corpus.SAMPLES / "amd64-6.1.ko", "--kernel", kernel, "--cmdline", file, "--jsonl"
    )
    assert ran.files()[0]["kernel"]["errno"] == errno


@pytest.mark.parametrize(
    ("kernel", "line", "mode"),
    [
        ("rhel8", "ro lockdown=1\n", LOCKED),
        ("debian-6.1", "ro lockdown=1\n", Mode()),
        ("debian-6.1", "ro module.sig_enforce=Yes\n", ENFORCING),
        ("debian-6.1", "ro -- module.sig_enforce=1\n", Mode()),
    ],
)
def test_the_command_line_of_a_system(kernel: str, line: str, mode: Mode, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text(line)
    assert known(Built(get(kernel)), reported(Files(tmp_path)), secure_boot=False).on == mode


# --------------------------------------------------------------------------- another kernel's module


@pytest.mark.parametrize(
    ("kernel", "said"), [("6.1.0-10-amd64", True), ("same", False), ("debian-6.1", False), ("auto", False)]
)
def test_a_module_that_was_built_for_another_release(kernel: str, said: bool, tmp_path: Path) -> None:
    sample = corpus.SAMPLES / "amd64-6.1.ko"
    vermagic = elfsig.open(sample).vermagic
    assert vermagic is not None
    release = vermagic.split()[0] if kernel == "same" else kernel
    (told,) = elfsig.predict(sample, release).predictions
    assert any("the module was built for" in note for note in told.notes) == said
    assert ("the module was built for" in elfsig_command("verify", sample, "--kernel", release).out) == said
