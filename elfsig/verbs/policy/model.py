"""A policy: rules for modules, and exceptions from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from elfsig.kernels.profile import PERMISSIVE, Mode
from elfsig.lazy_dataclass import dataclass
from elfsig.verbs.policy.pattern import Pattern


@dataclass(frozen=True, slots=True)
class SignerDemand:
    """Who has to have signed: every member that is not None has to hold.

    ``name`` is the signer's, a pattern; ``fingerprint`` the SHA-256 of the public key or of the certificate,
    or the SHA-1 of the certificate, in hex; ``serial`` the certificate's serial number, in hex.
    """

    name: str | None = None
    fingerprint: str | None = None
    serial: str | None = None

    @property
    def text(self) -> str:
        """The same for people."""
        said = ((self.name, "{}"), (self.fingerprint, "fingerprint {}"), (self.serial, "serial {}"))
        return ", ".join(form.format(value) for value, form in said if value is not None)


@dataclass(frozen=True, slots=True)
class ModuleRule:
    """What is required of the modules that a rule is for.

    It is for a module that fits one of ``paths``, on a host that fits one of ``hosts``, for a release that
    fits one of ``releases`` (both: any, where empty). ``trust`` and ``keys`` are key sources, which may have
    placeholders. ``formats`` and ``hashes`` are free where empty. ``key_bits`` is the smallest allowed size
    by algorithm. ``signers``: one of them has to have signed. ``kernel`` has to load the module, in ``mode``,
    or in every mode. ``ignore`` are ids of audit's rules. ``line`` is where the rule stands.
    """

    paths: tuple[Pattern, ...]
    trust: tuple[str, ...]
    keys: tuple[str, ...] = ()
    hosts: tuple[re.Pattern[str], ...] = ()
    releases: tuple[re.Pattern[str], ...] = ()
    formats: frozenset[str] = frozenset()
    hashes: frozenset[str] = frozenset()
    key_bits: Mapping[str, int] | None = None
    signers: tuple[SignerDemand, ...] = ()
    kernel: str | None = None
    mode: Mode = PERMISSIVE
    every_mode: bool = False
    ignore: frozenset[str] = frozenset()
    line: int = 0

    @property
    def text(self) -> str:
        """The paths of the rule, for messages."""
        return ", ".join(each.written for each in self.paths)


@dataclass(frozen=True, slots=True)
class Exemption:
    """An exception: faults of ``rules`` do not count for the modules that it names, until it expires.

    A module has to fit all of what is given: one of ``paths``, ``names``, ``sha256`` (of the file as stored),
    ``hosts``. ``expires`` is the last day on which it holds.
    """

    rules: frozenset[str]
    reason: str
    expires: date
    paths: tuple[Pattern, ...] = ()
    names: frozenset[str] = frozenset()
    sha256: frozenset[str] = frozenset()
    hosts: tuple[re.Pattern[str], ...] = ()
    line: int = 0

    @property
    def text(self) -> str:
        """The modules that it names, for messages."""
        return ", ".join((*(each.written for each in self.paths), *sorted(self.names), *sorted(self.sha256)))


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as it was read.

    The first of ``rules`` that is for a module decides. ``source`` names the file, ``folder`` is where
    relative key sources start from.
    """

    source: str
    folder: str
    rules: tuple[ModuleRule, ...]
    exceptions: tuple[Exemption, ...] = ()
