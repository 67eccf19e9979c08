"""What a kernel's answer depends on, as plain frozen data: one :class:`Profile` for each behaviour.

The rows are in the modules ``tables_*``; :mod:`elfsig.kernels.policy` turns one of them, a module and a set
of keys into a :class:`Prediction`. A prediction ends with the signature stage and that era's ELF checks
before it: vermagic, symbols and the rest of loading come later and are not foreseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from elfsig.model import Basis, Place

UNSIGNED = "unsigned"
"""Stands for the inner error of kernels that have no errno for "there is no signature"."""

Tool = Literal["kmod", "module-init-tools"]


class Reply(NamedTuple):
    """What loading returns for one inner error: an errno, or None where the module loads.

    ``taint`` is the letter that the module gets, ``message`` the line in the kernel's log; ``{name}`` in it
    stands for the module's name, ``{number}`` for the inner errno's number.
    """

    errno: str | None = None
    taint: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Replies:
    """The answers by inner errno, for each mode. An errno that is not listed is returned as it is.

    ``lockdown`` is None where the era had no lockdown. ``messages`` are log lines by the fault of the step
    that decided, printed whatever the mode.
    """

    permissive: Mapping[str, Reply] = field(default_factory=dict)
    enforcing: Mapping[str, Reply] = field(default_factory=dict)
    lockdown: Mapping[str, Reply] | None = None
    messages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """The only place at which a kernel looks, and the coverage that it computes itself."""

    format: str
    carrier: str
    coverage: str = "whole-file"


@dataclass(frozen=True, slots=True)
class Crypto:
    """What a kernel can compute. ``hashes`` and ``algorithms`` are those its signature parser knows.

    ``absent`` are those of them that this build left out. ``late`` are hashes that come as modules: not
    there when certificates are loaded. ``curves`` are those its certificate parser knows.
    """

    hashes: frozenset[str]
    algorithms: frozenset[str]
    curves: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    waives_attributes: bool = False


@dataclass(frozen=True, slots=True)
class Trust:
    """Which keys count. ``rings`` are asked in order, the next one after ENOKEY; each is a set of roles.

    ``revoked_keys``: keys with the role revoked refuse. ``revoked_first``: before the key is looked up
    (RHEL 7). ``revoked_files``: the SHA-256 of the whole file is looked up too. ``dates``: certificates
    outside of their validity are not loaded.
    """

    rings: tuple[frozenset[str], ...]
    revoked_keys: bool = False
    revoked_files: bool = False
    dates: bool = False


@dataclass(frozen=True, slots=True)
class Packets:
    """How the OpenPGP checkers of the section eras differ from each other.

    ``issuer``: which of several issuer subpackets counts. ``damaged`` and ``none_usable`` are the errnos
    for packets that cannot be read and for none of the accepted kind.
    """

    issuer: Literal["first", "last"] = "first"
    damaged: str = "EBADMSG"
    none_usable: str = "ENOENT"


Fips = Literal["panic", "crypto-modules"]


@dataclass(frozen=True, slots=True)
class Profile:
    """One behaviour. ``walk`` names the table of steps; ``elf`` the rules of its ELF checks, if any.

    ``unsigned`` is the inner errno for "no signature" (:data:`UNSIGNED` where it is none). ``fips`` is what
    FIPS mode does: panic on any failure, or only when a module registers an algorithm; None: nothing.
    ``switches`` are the ways to enforce, in words. ``basis`` says how the row is known.
    """

    id: str
    title: str
    releases: str
    walk: str
    look: Look
    replies: Replies
    crypto: Crypto
    trust: Trust
    basis: Basis
    source: str
    unsigned: str = UNSIGNED
    packets: Packets = Packets()
    elf: str | None = None
    fips: Fips | None = None
    tool: Tool = "kmod"
    switches: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names_module: bool = False
    compressed: Literal["tool", "kernel"] = "tool"


class Mode(NamedTuple):
    """How strict a kernel runs; all False is permissive."""

    enforcing: bool = False
    lockdown: bool = False
    fips: bool = False

    @property
    def words(self) -> str:
        """Such as "enforcing, FIPS"."""
        named = (("enforcing", self.enforcing), ("lockdown", self.lockdown), ("FIPS", self.fips))
        return ", ".join(word for word, on in named if on) or "permissive"


PERMISSIVE = Mode()


class Walked(NamedTuple):
    """One step of the kernel's own way: what it looked at, what it found, and whether it went on.

    ``result`` is "ok", or "stop" for the step that decided.
    """

    name: str
    result: Literal["ok", "stop"]
    text: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one kernel answers in one mode.

    ``inner`` is the errno of the signature check, which newer kernels hide; ``fault`` a stable word for the
    same. ``log`` are all lines that the kernel logs, ``message`` the telling one. ``panic``: the kernel
    stops. ``place`` is the signature that was looked at.
    """

    id: str
    mode: Mode
    accepted: bool
    errno: str | None
    inner: str | None
    fault: str
    taint: str | None
    message: str | None
    log: tuple[str, ...]
    insmod: str | None
    reason: str
    advice: str
    basis: Basis
    steps: tuple[Walked, ...]
    place: Place | None = None
    panic: bool = False
    notes: tuple[str, ...] = ()
