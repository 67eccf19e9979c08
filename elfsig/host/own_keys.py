"""The key pairs on a system, and what its kernel makes of each: trusted, to be enrolled, or of no use.

A certificate that is on the machine says nothing about the kernel: it may not be enrolled, and it may be one
that this kernel does not load.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from elfsig.errors import ElfsigError
from elfsig.host.dkms import signing_words
from elfsig.host.machine import NEW_KEY, Machine
from elfsig.kernels.keys import KernelKeys
from elfsig.kernels.profile import Profile
from elfsig.model import FileReport, Key, Verdict
from elfsig.opened.module import Module
from elfsig.trust.entries import Material, gather, material
from elfsig.trust.ring import Ring
from elfsig.verbs.verify.examine import Question, examine

State = Literal["trusted", "pending", "enrolled", "absent", "unusable"]
ORDER: tuple[State, ...] = ("trusted", "pending", "enrolled", "absent", "unusable")
"""Best first. ``enrolled``: in the machine owner's list, and not used by this kernel as it was booted."""
SUFFIXES = (".key", ".crt", ".der")
"""What ``elfsig keys generate`` writes."""


@dataclass(frozen=True)
class Own:
    """A key pair on the system. ``key`` is a path or a ``pkcs11:`` URI.

    ``default``: the one that DKMS signs with where nothing else is said. ``why``: why it is of no use.
    """

    key: str
    certificate: Path
    keys: tuple[Key, ...]
    state: State
    default: bool = False
    why: str = ""


def own_keys(machine: Machine, profile: Profile, kernel: KernelKeys, *, fips: bool = False) -> list[Own]:
    """The pairs on ``machine``, the best one first."""
    default = _of_dkms(machine)
    found = []
    for key, certificate in machine.pairs([default] if default else ()):
        keys = machine.keys_in(certificate)
        if keys:
            state, why = _state(machine, profile, kernel, keys[0], fips)
            is_default = (key, str(certificate)) == default
            found.append(Own(key, certificate, tuple(keys), state, is_default, why))
    return sorted(found, key=lambda own: ORDER.index(own.state))


def new_pair(machine: Machine) -> Path:
    """Where another key pair goes, without a suffix: nothing there is overwritten."""
    first = machine.root / NEW_KEY
    names = (first if number == 1 else first.with_name(f"{first.name}-{number}") for number in count(1))
    return next(each for each in names if not any(os.path.lexists(f"{each}{suffix}") for suffix in SUFFIXES))


def _of_dkms(machine: Machine) -> tuple[str, str] | None:
    """The pair that ``elfsig dkms resign`` takes by itself."""
    try:
        return signing_words(machine.root, None, None, machine.release, os.environ if machine.live else {})
    except ElfsigError:
        return None


def _state(machine: Machine, profile: Profile, kernel: KernelKeys, key: Key, fips: bool) -> tuple[State, str]:
    loading = profile.loads(key, fips=fips)
    if not loading.good:
        return "unusable", loading.text
    if (source := kernel.revokes_key(key)) is not None:
        return "unusable", f"it is revoked ({source})"
    roles = frozenset().union(*profile.trust.rings)
    if any(_is(key, each) for each in kernel.held(roles)):
        return "trusted", ""
    if machine.pending(key.ids):
        return "pending", ""
    return ("enrolled" if machine.owned(key.ids) else "absent"), ""


def _is(key: Key, other: Key) -> bool:
    """Whether a kernel's key is this one, under the names by which signatures call it."""
    return key.fingerprint == other.fingerprint and key.ids <= other.ids


# --------------------------------------------------------------------------- who signed


@dataclass(frozen=True)
class Checked:
    """What the keys at hand say about a module's signature, whether this kernel uses them or not.

    ``by`` is the own pair that verifiably made it.
    """

    verdict: Verdict | None
    by: Own | None


def checked(machine: Machine, module: Module, kernel_ring: Ring | None, own: Iterable[Own]) -> Checked:
    """The module's signature, verified with every key that is on the machine."""
    pairs = list(own)
    mine = [material(each.keys) for each in pairs]
    lists = [material(each.keys) for each in machine.listed()]
    report = _examined(module, [*([kernel_ring.material] if kernel_ring else ()), *lists, *mine])
    made = (each for each, keys in zip(pairs, mine, strict=True) if _is_good(_examined(module, [keys])))
    return Checked(report.verdict, next(made, None))


def _examined(module: Module, materials: Iterable[Material]) -> FileReport:
    return examine(module, Question(Ring(gather(materials)), any_file=True))


def _is_good(report: FileReport) -> bool:
    return report.verdict in (Verdict.VALID, Verdict.UNTRUSTED)
