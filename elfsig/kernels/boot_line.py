"""Which command line a kernel reads: the one it was built with, the one that it is passed, or both.

What CONFIG_CMDLINE is for differs: arch/x86/kernel/setup.c puts it first, early_init_dt_scan_chosen()
(drivers/of/fdt.c) takes it only where nothing is passed, and options make it the only one or the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from elfsig.kernels.mode import PERMISSIVE, Mode, words
from elfsig.lazy_tuple import NamedTuple

Options = Mapping[str, str]
Use = Literal["alone", "first", "last", "otherwise"]


class Passed(NamedTuple):
    """What a boot loader passes: ``lines``, each of which may be the command line or a part of it.

    ``whole``: they are what the kernel itself shows, with what it was built with already in them.
    ``logged`` is the mode that a log shows besides. ``doubt``: why this may not be what is passed.
    """

    lines: tuple[str, ...] = ()
    whole: bool = False
    logged: Mode = PERMISSIVE
    doubt: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is not a word in it."""
        return not any(line.strip() for line in self.lines)


NOTHING = Passed()
"""A boot loader that passes nothing."""

_USES: tuple[tuple[Use, tuple[str, ...]], ...] = (
    ("alone", ("CMDLINE_FORCE", "CMDLINE_OVERRIDE", "CMDLINE_OVERWRITE")),
    ("last", ("CMDLINE_EXTEND",)),
    ("first", ("X86", "X86_64", "X86_32")),
    ("otherwise", (
        "CMDLINE_FROM_BOOTLOADER", "CMDLINE_BOOTLOADER", "CMDLINE_FALLBACK", "ARM", "ARM64", "LOONGARCH",
        "PPC", "RISCV",
    )),
)  # fmt: skip
"""The use of CONFIG_CMDLINE by the options of arch/*/Kconfig, the first of which that is "y" decides."""

EARLY = "SECURITY_LOCKDOWN_LSM_EARLY"
ONLY_WITHOUT = ", which it reads only where the boot loader passes none"


def own(options: Options) -> str:
    """CONFIG_CMDLINE."""
    return options.get("CMDLINE", "").replace('\\"', '"')


def use(options: Options) -> Use:
    """When the kernel reads CONFIG_CMDLINE; a text that does not say so is taken for one of x86."""
    return next((use for use, names in _USES if any(options.get(n) == "y" for n in names)), "first")


def read_by(options: Options, passed: Passed | None) -> tuple[str, ...]:
    """The command line of a kernel that was built with ``options``, or its parts; ``passed`` None: not known.

    A command line of its own that it may not read is left out.
    """
    line, how = own(options), use(options)
    if passed is not None and passed.whole:
        return passed.lines
    if how == "alone" and line:
        return (line,)
    if passed is None:
        return () if how == "otherwise" else (line,)
    if not line:
        return passed.lines
    if how == "otherwise":
        return (line,) if passed.is_empty else passed.lines
    parts = passed.lines or ("",)
    return tuple(f"{line} {each}" if how == "first" else f"{each} {line}" for each in parts)


def is_known(options: Options, passed: Passed | None) -> bool:
    """Whether :func:`read_by` gives all that the kernel reads."""
    return passed is not None or (use(options) == "alone" and bool(own(options)))


def security_modules(line: str, *, dashes: bool = True) -> tuple[str, ...] | None:
    """The list of the last ``lsm=``, which takes the place of CONFIG_LSM (security/security.c)."""
    given = [value for name, value in words(line, dashes=dashes) if name == "lsm" and value is not None]
    return tuple(given[-1].split(",")) if given else None


UNSURE = (
    "lsm= on its command line leaves out lockdown, which then has no effect, unless the kernel was built with"
    " SECURITY_LOCKDOWN_LSM_EARLY: its configuration would show that"
)
DEFAULT = (
    "that the boot loader passes no command line was assumed: this kernel reads its own one (CONFIG_CMDLINE)"
    " only then"
)


def lockdown_starts(options: Options, lines: Iterable[str], whole: bool) -> bool | None:
    """Whether the security module lockdown is started; None where that is not known.

    The list of the command line, else that of the build, has to have it, unless it starts before that list is
    read (early_security_init()). ``whole``: an option that ``options`` do not have is off.
    """
    given = [each for line in lines if (each := security_modules(line)) is not None]
    built = options.get("LSM")
    names = given[-1] if given else None if built is None else built.split(",")
    if names is None or "lockdown" in names or options.get(EARLY) == "y":
        return True
    return False if whole or built is not None or EARLY in options else None
