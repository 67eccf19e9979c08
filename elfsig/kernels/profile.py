"""The data that decides a kernel's response to a module: one :class:`Profile` for each behaviour.

The rows are in :mod:`elfsig.kernels.tables`; :mod:`elfsig.kernels.policy` turns one of them, a module and a
set of keys into a :class:`Prediction`. A prediction covers the signature check and, for old kernels, the ELF
checks that come before it. Later checks (vermagic, symbols) are not simulated.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Literal

from elfsig.coverages.whole_file import WHOLE_FILE
from elfsig.kernels.key_rules import Crypto, Trust
from elfsig.kernels.loading import Loading, judge, judge_certificate
from elfsig.kernels.mode import PERMISSIVE as PERMISSIVE
from elfsig.kernels.mode import BootParameters
from elfsig.kernels.mode import Mode as Mode
from elfsig.kernels.section_era.ksign import FIRST_ISSUER, Dialect
from elfsig.kernels.section_era.module_header import Head
from elfsig.lazy_dataclass import dataclass
from elfsig.lazy_tuple import NamedTuple
from elfsig.model import Basis, Key, Place
from elfsig.model.brief import brief
from elfsig.trust.entries import RevokedHash

UNSIGNED = "unsigned"
"""The inner error of kernels that have no errno for "there is no signature"."""

Tool = Literal["kmod", "module-init-tools"]
Version = tuple[int, ...]


def version_of(release: str) -> Version:
    """The upstream version in a release: (6, 12, 43) for ``6.12.43+deb13-amd64``; missing parts are 0.

    Of a number, at most nine digits count: a release may come from a hostile file.
    """
    numbers = [int(n[:9]) for n in re.findall(r"\d+", re.split(r"[-+]", release, maxsplit=1)[0])[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))


class Releases(NamedTuple):
    """Which releases (``uname -r``) a row is for. This is the only rule by which a row is chosen.

    ``pattern`` is a regular expression for the whole release. ``since`` is the first upstream version and
    ``before`` the first one that is no longer meant (None: no limit). ``examples`` are releases that were
    published; each of them chooses its row.
    """

    pattern: str
    examples: tuple[str, ...] = ()
    since: Version = (0, 0, 0)
    before: Version | None = None

    def fit(self, release: str) -> bool:
        """Whether ``release`` is one of them."""
        if not re.fullmatch(self.pattern, release):
            return False
        version = version_of(release)
        return self.since <= version and (self.before is None or version < self.before)

    @property
    def words(self) -> str:
        """The examples, for people."""
        return ", ".join(self.examples)

    @property
    def newest(self) -> Version:
        """The newest upstream version that was looked at, in two numbers: that of the newest example."""
        return max((version_of(each)[:2] for each in self.examples), default=())

    def beyond(self, release: str) -> bool:
        """Whether a row without an end is chosen for a version that nobody has looked at."""
        return self.before is None and bool(self.examples) and version_of(release)[:2] > self.newest


NO_RELEASE = Releases("(?!)")
"""For rows that no release identifies: they are chosen by id only."""


class Reply(NamedTuple):
    """The response to one inner error: ``errno``, or None where the module loads.

    ``taint`` is the letter that the module gets, ``message`` the line in the kernel's log. In it ``{name}``
    stands for the module's name, ``{tool}`` for the loading process, ``{number}`` for the errno's number.
    """

    errno: str | None = None
    taint: str | None = None
    message: str | None = None


class _Empty(dict[str, Any]):
    """An empty mapping that can be a default: dataclasses refuse what cannot be hashed."""

    __hash__ = object.__hash__  # type: ignore[assignment]


NONE = _Empty()


@dataclass(frozen=True, slots=True)
class Replies:
    """The responses by inner errno, for each mode. An errno that is not listed is returned as it is.

    ``lockdown`` is None for kernels without lockdown. ``messages`` are log lines by the fault of the step
    that decided, printed in every mode.
    """

    permissive: Mapping[str, Reply] = NONE
    enforcing: Mapping[str, Reply] = NONE
    lockdown: Mapping[str, Reply] | None = None
    messages: Mapping[str, str] = NONE


@dataclass(frozen=True, slots=True)
class SignatureLocation:
    """The only place where a kernel looks for a signature, and the coverage that it computes."""

    format: str
    carrier: str
    coverage: str = WHOLE_FILE


Moks = Literal["always", "ima", "never"]


class SecureBoot(NamedTuple):
    """What a kernel does when it was started by UEFI Secure Boot.

    ``enforces``: CONFIG_IMA_ARCH_POLICY turns module.sig_enforce on. ``locks``: it locks itself down.
    ``moks``: it loads machine owner keys always, only where it was built with
    CONFIG_IMA ("ima", before 7.1), or never. ``assumed``: this depends on a configuration that is not known.
    """

    enforces: bool = False
    locks: bool = False
    moks: Moks = "ima"
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Packets:
    """How the OpenPGP checkers of the section eras differ from each other.

    ``dialect`` is that of the parser. ``damaged`` and ``none_usable`` are the errnos for packets that
    cannot be read and for a signature without a packet of the accepted kind. ``checks_section``: whether it
    refuses a section that is outside of the file before it reads packets.
    """

    dialect: Dialect = FIRST_ISSUER
    damaged: str = "EBADMSG"
    none_usable: str = "ENOENT"
    checks_section: bool = True


Fips = Literal["panic", "crypto-modules"]


@dataclass(frozen=True, slots=True)
class Profile:
    """One behaviour. ``walk`` names the table of steps; ``elf`` the rules of its ELF checks, if any.

    ``elf_line``: how many more lines its source has before these checks than that of 2.6.32-el6, whose
    numbers are in the log; None: not known. ``head``: what the loader compares before it verifies anything.

    ``unsigned`` is the inner errno for "no signature" (:data:`UNSIGNED` where there is none). ``fips`` is
    what FIPS mode does: panic on any failure, or only when a module registers an algorithm; None: nothing.
    ``switches`` are the ways to enforce, in words. ``basis`` and ``source`` say how the row is known;
    ``recalled`` names the facts in it that no source was read for. ``who`` is what stands before the log
    lines about the trailer. ``unpacks`` are the formats that its own decompressor may be built for (the
    loading tool unpacks the others). ``hash`` is the digest that its build signs modules with.
    ``caveat`` is said with every response. ``boot`` is what it reads on its command line.
    """

    id: str
    title: str
    releases: Releases
    walk: str
    look: SignatureLocation
    replies: Replies
    crypto: Crypto
    trust: Trust
    basis: Basis
    source: str
    unsigned: str = UNSIGNED
    packets: Packets = Packets()
    elf: str | None = None
    elf_line: int | None = None
    head: Head | None = None
    fips: Fips | None = None
    tool: Tool = "kmod"
    switches: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    recalled: tuple[str, ...] = ()
    who: str = ""
    not_pkcs7: str = ""
    unpacks: frozenset[str] = frozenset()
    secure_boot: SecureBoot | None = None
    hash: str | None = None
    caveat: str | None = None
    boot: BootParameters = BootParameters()

    def loads(
        self, certificate: bytes | Key, *, fips: bool = False, blacklist: Collection[RevokedHash] = ()
    ) -> Loading:
        """Whether this kernel loads a key (or the key of a DER certificate), and can use it.

        ``blacklist``: the hashes on the kernel's own list, see :mod:`elfsig.trust.blacklist`.
        """
        if isinstance(certificate, bytes):
            return judge_certificate(certificate, self, fips=fips, blacklist=blacklist)
        return judge(certificate, self, fips=fips, blacklist=blacklist)

    def in_mode(self, mode: Mode) -> Mode:
        """``mode`` with what Secure Boot switches on in this kernel."""
        boot = self.secure_boot
        if not mode.secure_boot or boot is None:
            return mode
        return mode._replace(enforcing=mode.enforcing or boot.enforces, lockdown=mode.lockdown or boot.locks)


class Walked(NamedTuple):
    """One step of the kernel's own sequence: what it checked, and what it found.

    ``result`` is "ok", or "stop" for the step that decided.
    """

    name: str
    result: Literal["ok", "stop"]
    text: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """The response of one kernel in one mode.

    ``inner`` is the errno of the signature check, which newer kernels hide; ``fault`` a stable word for the
    same. ``log`` are all lines that the kernel logs, ``message`` the most important of them. ``panic``: the
    machine stops, in FIPS mode or because the kernel crashes (the ``fault`` is then kernel-crash). ``place``
    is the signature that was checked.
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

    def __repr__(self) -> str:
        return brief(self)
