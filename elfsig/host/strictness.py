"""How strict the kernel in question is: what it reports, what follows from its boot, and what is not known.

Everything is established or unknown; where something is unknown, each mode that is left is possible.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from elfsig.host.files import Files
from elfsig.kernels import config as configs
from elfsig.kernels.mode import PERMISSIVE, Mode, merged
from elfsig.kernels.policy import every_mode
from elfsig.kernels.profile import Profile, SecureBoot

_LOCKED = re.compile(r"\[(none|integrity|confidentiality)\]")
_FLAGS = {"Y": True, "1": True, "N": False, "0": False}


class Reported(NamedTuple):
    """What the running kernel reports: each None where it does not. ``line`` is its command line."""

    enforcing: bool | None = None
    lockdown: str | None = None
    fips: bool | None = None
    line: str | None = None


def reported(files: Files) -> Reported:
    """What the running kernel reports about itself."""
    enforce = files.text("sys/module/module/parameters/sig_enforce")
    lockdown = _LOCKED.search(files.text("sys/kernel/security/lockdown") or "")
    line = files.text("proc/cmdline")
    fips = files.text("proc/sys/crypto/fips_enabled")
    return Reported(
        _FLAGS.get(enforce or ""), lockdown[1] if lockdown else None, _FLAGS.get(fips or ""), line
    )


class Known(NamedTuple):
    """What is established of a kernel's mode: each None where it is not known."""

    enforcing: bool | None = None
    lockdown: bool | None = None
    fips: bool | None = None
    secure_boot: bool | None = None

    @property
    def unknown(self) -> list[str]:
        """What is not known and decides, in words."""
        words = ("enforces signatures", "is locked down", "is in FIPS mode")
        return [word for word, value in zip(words, self[:3], strict=True) if value is None]

    @property
    def on(self) -> Mode:
        """What is established to be on. ``secure_boot`` is off: what follows from it is in the rest."""
        return Mode(bool(self.enforcing), bool(self.lockdown), bool(self.fips))


def known(built: configs.Built, said: Reported, secure_boot: bool | None) -> Known:
    """What is established by what the kernel reports, else by its build, its command line and Secure Boot."""
    profile = built.profile
    line = _line(built, said)
    boot = profile.secure_boot or SecureBoot()
    enforces, enforcing = None if boot.enforces and boot.assumed else boot.enforces, said.enforcing
    if said.enforcing is None:
        enforcing = _either(built.mode.enforcing or line[0], _both(enforces, secure_boot))
    if said.lockdown is not None:
        lockdown: bool | None = said.lockdown != "none"
    elif profile.replies.lockdown is None:
        lockdown = False
    else:
        lockdown = _either(built.mode.lockdown or line[1], _both(boot.locks, secure_boot))
    fips = line[2] if said.fips is None else said.fips
    if fips is None and profile.fips != "panic":
        fips = False
    return Known(enforcing, lockdown, fips, secure_boot)


def _line(built: configs.Built, said: Reported) -> tuple[bool | None, bool | None, bool | None]:
    """What the command line says of enforcing, lockdown and FIPS mode."""
    if said.line is None and not built.line_known:
        return None, None, None
    mode = built.mode if said.line is None else built.profile.boot.mode(said.line)
    return mode.enforcing, mode.lockdown, mode.fips


def _either(one: bool | None, other: bool | None) -> bool | None:
    """Whether one of two facts holds, either of which may be unknown."""
    if one or other:
        return True
    return None if one is None or other is None else False


def _both(one: bool | None, other: bool | None) -> bool | None:
    """Whether both facts hold, either of which may be unknown."""
    if one is False or other is False:
        return False
    return None if one is None or other is None else True


def possible(profile: Profile, found: Known, owners: bool) -> tuple[Mode, ...]:
    """The modes that the kernel may be in. ``owners``: machine owner keys decide, which it loads only under
    Secure Boot."""
    left: dict[Mode, Mode] = {}
    for each in every_mode(profile):
        mode = merged([each, found.on])
        effect = profile.in_mode(mode)
        denied = (on for on, fact in zip(effect[:3], found[:3], strict=True) if fact is False)
        if any(denied) or (mode.secure_boot and found.secure_boot is not None):
            continue
        plain = effect._replace(secure_boot=False)
        if not mode.secure_boot or owners or plain not in left.values():
            left.setdefault(mode, plain)
    return tuple(left)


def words(value: bool | None, given: bool) -> str:
    """What is known of lockdown or enforcement, in words, where the kernel does not report it; ``given``:
    it is on because the user said so."""
    if given:
        return "on, as given"
    if value is None:
        return "not known"
    return f"{'on' if value else 'off'}, by Secure Boot and the command line; the system does not report it"


def only(asked: Mode, found: Known) -> tuple[Mode, ...]:
    """The mode where the user gave one: what is established is on in it, too."""
    return (merged([asked, found.on]),) if asked != PERMISSIVE else ()
