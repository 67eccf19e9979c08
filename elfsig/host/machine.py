"""What a running or mounted system says about its kernel, keys and modules. All reads are below one root.

Sources: /proc/sys/kernel/osrelease, /proc/cmdline, /proc/keys, /sys/module/module/parameters/sig_enforce,
/sys/kernel/security/lockdown, /boot, /lib/modules, and the UEFI variables (:mod:`elfsig.host.firmware`).
Nothing is written, and whatever cannot be read is reported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from elfsig.errors import ElfsigError, UsageError
from elfsig.host import initramfs
from elfsig.host.files import Files
from elfsig.host.firmware import EFIVARS, GLOBAL, SECURITY, SHIM, Firmware
from elfsig.host.owner_lists import TABLE_SINCE, OwnerLists
from elfsig.host.strictness import Known, Reported, known, reported
from elfsig.kernels import config as configs
from elfsig.kernels.boot_line import Passed
from elfsig.kernels.names import module_name
from elfsig.kernels.profile import Profile, version_of
from elfsig.model import Key, KeyId
from elfsig.opened.evidence import MODULE_SUFFIXES
from elfsig.trust.entries import Material, Origin, gather
from elfsig.trust.keyring import read_path
from elfsig.trust.ring import Ring

__all__ = ["EFIVARS", "GLOBAL", "SECURITY", "SHIM", "Machine"]

MODULE_DIRS = ("lib/modules", "usr/lib/modules")
OWN_KEYS = (
    ("var/lib/shim-signed/mok/MOK.priv", "var/lib/shim-signed/mok/MOK.der"),
    ("var/lib/dkms/mok.key", "var/lib/dkms/mok.pub"),
    ("root/mok.key", "root/mok.der"),
)
"""Private key and certificate: where DKMS keeps its signing key, and where :data:`NEW_KEY` goes."""
NEW_KEY = "root/mok"
INITRAMFS = ("boot/initrd.img-{}", "boot/initramfs-{}.img", "boot/initrd-{}", "lib/modules/{}/initramfs.img")
PREFERRED = ("updates", "extra", "weak-updates", "kernel")


_SKIPPED = {
    False: "Secure Boot is off, so the kernel skips machine owner keys",
    None: "the kernel loads machine owner keys only if Secure Boot is on, which is not known",
}


class Rings(NamedTuple):
    """The keys that the kernel should hold; ``booted``: under Secure Boot, with the machine owner's."""

    ring: Ring
    booted: Ring


