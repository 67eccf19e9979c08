"""The options that describe a kernel: which one, in which mode it runs, how it was built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

from elfsig.cli.options.common import kernel_type, path_type, with_options
from elfsig.cli.options.key_rings import tell_of_losses
from elfsig.errors import ReadError, UsageError
from elfsig.lazy_tuple import NamedTuple


class KernelWish(NamedTuple):
    """The kernel options of the command line; ``kernel`` is None if it was not given."""

    kernel: str | None = None
    enforce: bool = False
    lockdown: bool = False
    fips: bool = False
    secure_boot: bool = False
    all_modes: bool = False
    cmdline: str | None = None
    config: str | None = None

    @property
    def only_modes(self) -> bool:
        """Whether modes were given without a kernel."""
        return self.kernel is None and self != KernelWish()


KERNEL_OPTIONS = (
    click.option(
        "--kernel",
        type=kernel_type,
        metavar="KERNEL",
        help="Predict this kernel's response: an id, a release, an image, or auto.",
    ),
    click.option(
        "--enforce", is_flag=True, help="Assume that signatures are enforced (module.sig_enforce=1)."
    ),
    click.option("--lockdown", is_flag=True, help="Assume lockdown (lockdown=integrity)."),
    click.option(
        "--secure-boot", is_flag=True, help="Assume UEFI Secure Boot, with what it implies for this kernel."
    ),
    click.option("--fips", is_flag=True, help="Assume FIPS mode."),
    click.option("--all-modes", is_flag=True, help="Predict every mode that makes a difference."),
    click.option(
        "--cmdline",
        metavar="FILE",
        type=path_type,
        help="Read modes from a kernel command line, grub.conf or dmesg.",
    ),
    click.option(
        "--config",
        metavar="FILE",
        type=path_type,
        help="Read the kernel configuration from FILE (/boot/config-*).",
    ),
)
"""In the order of the help."""


def kernel_options(callback: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--kernel ID`` and the modes; the callback gets one argument ``wish``."""

    @wraps(callback)
    def wrapped(
        *args: Any,
        kernel: str | None,
        enforce: bool,
        lockdown: bool,
        fips: bool,
        secure_boot: bool,
        all_modes: bool,
        cmdline: str | None,
        config: str | None,
        **more: Any,
    ) -> Any:
        wish = KernelWish(kernel, enforce, lockdown, fips, secure_boot, all_modes, cmdline, config)
        return callback(*args, wish=wish, **more)

    return with_options(wrapped, KERNEL_OPTIONS)


def question_of(
    wish: KernelWish,
    trust: Sequence[str],
    keys: Sequence[str],
    argument: str | None = None,
    *,
    reported: bool = False,
) -> Any:
    """The KernelQuestion of the command line. ``reported``: the reports on files say what could not be read
    of the key sources, which is said here otherwise.

    Raises UsageError, KeySourceError, ReadError (of an image).
    """
    from elfsig.kernels.profile import Mode
    from elfsig.verbs.verify.kernel_question import kernel_question

    if wish.all_modes and (wish.enforce or wish.lockdown or wish.fips or wish.secure_boot or wish.cmdline):
        raise UsageError(
            "--all-modes cannot be combined with --enforce, --lockdown, --fips, --secure-boot or --cmdline"
        )
    try:
        asked = kernel_question(
            wish.kernel or "auto",
            trust,
            keys,
            mode=Mode(wish.enforce, wish.lockdown, wish.fips, wish.secure_boot),
            every_mode=wish.all_modes,
            cmdline=_content(wish.cmdline, "--cmdline"),
            config=_content(wish.config, "--config"),
            modarg=argument,
        )
        if not reported:
            tell_of_losses(asked.ring)
        return asked
    except UsageError as reason:
        if reason.code == "no-config":
            raise UsageError(f"{wish.config}: {reason.text}", code=reason.code) from None
        raise


def _content(path: str | None, option: str) -> bytes | None:
    """The content of the file that an option names. Raises UsageError where it cannot be read."""
    from elfsig.opened.evidence import read

    if path is None:
        return None
    try:
        return read(path).content
    except ReadError as fault:
        raise UsageError(f"{option} {path}: {fault}", code=fault.code) from None