@dataclass
class Machine:
    """The system below ``root``.

    ``wanted`` is the release of the kernel in question, where the user named one. ``live``: this is
    the running system, on which commands may be run. ``gaps`` are the lists of keys that could not be read,
    or not completely.
    """

    root: Path
    wanted: str | None = None
    live: bool = False
    gaps: list[str] = field(default_factory=list)

    @cached_property
    def files(self) -> Files:
        """Its files."""
        return Files(self.root)

    @property
    def remarks(self) -> list[str]:
        """What could not be read, and what was noticed."""
        return self.files.remarks

    @property
    def denied(self) -> bool:
        """Whether only root may read something that decides."""
        return self.files.denied

    # ----------------------------------------------------------------- kernel

    @cached_property
    def running(self) -> str | None:
        """The release of the kernel that runs."""
        return self.files.text("proc/sys/kernel/osrelease")

    @cached_property
    def release(self) -> str:
        """The release in question: the requested one, else the running one, else the newest.

        A release without modules here does not count: a chroot shows the release of its host. Raises
        UsageError.
        """
        running = self.running
        there = sorted({name for d in MODULE_DIRS for name in self._folders(d)}, key=_version)
        for each in (self.wanted, running):
            if each in there:
                return each
        if running and self.wanted is None and (self.live or not there):
            return running
        if not there:
            raise UsageError(f"{self.root}: it has no kernel modules", code="no-kernel")
        missing = self.wanted or running
        if missing:
            self.remarks.append(f"{missing} has no modules here: the module is that of {there[-1]}")
        return there[-1]

    def _folders(self, name: str) -> list[str]:
        base = self.files.path(name)
        return [each for each in self.files.names(base) or () if self.files.names(base / each) is not None]

    @property
    def image(self) -> Path | None:
        """The image of the kernel in /boot, or next to its modules."""
        names = [f"boot/vmlinuz-{self.release}", f"boot/vmlinux-{self.release}"]
        names += [f"{d}/{self.release}/vmlinuz" for d in MODULE_DIRS]
        return next((self.files.path(n) for n in names if self.files.is_file(self.files.path(n))), None)

    @cached_property
    def is_running(self) -> bool:
        """Whether the kernel in question runs: else what the running one shows says nothing about it."""
        if self.running is not None and self.running != self.release:
            self.remarks.append(f"the running kernel is {self.running}: its state is not that of this kernel")
        return self.running == self.release

    def options(self) -> configs.Options | None:
        """The build configuration of the kernel; None where it is missing."""
        names = [f"boot/config-{self.release}", *(["proc/config.gz"] if self.is_running else ())]
        for name in (*names, *(f"{each}/{self.release}/config" for each in MODULE_DIRS)):
            data = self.files.bytes(name)
            options = configs.parse(configs.read(data)) if data is not None else None
            if options:
                return options
            if options is not None:
                self.remarks.append(f"{self.files.path(name)} is not a kernel configuration")
        self.remarks.append("the configuration of the kernel was not found")
        return None

    @cached_property
    def reported(self) -> Reported:
        """What the kernel in question reports about itself; nothing where another one runs."""
        return reported(self.files) if self.is_running else Reported()

    @property
    def passed(self) -> Passed | None:
        """The command line that the kernel in question was started with; None where that is not known."""
        line = self.reported.line
        return None if line is None else Passed((line,), whole=True)

    def known(self, built: configs.Built) -> Known:
        """What is established of the kernel's mode: as it reports itself, else according to its boot."""
        return known(built, self.reported, self.firmware.secure_boot)

    # ----------------------------------------------------------------- modules

    def find(self, name: str) -> Path:
        """The file of the module ``name``, with "-" and "_" equal. Raises UsageError."""
        wanted = module_name(name)
        for directory in MODULE_DIRS:
            base = self.files.path(directory) / self.release
            found = self._listed(base, wanted) or self._walked(base, wanted)
            if found is not None:
                return found
        raise UsageError(
            f"no module {name} for the kernel {self.release} below {self.files.path('lib/modules')}",
            code="no-module",
        )

    def loads_by_name(self, path: Path) -> bool:
        """Whether modprobe, given the module's name, would load the file ``path``."""
        name = module_name(str(path))
        files = (self._listed(self.files.path(each) / self.release, name) for each in MODULE_DIRS)
        found = next((each for each in files if each is not None), None)
        return found is not None and os.path.realpath(found) == os.path.realpath(path)

    def _listed(self, base: Path, wanted: str) -> Path | None:
        data = self.files.content(base / "modules.dep")
        lines = data.decode("utf-8", "surrogateescape").split("\n") if data else ()
        names = (line.partition(":")[0] for line in lines)
        inside = f"/{self.files.inside(base)}"
        name = next((name for name in names if module_name(name) == wanted), None)
        if name is None:
            return None
        named = os.path.normpath(os.path.join(inside, name))
        if any(named.startswith(f"/{each}/{base.name}/") for each in MODULE_DIRS):
            path = self.files.path(named[1:])
            return path if self.files.is_file(path) else None
        self.remarks.append(f"{base}/modules.dep names {name}, which is not below {inside}: it is ignored")
        return None

    def _walked(self, base: Path, wanted: str) -> Path | None:
        real = self.files.real(base)
        if real is None or not real.is_dir():
            return None
        found = [
            p.relative_to(real)
            for p in sorted(real.rglob("*.ko*"))
            if p.name.endswith(MODULE_SUFFIXES) and module_name(p.name) == wanted
        ]
        if not found:
            return None
        self.remarks.append(
            "modules.dep does not list the module, so the file was searched for: run depmod -a"
        )
        return base / min(found, key=_preference)

    def initramfs(self, name: str) -> str:
        """Whether the initramfs has a copy of the module, in words."""
        files = (self.files.path(each.format(self.release)) for each in INITRAMFS)
        path = next((each for each in files if self.files.is_file(each)), None)
        if path is None:
            return "no initramfs of this kernel was found"
        return initramfs.words(path, self.files.required(path), module_name(name))

    # ----------------------------------------------------------------- keys

    @cached_property
    def firmware(self) -> Firmware:
        """The UEFI variables."""
        return Firmware(self.files)

    def rings(self, profile: Profile, given: Iterable[Material] = ()) -> Rings:
        """The keys that the kernel should hold: ``given``, those of its image, of UEFI and of the machine
        owner, and revocations."""
        held = gather([*given, *self._materials()])
        booted = Ring(gather([held, *self._owner_keys(profile)]))
        return Rings(booted if self.firmware.secure_boot else Ring(held), booted)

    def _materials(self) -> Iterator[Material]:
        if self.image is None:
            self.remarks.append("no image of the kernel was found, so its compiled-in keys are not known")
            self.gaps.append("the image of the kernel")
        else:
            yield from self._compiled_in(self.image)
        if self.firmware.ignores_db:
            self.remarks.append("the keys of UEFI's db do not count: mokutil --ignore-db was used")
        else:
            yield from self._source(self._variable("db", SECURITY), "platform", "platform")
        if self.firmware.names is None and self.firmware.state == "unknown":
            self.gaps.append("the UEFI variables")
        yield from self._source(self._variable("dbx", SECURITY), "revoked", "revoked")

    def _compiled_in(self, image: Path) -> Iterator[Material]:
        """The keys in an image: which of them are the kernel's own, only a list in it says."""
        for found in self._source(image, "builtin", None):
            if not any(key.vouched and key.keyring == "builtin" for key in (*found.keys, *found.unusable)):
                self._lost(image, f"builtin keys are not known: {image}: no list of them was found in it")
            yield found

    def _owner_keys(self, profile: Profile) -> Iterator[Material]:
        """Machine owner keys go to the machine keyring if the owner or the kernel's rule says so."""
        boot = profile.secure_boot
        if boot is not None and boot.moks == "never":
            self.remarks.append("this kernel was built so that it does not load machine owner keys")
            return
        if not self.firmware.secure_boot:
            self.remarks.append(_SKIPPED[self.firmware.secure_boot])
        trusted = profile.trust.machine == "any" or self.firmware.trusts_moks
        keyring = "machine" if trusted else "platform"
        self.remarks.extend(self.owner_lists.remarks())
        for path in self.owner_lists.read:
            yield from self._source(path, "MOK", keyring)
            if str(path) not in self.gaps:
                break
        yield from self._source(self._variable("MokListXRT", SHIM), "revoked", "revoked")

    def _source(self, path: Path | None, what: str, role: str | None) -> Iterator[Material]:
        """What is in a list of keys; what is lost of it is noted, once."""
        real = None if path is None else self.files.real(path)
        if path is None or real is None:
            return
        if not os.access(real, os.R_OK):
            self.files.deny(path)
            self.gaps.append(str(path))
            return
        try:
            found = read_path(real, Origin(str(path), role, role != "revoked", path.name))
        except ElfsigError as reason:
            if reason.code != "no-key":
                self._lost(path, f"{what} keys are not known: {reason.text}")
            return
        for loss in found.losses:
            self._lost(path, f"not all {what} keys are known: {path}: {loss.what}: {loss.reason}")
        yield found

    @property
    def unread_revocations(self) -> list[str]:
        """The lists of revocations that could not be read, or not completely."""
        return [each for each in self.gaps if Path(each).name.startswith(("dbx", "MokListX"))]

    def _lost(self, path: Path, remark: str) -> None:
        if str(path) not in self.gaps:
            self.gaps.append(str(path))
            self.remarks.append(remark)

    def _variable(self, name: str, vendor: str) -> Path | None:
        return next((each for each in self.firmware.paths(name, vendor) if self.files.is_file(each)), None)

    def pending(self, ids: frozenset[KeyId]) -> bool:
        """Whether the enrolment of a key with one of these ids is pending (MokNew)."""
        path = self._variable("MokNew", SHIM)
        return path is not None and any(key.ids & ids for key in self.keys_in(path))

    def owned(self, ids: frozenset[KeyId]) -> bool:
        """Whether a key with one of these ids is a machine owner key, loaded by this kernel or not."""
        materials = (each for path in self.owner_lists.every for each in self._source(path, "MOK", None))
        return any(key.ids & ids for each in materials for key in each.keys)

    @cached_property
    def owner_lists(self) -> OwnerLists:
        """Where the machine owner's keys are. A kernel that shows the table reads it, too."""
        return OwnerLists(self.firmware, self.is_running or version_of(self.release) >= TABLE_SINCE)

    def pairs(self, more: Iterable[tuple[str, str]] = ()) -> list[tuple[str, Path]]:
        """Private key and certificate of the signing key pairs on this system of which both are there.

        ``more`` are further ones to look for first; a private key may be a ``pkcs11:`` URI.
        """
        usual = [(str(self.files.path(key)), str(self.files.path(cert))) for key, cert in OWN_KEYS]
        first = self.files.path(NEW_KEY)
        names = [name for name in self.files.names(first.parent) or () if name.startswith(first.name)]
        new = [first.with_name(name) for name in names if name.endswith(".der")]
        every = dict.fromkeys([*more, *usual, *((str(each.with_suffix(".key")), str(each)) for each in new)])
        return [
            (key, Path(cert)) for key, cert in every
            if self.files.is_file(Path(cert)) and (key.startswith("pkcs11:") or self.files.is_file(Path(key)))
        ]  # fmt: skip

    def keys_in(self, path: Path) -> list[Key]:
        """The keys in a file; none where it has none, or cannot be read."""
        real = self.files.real(path)
        if real is None:
            return []
        if not os.access(real, os.R_OK):
            self.files.deny(path)
            return []
        try:
            return list(read_path(real, Origin(str(path), name=path.name)).keys)
        except ElfsigError as reason:
            self.remarks.append(f"{path} cannot be read: {reason.text}")
            return []

    def listed(self) -> list[Material]:
        """The machine owner's keys: those that are enrolled, and those whose enrolment is pending."""
        paths = (*self.owner_lists.every, self._variable("MokNew", SHIM))
        return [each for path in paths for each in self._source(path, "MOK", None)]

    def loaded(self, key_id: str) -> str:
        """What /proc/keys says about a key id (hex): it only has descriptions, so this is never proof."""
        text = self.files.text("proc/keys")
        if text is None:
            return "/proc/keys cannot be read"
        short = key_id[-8:].lower()
        lines = [line for line in text.splitlines() if "asymmetri" in line and short in line.lower()]
        if not lines:
            return f"/proc/keys does not list a key {key_id}: it is not loaded, or you may not see it"
        return f"/proc/keys lists a key with this id (not proof): {' '.join(lines[0].split()[8:])}"


def _version(release: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", release)]


def _preference(path: Path) -> tuple[int, str]:
    """depmod's usual search order: updates before extra before what came with the kernel."""
    first = path.parts[0]
    return (PREFERRED.index(first) if first in PREFERRED else len(PREFERRED), str(path))
